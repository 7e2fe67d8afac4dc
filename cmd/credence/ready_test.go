package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

// TestReadyzSaysWho isn't ready, and why, but no address. Optional ones don't count.
func TestReadyzSaysWho(t *testing.T) {
	const issuer = "http://127.0.0.1:1" // where nobody answers
	file := readConfig(t, `
providers:
  - {name: corp, issuer: `+issuer+`, audiences: [api]}
  - {name: extra, issuer: `+issuer+`/extra, audiences: [api], optional: true}
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: https://app.example.com/.credence/callback}]
session: {store: memory}
rules: [{name: app, login: web}]
`)
	a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	a.run(t.Context())
	s := &server{authorizer: a, log: slog.New(slog.DiscardHandler)}
	probes, body := s.probes(), ""
	asked := func() bool {
		w := httptest.NewRecorder()
		probes.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		body = w.Body.String()
		return w.Code == http.StatusServiceUnavailable && strings.Count(body, "connection refused") == 2
	}
	eventually(t, "both saying why", asked)
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) != 3 || lines[0] != "not ready" || !strings.HasPrefix(lines[1], "provider corp: keys_unavailable: the keys were never loaded; ") ||
		!strings.HasPrefix(lines[2], "client web: provider_unavailable: ") || strings.Contains(body, "://") {
		t.Errorf("got %q", body)
	}
	if got := a.unready(true); len(got) != 3 || !strings.HasPrefix(got[1], "provider extra: ") {
		t.Errorf("with optional ones: got %q", got)
	}
}

func TestWithoutAddresses(t *testing.T) {
	for detail, want := range map[string]string{
		`discovery at "https://a.example/x": Get "https://a.example/x?token=canary": dial tcp: refused`: "keys_unavailable: discovery: dial tcp: refused",
		`redirect from "https://a.example:443" to http://b.example`:                                     `keys_unavailable: redirect from "…" to …`,
		"": "keys_unavailable",
	} {
		if got := withoutAddresses(&audit.Refusal{Reason: audit.KeysUnavailable, Detail: detail}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

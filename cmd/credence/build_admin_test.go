package main

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// TestRevokedSessionsAreRefused holds that what the operator revokes is what sessions
// are judged by.
func TestRevokedSessionsAreRefused(t *testing.T) {
	folder := t.TempDir()
	provider := oidctest.New(oidctest.Options{Issuer: "https://login.example.com"})
	t.Cleanup(provider.Close)
	key := make([]byte, 32)
	rand.Read(key)
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys, sealing := write("keys.json", string(provider.KeySet())), write("session-key", base64.StdEncoding.EncodeToString(key))
	file, err := loadConfig(write("credence.yaml", `
listen: {admin: "unix:/run/credence/admin.sock"}
providers: [{name: corp, issuer: https://login.example.com, keys: {file: `+keys+`}}]
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: https://app.example.com/.credence/callback}]
session: {keys: [{file: `+sealing+`}]}
rules: [{name: app, login: web}]
`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)

	// A login elsewhere: another replica has the same key.
	ring, err := session.NewRing(session.RingOptions{Keys: []func() (string, error){func() (string, error) { return base64.StdEncoding.EncodeToString(key), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	replica, err := session.New(session.Options{Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	logIn := func(subject, sid string, at time.Time) string {
		_, claims := oidc.Decode(oidc.RawToken(provider.Sign(oidctest.Token{Claims: map[string]any{"sub": subject}})))
		cookies, refusal := replica.Begin(t.Context(), session.Record{
			Client: "web", Issuer: "https://login.example.com", Subject: subject, SID: sid, Claims: claims.Flat(),
		}, slices.Values([]string(nil)), at)
		if refusal != nil || len(cookies) != 1 {
			t.Fatalf("got cookies %q, %v", cookies, refusal)
		}
		pair, _, _ := strings.Cut(cookies[0], ";")
		return pair
	}
	asks := func(cookie string, want audit.Reason) {
		t.Helper()
		d := a.engine.Decide(t.Context(), &authz.Request{
			Method: "GET", Scheme: "https", Host: "app.example.com", Target: "/", Headers: []authz.Header{{Name: "cookie", Value: cookie}},
		})
		if d.Reason != want {
			t.Errorf("got %s %q, want %s", d.Reason, d.Detail, want)
		}
	}
	revoke := func(body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/revocations", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if a.admin.ServeHTTP(w, r); w.Code != 204 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	}

	alice, bob := logIn("alice", "s1", now), logIn("bob", "s2", now)
	asks(alice, audit.Allowed)
	asks(bob, audit.Allowed)
	revoke(`{"provider":"corp","subject":"alice"}`)
	asks(alice, audit.SessionRevoked)
	asks(bob, audit.Allowed)
	asks(logIn("alice", "s3", time.Now().Add(2*time.Second)), audit.Allowed) // logged in again
	revoke(`{"issuer":"https://login.example.com","sid":"s2"}`)
	asks(bob, audit.SessionRevoked)
	asks(logIn("bob", "s4", now), audit.Allowed)
}

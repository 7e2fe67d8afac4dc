package oidctest_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// ask posts a form to the token endpoint, with Basic credentials unless id is "".
// It gives the answer and the object in its body.
func ask(t *testing.T, client *http.Client, address, id, secret, form string) (reply, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		t.Error(err)
		return reply{}, nil
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if id != "" {
		request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	answer, err := do(client, request)
	if err != nil {
		t.Error(err)
		return answer, nil
	}
	var m map[string]any
	if err := json.Unmarshal(answer.body, &m); err != nil {
		t.Errorf("%v in %q", err, answer.body)
	}
	return answer, m
}

func TestClientCredentials(t *testing.T) {
	const secret = "s:e+c r%ét" // has to be encoded on its way
	for _, w := range bothWays(t) {
		w.p.AddClient("robot:1", secret, oidctest.Token{Alg: "ES256", TTL: time.Minute, Claims: map[string]any{"tenant": "t1"}})
		inForm := url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot:1"}, "client_secret": {secret}}.Encode()
		for _, row := range []struct{ name, id, form string }{
			{"client_secret_basic", "robot:1", "grant_type=client_credentials"},
			{"client_secret_basic and the same client_id", "robot:1", "grant_type=client_credentials&client_id=robot:1&client_secret="},
			{"client_secret_post", "", inForm},
			{"a scope it may have", "robot:1", "grant_type=client_credentials&scope=orders.read"},
		} {
			answer, m := ask(t, w.client, w.base+"/token", row.id, secret, row.form)
			if answer.status != 200 || answer.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s: got %d, %v, %v", w.name, row.name, answer.status, answer.header, m)
				continue
			}
			if m["token_type"] != "Bearer" || m["expires_in"].(float64) < 50 || m["scope"] != "orders.read" {
				t.Errorf("%s: %s: got %v", w.name, row.name, m)
			}
			token := m["access_token"].(string)
			if h := header(t, token); h["alg"] != "ES256" || h["kid"] != "ec-1" {
				t.Errorf("%s: %s: header %v", w.name, row.name, h)
			}
			c := claims(t, token)
			if c["sub"] != "robot:1" || c["client_id"] != "robot:1" || c["tenant"] != "t1" || c["email"] != nil || c["groups"] != nil {
				t.Errorf("%s: %s: claims %v", w.name, row.name, c)
			}
		}
		if got, want := w.p.Requests(oidctest.TokenEndpoint), 4; got != want {
			t.Errorf("%s: requests: got %d, want %d", w.name, got, want)
		}
	}
}

func TestScopeIsNarrowed(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	p.AddClient("robot", "secret", oidctest.Token{Claims: map[string]any{"scope": "a b c", "sub": "carol"}})
	_, m := ask(t, &http.Client{Transport: p.Transport()}, p.Issuer()+"/token", "robot", "secret", "grant_type=client_credentials&scope=c+a")
	if c := claims(t, m["access_token"].(string)); m["scope"] != "c a" || c["scope"] != "c a" || c["sub"] != "carol" {
		t.Errorf("got %v with claims %v", m, c)
	}
}

// The errors of RFC 6749, section 5.2.
func TestTokenEndpointErrors(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	p.AddClient("robot", "secret", oidctest.Token{})
	client := &http.Client{Transport: p.Transport()}
	for _, row := range []struct {
		name, id, secret, form string
		status                 int
		code                   string
	}{
		{"nothing at all", "", "", "", 401, "invalid_client"},
		{"no grant_type", "robot", "secret", "", 400, "invalid_request"},
		{"an empty grant_type is none", "robot", "secret", "grant_type=", 400, "invalid_request"},
		{"an unknown grant_type", "robot", "secret", "grant_type=password", 400, "unsupported_grant_type"},
		{"a parameter twice", "robot", "secret", "grant_type=client_credentials&scope=a&scope=b", 400, "invalid_request"},
		{"two ways to authenticate", "robot", "secret", "grant_type=client_credentials&client_secret=secret", 400, "invalid_request"},
		{"another client_id than in the header", "robot", "secret", "grant_type=client_credentials&client_id=other", 401, "invalid_client"},
		{"a wrong secret", "robot", "wrong", "grant_type=client_credentials", 401, "invalid_client"},
		{"a wrong secret in the form", "", "", "grant_type=client_credentials&client_id=robot&client_secret=wrong", 401, "invalid_client"},
		{"no secret in the form", "", "", "grant_type=client_credentials&client_id=robot", 401, "invalid_client"},
		{"an unknown client", "nobody", "", "grant_type=client_credentials", 401, "invalid_client"},
		{"a scope it may not have", "robot", "secret", "grant_type=client_credentials&scope=orders.read+admin", 400, "invalid_scope"},
		{"not a form", "robot", "secret", "grant_type=%zz", 400, "invalid_request"},
		{"a form without an end", "robot", "secret", strings.Repeat("a", 65<<10), 400, "invalid_request"},
	} {
		answer, m := ask(t, client, p.Issuer()+"/token", row.id, row.secret, row.form)
		if answer.status != row.status || m["error"] != row.code {
			t.Errorf("%s: got %d %v, want %d %s", row.name, answer.status, m, row.status, row.code)
		}
		if challenge := answer.header.Get("WWW-Authenticate"); (challenge != "") != (row.status == 401 && row.id != "") {
			t.Errorf("%s: WWW-Authenticate: got %q", row.name, challenge)
		}
		if m["access_token"] != nil || answer.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v, %v", row.name, m, answer.header)
		}
	}
}

func TestTokenEndpointWantsAForm(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer()+"/token", strings.NewReader(`{}`))
	request.Header.Set("Content-Type", "application/json")
	answer, err := do(&http.Client{Transport: p.Transport()}, request)
	if err != nil || answer.status != 400 {
		t.Errorf("got %d, %v, want 400", answer.status, err)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	p := newProvider(t, oidctest.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	p.AddClient("robot", "hush-hush", oidctest.Token{})
	_, m := ask(t, &http.Client{Transport: p.Transport()}, p.Issuer()+"/token", "robot", "hush-hush", "grant_type=client_credentials")
	if token := m["access_token"].(string); strings.Contains(log.String(), token) || strings.Contains(log.String(), "hush-hush") {
		t.Errorf("a secret in the log: %s", &log)
	}
	if !strings.Contains(log.String(), "endpoint=token") {
		t.Errorf("the request isn't in the log: %s", &log)
	}
}

// Everything at once: the race detector judges.
func TestConcurrentUse(t *testing.T) {
	for _, w := range bothWays(t) {
		w.p.AddClient("robot", "secret", oidctest.Token{Alg: "ES256"})
		w.p.AddHiddenKey("ES256", "ec-2")
		var wg sync.WaitGroup
		for range 4 {
			for _, do := range []func(){
				func() { w.p.Sign(oidctest.Token{Alg: "ES256"}) },
				func() { w.p.AddKey("ES256", "more") },
				func() { w.p.PublishKey("ec-2"); w.p.RetireKey("ec-2") },
				func() { w.p.Break(oidctest.JWKS, oidctest.Fault{Status: 500}); w.p.Mend(oidctest.JWKS) },
				func() { w.p.CacheControl(oidctest.JWKS, "no-cache"); w.p.Requests(oidctest.JWKS) },
				func() { w.p.DiscoveryMember("x", 1) },
				func() { fetch(t, w, "/jwks") },
				func() { fetch(t, w, "/.well-known/openid-configuration") },
				func() { ask(t, w.client, w.base+"/token", "robot", "secret", "grant_type=client_credentials") },
				func() { w.p.AddClient("other", "secret", oidctest.Token{}) },
			} {
				wg.Go(do)
			}
		}
		wg.Wait()
		if got, want := w.p.Requests(oidctest.JWKS), 4; got != want {
			t.Errorf("%s: requests: got %d, want %d", w.name, got, want)
		}
	}
}

func fetch(t *testing.T, w way, path string) {
	if _, err := get(t, w.client, w.base+path); err != nil {
		t.Errorf("%s: %s: %v", w.name, path, err)
	}
}

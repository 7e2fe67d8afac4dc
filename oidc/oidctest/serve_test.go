package oidctest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestCacheControl(t *testing.T) {
	for _, w := range bothWays(t) {
		for _, want := range []string{"", "max-age=60", ""} {
			w.p.CacheControl(oidctest.JWKS, want)
			answer, err := get(t, w.client, w.base+"/jwks")
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.header.Get("Cache-Control"); got != want {
				t.Errorf("%s: got %q, want %q", w.name, got, want)
			}
		}
	}
}

func TestDiscoveryDocument(t *testing.T) {
	for _, row := range []struct {
		name, issuer, address, base string
	}{
		{"at the issuer", "https://idp.test", "https://idp.test", "https://idp.test"},
		{"below a path", "https://idp.test/realms/corp", "https://idp.test/realms/corp", "https://idp.test/realms/corp"},
		{"an issuer with a slash at its end", "https://idp.test/", "https://idp.test", "https://idp.test"},
		{"by another address", "https://idp.test/realms/corp", "http://10.0.0.1:8080/realms/corp", "http://10.0.0.1:8080/realms/corp"},
	} {
		p := newProvider(t, oidctest.Options{Issuer: row.issuer})
		document, err := get(t, &http.Client{Transport: p.Transport()}, row.address+"/.well-known/openid-configuration")
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		var m map[string]any
		if err := json.Unmarshal(document.body, &m); err != nil {
			t.Errorf("%s: %v in %q", row.name, err, document.body)
			continue
		}
		for name, want := range map[string]string{
			"issuer": row.issuer, "jwks_uri": row.base + "/jwks", "token_endpoint": row.base + "/token", "authorization_endpoint": row.base + "/authorize",
		} {
			if got := m[name]; got != want {
				t.Errorf("%s: %s: got %v, want %q", row.name, name, got, want)
			}
		}
		for name, want := range map[string][]any{
			"response_types_supported": {"code"}, "subject_types_supported": {"public"}, "id_token_signing_alg_values_supported": {"RS256", "ES256", "EdDSA"},
		} {
			if got, _ := m[name].([]any); !slices.Equal(got, want) {
				t.Errorf("%s: %s: got %v, want %v", row.name, name, m[name], want)
			}
		}
	}
}

func TestDiscoveryMembersAreReplacedAndRemoved(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	p.DiscoveryMember("issuer", "https://other.test")
	p.DiscoveryMember("jwks_uri", nil)
	document, err := get(t, &http.Client{Transport: p.Transport()}, p.Issuer()+"/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(document.body, &m); err != nil {
		t.Fatal(err)
	}
	if _, there := m["jwks_uri"]; there || m["issuer"] != "https://other.test" {
		t.Errorf("got %v", m)
	}
}

func TestOtherRequests(t *testing.T) {
	for _, w := range bothWays(t) {
		for _, row := range []struct {
			name, method, path string
			status             int
		}{
			{"a path that isn't there", http.MethodGet, "/nothing", 404},
			{"the root", http.MethodGet, "/", 404},
			{"POST for the keys", http.MethodPost, "/jwks", 405},
			{"GET for a token", http.MethodGet, "/token", 405},
			{"GET for the login page's form", http.MethodGet, "/sign-in?name=alice", 405},
			{"GET for a revocation", http.MethodGet, "/revoke?token=x", 405},
			{"HEAD for the keys", http.MethodHead, "/jwks", 200},
		} {
			request, _ := http.NewRequestWithContext(t.Context(), row.method, w.base+row.path, nil)
			got, err := do(w.client, request)
			if err != nil || got.status != row.status {
				t.Errorf("%s: %s: got %d, %v, want %d", w.name, row.name, got.status, err, row.status)
			}
			if row.method == http.MethodHead && (len(got.body) != 0 || got.length != int64(len(w.p.KeySet()))) {
				t.Errorf("%s: %s: got %d bytes, length %d", w.name, row.name, len(got.body), got.length)
			}
		}
	}
}

func TestStartOnce(t *testing.T) {
	p := newProvider(t, oidctest.Options{Issuer: "https://idp.test"})
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Issuer(), "https://idp.test"; got != want {
		t.Errorf("issuer: got %q, want %q", got, want)
	}
	if err := p.Start("127.0.0.1:0"); err == nil {
		t.Error("a provider started twice")
	}
	if err := newProvider(t, oidctest.Options{}).Start("127.0.0.1:none"); err == nil {
		t.Error("a provider started without a port")
	}
}

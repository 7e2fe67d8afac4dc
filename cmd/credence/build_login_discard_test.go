package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestReplacedSessionIsRevokedAtTheProvider: its tokens are, where somebody else logs
// in, and closing waits for that. Where the same session of the provider goes on they
// aren't, or the new session here would end with them.
func TestReplacedSessionIsRevokedAtTheProvider(t *testing.T) {
	for _, row := range []struct {
		second string
		want   int // a refresh token and an access token
	}{
		{"bob", 2},
		{"alice", 0},
	} {
		provider := startProvider(t)
		provider.AddUser(oidctest.User{Subject: "bob", Claims: map[string]any{"email": "bob@example.com"}})
		v := enter(t, provider, settings{client: "scopes: [openid, email, offline_access]"}).visitor()
		jar, _ := cookiejar.New(nil) // which never fails
		there := &http.Client{Transport: provider.Transport(), Jar: jar}
		login := v.base + "/login?" + url.Values{"client": {"web"}, "prompt": {"login"}, "return_to": {app + "/"}}.Encode()
		for _, subject := range []string{"alice", row.second} {
			address := v.sends(t.Context(), login, nil).Header().Get("Location")
			back, err := provider.Login(t.Context(), there, address, subject)
			if err != nil {
				t.Fatal(err)
			}
			v.sends(t.Context(), back.URL, back.Form)
		}
		if d := v.asks(appHost, 0); d.Reason != audit.Allowed || len(d.Set) != 1 || !strings.HasPrefix(d.Set[0].Value, row.second) {
			t.Errorf("%s: got %v, %v", row.second, d.Reason, d.Set)
		}
		v.end()
		if got := provider.Requests(oidctest.Revocation); got != row.want {
			t.Errorf("%s: %d tokens are revoked, want %d", row.second, got, row.want)
		}
	}
}

package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// TestRefreshLeeway is how long before the end of an access token, which lives five
// minutes, its session gets another.
func TestRefreshLeeway(t *testing.T) {
	for _, row := range []struct {
		session string
		later   time.Duration
		want    bool
	}{
		{"", 3 * time.Minute, false},
		{"", 4*time.Minute + 30*time.Second, true},
		{"refresh_leeway: 10s", 4 * time.Minute, false},
		{"refresh_leeway: 10s", 4*time.Minute + 57*time.Second, true},
		{"refresh_leeway: 10s, store: memory", 6 * time.Minute, true},
	} {
		provider := startProvider(t)
		v := enter(t, provider, settings{session: row.session, client: "scopes: [openid, email, offline_access]"}).visitor()
		v.logsIn()
		email := "alice@example.com"
		provider.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"email": "new@example.com"}})
		if row.want {
			email = "new@example.com"
		}
		d := v.asks(appHost, row.later)
		if refreshed := provider.Requests(oidctest.TokenEndpoint) == 2; refreshed != row.want {
			t.Errorf("%q after %v: got refreshed %t, want %t", row.session, row.later, refreshed, row.want)
		}
		if !d.Allow || len(d.Set) != 1 || d.Set[0] != (authz.Header{Name: "x-email", Value: email}) {
			t.Errorf("%q after %v: got %v, application gets %q, want %s", row.session, row.later, d.Reason, d.Set, email)
		}
		v.end()
		if audited := strings.Contains(v.decisions.String(), `"msg":"refresh","verdict":"allow"`); audited != row.want {
			t.Errorf("%q after %v: got audited %t, want %t", row.session, row.later, audited, row.want)
		}
	}
}

// TestRefreshTakesOverWhatIsNew and keeps the rest.
func TestRefreshTakesOverWhatIsNew(t *testing.T) {
	const verifier, nonce = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	const bare = `{"access_token":"at","token_type":"Bearer","expires_in":60}`
	provider := startProvider(t)
	party := enter(t, provider, settings{client: "scopes: [openid, email, offline_access]"}).parties[0].RelyingParty
	for _, row := range []struct {
		name   string
		edit   func(*session.Record)
		answer string // of the provider, in place of its own
		want   audit.Reason
		kept   bool // the ID token and what it says, and the refresh token
	}{
		{"all of it", func(*session.Record) {}, "", audit.Allowed, false},
		{"an access token alone", func(*session.Record) {}, bare, audit.Allowed, true},
		{"of another issuer", func(r *session.Record) { r.Issuer += "/" }, "", audit.SessionEnded, true},
		{"of another person", func(r *session.Record) { r.Subject = "bob" }, "", audit.SessionEnded, true},
		{"without a refresh token", func(r *session.Record) { r.RefreshToken = "" }, "", audit.SessionEnded, true},
	} {
		provider.Mend(oidctest.TokenEndpoint)
		provider.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"email": "old@example.com"}})
		address, refusal := party.AuthorizationURL(oidc.Attempt{State: "st", Nonce: nonce, Verifier: verifier})
		if refusal != nil {
			t.Fatal(refusal)
		}
		back, err := provider.Login(t.Context(), nil, address, "alice")
		if err != nil {
			t.Fatal(err)
		}
		g, refusal := party.Redeem(t.Context(), back.Values().Get("code"), verifier, nonce, netip.Addr{})
		if refusal != nil {
			t.Fatal(refusal)
		}
		r := session.Record{
			Issuer: string(g.Issuer), Subject: string(g.Subject), SID: "sid-of-before", Claims: g.Claims.Flat(), AccessExpires: g.Expires.Add(-time.Minute),
			IDToken: string(g.IDToken), AccessToken: string(g.AccessToken), RefreshToken: string(g.RefreshToken),
		}
		row.edit(&r)
		was := r
		provider.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"email": "new@example.com"}})
		provider.Break(oidctest.TokenEndpoint, oidctest.Fault{Body: row.answer})
		reason := audit.Allowed
		if refusal := refreshBy(party)(t.Context(), &r); refusal != nil {
			reason = refusal.Reason
		}
		if reason != row.want {
			t.Errorf("%s: got %v, want %v", row.name, reason, row.want)
		}
		for name, kept := range map[string]bool{
			"id token": r.IDToken == was.IDToken, "refresh token": r.RefreshToken == was.RefreshToken, "sid": r.SID == was.SID,
			"claims": r.Claims == was.Claims && (r.IDToken != was.IDToken || strings.Contains(r.Claims, "old@example.com")),
		} {
			if kept != row.kept {
				t.Errorf("%s: got %s kept %t, want %t", row.name, name, kept, row.kept)
			}
		}
		if renewed := r.AccessToken != was.AccessToken && r.AccessExpires != was.AccessExpires; renewed != (row.want == audit.Allowed) {
			t.Errorf("%s: got a new access token %t", row.name, renewed)
		}
	}
}

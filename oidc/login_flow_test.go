package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// newFlow makes a relying party whose every endpoint is the provider's own, and the
// client that the provider knows.
func newFlow(t testing.TB, c oidctest.LoginClient, edit func(*RelyingPartyOptions)) *reception {
	t.Helper()
	c.ID = "web"
	c.RedirectURIs = []string{"https://app.test/.credence/callback"}
	c.PostLogoutRedirectURIs = []string{"https://app.test/.credence/signed-out"}
	return newReception(t, func(r *reception, o *RelyingPartyOptions) {
		clear(r.replies)
		r.idp.AddLoginClient(c)
		o.Scopes, o.UserInfo = []string{"openid", "email", "offline_access"}, true
		if c.Secret == "" && c.Key == nil {
			o.Auth, o.ClientID = nil, "web"
		}
		if edit != nil {
			edit(o)
		}
	})
}

// enter logs somebody in, in a browser of their own, up to the grant.
func (r *reception) enter(t testing.TB, subject string) Grant {
	t.Helper()
	address, refusal := r.AuthorizationURL(Attempt{State: "st", Nonce: nonce, Verifier: verifier})
	if refusal != nil {
		t.Fatal(refusal)
	}
	back, err := r.idp.Login(t.Context(), nil, address, subject)
	if err != nil {
		t.Fatal(err)
	}
	answer := back.Values()
	if refusal := r.CheckIssuer(answer["iss"]); refusal != nil || answer.Get("state") != "st" {
		t.Fatalf("%v, %v", answer, refusal)
	}
	g, refusal := r.Redeem(t.Context(), answer.Get("code"), verifier, nonce, visitor)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, refusal := r.Redeem(t.Context(), answer.Get("code")+"x", verifier, nonce, visitor); !strings.HasPrefix(outcome(t, refusal), "code_rejected") {
		t.Errorf("a code that nobody made: %v", refusal)
	}
	return g
}

// TestLoginToLogout goes the whole way, with each kind of client.
func TestLoginToLogout(t *testing.T) {
	key := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	auth := func(o ClientAuthOptions) func(*RelyingPartyOptions) {
		o.ID = "web"
		return func(p *RelyingPartyOptions) { p.Auth = mustMake(NewClientAuth(o)) }
	}
	for _, row := range []struct {
		name   string
		client oidctest.LoginClient
		edit   func(*RelyingPartyOptions)
	}{
		{"basic", oidctest.LoginClient{Secret: "s:e+c r%t", AuthMethod: "client_secret_basic"}, nil},
		{"post", oidctest.LoginClient{Secret: "s", AuthMethod: "client_secret_post"}, auth(ClientAuthOptions{Method: ClientSecretPost, Secret: secret("s")})},
		{"key", oidctest.LoginClient{Key: key.Public()}, auth(ClientAuthOptions{Method: PrivateKeyJWT, Secret: secret(pemOf(key)), Audience: "https://issuer.test"})},
		{"public", oidctest.LoginClient{AuthMethod: "none"}, nil},
		{"by a form", oidctest.LoginClient{Secret: "s:e+c r%t"}, func(o *RelyingPartyOptions) { o.FormPost = true }},
		{"signed by ES256, userinfo too", oidctest.LoginClient{Secret: "s:e+c r%t", IDTokenAlg: "ES256", UserInfoAlg: "RS256", ThinIDToken: true}, nil},
		{"without rotation", oidctest.LoginClient{Secret: "s:e+c r%t", KeepRefreshToken: true}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newFlow(t, row.client, row.edit)
			g := r.enter(t, "alice")
			if email, _ := g.Claims.Lookup("email").Text(); g.Subject != "alice" || g.SID == "" || email != "alice@example.com" || g.RefreshToken == "" || g.Expires.IsZero() {
				t.Errorf("got %v: %s", g.Identity, g.Claims.AppendJSON(nil))
			}
			renewed, refusal := r.Refresh(t.Context(), g)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if renewed.Identity != g.Identity || renewed.AccessToken == g.AccessToken || (renewed.RefreshToken == g.RefreshToken) != row.client.KeepRefreshToken {
				t.Errorf("renewed: %v", renewed.Identity)
			}
			address, ok := r.EndSessionURL(renewed.IDToken, "https://app.test/.credence/signed-out", "out")
			if !ok {
				t.Fatal("no logout at the provider")
			}
			back, err := r.idp.Logout(t.Context(), nil, address)
			if err != nil || !strings.HasPrefix(back.URL, "https://app.test/.credence/signed-out") || back.Values().Get("state") != "out" {
				t.Errorf("logged out to %v: %v", back, err)
			}
			if err := r.Revoke(t.Context(), renewed); err != nil {
				t.Errorf("revoking: %v", err)
			}
			if _, refusal := r.Refresh(t.Context(), renewed); !strings.HasPrefix(outcome(t, refusal), "session_ended") {
				t.Errorf("a refresh after that: %v", refusal)
			}
		})
	}
}

// TestProviderEndsSessions: by itself, for a person, or because a refresh token was
// used twice.
func TestProviderEndsSessions(t *testing.T) {
	for name, end := range map[string]func(*reception, Grant){
		"logged out there": func(r *reception, _ Grant) { r.idp.EndSession("alice") },
		"disabled":         func(r *reception, _ Grant) { r.idp.Disable("alice") },
		"used twice":       func(r *reception, g Grant) { _, _ = r.Refresh(t.Context(), g) },
		"revoked":          func(r *reception, g Grant) { _ = r.Revoke(t.Context(), g) },
	} {
		r := newFlow(t, oidctest.LoginClient{Secret: "s:e+c r%t"}, nil)
		g := r.enter(t, "alice")
		end(r, g)
		if _, refusal := r.Refresh(t.Context(), g); !strings.HasPrefix(outcome(t, refusal), "session_ended: token endpoint: status 400, invalid_grant") {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

// TestRevokingAtAProviderThatIsDown ends, and says which tokens live on.
func TestRevokingAtAProviderThatIsDown(t *testing.T) {
	bubble(t, "hanging", func(t *testing.T) {
		r := newFlow(t, oidctest.LoginClient{Secret: "s:e+c r%t"}, nil)
		r.idp.Break(oidctest.Revocation, oidctest.Fault{Hang: true})
		err := r.Revoke(t.Context(), Grant{Identity: Identity{Issuer: "https://issuer.test"}, RefreshToken: canary, AccessToken: canary})
		if err == nil || !strings.Contains(err.Error(), "revoking the refresh_token: ") || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v", err)
		}
	})
}

// TestCancelledLogin is an answer that holds no code, and its iss is judged first.
func TestCancelledLogin(t *testing.T) {
	r := newFlow(t, oidctest.LoginClient{Secret: "s:e+c r%t"}, nil)
	address, refusal := r.AuthorizationURL(Attempt{State: "st", Nonce: nonce, Verifier: verifier})
	if refusal != nil {
		t.Fatal(refusal)
	}
	back, err := r.idp.Login(t.Context(), nil, address, "")
	if err != nil {
		t.Fatal(err)
	}
	if answer := back.Values(); answer.Get("error") != "access_denied" || r.CheckIssuer(answer["iss"]) != nil {
		t.Errorf("got %v", answer)
	}
}

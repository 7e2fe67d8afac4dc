package e2e

import (
	"slices"
	"strings"
	"testing"
)

// nodeSite is a site whose people are at oidc-provider.
func nodeSite(t *testing.T, c siteConfig) *site {
	t.Helper()
	s := newSite(t)
	p := startNodeProvider(t, nodeConfiguration{
		Users: []map[string]any{{"sub": "alice", "email": "alice@example.com", "name": "Alice", "groups": []string{"staff", "night"}}},
		Clients: []map[string]any{{
			"client_id": "web", "client_secret": clientSecret, "redirect_uris": []string{s.Callback()}, "post_logout_redirect_uris": []string{s.signedOut()},
			"grant_types": []string{"authorization_code", "refresh_token"},
		}},
		TTL: map[string]int{"AccessToken": 8},
	})
	c.Issuer = p.issuer
	s.serve(t, c)
	return s
}

// The life of a session with oidc-provider, in both response modes: a deep link, the
// login, refreshes with tokens that are good for one use, the logout there.
func TestLoginAtNodeProvider(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			s := nodeSite(t, siteConfig{Client: "userinfo: true\nresponse_mode: " + mode})
			b := startBrowser(t)
			deep := s.origin() + "/reports/2026?q=a%20b&x=1&x=2"
			b.open(t, deep)
			b.logInAtNodeProvider(t, "alice")
			got := b.awaitApplication(t, deep)
			if got.Target != "/reports/2026?q=a%20b&x=1&x=2" || got.get("x-user") != "alice" || got.get("x-user-groups") != "staff,night" {
				t.Errorf("the application got %+v", got)
			}
			await(t, "the tokens are renewed twice", func() bool {
				b.open(t, deep)
				b.awaitApplication(t, deep)
				return len(s.audited("refresh")) > 1
			})
			if got := s.audited("refresh"); slices.ContainsFunc(got, func(reason string) bool { return reason != "allowed" }) {
				t.Errorf("refreshes: got %v", got)
			}

			b.open(t, s.origin()+"/.credence/logout")
			b.click(t, "button[type=submit]")
			b.click(t, "button[value=yes]") // oidc-provider asks in spite of the hint
			b.awaitText(t, "You are logged out")
			if at := b.url(t); !strings.HasPrefix(at, s.signedOut()+"?") {
				t.Errorf("the logout ended at %s", at)
			}
			b.open(t, deep)
			b.await(t, "the provider asks who it is", "document.querySelector('input[name=login]')")
		})
	}
}

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// keycloakSite is a site whose people are in a realm of Keycloak.
func keycloakSite(t *testing.T, c siteConfig) (*site, *realm) {
	t.Helper()
	s := newSite(t)
	r := startRealm(t, s.realm())
	// Keycloak has a refresh token for everybody; offline_access would ask for one that
	// outlives its own session, and a scope named groups isn't there.
	c.Issuer, c.Scopes = r.issuer(), "profile, email"
	s.serve(t, c)
	return s, r
}

// realm is one where alice can log in to the site, and her access token is renewed when a
// quarter of its eight seconds is left.
func (s *site) realm() realm {
	return realm{
		Name:        "login",
		Users:       []realmUser{{Name: "alice", Password: "correct horse", Groups: []string{"staff"}}},
		Clients:     []realmClient{{ID: "web", Secret: clientSecret, RedirectURIs: []string{s.Callback()}, PostLogoutRedirectURIs: []string{s.signedOut()}}},
		AccessToken: 8 * time.Second,
	}
}

// The life of a session with Keycloak: a deep link, the login, a refresh, the logout
// there and here.
func TestLoginAtKeycloak(t *testing.T) {
	t.Parallel()
	s, r := keycloakSite(t, siteConfig{})
	b := startBrowser(t)
	deep := s.origin() + "/reports/2026?q=a%20b&x=1&x=2"
	b.open(t, deep)
	b.logInAtKeycloak(t, "alice", "correct horse")

	got := b.awaitApplication(t, deep)
	if got.Target != "/reports/2026?q=a%20b&x=1&x=2" || got.get("x-user-email") != "alice@example.com" || got.get("x-user-groups") != "staff" || got.get("x-user") == "" {
		t.Errorf("the application got %+v", got)
	}
	cookie := b.cookies(t, "app.localhost")["__Host-credence.web"]
	if cookie == nil || !cookie.Secure || !cookie.HTTPOnly || !cookie.Session || cookie.SameSite != network.CookieSameSiteLax || cookie.Path != "/" || cookie.Domain != "app.localhost" {
		t.Errorf("the session's cookie: got %+v", cookie)
	}

	await(t, "the tokens are renewed, and the cookie with them", func() bool {
		b.open(t, deep)
		b.awaitApplication(t, deep)
		renewed := b.cookies(t, "app.localhost")["__Host-credence.web"]
		return renewed != nil && renewed.Value != cookie.Value
	})
	await(t, "the refresh is written down", func() bool { return slices.Contains(s.audited("refresh"), "allowed") })

	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	if at := b.url(t); !strings.HasPrefix(at, s.signedOut()+"?") {
		t.Errorf("the logout ended at %s", at)
	}
	if left := b.cookies(t, "app.localhost")["__Host-credence.web"]; left != nil {
		t.Errorf("the logout left %+v", left)
	}
	b.open(t, deep)
	b.await(t, "Keycloak asks for the password again", "document.querySelector('#password')")

	b.logInAtKeycloak(t, "alice", "correct horse")
	b.awaitApplication(t, deep)
	r.endSessions(t, "alice")
	await(t, "the session ends with that at Keycloak", func() bool {
		b.open(t, deep)
		there, err := run(t, b, chromedp.Evaluate[bool]("!!document.querySelector('#password')"))
		return err == nil && there // an error is a page that goes away
	})
	await(t, "that is written down", func() bool {
		got := s.audited("refresh")
		return got[len(got)-1] == "session_ended"
	})
}

// Keycloak can also answer with a page that posts the code.
func TestLoginAtKeycloakByFormPost(t *testing.T) {
	t.Parallel()
	s, _ := keycloakSite(t, siteConfig{Client: "response_mode: form_post"})
	b := startBrowser(t)
	deep := s.origin() + "/reports/2026?q=a%20b"
	b.open(t, deep)
	b.logInAtKeycloak(t, "alice", "correct horse")
	b.awaitApplication(t, deep)
	if binding := b.cookies(t, "app.localhost")["__Host-credence-binding"]; binding == nil || binding.SameSite != network.CookieSameSiteNone {
		t.Errorf("the binding cookie: got %+v", binding)
	}
}

// Of several tabs at Keycloak's login page, one is finished and the others find out by
// themselves.
func TestSeveralTabsAtKeycloak(t *testing.T) {
	t.Parallel()
	s, _ := keycloakSite(t, siteConfig{})
	first := startBrowser(t)
	tabs := []*tab{first, first.newTab(t), first.newTab(t)}
	page := func(i int) string { return s.origin() + "/tab/" + string(rune('a'+i)) }
	for i, b := range tabs {
		b.open(t, page(i))
		b.await(t, "asks for the password", "document.querySelector('#password')")
	}
	tabs[1].logInAtKeycloak(t, "alice", "correct horse")
	for _, i := range []int{1, 2, 0} {
		tabs[i].awaitApplication(t, page(i))
	}
}

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// forget takes a cookie away from the profile, as a browser does that doesn't keep it.
func (b *tab) forget(t *testing.T, name, host string) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: name, Domain: host})
	if err != nil {
		t.Fatal(err)
	}
	if b.cookies(t, host)[name] != nil {
		t.Fatalf("the profile still has %s", name)
	}
}

// Every page that people may see says what it is about, leads on, and fits a phone.
func TestLoginPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := startProvider(t)
	s.testClient(p)
	s.testClient(p, func(c *oidctest.LoginClient) { c.ID = "admin" })
	s.serve(t, siteConfig{Issuer: p.Issuer(), Clients: fmt.Sprintf(
		"- {name: admin, provider: corp, client_id: admin, client_secret: {file: %s}, redirect_uri: '%s'}", s.File("client-secret"), s.Callback())})
	b := startBrowser(t)
	page := s.origin() + "/page?q=1"
	own := func(path string) string { return s.origin() + "/.credence/" + path }
	show := func(name, text string) {
		t.Helper()
		b.awaitText(t, text)
		b.photograph(t, name)
		if ways := evaluate[int](t, b, "document.querySelectorAll('main a[href], main button').length"); ways == 0 {
			t.Errorf("%s leads nowhere", name)
		}
	}

	b.open(t, own("session"))
	show("session-none", "You are logged out")
	b.open(t, own("login?return_to="+url.QueryEscape(page)))
	show("choose", "Where do you want to log in?")
	b.click(t, "a[href*='client=web']")
	b.await(t, "asks who it is", asksWho)
	b.photograph(t, "provider")
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, page)
	b.open(t, own("session"))
	show("session", "alice@example.com")
	b.open(t, own("logout"))
	show("logout", "Log out?")
	b.click(t, "button[type=submit]")
	show("signed-out", "You are logged out")

	if got := b.open(t, own("login?client=nobody")); got != http.StatusBadRequest {
		t.Errorf("an unknown client: got %d, want 400", got)
	}
	show("error-malformed", "The login can’t be understood.")
	if got := b.open(t, own("login?client=web&return_to=https://evil.example/")); got != http.StatusBadRequest {
		t.Errorf("a return address elsewhere: got %d, want 400", got)
	}
	if got := b.open(t, own("nothing")); got != http.StatusNotFound {
		t.Errorf("no page: got %d, want 404", got)
	}
	show("error-no-page", "Reference")

	b.open(t, page)
	b.await(t, "asks who it is", asksWho)
	begun := b.url(t)
	b.click(t, "button[name=cancel]")
	show("error-denied", "The identity provider didn’t log you in.")
	other := startBrowser(t)
	other.open(t, begun)
	other.logInAtTestProvider(t, "alice")
	other.awaitText(t, "The login was begun in another browser.")
	other.photograph(t, "error-other-browser")
	if names, _ := ourCookies(t, other, "app.localhost"); len(names) != 0 {
		t.Errorf("the other browser got %v", names)
	}

	p.Break(oidctest.TokenEndpoint, oidctest.Fault{Refuse: true})
	b.open(t, page)
	b.logInAtTestProvider(t, "alice")
	show("error-unavailable", "Reference")
	p.Mend(oidctest.TokenEndpoint)
	b.click(t, "main a")
	b.awaitApplication(t, page)
}

// A browser that doesn't keep the session's cookie is told so after the third login in
// a row, and can go on when it does.
func TestLoginLoop(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{})
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	for range 2 { // the provider knows who it is
		b.forget(t, "__Host-credence.web", "app.localhost")
		b.open(t, s.origin()+"/")
		b.awaitApplication(t, s.origin()+"/")
	}
	b.forget(t, "__Host-credence.web", "app.localhost")
	logins := p.Requests(oidctest.Authorize)
	if got := b.open(t, s.origin()+"/"); got != http.StatusBadRequest || p.Requests(oidctest.Authorize) != logins {
		t.Errorf("got %d and %d more logins, want 400 and none", got, p.Requests(oidctest.Authorize)-logins)
	}
	b.awaitText(t, "The login goes round in circles.")
	b.photograph(t, "error-loop")
	b.click(t, "main a")
	b.awaitApplication(t, s.origin()+"/")
}

// Going back to the provider's page and finishing a login for the second time is
// harmless: with a session it leads where it was to lead, without one it is begun anew.
func TestLoginFinishedTwice(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{})
	b := startBrowser(t)
	b.open(t, s.origin()+"/page")
	b.await(t, "asks who it is", asksWho)
	begun := b.url(t)
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, s.origin()+"/page")
	before := b.cookies(t, "app.localhost")["__Host-credence.web"].Value
	for _, lost := range []bool{false, true} {
		if lost {
			b.forget(t, "__Host-credence.web", "app.localhost")
		}
		codes := p.Grants("authorization_code")
		b.open(t, begun) // the provider knows who it is
		b.awaitApplication(t, s.origin()+"/page")
		after := b.cookies(t, "app.localhost")["__Host-credence.web"]
		if after == nil || (after.Value != before) != lost || p.Grants("authorization_code") > codes+1 {
			t.Errorf("with the session lost %v: got %+v and %d codes more", lost, after, p.Grants("authorization_code")-codes)
		}
	}
}

// With SameSite=Strict a login still ends where it was to end, though a link from
// another site finds no session.
func TestStrictCookies(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{Session: "cookie: {same_site: strict}"})
	b := startBrowser(t)
	b.open(t, s.origin()+"/page?q=1")
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, s.origin()+"/page?q=1")
	if c := b.cookies(t, "app.localhost")["__Host-credence.web"]; c == nil || c.SameSite != network.CookieSameSiteStrict {
		t.Errorf("the session's cookie: got %+v", c)
	}
}

// The cookie of a persistent session outlives the browser.
func TestPersistentCookies(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{Session: "cookie: {persistent: true}\nlifetime: 1h"})
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	if c := b.cookies(t, "app.localhost")["__Host-credence.web"]; c == nil || c.Session || c.Expires <= 0 {
		t.Errorf("the session's cookie: got %+v", c)
	}
}

// A partitioned session is one for the site whose page it is in: Chromium keeps it as
// such, and a logout deletes it.
func TestPartitionedCookies(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{Session: "cookie: {same_site: none, partitioned: true}"})
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	if c := b.cookies(t, "app.localhost")["__Host-credence.web"]; c == nil || c.SameSite != network.CookieSameSiteNone || !c.Secure || c.PartitionKey == nil {
		t.Errorf("the session's cookie: got %+v", c)
	}
	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	if c := b.cookies(t, "app.localhost")["__Host-credence.web"]; c != nil {
		t.Errorf("the logout left %+v", c)
	}
}

package e2e

import (
	crypto "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// testSite is a site whose people are at the test provider, which has no passwords.
func testSite(t *testing.T, c siteConfig, change ...func(*oidctest.LoginClient)) (*site, *oidctest.Provider) {
	t.Helper()
	s, p := newSite(t), startProvider(t)
	s.testClient(p, change...)
	c.Issuer = p.Issuer()
	s.serve(t, c)
	return s, p
}

// asksWho is true on the test provider's login page.
const asksWho = "document.querySelector('#name')"

// Ten tabs that begin a login at once, in a browser that was never here, all end where
// they were to go, whichever is finished first.
func TestSEC_5_67_TenTabs(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{})
	first := startBrowser(t)
	tabs := []*tab{first}
	for len(tabs) < 10 {
		tabs = append(tabs, first.newTab(t))
	}
	page := func(i int) string { return fmt.Sprintf("%s/tab/%d?n=%[2]d", s.origin(), i) }
	for i, b := range tabs { // without waiting for any
		evaluate[string](t, b, "location.href = "+quote(t, page(i)))
	}
	for _, b := range tabs {
		b.await(t, "asks who it is", asksWho)
	}
	for _, i := range rand.Perm(len(tabs)) {
		tabs[i].logInAtTestProvider(t, "alice")
		if got := tabs[i].awaitApplication(t, page(i)); got.get("x-user") != "alice" {
			t.Errorf("tab %d: got %+v", i, got)
		}
	}
	names, size := ourCookies(t, first, "app.localhost")
	slices.Sort(names)
	if !slices.Equal(names, []string{"__Host-credence-binding", "__Host-credence.web"}) || size > 4096 {
		t.Errorf("got %d bytes of cookies: %v", size, names)
	}
	if refused := slices.DeleteFunc(s.audited("login"), func(reason string) bool { return reason == "allowed" }); len(refused) > 0 {
		t.Errorf("logins that came to nothing: %v", refused)
	}
}

// A browser that begins logins and never finishes one has as many bytes of cookies
// after the hundredth as after the first, and the hundred and first works.
func TestSEC_5_70_AbandonedLogins(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{})
	b := startBrowser(t)
	var once int
	for i := range 100 {
		b.open(t, fmt.Sprintf("%s/abandoned/%d?%s", s.origin(), i, strings.Repeat("x", 10*i)))
		if names, size := ourCookies(t, b, "app.localhost"); i == 0 {
			once = size
		} else if size != once || len(names) != 1 {
			t.Fatalf("after %d: got %d bytes in %v, want %d", i+1, size, names, once)
		}
	}
	b.open(t, s.origin()+"/finished")
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, s.origin()+"/finished")
}

// What a page does by itself never begins a login: it gets a 401 and no cookie, and so
// does a frame. With a session it is let through.
func TestOnlyNavigationsLogIn(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{})
	b := startBrowser(t)
	b.open(t, s.origin()+"/public")
	const xhr = `new Promise((done) => {
		const r = new XMLHttpRequest()
		r.open('GET', '/private')
		r.onload = () => done(r.status + ' ' + r.responseText)
		r.send()
	})`
	for name, options := range map[string]map[string]any{
		"GET":         {},
		"POST":        {"method": "POST", "body": "x"},
		"for HTML":    {"headers": map[string]string{"Accept": "text/html"}},
		"no cookies":  {"credentials": "omit"},
		"by hand":     {"redirect": "manual"},
		"from source": {"headers": map[string]string{"Authorization": "Basic eDp5"}},
	} {
		got := b.fetch(t, "/private", options)
		if got.Status != http.StatusUnauthorized || got.Type != "basic" || !strings.Contains(got.Body, "no_credential") {
			t.Errorf("fetch %s: got %+v", name, got)
		}
	}
	if got := evaluate[string](t, b, xhr); !strings.HasPrefix(got, "401 ") {
		t.Errorf("XMLHttpRequest: got %s", got)
	}
	if got := b.frame(t, "/private"); !strings.Contains(got, "no_credential") {
		t.Errorf("a frame: got %s", got)
	}
	if got := b.frame(t, "/.credence/login?client=web"); strings.Contains(got, "Log in") {
		t.Errorf("the login in a frame: got %s", got)
	}
	if names, _ := ourCookies(t, b, "app.localhost"); len(names) != 0 || p.Requests(oidctest.Authorize) != 0 {
		t.Errorf("got the cookies %v and %d logins at the provider", names, p.Requests(oidctest.Authorize))
	}

	// A form that is posted without a session isn't a login either: what was typed
	// would be lost.
	b.open(t, s.origin()+"/public")
	evaluate[string](t, b, `document.body.innerHTML = '<form method=post action=/private><button>Send</button></form>'`)
	b.click(t, "button")
	b.awaitText(t, "Your session has ended")
	b.photograph(t, "posted-without-a-session")

	b.click(t, "a")
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, s.origin()+"/")
	if got := b.fetch(t, "/private", map[string]any{}); got.Status != http.StatusOK {
		t.Errorf("with a session, fetch: got %+v", got)
	}
	if got := evaluate[string](t, b, xhr); !strings.HasPrefix(got, "200 ") {
		t.Errorf("with a session, XMLHttpRequest: got %s", got)
	}
	if got := b.frame(t, "/private"); !strings.Contains(got, `"x-user":["alice"]`) {
		t.Errorf("with a session, a frame: got %s", got)
	}
}

// A cookie for a domain is one session for all hosts below it: one login, one logout.
func TestSingleSignOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := startProvider(t)
	s.testClient(p)
	one, two := s.origin("one"), s.origin("two")
	s.serve(t, siteConfig{
		Issuer: p.Issuer(), Session: "cookie: {domain: app.localhost}",
		Client: fmt.Sprintf("return_to: ['%s', '%s', '%s']", s.origin(), one, two),
	})
	b := startBrowser(t)
	b.open(t, one+"/deep?q=1")
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, one+"/deep?q=1")
	logins := p.Requests(oidctest.Authorize)

	another := b.newTab(t)
	another.open(t, two+"/other")
	if got := another.awaitApplication(t, two+"/other"); got.get("x-user") != "alice" || p.Requests(oidctest.Authorize) != logins {
		t.Errorf("the second host: got %+v", got)
	}
	cookies := b.cookies(t, "two.app.localhost")
	if c := cookies["__Secure-credence.web"]; c == nil || c.Domain != ".app.localhost" || !c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax {
		t.Errorf("the session's cookie: got %+v", c)
	}
	if c := b.cookies(t, "app.localhost")["__Host-credence-binding"]; c == nil || c.Domain != "app.localhost" || cookies["__Host-credence-binding"] != nil {
		t.Errorf("the binding cookie: got %+v; below it %v", c, cookies)
	}

	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	for _, host := range []string{"app.localhost", "one.app.localhost", "two.app.localhost"} {
		if c := b.cookies(t, host)["__Secure-credence.web"]; c != nil {
			t.Errorf("%s still has %+v", host, c)
		}
	}
	another.open(t, two+"/other")
	another.await(t, "asks who it is", asksWho)
}

// A session over several cookies works like any other, and a logout deletes them all.
func TestLargeSession(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{Rules: `
- name: large
  match: {paths: [/large]}
  login: web
  headers: {x-large: claims.large}`})
	// It stands in the session three times, as a claim and in two tokens, and doesn't
	// compress well.
	var text string
	for len(text) < 3<<10 {
		text += crypto.Text()
	}
	p.AddUser(oidctest.User{Subject: "large", Claims: map[string]any{"large": text}})
	b := startBrowser(t)
	b.open(t, s.origin()+"/large")
	b.logInAtTestProvider(t, "large")
	if got := b.awaitApplication(t, s.origin()+"/large"); got.get("x-large") != text {
		t.Errorf("the application got %d bytes", len(got.get("x-large")))
	}
	names, size := ourCookies(t, b, "app.localhost")
	if size < 12<<10 || len(names) < 4 {
		t.Errorf("got only %d bytes in %v", size, names)
	}
	for name, c := range b.cookies(t, "app.localhost") {
		if len(name)+len(c.Value) > 4096 {
			t.Errorf("%s has %d bytes", name, len(c.Value))
		}
	}

	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	if names, _ := ourCookies(t, b, "app.localhost"); !slices.Equal(names, []string{"__Host-credence-binding"}) {
		t.Errorf("the logout left %v", names)
	}

	// A smaller session leaves no rest of a larger one.
	b.open(t, s.origin()+"/large")
	b.logInAtTestProvider(t, "large")
	b.awaitApplication(t, s.origin()+"/large")
	p.EndSession("large")
	b.open(t, s.origin()+"/.credence/login?client=web&prompt=login&return_to="+url.QueryEscape(s.origin()+"/small"))
	b.logInAtTestProvider(t, "alice")
	if got := b.awaitApplication(t, s.origin()+"/small"); got.get("x-user") != "alice" {
		t.Errorf("the application got %+v", got)
	}
	if names, _ := ourCookies(t, b, "app.localhost"); len(names) != 2 {
		t.Errorf("the larger session left %v", names)
	}
}

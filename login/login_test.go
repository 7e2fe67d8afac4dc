package login

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestLogin(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		deep := app + "/orders?filter=a%20b&page=2&x=%2F#part"
		b.back(b.at(b.start(deep), "alice")).leadsTo(strings.TrimSuffix(deep, "#part"))
		status, m := b.session()
		claims, _ := m["claims"].(map[string]any)
		if status != 200 || m["active"] != true || m["client"] != "web" || m["subject"] != "alice" || claims["email"] != "alice@example.com" || len(claims) != 3 || m["expires"] == nil || m["logged_in"] == nil {
			t.Errorf("got %d, %v", status, m)
		}
		// Somebody who has a session doesn't go to the provider.
		b.start(app + "/next").leadsTo(app + "/next")
		// Unless they are asked to.
		b.open(base + "/login?client=web&prompt=login").leadsBelow(authorization)
		if got := r.events(); len(got) != 1 || got[0] != "login allow allowed" {
			t.Errorf("events: %q", got)
		}
		if line := r.audit.String(); !strings.Contains(line, `"provider":"Example Corp","subject":"alice","client":"web"`) {
			t.Errorf("audit: %s", line)
		}
	})
}

// TestSEC_V7_2_4_5_54_EachLoginIsANewSession: nobody's session is fixed by somebody else's
// cookie.
func TestSEC_V7_2_4_5_54_EachLoginIsANewSession(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		u := must(url.Parse(app))
		before := b.jar.Cookies(u)
		b.back(b.at(b.open(base+"/login?client=web&prompt=login"), "alice"))
		for _, c := range b.jar.Cookies(u) {
			for _, old := range before {
				if c.Name == old.Name && c.Value == old.Value {
					t.Errorf("%s is as it was", c.Name)
				}
			}
		}
		// It isn't the old one under another seal: that has ended, and this goes on.
		if status, _ := b.session(); status != 200 {
			t.Errorf("the new session: got %d", status)
		}
		other := r.browser()
		for _, c := range before {
			c.Path, c.Secure = "/", true
		}
		other.jar.SetCookies(u, before)
		if status, _ := other.session(); status != 401 {
			t.Errorf("the old session: got %d", status)
		}
	})
}

func TestAuthorizationRequest(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		got := b.open(base + "/login?client=web&prompt=login&login_hint=alice%40example.com")
		q := must(url.Parse(got.location)).Query()
		if q.Get("prompt") != "login" || q.Get("login_hint") != "alice@example.com" || q.Get("redirect_uri") != base+"/callback" || q.Get("code_challenge_method") != "S256" || len(q.Get("nonce")) != 43 {
			t.Errorf("got %v", q)
		}
	})
}

// TestSEC_5_67_TenTabs: ten tabs of a browser that has a cookie finish in any order,
// each where it wanted to be.
func TestSEC_5_67_TenTabs(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.start(app + "/") // now it has a binding cookie
		var tabs []*response
		for i := range 10 {
			tabs = append(tabs, b.start(fmt.Sprintf("%s/tab/%d", app, i)))
		}
		for _, i := range rand.Perm(10) {
			time.Sleep(time.Second)
			b.back(b.at(tabs[i], "alice")).leadsTo(fmt.Sprintf("%s/tab/%d", app, i))
		}
		if status, _ := b.session(); status != 200 {
			t.Errorf("no session: %d", status)
		}
	})
}

// TestTenFirstTabs: a browser without any cookie opens ten tabs at once, and each
// gets a binding cookie of its own, of which the browser keeps the last.
func TestTenFirstTabs(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		empty := b.jar
		var tabs []*response
		for i := range 10 {
			b.jar = r.browser().jar // as if the other answers weren't there yet
			tabs = append(tabs, b.start(fmt.Sprintf("%s/tab/%d", app, i)))
			empty.SetCookies(must(url.Parse(app)), b.jar.Cookies(must(url.Parse(app))))
		}
		b.jar = empty
		// One that doesn't fit begins again, and is then logged in at the provider.
		b.back(b.at(b.back(b.at(tabs[0], "alice")), "alice")).leadsTo(app + "/tab/0")
		// The others find the session.
		for i := 1; i < 10; i++ {
			b.back(b.at(tabs[i], "alice")).leadsTo(fmt.Sprintf("%s/tab/%d", app, i))
		}
	})
}

// TestSEC_K7_5_70_AbandonedLogins: whatever is begun and left, the browser has
// one cookie, as long as the first time.
func TestSEC_K7_5_70_AbandonedLogins(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		size := 0
		for i := range 100 {
			b.start(app + "/" + strings.Repeat("x", i*20))
			cookies := b.jar.Cookies(must(url.Parse(app)))
			if i == 0 {
				size = len(cookies[0].Value)
			}
			if len(cookies) != 1 || len(cookies[0].Value) != size {
				t.Fatalf("after %d: %d cookies, the first of %d bytes", i, len(cookies), len(cookies[0].Value))
			}
		}
	})
}

func TestSEC_K1_K2_BindingCookie(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		got := r.browser().start(app + "/").header.Values("Set-Cookie")
		if len(got) != 1 || !strings.HasPrefix(got[0], "__Host-credence-binding=") || !strings.HasSuffix(got[0], "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600") {
			t.Errorf("got %q", got)
		}
	})
	bubble(t, formPost, func(r *rig) {
		if got := r.browser().start(app + "/").header.Values("Set-Cookie"); !strings.Contains(got[0], "; SameSite=None") {
			t.Errorf("got %q", got)
		}
	})
}

func TestReturnAddressOfALogin(t *testing.T) {
	bubble(t, func(s *setup) { s.handler.Clients[0].ReturnTo = []string{"https://other.example.com", app} }, func(r *rig) {
		b := r.browser()
		for name, c := range map[string]struct{ query, want string }{
			"none":         {"client=web", app + "/"},
			"empty":        {"client=web&return_to=", app + "/"},
			"another's":    {"client=web&return_to=https://other.example.com/a", "https://other.example.com/a"},
			"too long":     {"client=web&return_to=" + app + "/" + strings.Repeat("a", 3000), app + "/"},
			"no client":    {"return_to=" + app + "/b", app + "/b"},
			"by a portal":  {"iss=https%3A%2F%2Fissuer.test&target_link_uri=" + app + "/c", app + "/c"},
			"with a rest":  {"client=web&utm_source=x&ui_locales=de", app + "/"},
			"with a login": {"client=web&return_to=" + base + "/login", base + "/login"},
		} {
			if got := b.back(b.at(b.open(base+"/login?prompt=login&"+c.query), "alice")); got.location != c.want {
				t.Errorf("%s: got %q, want %q: %s", name, got.location, c.want, got.body)
			}
			time.Sleep(2 * loopWindow)
		}
	})
}

// TestSEC_C6_5_66_MalformedLogins: none goes to the provider.
func TestSEC_C6_5_66_MalformedLogins(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.secret("query of an address", "query-canary")
		b := r.browser()
		for name, query := range map[string]string{
			"a client that isn't there":  "client=nobody",
			"client twice":               "client=web&client=web",
			"another parameter twice":    "client=web&x=1&x=2",
			"elsewhere":                  "client=web&return_to=https://evil.test/",
			"elsewhere with a secret":    "client=web&return_to=https://evil.test/%3Ftoken=query-canary",
			"elsewhere, by a portal":     "client=web&target_link_uri=//evil.test/",
			"two addresses":              "client=web&return_to=" + app + "/&target_link_uri=" + app + "/",
			"another issuer":             "iss=https://evil.test",
			"issuer of another client":   "client=web&iss=https://issuer.test/",
			"a prompt that isn't known":  "client=web&prompt=none",
			"a hint with a line break":   "client=web&login_hint=a%0d%0ab",
			"a long hint":                "client=web&login_hint=" + strings.Repeat("a", 300),
			"many parameters":            "client=web" + strings.Repeat("&a", 64),
			"long parameters":            "client=web&a=" + strings.Repeat("a", 20_000),
			"escapes that can't be read": "client=web&a=%zz",
			"semicolons":                 "client=web;return_to=" + app,
		} {
			b.doing = name
			page := b.fails(b.open(base+"/login?"+query), audit.LoginMalformed)
			if page.header.Get("Set-Cookie") != "" || strings.Contains(page.body, "evil") {
				t.Errorf("%s: got %v: %s", name, page.header, page.body)
			}
		}
	})
}

// TestSEC_C6_OnlyNavigationsBeginALogin: frames, scripts and guesses don't.
func TestSEC_C6_OnlyNavigationsBeginALogin(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for name, header := range map[string][2]string{
			"frame": {"Sec-Fetch-Dest", "iframe"}, "image": {"Sec-Fetch-Dest", "image"}, "fetch": {"Sec-Fetch-Mode", "cors"},
			"prefetch": {"Sec-Purpose", "prefetch;prerender"}, "old prefetch": {"Purpose", "prefetch"},
		} {
			b := r.browser()
			b.header.Set(header[0], header[1])
			if page := b.fails(b.start(app+"/"), audit.LoginMalformed); page.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: sets a cookie", name)
			}
		}
		b := r.browser()
		b.header.Del("Sec-Fetch-Dest")
		b.header.Del("Sec-Fetch-Mode")
		b.start(app + "/").leadsBelow(authorization) // an old browser, or curl
	})
}

// TestSEC_C6_O6_ThirdPartyLoginByPost (OpenID Connect Core 1.0, 4): a portal's form.
func TestSEC_C6_O6_ThirdPartyLoginByPost(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.header.Set("Sec-Fetch-Site", "cross-site")
		got := b.post(base+"/login", url.Values{"iss": {"https://issuer.test"}, "target_link_uri": {app + "/a?b=c&d=e"}, "login_hint": {"alice"}, "x": {"y"}})
		got.leadsTo("/.credence/login?iss=https%3A%2F%2Fissuer.test&target_link_uri=https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc%26d%3De&login_hint=alice")
		if got.status != 303 || got.header.Get("Set-Cookie") != "" {
			t.Errorf("got %d, %v", got.status, got.header)
		}
		b.back(b.at(b.open(got.location), "alice")).leadsTo(app + "/a?b=c&d=e")
		b.fails(b.post(base+"/login", url.Values{"iss": {"a", "b"}}), audit.LoginMalformed)
		b.fails(b.post(base+"/login?client=web", url.Values{"client": {"web"}}), audit.LoginMalformed)
	})
}

// TestSeveralClients (S10): the person says where to log in, where nothing else does.
func TestSeveralClients(t *testing.T) {
	bubble(t, func(s *setup) {
		second := s.handler.Clients[0]
		second.Name, second.Provider, second.ReturnTo = "partners", "Partner & Sons", []string{app, "https://partners.example.com"}
		s.handler.Clients = append(s.handler.Clients, second)
		s.handler.Clients[1].Party = must(oidcParty(s))
	}, func(r *rig) {
		b := r.browser()
		page := b.open(base + "/login?return_to=" + app + "/a")
		link := `href="https://app.example.com/.credence/login?client=partners&amp;return_to=https%3A%2F%2Fapp.example.com%2Fa"`
		if page.status != 200 || !strings.Contains(page.body, link) || !strings.Contains(page.body, "Partner &amp; Sons") || !strings.Contains(page.body, "client=web&amp;") {
			t.Errorf("got %d: %s", page.status, page.body)
		}
		// Only one of them leads there; it hasn't found its provider yet.
		b.fails(b.open(base+"/login?return_to=https://partners.example.com/"), audit.ProviderUnavailable)
		// Of the session pages, each is of the client that was named.
		b.login(app + "/")
		if page := b.open(base + "/session?client=partners"); !strings.Contains(page.body, "no session") {
			t.Errorf("got %s", page.body)
		}
	})
}

// TestLoops: a browser that loses its session is told after three rounds, and may
// then try again.
func TestLoops(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		for range 2 {
			for range 3 {
				b.login(app + "/deep")
				b.forget("__Host-credence.web")
			}
			page := b.fails(b.start(app+"/deep"), audit.LoginLoop)
			if !strings.Contains(page.body, "three times in a row") || !strings.Contains(page.body, "cookies") {
				t.Errorf("the page doesn't name the cause: %s", page.body)
			}
		}
	})
}

// TestLoopWithASession: the login's host sees the session, the application doesn't.
func TestLoopWithASession(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		b.start(app + "/").leadsTo(app + "/")
		b.start(app + "/").leadsTo(app + "/")
		b.fails(b.start(app+"/"), audit.LoginLoop)
	})
}

func TestLogoutEndsTheCount(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		for range 4 {
			b.login(app + "/")
			b.logout()
		}
	})
}

// forget loses a cookie.
func (b *browser) forget(name string) {
	u := must(url.Parse(app))
	kept := b.jar.Cookies(u)
	b.jar = b.rig.browser().jar
	for _, c := range kept {
		if c.Name != name {
			c.Secure, c.Path = true, "/"
			b.jar.SetCookies(u, append(b.jar.Cookies(u), c))
		}
	}
}

// TestSEC_O5_5_52_ForgedHosts: neither Host nor its like decide where anybody is
// sent.
func TestSEC_O5_5_52_ForgedHosts(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		forged := func(address string) *response {
			req := httptest.NewRequestWithContext(r.t.Context(), "GET", address, nil)
			req.Host = "evil.test"
			for _, name := range []string{"X-Forwarded-Host", "X-Original-Host", "X-Host", "Forwarded", "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Proto"} {
				req.Header.Set(name, "evil.test")
			}
			for _, c := range b.jar.Cookies(must(url.Parse(app))) {
				req.AddCookie(c)
			}
			got := b.serve(req)
			if strings.Contains(got.location+got.body, "evil") {
				t.Errorf("%s: got %q, %s", address, got.location, got.body)
			}
			return got
		}
		back := b.at(forged(base+"/login?client=web"), "alice")
		forged(changed(back, "state", "x"))
		forged(back.URL).leadsTo(app + "/")
		for _, path := range []string{"/logout", "/session", "/signed-out", "/nowhere"} {
			forged(base + path)
		}
	})
}

// TestProviderIsDown: a page with a status that says so, and no endless wait.
func TestProviderIsDown(t *testing.T) {
	bubble(t, func(s *setup) { s.party.DiscoveryURL = "https://issuer.test/nothing" }, func(r *rig) {
		b := r.browser()
		if page := b.fails(b.start(app+"/"), audit.ProviderUnavailable); page.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		b.fails(b.open(base+"/login?iss=https://issuer.test"), audit.ProviderUnavailable)
	})
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		r.idp.Break(oidctest.TokenEndpoint, oidctest.Fault{Hang: true})
		b.fails(b.back(b.at(b.start(app+"/"), "alice")), audit.ProviderUnavailable)
	})
}

package login

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

var tokenOnPage = regexp.MustCompile(`name="token" value="([A-Za-z0-9_-]+)"`)

// form is what the logout page would post.
func (b *browser) form() url.Values {
	b.t.Helper()
	page := b.open(base + "/logout?client=web")
	token := tokenOnPage.FindStringSubmatch(page.body)
	if page.status != 200 || token == nil {
		b.t.Fatalf("got %d: %s", page.status, page.body)
	}
	b.header.Set("Origin", "null") // as our Referrer-Policy has it
	return url.Values{"client": {"web"}, "token": token[1:2]}
}

// logout logs out by way of the page, and gives where that leads.
func (b *browser) logout() *response {
	b.t.Helper()
	return b.post(base+"/logout", b.form())
}

// TestSEC_L1_Logout holds SEC-L2, SEC-O6, SEC-V7.4.1 as well.
func TestSEC_L1_Logout(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		before := b.jar.Cookies(must(url.Parse(app)))
		got := b.logout().leadsBelow("https://issuer.test/end_session?")
		q := must(url.Parse(got.location)).Query()
		if got.status != 303 || q.Get("id_token_hint") == "" || q.Get("post_logout_redirect_uri") != base+"/signed-out" || q.Get("state") == "" || q.Get("client_id") != "web" {
			t.Errorf("got %d, %v", got.status, q)
		}
		if status, m := b.session(); status != 401 || m["active"] != false {
			t.Errorf("before the provider was asked: %d, %v", status, m)
		}
		// The old cookies are dead too (V7.4.1).
		thief := r.browser()
		for _, c := range before {
			c.Path, c.Secure = "/", true
		}
		thief.jar.SetCookies(must(url.Parse(app)), before)
		if status, _ := thief.session(); status != 401 {
			t.Error("the session goes on in a copy of its cookies")
		}
		back := must(r.idp.Logout(r.t.Context(), b.there, got.location))
		if page := b.open(back.URL); page.status != 200 || !strings.Contains(page.body, "You are logged out") || strings.Contains(page.body, "isn’t known") {
			t.Errorf("got %d: %s", page.status, page.body)
		}
		r.handler.Close()
		if r.idp.Requests(oidctest.Revocation) == 0 {
			t.Error("no token was revoked")
		}
		if got, want := r.events(), []string{"login allow allowed", "logout allow allowed"}; !slices.Equal(got, want) {
			t.Errorf("events: got %q, want %q", got, want)
		}
	})
}

// TestSEC_L1_StateOfALogout: signed-out believes only the state of a logout that this
// browser began.
func TestSEC_L1_StateOfALogout(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		b.back(back)
		state := must(url.Parse(b.logout().location)).Query().Get("state")
		for name, query := range map[string]string{
			"another": "?state=x", "empty": "?state=", "of a login": "?state=" + back.Values().Get("state"), "huge": "?state=" + strings.Repeat("a", 9000),
		} {
			b.doing = name
			b.fails(b.open(base+"/signed-out"+query), audit.LogoutUnconfirmed)
		}
		other := r.browser()
		other.fails(other.open(base+"/signed-out?state="+state), audit.LogoutUnconfirmed)
		other.start(app + "/")
		other.fails(other.open(base+"/signed-out?state="+state), audit.LogoutUnconfirmed)
		if page := b.open(base + "/signed-out"); page.status != 200 || !strings.Contains(page.body, "isn’t known") {
			t.Errorf("without a state: %d, %s", page.status, page.body)
		}
		b.fails(b.open(base+"/signed-out?state=a&state=b"), audit.LoginMalformed)
		if page := b.open(base + "/signed-out?state=" + state); page.status != 200 {
			t.Errorf("the right state: %d, %s", page.status, page.body)
		}
		time.Sleep(attemptLife)
		b.fails(b.open(base+"/signed-out?state="+state), audit.LogoutUnconfirmed)
		b.login(app + "/")
		if page := b.open(base + "/signed-out"); !strings.Contains(page.body, "still has a session") {
			t.Errorf("with a session: %s", page.body)
		}
	})
}

// TestSEC_V3_5_1_LogoutCSRF: nobody is logged out by another site, nor by a link.
func TestSEC_V3_5_1_LogoutCSRF(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b, eve := r.browser(), r.browser()
		b.login(app + "/")
		eve.back(eve.at(eve.start(app+"/"), "eve"))
		good, eves := b.form(), eve.form()
		with := func(token string) url.Values { return url.Values{"client": {"web"}, "token": {token}} }
		for name, c := range map[string]struct {
			site, origin string
			form         url.Values
		}{
			"another site":              {"cross-site", "https://evil.test", good},
			"a neighbour":               {"same-site", "https://other.example.com", good},
			"another site, old browser": {"", "https://evil.test", good},
			"old browser, hidden":       {"", "null", good},
			"no token":                  {"same-origin", "", with("")},
			"another's token":           {"same-origin", "", eves},
			"made-up token":             {"same-origin", "", with("abc")},
			"huge token":                {"same-origin", "", with(strings.Repeat("a", 5000))},
			"sealed for something else": {"same-origin", "", with(r.handler.ring.Seal("form", "another", nil))},
			"sealed, and empty":         {"same-origin", "", with(r.handler.ring.Seal("form", formTokenUse, nil))},
		} {
			b.header.Del("Sec-Fetch-Site")
			b.header.Del("Origin")
			if c.site != "" {
				b.header.Set("Sec-Fetch-Site", c.site)
			}
			if c.origin != "" {
				b.header.Set("Origin", c.origin)
			}
			page := b.post(base+"/logout", c.form)
			if page.status != 400 || !strings.Contains(page.body, "The logout wasn’t confirmed.") || !tokenOnPage.MatchString(page.body) || page.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: got %d, %v: %s", name, page.status, page.header, page.body)
			}
		}
		synctest.Wait()
		if got := strings.Count(r.audit.String(), `"msg":"logout","verdict":"deny","reason":"logout_unconfirmed"`); got != 10 {
			t.Errorf("%d lines in the audit log, want 10", got)
		}
		b.header.Set("Sec-Fetch-Site", "same-origin")
		if status, _ := b.session(); status != 200 {
			t.Fatal("the session is gone")
		}
		time.Sleep(formTokenLife)
		b.login(app + "/")
		good = b.form()
		b.post(base+"/logout", good).leadsBelow("https://issuer.test/end_session?")
		// A token is of one session.
		b.login(app + "/")
		if page := b.post(base+"/logout", good); page.status != 400 {
			t.Errorf("a token works twice: %d", page.status)
		}
		// Nobody is logged in: only the page is asked for.
		b.logout()
		b.post(base+"/logout", with("")).leadsTo("/.credence/signed-out?client=web")
		b.header.Set("Sec-Fetch-Site", "cross-site")
		b.fails(b.post(base+"/logout", good), audit.LogoutUnconfirmed)
	})
}

func TestFormTokenGetsOld(t *testing.T) {
	bubble(t, func(s *setup) { s.session.Idle = 10 * time.Hour }, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		form := b.form()
		time.Sleep(formTokenLife)
		if page := b.post(base+"/logout", form); page.status != 400 {
			t.Errorf("got %d", page.status)
		}
	})
}

// TestLogoutAtTheProvider: as the client's configuration has it.
func TestLogoutAtTheProvider(t *testing.T) {
	bubble(t, func(s *setup) { s.handler.Clients[0].Logout = RedirectWithoutHint }, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		got := b.logout().leadsBelow("https://issuer.test/end_session?")
		if strings.Contains(got.location, "id_token_hint") {
			t.Errorf("got %q", got.location)
		}
	})
	bubble(t, func(s *setup) { s.handler.Clients[0].Logout = LocalOnly }, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		got := b.logout().leadsBelow("/.credence/signed-out?state=")
		if page := b.open(got.location); !strings.Contains(page.body, "You may still be logged in at Example Corp.") {
			t.Errorf("got %s", page.body)
		}
	})
	bubble(t, func(s *setup) {
		s.handler.Clients[0].PostLogoutRedirectURI = "https://www.example.com/bye"
		s.idp.PostLogoutRedirectURIs = []string{"https://www.example.com/bye"}
	}, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		page := b.open(base + "/logout")
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "; form-action 'self' https://issuer.test https://www.example.com; ") {
			t.Errorf("got %q", policy)
		}
		got := b.logout()
		if to := must(url.Parse(got.location)).Query().Get("post_logout_redirect_uri"); to != "https://www.example.com/bye" {
			t.Errorf("got %q", to)
		}
	})
}

// TestSEC_T8_LogoutWaitsForNobody: neither a provider that hangs nor many of its
// revocations keep anybody logged in, and what is under way is bounded.
func TestSEC_T8_LogoutWaitsForNobody(t *testing.T) {
	bubble(t, func(s *setup) { s.party.MaxPerSecond = 1000 }, func(r *rig) {
		r.idp.Break(oidctest.Revocation, oidctest.Fault{Hang: true})
		began := time.Now()
		for range maxRevoking + 3 {
			b := r.browser()
			b.login(app + "/")
			b.logout()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		if got := r.idp.Requests(oidctest.Revocation); got != maxRevoking {
			t.Errorf("%d revocations are under way, want %d", got, maxRevoking)
		}
		r.handler.Close()
		if took := time.Since(began); took > revokeTimeout {
			t.Errorf("ended after %v", took)
		}
		log := r.log.String()
		if strings.Count(log, "too many revocations are under way") != 3 || strings.Count(log, "tokens can't be revoked at the provider") != maxRevoking {
			t.Errorf("log: %s", log)
		}
	})
}

// TestLogoutOfNobody: nothing to confirm, and nothing to end.
func TestLogoutOfNobody(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		if page := b.open(base + "/logout"); page.status != 200 || !strings.Contains(page.body, "You are logged out") {
			t.Errorf("got %d: %s", page.status, page.body)
		}
		b.fails(b.open(base+"/logout?client=nobody"), audit.LoginMalformed)
		b.fails(b.open(base+"/logout?client=web&client=web"), audit.LoginMalformed)
		b.fails(b.post(base+"/logout", url.Values{}), audit.LoginMalformed)
		b.fails(b.post(base+"/logout", url.Values{"client": {"nobody"}}), audit.LoginMalformed)
		b.fails(b.post(base+"/logout", url.Values{"client": {"web", "web"}}), audit.LoginMalformed)
	})
}

// TestSEC_K4_5_29_LogoutDeletesCookies: with every attribute they were set with.
func TestSEC_K4_5_29_LogoutDeletesCookies(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		got := b.logout().header.Values("Set-Cookie")
		if !slices.Contains(got, "__Host-credence.web=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0") {
			t.Errorf("got %q", got)
		}
	})
}

// TestLogoutWithTwoSessions: a neighbour set a second session for the whole domain.
// Nobody is told that all is over while one of them goes on, and a logout ends both.
func TestLogoutWithTwoSessions(t *testing.T) {
	bubble(t, func(s *setup) { s.session.Cookie.Domain = "example.com" }, func(r *rig) {
		one, eve, both := r.browser(), r.browser(), r.browser()
		one.login(app + "/")
		eve.back(eve.at(eve.start(app+"/"), "eve"))
		cookie := func(b *browser) string {
			for _, c := range b.jar.Cookies(must(url.Parse(app))) {
				if c.Name == "__Secure-credence.web" {
					return c.Name + "=" + c.Value
				}
			}
			t.Fatal("there is no session")
			return ""
		}
		both.header.Set("Cookie", cookie(one)+"; "+cookie(eve))
		for address, want := range map[string]string{
			"/logout": `name="client" value="web"`, "/logout?client=web": "isn’t known here", "/session": `href="/.credence/logout?client=web"`,
			"/signed-out": `href="/.credence/logout"`, "/signed-out?client=web": `href="/.credence/logout?client=web"`,
		} {
			page := both.open(base + address)
			if page.status != 200 || !strings.Contains(page.body, want) || !strings.Contains(page.body, "aren’t accepted here") || strings.Contains(page.body, "logged out") || strings.Contains(page.body, "no session") {
				t.Errorf("%s: got %d: %s", address, page.status, page.body)
			}
		}
		if policy := both.open(base + "/logout").header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://issuer.test;") {
			t.Errorf("the form may not lead to the provider: %q", policy)
		}
		both.header.Set("Sec-Fetch-Site", "same-site")
		if page := both.post(base+"/logout", url.Values{"client": {"web"}}); page.status != 400 || !strings.Contains(page.body, `value="web"`) || page.header.Get("Set-Cookie") != "" {
			t.Errorf("a neighbour's form: got %d: %s", page.status, page.body)
		}
		both.header.Set("Sec-Fetch-Site", "same-origin")
		got := both.post(base+"/logout", url.Values{"client": {"web"}}).leadsBelow("https://issuer.test/end_session?")
		if strings.Contains(got.location, "id_token_hint") {
			t.Errorf("the provider is told whose session it is: %s", got.location)
		}
		if !slices.Contains(got.header.Values("Set-Cookie"), "__Secure-credence.web=; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=example.com; Max-Age=0") {
			t.Errorf("got %q", got.header.Values("Set-Cookie"))
		}
		for _, b := range []*browser{one, eve} {
			if status, _ := b.session(); status != 401 {
				t.Error("a session goes on")
			}
		}
	})
}

// TestLogoutOfWhatCantBeOpened: nothing is known of such a session, here or at the
// provider, and its cookie goes.
func TestLogoutOfWhatCantBeOpened(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.header.Set("Cookie", "__Host-credence.web=1abc")
		if page := b.open(base + "/session"); !strings.Contains(page.body, "You may still be logged in") {
			t.Errorf("got %s", page.body)
		}
		got := b.post(base+"/logout", url.Values{"client": {"web"}}).leadsTo("/.credence/signed-out?client=web")
		if !slices.ContainsFunc(got.header.Values("Set-Cookie"), func(c string) bool { return strings.HasPrefix(c, "__Host-credence.web=; ") }) {
			t.Errorf("got %q", got.header.Values("Set-Cookie"))
		}
		b.header.Del("Cookie")
		if page := b.open(got.location); !strings.Contains(page.body, "You are logged out") || !strings.Contains(page.body, "isn’t known here") {
			t.Errorf("got %s", page.body)
		}
	})
}

// TestLogoutOfWhatIsOver: a session that expired is none, but the provider's may go on.
func TestLogoutOfWhatIsOver(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		time.Sleep(2 * time.Hour)
		if page := b.open(base + "/logout"); !strings.Contains(page.body, "You are logged out") || !strings.Contains(page.body, "isn’t known here") {
			t.Errorf("got %s", page.body)
		}
	})
}

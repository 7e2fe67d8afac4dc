package login

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc"
)

// twoClients runs a story with a second client, admin, of the same provider.
func twoClients(t *testing.T, story func(*rig)) {
	t.Helper()
	var party oidc.RelyingPartyOptions
	bubble(t, func(s *setup) {
		callback := base + "/callback/admin"
		s.idp.RedirectURIs = append(s.idp.RedirectURIs, callback)
		party = s.party
		party.Name, party.RedirectURI = "admin", callback
		party.Keys = oidc.NewKeySet(oidc.KeySetOptions{Name: "corp", Issuer: party.Issuer, Client: party.Client})
		second := s.handler.Clients[0]
		second.Name, second.Party = "admin", must(oidc.NewRelyingParty(party))
		s.handler.Clients = append(s.handler.Clients, second)
	}, func(r *rig) {
		r.handler.client("admin").Party = r.party(party)
		story(r)
	})
}

// loginAs logs alice in as a client's user.
func (b *browser) loginAs(client string) {
	b.t.Helper()
	b.back(b.at(b.open(base+"/login?client="+client+"&return_to="+url.QueryEscape(app+"/")), "alice")).leadsTo(app + "/")
}

// TestSessionsOfOneProvider: the clients' names tell two of them apart, and aren't shown
// where there is one.
func TestSessionsOfOneProvider(t *testing.T) {
	twoClients(t, func(r *rig) {
		b := r.browser()
		b.loginAs("web")
		for _, path := range []string{"/session", "/logout"} {
			if page := b.open(base + path); strings.Contains(page.body, "(web)") || strings.Contains(page.body, "<dd>web</dd>") || strings.Contains(page.body, ", web") {
				t.Errorf("%s with one session: %s", path, page.body)
			}
		}
		b.loginAs("admin")
		for path, want := range map[string][]string{
			"/session": {"<dt>For</dt><dd>web</dd>", "<dt>For</dt><dd>admin</dd>", `aria-label="Session at Example Corp, admin"`},
			"/logout":  {"at Example Corp (web) as <strong>", "at Example Corp (admin) as <strong>", `aria-label="Session at Example Corp, web"`},
		} {
			page := b.open(base + path)
			for _, text := range want {
				if !strings.Contains(page.body, text) {
					t.Errorf("%s lacks %q: %s", path, text, page.body)
				}
			}
		}
		b.jar.SetCookies(must(url.Parse(app)), []*http.Cookie{{Name: "__Host-credence.admin", Value: "1abc", Path: "/", Secure: true}})
		if page := b.open(base + "/logout"); !strings.Contains(page.body, "session cookies of Example Corp (admin) that") {
			t.Errorf("got %s", page.body)
		}
	})
}

// TestLogoutOfOneOfTwo: nobody is told that they are logged out while a session of
// another client goes on, or cookies of one are there.
func TestLogoutOfOneOfTwo(t *testing.T) {
	twoClients(t, func(r *rig) {
		b := r.browser()
		b.loginAs("web")
		b.loginAs("admin")
		got := b.logout()
		state := must(url.Parse(got.location)).Query().Get("state")
		paths := []string{"/signed-out?state=" + url.QueryEscape(state), "/signed-out?client=web", "/logout?client=web"}
		says := func(title, text string) {
			t.Helper()
			for _, path := range paths {
				page := b.open(base + path)
				if page.status != 200 || !strings.Contains(page.body, "<h1>"+title+"</h1>") || !strings.Contains(page.body, text) || strings.Contains(page.body, `href="/.credence/logout"`) != (title != "You are logged out") {
					t.Errorf("%s: got %d, want %s, %s: %s", path, page.status, title, text, page.body)
				}
			}
		}
		says("You are still logged in", "no session of web, but still one of admin.")
		cookies := []*http.Cookie{{Name: "__Host-credence.admin", Value: "1abc", Path: "/", Secure: true}}
		b.jar.SetCookies(must(url.Parse(app)), cookies)
		says(unacceptedTitle, "no session of web, but sends session cookies of admin that aren’t accepted here.")
		cookies[0].MaxAge = -1
		b.jar.SetCookies(must(url.Parse(app)), cookies)
		says("You are logged out", "no session here")
	})
}

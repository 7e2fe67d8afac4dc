package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// logIn logs somebody in at a page of the site, by the test provider.
func (s *site) logIn(t *testing.T, b *tab, user string) {
	t.Helper()
	b.open(t, s.origin()+"/")
	b.logInAtTestProvider(t, user)
	b.awaitApplication(t, s.origin()+"/")
}

// Nothing is lost when Credence starts anew: not a session in cookies, nor a login
// that is under way.
func TestRestart(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{})
	b, under := startBrowser(t), startBrowser(t)
	s.logIn(t, b, "alice")
	under.open(t, s.origin()+"/under/way")
	s.restart(t)
	logins := p.Requests(oidctest.Authorize)
	b.open(t, s.origin()+"/after")
	if got := b.awaitApplication(t, s.origin()+"/after"); got.get("x-user") != "alice" || p.Requests(oidctest.Authorize) != logins {
		t.Errorf("the session is lost: got %+v", got)
	}
	under.logInAtTestProvider(t, "alice")
	under.awaitApplication(t, s.origin()+"/under/way")
}

// A session in memory is over when Credence starts anew, and people log in again.
func TestRestartWithTheStoreMemory(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{Session: "store: memory"})
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	if c := b.cookies(t, "app.localhost")["__Host-credence.web"]; c == nil || len(c.Value) > 200 {
		t.Errorf("the cookie holds more than an id and a key: %+v", c)
	}
	s.restart(t)
	logins := p.Requests(oidctest.Authorize)
	b.open(t, s.origin()+"/after") // the provider knows who it is
	if b.awaitApplication(t, s.origin()+"/after"); p.Requests(oidctest.Authorize) != logins+1 {
		t.Errorf("got %d logins, want one more than %d", p.Requests(oidctest.Authorize), logins)
	}
}

// Session keys can be changed while people are logged in, who don't notice; once the
// last old key is gone, their sessions are.
func TestSessionKeyRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := startProvider(t)
	s.testClient(p)
	files := []string{"first", "second", "third"}
	keys := []string{newSessionKey(), newSessionKey(), newSessionKey()}
	// Each key moves down by one, the last of them first: none is missing in between.
	rotate := func(times int) {
		for range times {
			keys = append([]string{newSessionKey()}, keys[:2]...)
		}
		for i := range slices.Backward(files) {
			s.write(t, files[i], keys[i])
		}
	}
	rotate(0)
	s.serve(t, siteConfig{Issuer: p.Issuer(), KeyFiles: files})
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	stays := func(when string) {
		t.Helper()
		logins := p.Requests(oidctest.Authorize)
		b.open(t, s.origin()+"/"+when)
		if b.awaitApplication(t, s.origin()+"/"+when); p.Requests(oidctest.Authorize) != logins {
			t.Errorf("%s, the session was lost", when)
		}
	}
	stays("before")
	rotate(1)
	time.Sleep(2500 * time.Millisecond) // the files are looked at once a second
	stays("rotated")
	s.restart(t)
	stays("rotated-and-restarted")
	s.logIn(t, startBrowser(t), "bob")

	rotate(3)
	await(t, "all keys are other ones", func() bool {
		got := s.client().get(t, "/", s.asScript(t, b)...)
		return got.status == http.StatusUnauthorized && got.reason() == "session_invalid"
	})
}

// A session ends when it isn't used, and in the end although it is used.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	s, _ := testSite(t, siteConfig{Session: "idle: 20s\nlifetime: 30s"})
	unused, used := startBrowser(t), startBrowser(t)
	began := time.Now() // the sessions began later, and before they were found to have
	s.logIn(t, unused, "alice")
	s.logIn(t, used, "bob")
	begun := time.Now()
	ends := func(b *tab, after time.Duration) bool {
		t.Helper()
		got := b.fetch(t, "/", map[string]any{})
		if got.Status == http.StatusOK {
			return false
		}
		if at := time.Since(began); at < after || got.Status != http.StatusUnauthorized || !strings.Contains(got.Body, "session_expired") {
			t.Errorf("after %s: got %+v", at, got)
		}
		return true
	}
	idle := false
	for !ends(used, 28*time.Second) { // in a session, times are whole seconds
		time.Sleep(2 * time.Second)
		if !idle && time.Since(begun) > 22*time.Second {
			if idle = ends(unused, 18*time.Second); !idle {
				t.Fatal("a session that isn't used goes on")
			}
		}
		if time.Since(begun) > 50*time.Second {
			t.Fatal("a session that is used never ends")
		}
	}
	unused.open(t, s.origin()+"/again") // the provider knows who it is
	unused.awaitApplication(t, s.origin()+"/again")
}

// Fifty requests at once that find the tokens due are one refresh at the provider, and
// all are answered. What still comes with the older cookie gets the newer one.
func TestOneRefreshForAll(t *testing.T) {
	t.Parallel()
	s, p := testSite(t, siteConfig{}, func(c *oidctest.LoginClient) { c.AccessTTL = 16 * time.Second })
	b := startBrowser(t)
	s.logIn(t, b, "alice")
	began, headers := time.Now(), s.asScript(t, b)
	s.testClient(p) // what comes next lives for five minutes
	p.Break(oidctest.TokenEndpoint, oidctest.Fault{Delay: 500 * time.Millisecond})
	time.Sleep(time.Until(began.Add(13 * time.Second))) // renewed when a quarter is left

	const many = 50
	renews := func(a answer) bool {
		return strings.Contains(strings.Join(a.header["Set-Cookie"], "\n"), "__Host-credence.web=")
	}
	c := s.client()
	var asking sync.WaitGroup
	for range many {
		asking.Go(func() {
			got, err := c.exchange(t.Context(), request{target: "/busy", host: "app.localhost:" + s.port, headers: headers})
			if err != nil || got.status != http.StatusOK || !renews(got) {
				t.Errorf("got %d %v %s, %v", got.status, got.header, got.body, err)
			}
		})
	}
	asking.Wait()
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("got %d refreshes, want one", got)
	}
	p.Mend(oidctest.TokenEndpoint)
	if late := c.get(t, "/late", headers...); late.status != http.StatusOK || !renews(late) || p.Grants("refresh_token") != 1 {
		t.Errorf("with the older cookie: got %d %v", late.status, late.header)
	}
	b.open(t, s.origin()+"/page")
	b.awaitApplication(t, s.origin()+"/page")
	await(t, "the refresh is written down", func() bool { return len(s.audited("refresh")) > 0 })
	if got := s.audited("refresh"); len(got) != 1 || got[0] != "allowed" {
		t.Errorf("audit: got %v", got)
	}
}

// So it is at real providers, of which oidc-provider ends the session of whoever uses a
// refresh token twice.
func TestOneRefreshAtRealProviders(t *testing.T) {
	t.Parallel()
	const lives, due = 8 * time.Second, 6 * time.Second // of the tokens
	for name, serve := range map[string]func(*testing.T, *site){
		"Keycloak": func(t *testing.T, s *site) {
			s.serve(t, siteConfig{Issuer: startRealm(t, s.realm()).issuer(), Scopes: "profile, email"})
		},
		"oidc-provider": func(t *testing.T, s *site) { s.serveFromNodeProvider(t, siteConfig{}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			serve(t, s)
			b := startBrowser(t)
			b.open(t, s.origin()+"/")
			if name == "Keycloak" {
				b.logInAtKeycloak(t, "alice", "correct horse")
			} else {
				b.logInAtNodeProvider(t, "alice")
			}
			b.awaitApplication(t, s.origin()+"/")
			headers := s.asScript(t, b)
			before := len(s.audited("refresh")) // none, unless all this took very long
			time.Sleep(due + (lives-due)/4)
			began, c := time.Now(), s.client()
			var asking sync.WaitGroup
			for range 50 {
				asking.Go(func() {
					got, err := c.exchange(t.Context(), request{target: "/busy", host: "app.localhost:" + s.port, headers: headers})
					if err != nil || got.status != http.StatusOK {
						t.Errorf("got %d %s, %v", got.status, got.body, err)
					}
				})
			}
			asking.Wait()
			most := 1 + int(time.Since(began)/due)
			await(t, "the refresh is written down", func() bool { return len(s.audited("refresh")) > before })
			if got := s.audited("refresh")[before:]; len(got) > most {
				t.Errorf("got %d refreshes, want at most %d", len(got), most)
			}
			await(t, "the next refresh", func() bool {
				b.open(t, s.origin()+"/")
				b.awaitApplication(t, s.origin()+"/")
				return len(s.audited("refresh")) > before+most
			})
			if refused := slices.DeleteFunc(s.audited("refresh"), func(reason string) bool { return reason == "allowed" }); len(refused) > 0 {
				t.Errorf("refreshes that came to nothing: %v", refused)
			}
		})
	}
}

// A logout ends the session at once, for copies of its cookie too, and gives the tokens
// back. It ends that at the provider as well, or where it is told so leaves it alone.
func TestLogout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, client, says string
		there              int
	}{
		{"there too", "", "You are logged out", 1},
		{"here alone", "provider_logout: none", "You may still be logged in at corp.", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := testSite(t, siteConfig{Client: c.client})
			b := startBrowser(t)
			s.logIn(t, b, "alice")
			copied := s.asScript(t, b)
			b.open(t, s.origin()+"/.credence/logout?client=web")
			b.click(t, "button[type=submit]")
			b.awaitText(t, c.says)
			if got := p.Requests(oidctest.EndSession); got != c.there {
				t.Errorf("got %d logouts at the provider, want %d", got, c.there)
			}
			got := s.client().get(t, "/", copied...)
			if got.status != http.StatusUnauthorized || got.reason() != "session_revoked" {
				t.Errorf("a copy of the cookie: got %d %s", got.status, got.body)
			}
			await(t, "the tokens are given back", func() bool { return p.Requests(oidctest.Revocation) > 0 })
			b.open(t, s.origin()+"/after")
			if c.there > 0 {
				b.await(t, "asks who it is", asksWho)
			} else {
				b.awaitApplication(t, s.origin()+"/after")
			}
		})
	}
}

package login

import (
	"net/url"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

// TestFormPostEndsTheSessionBefore: although no browser sends the session's cookie,
// which is Lax, with the provider's POST.
func TestFormPostEndsTheSessionBefore(t *testing.T) {
	for name, store := range map[string]session.Store{"cookie": nil, "memory": session.NewMemory(10)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(s *setup) { formPost(s); s.session.Store = store }, func(r *rig) {
				b := r.browser()
				b.login(app + "/")
				before := r.browser()
				b.copyTo(before, "__Host-credence.web")

				late := b.at(b.open(base+"/login?client=web&prompt=login"), "alice")
				time.Sleep(attemptLife)
				posting := r.browser() // b as it posts
				b.copyTo(posting, "__Host-credence-binding")
				again := posting.at(posting.back(late), "alice") // restarted
				if status, _ := before.session(); status != 200 {
					t.Fatal("the session ended before the next one began")
				}
				posting.back(again).leadsTo(app + "/")
				if status, _ := before.session(); status != 401 {
					t.Error("the session goes on beside the new one")
				}
				if status, _ := posting.session(); status != 200 {
					t.Error("there is no new session")
				}
			})
		})
	}
}

// copyTo gives another browser the cookie of that name.
func (b *browser) copyTo(other *browser, name string) {
	b.t.Helper()
	origin := must(url.Parse(app))
	for _, c := range b.jar.Cookies(origin) {
		if c.Name == name {
			c.Path, c.Secure = "/", true
			other.jar.SetCookies(origin, append(other.jar.Cookies(origin), c))
			return
		}
	}
	b.t.Fatalf("there is no cookie %s", name)
}

// TestRestartAsksAgain: who has to prove who they are isn't sent on because of the
// session that they had before, nor asked less when the login begins once more.
func TestRestartAsksAgain(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		time.Sleep(time.Minute)
		late := b.at(b.open(base+"/login?client=web&prompt=login"), "alice")
		time.Sleep(attemptLife)
		again := b.back(late).leadsBelow(authorization)
		if prompt := must(url.Parse(again.location)).Query().Get("prompt"); prompt != "login" {
			t.Errorf("prompt: got %q, want login", prompt)
		}
		back := b.at(again, "alice")
		b.back(back).leadsTo(app + "/")
		b.back(back).leadsTo(app + "/") // the back button, after they were asked
		time.Sleep(time.Minute)
		// Twice is enough.
		late = b.at(b.open(base+"/login?client=web&prompt=login"), "alice")
		time.Sleep(attemptLife)
		late = b.at(b.back(late), "alice")
		time.Sleep(attemptLife)
		b.fails(b.back(late), audit.LoginExpired)
	})
}

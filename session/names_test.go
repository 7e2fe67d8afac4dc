package session

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSEC_K1_CookieAttributes: what sets and what deletes say the same.
// Held as well: SEC-K2, SEC-K4, SEC-K5, SEC-5.29.
func TestSEC_K1_CookieAttributes(t *testing.T) {
	tests := []struct {
		name   string
		cookie CookieOptions
		life   time.Duration
		want   string // VALUE and AGE stand for what differs
	}{
		{"default", CookieOptions{}, 0, "__Host-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=LaxAGE"},
		{"named", CookieOptions{Name: "my_app"}, 0, "__Host-my_app.web=VALUE; Path=/; Secure; HttpOnly; SameSite=LaxAGE"},
		{"strict", CookieOptions{SameSite: http.SameSiteStrictMode}, 0, "__Host-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=StrictAGE"},
		{"in other sites", CookieOptions{SameSite: http.SameSiteNoneMode, Partitioned: true}, 0, "__Host-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=None; PartitionedAGE"},
		{"of a domain", CookieOptions{Domain: "app.example"}, 0, "__Secure-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=app.exampleAGE"},
		{"kept as long as the session", CookieOptions{Persistent: true}, 90 * time.Minute, "__Host-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=5400"},
		{"kept no longer than 400 days", CookieOptions{Persistent: true}, 9000 * time.Hour * 24, "__Host-credence.web=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000"},
	}
	for _, test := range tests {
		s := newTestSessions(t, Options{Cookie: test.cookie, Lifetime: test.life})
		b := newBrowser(t)
		set, refusal := s.Begin(t.Context(), alice(), b.lines(), noon)
		if refusal != nil || len(set) != 1 {
			t.Fatalf("%s: %v, %v", test.name, set, refusal)
		}
		b.take(set)
		name, rest, _ := strings.Cut(set[0], "=")
		value, _, _ := strings.Cut(rest, ";")
		want := strings.Replace(test.want, "VALUE", value, 1)
		if got := set[0]; got != strings.Replace(want, "AGE", "", 1) {
			t.Errorf("%s: set by %q", test.name, got)
		}
		_, deletions := s.End(t.Context(), "web", b.lines(), noon)
		want, _, _ = strings.Cut(strings.Replace(test.want, "VALUE", "", 1), "; Max-Age")
		want = strings.TrimSuffix(want, "AGE") + "; Max-Age=0"
		if len(deletions) != 1 || deletions[0] != want {
			t.Errorf("%s: deleted by %q, want %q", test.name, deletions, want)
		}
		b.take(deletions)
		if len(b.cookies) != 0 {
			t.Errorf("%s: %s is left", test.name, name)
		}
	}
}

func TestOptionsThatCantWork(t *testing.T) {
	ring := newTestRing(t, 1)
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"cookies without keys", Options{}, "need a ring"},
		{"negative idle", Options{Ring: ring, Idle: -1}, "can't be negative"},
		{"negative lifetime", Options{Ring: ring, Lifetime: -1}, "can't be negative"},
		{"negative leeway", Options{Ring: ring, RefreshLeeway: -1}, "can't be negative"},
		{"name with a dot", Options{Ring: ring, Cookie: CookieOptions{Name: "a.b"}}, `cookie name "a.b"`},
		{"long name", Options{Ring: ring, Cookie: CookieOptions{Name: strings.Repeat("a", 33)}}, "cookie name"},
		{"name that ends the cookie", Options{Ring: ring, Cookie: CookieOptions{Name: "a;b"}}, "cookie name"},
		{"domain with a leading dot", Options{Ring: ring, Cookie: CookieOptions{Domain: ".a.example"}}, `cookie domain ".a.example"`},
		{"domain with a port", Options{Ring: ring, Cookie: CookieOptions{Domain: "a.example:80"}}, "cookie domain"},
		{"domain that is an attribute", Options{Ring: ring, Cookie: CookieOptions{Domain: "a; Path=/x"}}, "cookie domain"},
		{"endless domain", Options{Ring: ring, Cookie: CookieOptions{Domain: strings.Repeat("a", 254)}}, "cookie domain"},
		{"no SameSite", Options{Ring: ring, Cookie: CookieOptions{SameSite: http.SameSiteDefaultMode}}, "same_site"},
		{"partitioned and lax", Options{Ring: ring, Cookie: CookieOptions{Partitioned: true}}, "need same_site none"},
	}
	for _, test := range tests {
		if _, err := New(test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := New(Options{Store: NewMemory(1)}); err != nil {
		t.Errorf("a store needs no keys: %v", err)
	}
}

func TestSEC_K1_OtherCookies(t *testing.T) {
	s := newTestSessions(t, Options{Cookie: CookieOptions{Domain: "app.example"}})
	tests := []struct {
		name     string
		value    string
		maxAge   time.Duration
		sameSite http.SameSite
		want     string
	}{
		{"for the browser's life", "v", 0, http.SameSiteLaxMode, "__Host-credence-binding=v; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"for a time", "v", time.Hour, http.SameSiteNoneMode, "__Host-credence-binding=v; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=3600"},
		{"deleted", "", time.Hour, http.SameSiteLaxMode, "__Host-credence-binding=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"},
	}
	for _, test := range tests {
		if got := s.Cookie("binding", test.value, test.maxAge, test.sameSite); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	for _, test := range []struct{ name, line, want string }{
		{"there", "a=b; __Host-credence-binding=v; c=d", "v"},
		{"with blanks behind it", "a=b; __Host-credence-binding=v \t; c=d", "v"},
		{"twice the same but for blanks", "__Host-credence-binding=v ; __Host-credence-binding=v", "v"},
		{"planted in a value that any host may set", "a=b,__Host-credence-binding=v", ""},
		{"twice the same", "__Host-credence-binding=v; __Host-credence-binding=v", "v"},
		{"twice", "__Host-credence-binding=v; __Host-credence-binding=w", ""},
		{"three times", "__Host-credence-binding=v; __Host-credence-binding=w; __Host-credence-binding=w", ""},
		{"not there", "a=__Host-credence-binding=v; __Host-credence-binding2=w", ""},
		{"empty", "__Host-credence-binding=", ""},
	} {
		if got := s.CookieValue("binding", line(test.line)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestClientNamesAreOfTheConfiguration(t *testing.T) {
	s := newTestSessions(t, Options{})
	for _, client := range []string{"", "a.b", "a;b", "a=b", "a b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q: no panic", client)
				}
			}()
			_, _ = s.Peek(t.Context(), client, line(), noon)
		}()
	}
}

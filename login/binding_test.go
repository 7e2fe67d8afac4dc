package login

import (
	"testing"
	"time"
)

func TestBindingComesBack(t *testing.T) {
	b := newBinding(noon)
	b.loop = loop{completed: noon.Add(-time.Second), place: placeOf("web", "/"), trips: 2, seen: true}
	got, ok := parseBinding(b.bytes())
	if !ok || got.secret != b.secret || !got.made.Equal(b.made) || got.loop.place != b.loop.place || !got.loop.completed.Equal(b.loop.completed) || got.loop.trips != 2 || !got.loop.seen {
		t.Errorf("got %v, %v, want %v", got, ok, b)
	}
}

// TestSEC_K7_BindingHasConstantSize: whatever a browser did.
func TestSEC_K7_BindingHasConstantSize(t *testing.T) {
	b := newBinding(noon)
	if got := len(b.bytes()); got != bindingSize {
		t.Errorf("got %d bytes, want %d", got, bindingSize)
	}
	b.loop.complete(placeOf("web", "https://app.example.com/"), noon)
	if got := len(b.bytes()); got != bindingSize {
		t.Errorf("got %d bytes, want %d", got, bindingSize)
	}
}

func TestBindingOfAnotherForm(t *testing.T) {
	good := newBinding(noon).bytes()
	for name, b := range map[string][]byte{"nothing": nil, "cut short": good[1:], "too long": append(good, 0), "version": append([]byte{9}, good[1:]...)} {
		if _, ok := parseBinding(b); ok {
			t.Errorf("%s was read", name)
		}
	}
}

func TestAttemptIsOfOneBrowser(t *testing.T) {
	mine, other := newBinding(noon), newBinding(noon)
	a, b := mine.begin("web", "", false, noon), mine.begin("web", "", false, noon)
	if !mine.began(a) || !mine.began(b) || other.began(a) {
		t.Error("an attempt isn't known, or is by another browser")
	}
	a.digest[15] ^= 1
	if mine.began(a) {
		t.Error("an altered digest passes")
	}
	a.digest = b.digest
	if mine.began(a) {
		t.Error("another attempt's digest passes")
	}
}

// TestSEC_O1_SecretsOfAnAttempt: verifier, nonce and digest are long enough, and
// each is another, for each attempt and browser.
func TestSEC_O1_SecretsOfAnAttempt(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		b := newBinding(noon)
		for range 20 {
			a := b.begin("web", "", false, noon)
			for _, secret := range []string{b.verifier(a.id), b.nonce(a.id)} {
				if len(secret) != 43 || seen[secret] {
					t.Fatalf("%d characters, or seen before", len(secret))
				}
				seen[secret] = true
			}
			if again := b.verifier(a.id); !seen[again] || seen[string(a.digest[:])] || seen[string(a.id[:])] {
				t.Fatal("a verifier changes, or a digest or an id comes twice")
			}
			seen[string(a.digest[:])], seen[string(a.id[:])] = true, true
		}
	}
}

func TestFirstTabsAreMadeTogether(t *testing.T) {
	b := newBinding(noon)
	for apart, want := range map[time.Duration]bool{0: true, time.Minute: true, -time.Minute: true, 61 * time.Second: false, -61 * time.Second: false} {
		if got := b.madeWith(&attempt{made: noon.Add(apart)}); got != want {
			t.Errorf("%v apart: got %v", apart, got)
		}
	}
}

func TestLoop(t *testing.T) {
	here, there := placeOf("web", "https://app.example.com/"), placeOf("web", "https://app.example.com/b")
	if here == there || placeOf("a", "b") == placeOf("ab", "") {
		t.Fatal("two places are one")
	}
	start, done := func(p place) func(*loop, time.Time) bool {
		return func(l *loop, now time.Time) bool { return l.start(p, now) }
	},
		func(l *loop, now time.Time) bool { l.complete(here, now); return false }
	s, other := start(here), start(there)
	for name, c := range map[string]struct {
		steps []func(*loop, time.Time) bool
		apart time.Duration
		want  bool
	}{
		"three for nothing":             {[]func(*loop, time.Time) bool{s, done, s, done, s, done, s}, time.Second, true},
		"two for nothing":               {[]func(*loop, time.Time) bool{s, done, s, done, s}, time.Second, false},
		"ten tabs":                      {[]func(*loop, time.Time) bool{s, s, s, s, s, s, s, s, s, s}, time.Second, false},
		"ten tabs after one":            {[]func(*loop, time.Time) bool{s, done, s, s, s, s, s, s, s, s}, time.Second, false},
		"ten tabs that all end":         {[]func(*loop, time.Time) bool{s, s, s, s, done, done, done, done}, time.Second, false},
		"a tab beside doesn't hide one": {[]func(*loop, time.Time) bool{s, done, s, s, done, s, s, done, s}, time.Second, true},
		"slowly":                        {[]func(*loop, time.Time) bool{s, done, s, done, s, done, s}, time.Minute, false},
		"for several addresses":         {[]func(*loop, time.Time) bool{s, done, other, done, other, done, other, done, other}, time.Second, false},
		"after it was told":             {[]func(*loop, time.Time) bool{s, done, s, done, s, done, s, s, done, s}, time.Second, false},
	} {
		var l loop
		now, circles := noon, false
		for _, step := range c.steps {
			now = now.Add(c.apart)
			circles = step(&l, now)
		}
		if circles != c.want {
			t.Errorf("%s: got %v", name, circles)
		}
	}
}

// TestSEC_5_57_SecretsDontRepeat: verifier, nonce and id of no two attempts are alike,
// be they of one browser or of many, and each has 256 bits, the id 128 at least
// (CVE-2022-31034).
func TestSEC_5_57_SecretsDontRepeat(t *testing.T) {
	const browsers, attempts = 100, 100
	seen := map[string]bool{}
	ids := map[attemptID]bool{}
	for range browsers {
		b := newBinding(time.Now())
		for range attempts {
			a := b.begin("web", "", false, time.Now())
			ids[a.id] = true
			for _, secret := range []string{b.verifier(a.id), b.nonce(a.id), string(b.secret[:])} {
				if seen[secret] = true; len(secret) < 32 {
					t.Fatalf("%q has %d characters", secret, len(secret))
				}
			}
		}
	}
	if want := browsers * (2*attempts + 1); len(seen) != want || len(ids) != browsers*attempts || len(attemptID{}) < 16 {
		t.Errorf("%d secrets, want %d; %d ids of %d bytes", len(seen), want, len(ids), len(attemptID{}))
	}
}

package session

import (
	"context"
	"encoding/base64"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

// noon is a time for tests that don't wait for anything.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// keyText is a session key as a file has it; n tells keys apart.
func keyText(n byte) string {
	key := make([]byte, keySize)
	for i := range key {
		key[i] = n + byte(i)*7
	}
	return base64.StdEncoding.EncodeToString(key)
}

func fixed(text string) func() (string, error) { return func() (string, error) { return text, nil } }

func newTestRing(t testing.TB, keys ...byte) *Ring {
	t.Helper()
	var o RingOptions
	for _, n := range keys {
		o.Keys = append(o.Keys, fixed(keyText(n)))
	}
	r, err := NewRing(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newTestSessions(t testing.TB, o Options) *Sessions {
	t.Helper()
	if o.Ring == nil {
		o.Ring = newTestRing(t, 1)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// alice is a session as a login hands it over.
func alice() Record {
	return Record{
		Client: "web", Issuer: "https://op.example", Subject: "alice-subject", SID: "sid-of-alice", Claims: `{"sub":"alice"}`,
		IDToken: "id-token-canary", AccessToken: "access-token-canary", RefreshToken: "refresh-token-canary",
	}
}

// large is a session that needs several cookies: its text doesn't compress well.
func large(n int) Record {
	r := alice()
	for i := 0; len(r.IDToken) < n; i++ {
		sum := storeKey(ID{byte(i), byte(i >> 8)})
		r.IDToken += base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return r
}

// browser keeps cookies as browsers do, but for domains and paths.
type browser struct {
	t       testing.TB
	cookies map[string]string
	kept    map[string]string // by what attributes, without Max-Age
	set     int               // cookies set or deleted so far
}

func newBrowser(t testing.TB) *browser {
	return &browser{t: t, cookies: map[string]string{}, kept: map[string]string{}}
}

// take does what Set-Cookie lines say.
func (b *browser) take(lines []string) {
	b.t.Helper()
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		if err := c.Valid(); err != nil || c.Unparsed != nil || !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite == 0 {
			b.t.Fatalf("%q: %v, unparsed %q", line, err, c.Unparsed)
		}
		if n := len(c.Name) + len(c.Value); n > maxCookie {
			b.t.Fatalf("%s has %d bytes", c.Name, n)
		}
		b.set++
		_, attributes, _ := strings.Cut(line, ";")
		attributes, _, _ = strings.Cut(attributes, "; Max-Age=")
		if c.MaxAge < 0 {
			// A browser holds on to a cookie where the deletion differs from what set it.
			if set, there := b.kept[c.Name]; there && set != attributes {
				b.t.Fatalf("%s was set by%s, and is deleted by%s", c.Name, set, attributes)
			}
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name], b.kept[c.Name] = c.Value, attributes
	}
}

// header is the one Cookie line that it sends.
func (b *browser) header() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(b.cookies)) {
		parts = append(parts, name+"="+b.cookies[name])
	}
	return strings.Join(parts, "; ")
}

func (b *browser) lines() iter.Seq[string] { return line(b.header()) }

func (b *browser) copy() *browser {
	return &browser{t: b.t, cookies: maps.Clone(b.cookies), kept: maps.Clone(b.kept)}
}

// line is a request with these Cookie lines.
func line(lines ...string) iter.Seq[string] { return slices.Values(lines) }

// begin logs the browser in.
func (b *browser) begin(s *Sessions, r Record, now time.Time) {
	b.t.Helper()
	set, refusal := s.Begin(context.Background(), r, b.lines(), now)
	if refusal != nil {
		b.t.Fatal(refusal)
	}
	b.take(set)
}

// check makes a request and takes the cookies of the answer.
func (b *browser) check(s *Sessions, now time.Time) (*Record, audit.Reason) {
	b.t.Helper()
	v, refusal := s.Check(context.Background(), "web", b.lines(), now)
	if refusal != nil {
		if v.Record != nil || v.SetCookies != nil {
			b.t.Fatal("a refusal came with a session")
		}
		return nil, refusal.Reason
	}
	b.take(v.SetCookies)
	return v.Record, audit.Allowed
}

// wants checks that the session is judged as wanted.
func (b *browser) wants(s *Sessions, now time.Time, want audit.Reason) *Record {
	b.t.Helper()
	r, got := b.check(s, now)
	if got != want {
		b.t.Fatalf("got %v, want %v", got, want)
	}
	return r
}

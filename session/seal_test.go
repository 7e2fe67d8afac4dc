package session

import (
	"bytes"
	"compress/flate"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestSEC_K3_SessionFillsCookies(t *testing.T) {
	s := newTestSessions(t, Options{})
	for size, cookies := range map[int]int{0: 1, 2000: 1, 3200: 1, 4200: 2, 8000: 3, 20500: 6} {
		b := newBrowser(t)
		r := large(size)
		b.begin(s, r, noon)
		if len(b.cookies) != cookies {
			t.Errorf("%d bytes: %d cookies, want %d", size, len(b.cookies), cookies)
		}
		if got := b.wants(s, noon, audit.Allowed); got.IDToken != r.IDToken || got.RefreshToken != r.RefreshToken {
			t.Errorf("%d bytes: another session came back", size)
		}
	}
}

// TestSessionIsCompressedWhereItHelps: only what doesn't fit one cookie.
func TestSessionIsCompressedWhereItHelps(t *testing.T) {
	s := newTestSessions(t, Options{})
	r := alice()
	r.Claims = strings.Repeat(`{"group":"staff"},`, 2000)
	b := newBrowser(t)
	b.begin(s, r, noon)
	if got := b.wants(s, noon, audit.Allowed); got.Claims != r.Claims || len(b.cookies) != 1 {
		t.Errorf("%d bytes of claims in %d cookies", len(got.Claims), len(b.cookies))
	}
}

func TestSessionTooLarge(t *testing.T) {
	for _, test := range []struct {
		name  string
		store Store
		r     Record
		want  audit.Reason
	}{
		{"for six cookies", nil, large(24_500), audit.SessionTooLarge},
		{"for a record", nil, large(maxRecord), audit.SessionTooLarge},
		{"for the store", NewMemory(10), large(maxRecord), audit.SessionTooLarge},
		{"not for the store", NewMemory(10), large(maxRecord / 2), audit.Allowed},
		{"of a time that can't be written", nil, Record{Client: "web", AccessExpires: time.Unix(-1, 0)}, audit.InternalError},
	} {
		s := newTestSessions(t, Options{Store: test.store})
		b := newBrowser(t)
		now := time.Now()
		b.begin(s, alice(), now)
		set, refusal := s.Begin(t.Context(), test.r, b.lines(), now)
		got := audit.Allowed
		if refusal != nil {
			got = refusal.Reason
		}
		if got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		// Row 55: whoever was logged in isn't any more.
		if b.take(set); refusal != nil && len(b.cookies) != 0 {
			t.Errorf("%s: the old session's cookie is left", test.name)
		}
	}
}

// TestSEC_K3_K6_ChunksBelongTogether: none is left out, moved or taken from elsewhere.
func TestSEC_K3_K6_ChunksBelongTogether(t *testing.T) {
	s := newTestSessions(t, Options{})
	b, other := newBrowser(t), newBrowser(t)
	b.begin(s, large(8000), noon)
	other.begin(s, large(8001), noon)
	const first, second, third = "__Host-credence.web", "__Host-credence.web.1", "__Host-credence.web.2"
	tests := []struct {
		name   string
		change func(c map[string]string)
	}{
		{"last left out", func(c map[string]string) { delete(c, third) }},
		{"middle left out", func(c map[string]string) { delete(c, second) }},
		{"first left out", func(c map[string]string) { delete(c, first) }},
		{"swapped", func(c map[string]string) { c[second], c[third] = c[third], c[second] }},
		{"repeated", func(c map[string]string) { c[third] = c[second] }},
		{"of another session", func(c map[string]string) { c[second] = other.cookies[second] }},
		{"first of another session", func(c map[string]string) { c[first] = other.cookies[first] }},
		{"cut short", func(c map[string]string) { c[third] = c[third][:len(c[third])-4] }},
		{"bytes moved to the next", func(c map[string]string) {
			c[second], c[third] = c[second][:len(c[second])-1], c[second][len(c[second])-1:]+c[third]+"A"
		}},
		{"count lowered", func(c map[string]string) { c[first] = "2" + c[first][1:] }},
		{"count lowered and joined", func(c map[string]string) { c[first], c[second] = "2"+c[first][1:], c[second]+c[third] }},
		{"count raised", func(c map[string]string) { c[first], c["__Host-credence.web.3"] = "4"+c[first][1:], "" }},
	}
	for _, test := range tests {
		changed := b.copy()
		test.change(changed.cookies)
		if maps.Equal(changed.cookies, b.cookies) {
			t.Fatalf("%s: nothing changed", test.name)
		}
		if _, got := changed.check(s, noon); got != audit.SessionInvalid {
			t.Errorf("%s: got %v, want %v", test.name, got, audit.SessionInvalid)
		}
	}
	b.wants(s, noon, audit.Allowed)
}

// TestSEC_K4_5_29_ChunksAreDeleted: where the next session needs fewer, and at the
// end; by the attributes that they were set with.
func TestSEC_K4_5_29_ChunksAreDeleted(t *testing.T) {
	for name, o := range map[string]CookieOptions{
		"by default": {}, "of a domain": {Domain: "app.example"}, "in other sites": {SameSite: http.SameSiteNoneMode, Partitioned: true}, "kept": {Persistent: true, SameSite: http.SameSiteStrictMode},
	} {
		s := newTestSessions(t, Options{Cookie: o})
		b := newBrowser(t)
		b.begin(s, large(16000), noon)
		b.begin(s, large(8000), noon)
		if len(b.cookies) != 3 {
			t.Errorf("%s: %d cookies, want 3", name, len(b.cookies))
		}
		_, deletions := s.End(t.Context(), "web", b.lines(), noon)
		if b.take(deletions); len(b.cookies) != 0 || len(deletions) != 3 {
			t.Errorf("%s: %d cookies are left by %q", name, len(b.cookies), deletions)
		}
	}
}

// sealed makes a cookie of a plain text with our own key.
func sealed(s *Sessions, plain []byte) string {
	j := s.jar("web")
	return j.names[0] + "=1" + sealedText.EncodeToString(s.ring.seal(PurposeSession, j.bound[1], plain))
}

func TestSealedByUsButNotThis(t *testing.T) {
	s := newTestSessions(t, Options{})
	r := alice()
	r.ID, r.LoggedIn, r.Seen, r.Expires = newID(), noon, noon, noon.Add(time.Hour)
	record, err := r.appendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Client = "admin"
	ofOther, err := r.appendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := deflated(bytes.Repeat([]byte{1}, 1<<20))
	tests := []struct {
		name  string
		plain []byte
		want  audit.Reason
	}{
		{"as it is", append([]byte{plainRecord}, record...), audit.Allowed},
		{"deflated", deflated(record), audit.Allowed},
		{"nothing", nil, audit.SessionNewer},
		{"in a later form", append([]byte{deflatedRecord + 1}, record...), audit.SessionNewer},
		{"of a later version", append([]byte{plainRecord, recordVersion + 1}, record[1:]...), audit.SessionNewer},
		{"malformed", []byte{plainRecord, recordVersion, 1, 2, 3}, audit.SessionInvalid},
		{"of another client", append([]byte{plainRecord}, ofOther...), audit.SessionInvalid},
		{"not deflated", append([]byte{deflatedRecord}, record...), audit.SessionInvalid},
		{"deflated and cut short", deflated(record)[:20], audit.SessionInvalid},
		{"a deflate bomb", bomb, audit.SessionInvalid},
	}
	for _, test := range tests {
		_, refusal := s.Peek(t.Context(), "web", line(sealed(s, test.plain)), noon)
		got := audit.Allowed
		if refusal != nil {
			got = refusal.Reason
		}
		if got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if n := testing.AllocsPerRun(5, func() {
		if b, err := inflated(bomb[1:]); err != nil || len(b) != maxRecord+1 {
			t.Errorf("%d bytes of the bomb, %v", len(b), err)
		}
	}); n > 40 {
		t.Errorf("the bomb costs %v allocations", n)
	}
}

// TestLongValuesArentRead: not even one that would open.
func TestLongValuesArentRead(t *testing.T) {
	s := newTestSessions(t, Options{})
	for length, want := range map[int]audit.Reason{maxValue: audit.Allowed, maxValue + 1: audit.SessionInvalid} {
		r := alice()
		r.LoggedIn, r.Seen, r.Expires = noon, noon, noon.Add(time.Hour)
		for {
			plain, err := r.appendBinary([]byte{plainRecord})
			if err != nil {
				t.Fatal(err)
			}
			cookie := sealed(s, plain)
			if _, value, _ := strings.Cut(cookie, "="); len(value) >= length {
				_, refusal := s.Peek(t.Context(), "web", line(cookie), noon)
				if got := refusal; len(value) != length || (got == nil) != (want == audit.Allowed) || got != nil && got.Reason != want {
					t.Errorf("%d bytes, want %d: got %v, want %v", len(value), length, got, want)
				}
				break
			}
			r.Claims += "x"
		}
	}
}

// TestSealIsOfTheSession (K6): what was sealed for another use opens nothing here.
func TestSealIsOfTheSession(t *testing.T) {
	s := newTestSessions(t, Options{})
	r := alice()
	r.LoggedIn, r.Seen, r.Expires = noon, noon, noon.Add(time.Hour)
	plain, err := r.appendBinary([]byte{plainRecord})
	if err != nil {
		t.Fatal(err)
	}
	name := "__Host-credence.web"
	for _, p := range purposes {
		for _, bound := range []string{name, name + "\x001", name + "\x002"} {
			want := audit.SessionInvalid
			if p == PurposeSession && bound == name+"\x001" {
				want = audit.Allowed
			}
			_, refusal := s.Peek(t.Context(), "web", line(name+"=1"+s.ring.Seal(p, bound, plain)), noon)
			if got := refusal; (got == nil) != (want == audit.Allowed) || got != nil && got.Reason != want {
				t.Errorf("%s under %q: got %v", p, bound, got)
			}
		}
	}
}

func TestDeflatedIsSmaller(t *testing.T) {
	text := []byte(strings.Repeat("text ", 1000))
	b := deflated(text)
	back, err := inflated(b[1:])
	if len(b) > 200 || err != nil || !bytes.Equal(back, text) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	var corrupt flate.CorruptInputError
	if _, err := inflated([]byte{0xff}); err == nil || !errors.As(err, &corrupt) {
		t.Errorf("got %v", err)
	}
}

func FuzzOpenCookie(f *testing.F) {
	s := newTestSessions(f, Options{})
	for _, r := range []Record{alice(), large(8000)} {
		b := newBrowser(f)
		b.begin(s, r, noon)
		f.Add(b.cookies["__Host-credence.web"], b.cookies["__Host-credence.web.1"], []byte(r.Claims))
	}
	f.Add("", "", []byte{plainRecord, recordVersion})
	f.Add("1", "0", deflated([]byte{recordVersion}))
	f.Fuzz(func(t *testing.T, first, second string, plain []byte) {
		p := newPresented()
		p.jar = s.jar("web")
		p.chunks[1] = second
		h, refusal := s.open(t.Context(), p, first)
		if (h.record == nil) == (refusal == nil) {
			t.Fatal("neither a session nor a refusal")
		}
		if refusal == nil && h.record.Subject != "alice-subject" {
			t.Fatalf("%q opens a session that nobody made", first)
		}
		// Whatever a later version seals with our key is read without harm.
		h, refusal = unpack(p.jar, bytes.Clone(plain))
		if (h.record == nil) == (refusal == nil) || refusal != nil && refusal.Reason != audit.SessionInvalid && refusal.Reason != audit.SessionNewer {
			t.Fatalf("got %v", refusal)
		}
	})
}

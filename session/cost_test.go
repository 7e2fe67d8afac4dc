package session

import (
	"strings"
	"testing"
	"time"
)

// hotPath gives a request with an unexpired session in one cookie among others.
func hotPath(tb testing.TB) (*Sessions, string) {
	s := newTestSessions(tb, Options{Refresh: map[string]RefreshFunc{"web": nil}})
	r := alice()
	r.IDToken, r.AccessToken = strings.Repeat("i", 800), strings.Repeat("a", 800)
	r.AccessExpires = noon.Add(time.Hour)
	b := newBrowser(tb)
	b.begin(s, r, noon)
	return s, "theme=dark; " + b.header() + "; _ga=GA1.2.3"
}

// TestCheckAllocates: the decoded cookie, whose memory the record's strings share,
// and the record.
func TestCheckAllocates(t *testing.T) {
	s, header := hotPath(t)
	cookies := line(header)
	ctx := t.Context()
	now := noon.Add(time.Minute)
	if got := testing.AllocsPerRun(200, func() {
		if v, refusal := s.Check(ctx, "web", cookies, now); refusal != nil || v.SetCookies != nil {
			t.Fatal(refusal)
		}
	}); got > 2 {
		t.Errorf("a check makes %v allocations, want 2", got)
	}
	s.revocations.Session(ID{1}, time.Now().Add(time.Hour))
	s.revocations.Subject("https://op.example", "robert", now, time.Now().Add(time.Hour))
	s.newest.put(ID{1}, &version{}, 0, now)
	if got := testing.AllocsPerRun(200, func() {
		if _, refusal := s.Check(ctx, "web", cookies, now); refusal != nil {
			t.Fatal(refusal)
		}
	}); got > 2 {
		t.Errorf("beside revocations a check makes %v allocations, want 2", got)
	}
}

// TestForeignAllocates: nothing where there is nothing to take out.
func TestForeignAllocates(t *testing.T) {
	s, header := hotPath(t)
	if got := testing.AllocsPerRun(200, func() { s.Foreign("theme=dark; _ga=GA1.2.3") }); got > 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
	if got := testing.AllocsPerRun(200, func() { s.Foreign(header) }); got > 2 {
		t.Errorf("got %v allocations, want 2", got)
	}
}

func BenchmarkCheck(b *testing.B) {
	s, header := hotPath(b)
	cookies := line(header)
	ctx := b.Context()
	now := noon.Add(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := s.Check(ctx, "web", cookies, now); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

// BenchmarkFloor is what no check of such a session can be without: decoding and
// decrypting its cookie.
func BenchmarkFloor(b *testing.B) {
	s, header := hotPath(b)
	_, value, _ := strings.Cut(header, "credence.web=1")
	value, _, _ = strings.Cut(value, ";")
	bound := s.jar("web").bound[1]
	b.ReportAllocs()
	for b.Loop() {
		text := make([]byte, sealedText.DecodedLen(len(value)))
		if !decodeText(text, value) {
			b.Fatal("not decoded")
		}
		if _, err := s.ring.open(PurposeSession, bound, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForeign(b *testing.B) {
	s, header := hotPath(b)
	for name, line := range map[string]string{"ours": header, "none": "theme=dark; _ga=GA1.2.3"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Foreign(line)
			}
		})
	}
}

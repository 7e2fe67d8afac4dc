package login

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/session"
)

var noon = time.Unix(1767355200, 0) // 2026-01-02 12:00 UTC

func TestAttemptComesBack(t *testing.T) {
	b := newBinding(noon)
	asked := b.begin("web", "", false, noon)
	asked.prompt, asked.replaces = true, earlier{session.ID{1, 2}, noon}
	for _, a := range []*attempt{
		asked,
		b.begin("web", "https://app.example.com/a?b=c", false, noon),
		b.begin(strings.Repeat("n", 255), "", true, noon),
		b.begin("", strings.Repeat("a", maxReturnAddress), false, noon),
	} {
		got, ok := parseAttempt(a.appendTo(nil))
		if !ok || got.id != a.id || !got.made.Equal(a.made) || got.digest != a.digest || got.restarted != a.restarted || got.prompt != a.prompt || got.replaces.id != a.replaces.id || !got.replaces.expires.Equal(a.replaces.expires) || got.client != a.client || got.returnTo != a.returnTo {
			t.Errorf("got %v, %v, want %v", got, ok, a)
		}
	}
}

func TestAttemptOfAnotherForm(t *testing.T) {
	good := newBinding(noon).begin("web", "", false, noon).appendTo(nil)
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"cut short":         good[:len(good)-4],
		"version":           append([]byte{attemptForm + 1}, good[1:]...),
		"a flag not known":  append(append(bytes.Clone(good[:attemptFixed-2]), flagPrompt<<1), good[attemptFixed-1:]...),
		"name without text": append(bytes.Clone(good[:attemptFixed-1]), 200),
	} {
		if got, ok := parseAttempt(b); ok {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add(newBinding(noon).begin("web", "https://app.example.com/", true, noon).appendTo(nil))
	f.Add([]byte{attemptForm})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parseAttempt(b); ok && !bytes.Equal(a.appendTo(nil), b) {
			t.Errorf("%x is read as %v, which is written as %x", b, a, a.appendTo(nil))
		}
	})
}

func TestAttemptLivesFifteenMinutes(t *testing.T) {
	a := &attempt{made: noon}
	for after, want := range map[time.Duration]bool{
		0: true, 15*time.Minute - time.Second: true, 15 * time.Minute: false, time.Hour: false,
		-30 * time.Second: true, -time.Minute: false, // another replica's clock
	} {
		if got := a.young(noon.Add(after)); got != want {
			t.Errorf("after %v: got %v", after, got)
		}
	}
}

func TestAttemptIsUsedOnce(t *testing.T) {
	var u usedAttempts
	id := attemptID{1}
	if !u.first(id, noon) {
		t.Fatal("the first use was refused")
	}
	for _, after := range []time.Duration{0, time.Minute, attemptLife, attemptLife + time.Minute} {
		if u.first(id, noon.Add(after)) {
			t.Errorf("used again after %v", after)
		}
	}
	if !u.first(attemptID{2}, noon) {
		t.Error("another attempt was refused")
	}
}

func TestAttemptIsUsedOnceByMany(t *testing.T) {
	var u usedAttempts
	var wg sync.WaitGroup
	var firsts atomic.Int32
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if u.first(attemptID{byte(i)}, noon) {
					firsts.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := firsts.Load(); got != 200 {
		t.Errorf("%d first uses of 200 attempts", got)
	}
}

func TestUsedIsBounded(t *testing.T) {
	var u usedAttempts
	var id attemptID
	for i := range uint64(5*usedAtOnce/2 + 1) {
		binary.BigEndian.PutUint64(id[:], i)
		u.first(id, noon)
	}
	if got := len(u.current) + len(u.previous); got > 2*usedAtOnce {
		t.Errorf("remembers %d attempts", got)
	}
	if u.first(id, noon) {
		t.Error("the latest attempt was forgotten")
	}
}

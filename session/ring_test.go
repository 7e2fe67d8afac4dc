package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSEC_K6_SealedOpensForItsUseAlone holds SEC-5.31, SEC-5.63 as well.
func TestSEC_K6_SealedOpensForItsUseAlone(t *testing.T) {
	r := newTestRing(t, 1, 2)
	sealed := r.Seal(PurposeState, "web", []byte("plain"))
	tests := []struct {
		name    string
		ring    *Ring
		purpose Purpose
		bound   string
		sealed  string
		want    error
	}{
		{"as it was sealed", r, PurposeState, "web", sealed, nil},
		{"with the same keys elsewhere", newTestRing(t, 2, 1, 3), PurposeState, "web", sealed, nil},
		{"for another purpose", r, PurposeSession, "web", sealed, ErrSealed},
		{"for a purpose that there isn't", r, "none", "web", sealed, ErrSealed},
		{"under another name", r, PurposeState, "web2", sealed, ErrSealed},
		{"with other keys", newTestRing(t, 3, 4), PurposeState, "web", sealed, ErrSealed},
		{"with a random key", newTestRing(t), PurposeState, "web", sealed, ErrSealed},
		{"nothing", r, PurposeState, "web", "", ErrSealed},
		{"padded", r, PurposeState, "web", sealed + "=", ErrSealed},
		{"with a line break", r, PurposeState, "web", sealed[:9] + "\n" + sealed[9:], ErrSealed},
		{"longer", r, PurposeState, "web", sealed + "AAAA", ErrSealed},
		{"other base64", r, PurposeState, "web", strings.Repeat("+/", 50), ErrSealed},
	}
	for _, test := range tests {
		plain, err := test.ring.Open(test.purpose, test.bound, test.sealed)
		if !errors.Is(err, test.want) || err == nil && string(plain) != "plain" || err != nil && plain != nil {
			t.Errorf("%s: got %q, %v, want %v", test.name, plain, err, test.want)
		}
	}
	for i := range sealed {
		if _, err := r.Open(PurposeState, "web", sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d characters: %v", i, err)
		}
		changed := []byte(sealed)
		changed[i] ^= 1
		if _, err := r.Open(PurposeState, "web", string(changed)); !errors.Is(err, ErrSealed) {
			t.Fatalf("changed at %d: %v", i, err)
		}
	}
}

func TestSealingIsNeverTheSame(t *testing.T) {
	r := newTestRing(t, 1)
	seen := map[string]bool{}
	for range 1000 {
		seen[r.Seal(PurposeForm, "", nil)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 are different", len(seen))
	}
}

func TestSealingForNoPurposePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("sealed for a purpose without a key")
		}
	}()
	newTestRing(t, 1).Seal("none", "", nil)
}

func TestSEC_J6_BadKeys(t *testing.T) {
	key := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	unreadable := errors.New("no such file")
	tests := []struct {
		name string
		key  func() (string, error)
		want string
	}{
		{"unreadable", func() (string, error) { return "", unreadable }, "reading session key 2: no such file"},
		{"empty", fixed(""), "session key 2 isn't 32 bytes in base64"},
		{"short", fixed(key(make([]byte, 31))), "session key 2 isn't 32 bytes in base64"},
		{"long", fixed(keyText(1) + keyText(2)), "session key 2 isn't 32 bytes in base64"},
		{"not base64", fixed(strings.Repeat("secret!!", 5)), "session key 2 isn't 32 bytes in base64"},
		{"of one byte", fixed(key(bytes.Repeat([]byte{7}, 32))), "session key 2 isn't random"},
		{"typed", fixed(key([]byte("passwordpasswordpasswordpassword"))), "session key 2 isn't random"},
	}
	for _, test := range tests {
		_, err := NewRing(RingOptions{Keys: []func() (string, error){fixed(keyText(1)), test.key}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := NewRing(RingOptions{Keys: []func() (string, error){fixed(" " + keyText(1) + "\n")}}); err != nil {
		t.Errorf("a file that ends in a line break: %v", err)
	}
}

// sealedBy says which of the keys a ring seals with now.
func sealedBy(t *testing.T, r *Ring, keys ...byte) byte {
	t.Helper()
	sealed := r.Seal(PurposeState, "n", []byte("p"))
	for _, n := range keys {
		if _, err := newTestRing(t, n).Open(PurposeState, "n", sealed); err == nil {
			return n
		}
	}
	return 0
}

// keyFile is a list of keys that changes under a ring.
type keyFile struct {
	text  [2]atomic.Pointer[string]
	reads atomic.Int64
}

func (f *keyFile) write(first, second string) { f.text[0].Store(&first); f.text[1].Store(&second) }

func (f *keyFile) sources() []func() (string, error) {
	read := func(i int) func() (string, error) {
		return func() (string, error) { f.reads.Add(1); return *f.text[i].Load(), nil }
	}
	return []func() (string, error){read(0), read(1)}
}

func TestNewFirstKeySealsAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f keyFile
		f.write(keyText(2), keyText(1))
		r, err := NewRing(RingOptions{Keys: f.sources(), ActivationDelay: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, want byte) {
			t.Helper()
			if got := sealedBy(t, r, 1, 2, 3, 4, 5); got != want {
				t.Errorf("%s: sealed with key %d, want %d", when, got, want)
			}
		}
		want("just started, when the first may be new to others", 1)
		time.Sleep(5*time.Minute - time.Nanosecond)
		want("just before the delay is over", 1)
		time.Sleep(time.Nanosecond)
		want("when the delay is over", 2)

		f.write(keyText(3), keyText(2))
		time.Sleep(rereadEvery)
		want("with a new first key", 2)
		other := newTestRing(t, 3).Seal(PurposeState, "n", []byte("p"))
		if _, err := r.Open(PurposeState, "n", other); err != nil {
			t.Errorf("the new key doesn't open: %v", err)
		}
		old := newTestRing(t, 1).Seal(PurposeState, "n", []byte("p"))
		if _, err := r.Open(PurposeState, "n", old); err == nil {
			t.Error("a key that is gone still opens")
		}
		time.Sleep(5 * time.Minute)
		want("the delay after it was first seen", 3)
		f.write(keyText(5), keyText(4))
		time.Sleep(rereadEvery)
		want("when all are new, so that there is no better", 5)
	})
}

func TestOneKeySealsAtOnce(t *testing.T) {
	r, err := NewRing(RingOptions{Keys: []func() (string, error){fixed(keyText(1))}, ActivationDelay: time.Hour})
	if err != nil || sealedBy(t, r, 1) != 1 {
		t.Errorf("not sealed: %v", err)
	}
}

// TestKeysThatCantBeReadAgainStay: a half-written file logs nobody out, and is told
// of once.
func TestKeysThatCantBeReadAgainStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f keyFile
		var log bytes.Buffer
		f.write(keyText(1), keyText(2))
		r, err := NewRing(RingOptions{Keys: f.sources(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		f.write(keyText(3)[:20], keyText(2))
		for range 5 {
			time.Sleep(rereadEvery)
			if got := sealedBy(t, r, 1, 2, 3); got != 1 {
				t.Fatalf("sealed with key %d", got)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), keyText(3)[:20]) {
			t.Errorf("logged %q", log.String())
		}
		f.write(keyText(3), keyText(2))
		time.Sleep(rereadEvery)
		if _, err := r.Open(PurposeState, "n", newTestRing(t, 3).Seal(PurposeState, "n", nil)); err != nil {
			t.Errorf("the file was put right, and still %v", err)
		}
	})
}

// TestSealingKeysThatGoAreTold: each once, whether it sealed here or was about to, and
// not those that only opened.
func TestSealingKeysThatGoAreTold(t *testing.T) {
	type pair struct{ first, second byte }
	for _, test := range []struct {
		name     string
		was, now pair
		seals    bool // before the wait
		wait     time.Duration
		want     int
	}{
		{"nothing changes", pair{1, 2}, pair{1, 2}, true, 0, 0},
		{"the order changes", pair{1, 2}, pair{2, 1}, true, 0, 0},
		{"the second, which seals after a start, is overwritten", pair{1, 2}, pair{1, 3}, false, 0, 1},
		{"the second, which sealed minutes ago, is overwritten", pair{1, 2}, pair{1, 3}, true, 5 * time.Minute, 1},
		{"the second, which sealed nothing here and won't, is overwritten", pair{1, 2}, pair{1, 3}, false, 5 * time.Minute, 0},
		{"the first, which doesn't seal yet, is overwritten", pair{1, 2}, pair{3, 2}, true, 0, 0},
		{"the first is overwritten once it is its turn", pair{1, 2}, pair{3, 2}, false, 5 * time.Minute, 1},
		{"the first becomes the second", pair{1, 2}, pair{3, 1}, false, 5 * time.Minute, 0},
		{"both are overwritten", pair{1, 2}, pair{3, 4}, true, 5 * time.Minute, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var f keyFile
			var log bytes.Buffer
			f.write(keyText(test.was.first), keyText(test.was.second))
			r, err := NewRing(RingOptions{Keys: f.sources(), ActivationDelay: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if test.seals {
				r.Seal(PurposeState, "n", nil)
			}
			time.Sleep(test.wait)
			f.write(keyText(test.now.first), keyText(test.now.second))
			for range 3 {
				time.Sleep(rereadEvery)
				r.Seal(PurposeState, "n", nil)
			}
			if got := strings.Count(log.String(), "level=WARN msg=\"a sealing key is gone"); got != test.want || strings.Count(log.String(), "\n") != got {
				t.Errorf("%s: logged %q, want %d lines", test.name, log.String(), test.want)
			}
		})
	}
}

// TestKeysAreReadOnceASecond however many requests there are.
func TestKeysAreReadOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f keyFile
		f.write(keyText(1), keyText(2))
		r, err := NewRing(RingOptions{Keys: f.sources()})
		if err != nil {
			t.Fatal(err)
		}
		began := f.reads.Load()
		const seconds = 3
		for range seconds {
			time.Sleep(rereadEvery)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := r.Open(PurposeState, "n", r.Seal(PurposeState, "n", nil)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		if got := (f.reads.Load() - began) / 2; got != seconds {
			t.Errorf("read %d times in %d seconds", got, seconds)
		}
	})
}

func TestSEC_V7_2_3_5_57_IDsDontRepeat(t *testing.T) {
	seen := make(map[ID]struct{}, 1e6)
	for range int(1e6) {
		seen[newID()] = struct{}{}
	}
	if len(seen) != 1e6 {
		t.Errorf("%d of 10^6 ids are different", len(seen))
	}
}

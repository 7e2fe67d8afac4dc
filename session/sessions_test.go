package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

// TestLimits walks through random uses of sessions and holds Check against a model
// that knows only when the session began, when it was used and which of its answers
// arrived.
func TestLimits(t *testing.T) {
	const idle, lifetime = 30 * time.Minute, 3 * time.Hour
	for name, store := range map[string]func() Store{"cookie": func() Store { return nil }, "memory": func() Store { return NewMemory(10) }} {
		synctest.Test(t, func(t *testing.T) {
			ended := map[audit.Reason]int{}
			s := newTestSessions(t, Options{Store: store(), Idle: idle, Lifetime: lifetime})
			random := rand.New(rand.NewPCG(3, 4))
			for range 200 {
				b := newBrowser(t)
				b.begin(s, alice(), time.Now())
				began := time.Now()
				used, arrived := began, began // the last use, and the last one whose answer arrived
				for {
					step := time.Duration(random.Int64N(int64(idle) * 11 / 40))
					if random.IntN(25) == 0 {
						step *= 4
					}
					time.Sleep(step)
					now := time.Now()
					from := b
					lost := store() == nil && random.IntN(4) == 0
					if lost {
						from = b.copy()
					}
					r, got := from.check(s, now)
					over := now.Sub(began) >= lifetime
					switch {
					case over && got == audit.Allowed:
						t.Fatalf("%s: allowed %v after the login", name, now.Sub(began))
					case now.Sub(used) >= idle && got == audit.Allowed:
						t.Fatalf("%s: allowed %v after the last use", name, now.Sub(used))
					case now.Sub(arrived) < idle*9/10-time.Second && now.Sub(began) < lifetime-time.Second && got != audit.Allowed:
						t.Fatalf("%s: %v %v after a use and %v after the login", name, got, now.Sub(arrived), now.Sub(began))
					}
					if got != audit.Allowed {
						ended[got]++
						break
					}
					if r.Seen.After(now) {
						t.Fatalf("%s: seen in the future", name)
					}
					if used = now; !lost {
						arrived = now
					}
				}
			}
			if store() == nil && ended[audit.SessionExpired] != 200 || ended[audit.SessionExpired]+ended[audit.SessionInvalid] != 200 {
				t.Errorf("%s: ended by %v", name, ended)
			}
		})
	}
}

func TestSEC_V7_3_1_V7_3_2_LimitsToTheSecond(t *testing.T) {
	const idle, lifetime = time.Hour, 90 * time.Minute
	tests := []struct {
		name  string
		after []time.Duration // of the uses, the last one judged
		want  audit.Reason
	}{
		{"at once", []time.Duration{0}, audit.Allowed},
		{"a second before idle", []time.Duration{idle - time.Second}, audit.Allowed},
		{"idle", []time.Duration{idle}, audit.SessionExpired},
		{"idle after a use", []time.Duration{20 * time.Minute, 80 * time.Minute}, audit.SessionExpired},
		{"used in between", []time.Duration{20 * time.Minute, 80*time.Minute - time.Second}, audit.Allowed},
		{"a second before the end", []time.Duration{45 * time.Minute, lifetime - time.Second}, audit.Allowed},
		{"the end", []time.Duration{45 * time.Minute, lifetime}, audit.SessionExpired},
		{"a clock that is behind", []time.Duration{-clockSlack}, audit.Allowed},
		{"a clock that is wrong", []time.Duration{-clockSlack - time.Second}, audit.SessionInvalid},
	}
	for _, test := range tests {
		s := newTestSessions(t, Options{Idle: idle, Lifetime: lifetime})
		b := newBrowser(t)
		b.begin(s, alice(), noon)
		for _, after := range test.after[:len(test.after)-1] {
			b.wants(s, noon.Add(after), audit.Allowed)
		}
		last := test.after[len(test.after)-1]
		peeked, refusal := s.Peek(t.Context(), "web", b.lines(), noon.Add(last))
		if (peeked != nil) != (test.want == audit.Allowed) || refusal != nil && refusal.Reason != test.want {
			t.Errorf("%s: peeking got %v", test.name, refusal)
		}
		if _, got := b.check(s, noon.Add(last)); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestUseInTheFuture: a clock that is ahead notes a use that keeps no session alive.
func TestUseInTheFuture(t *testing.T) {
	s := newTestSessions(t, Options{})
	for ahead, want := range map[time.Duration]audit.Reason{clockSlack: audit.Allowed, clockSlack + time.Minute: audit.SessionInvalid} {
		r := alice()
		r.ID, r.LoggedIn, r.Seen, r.Expires = newID(), noon, noon.Add(ahead), noon.Add(time.Hour)
		values, err := s.seal(s.jar("web"), &r)
		if err != nil || len(values) != 1 {
			t.Fatal(values, err)
		}
		b := newBrowser(t)
		b.cookies["__Host-credence.web"] = values[0]
		if _, got := b.check(s, noon); got != want {
			t.Errorf("%v ahead: got %v, want %v", ahead, got, want)
		}
	}
}

// TestShorterLifetimeHoldsForOldSessions: a configuration that was tightened.
func TestShorterLifetimeHoldsForOldSessions(t *testing.T) {
	b := newBrowser(t)
	b.begin(newTestSessions(t, Options{Lifetime: 12 * time.Hour}), alice(), noon)
	now := noon.Add(30 * time.Minute)
	b.wants(newTestSessions(t, Options{Lifetime: 20 * time.Minute}), now, audit.SessionExpired)
	r := b.wants(newTestSessions(t, Options{Lifetime: 24 * time.Hour}), now, audit.Allowed)
	s := newTestSessions(t, Options{Lifetime: time.Hour, Idle: 10 * time.Minute})
	if idle, end := s.Ends(r); !idle.Equal(r.Seen.Add(10*time.Minute)) || !end.Equal(noon.Add(time.Hour)) {
		t.Errorf("ends at %v and %v", idle, end)
	}
}

// TestTwoVersionsOfASession: a browser that has both, as with cookies of two
// partitions, goes on with the later one.
func TestTwoVersionsOfASession(t *testing.T) {
	s := newTestSessions(t, Options{Idle: time.Hour})
	b := newBrowser(t)
	b.begin(s, alice(), noon)
	old := b.copy()
	used := noon.Add(50 * time.Minute)
	b.wants(s, used, audit.Allowed)
	for _, header := range []string{old.header() + "; " + b.header(), b.header() + "; " + old.header()} {
		for now, want := range map[time.Time]bool{used.Add(time.Minute): true, used.Add(50 * time.Minute): true, used.Add(time.Hour): false} {
			r, refusal := s.Peek(t.Context(), "web", line(header), now)
			if (refusal == nil) != want || want && !r.Seen.Equal(used) {
				t.Errorf("at %v: got %v", now, refusal)
			}
		}
	}
}

// TestUseIsNotedByOne: requests that come together don't each set a cookie, and most
// requests set none.
func TestUseIsNotedByOne(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSessions(t, Options{Store: store, Idle: time.Hour})
			b := newBrowser(t)
			b.begin(s, alice(), time.Now())
			b.set = 0
			time.Sleep(5 * time.Minute)
			b.wants(s, time.Now(), audit.Allowed)
			if b.set != 0 {
				t.Errorf("%s: a use after five minutes set a cookie", name)
			}
			time.Sleep(2 * time.Minute)
			var set atomic.Int64
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					v, refusal := s.Check(t.Context(), "web", b.lines(), time.Now())
					if refusal != nil {
						t.Error(refusal)
					}
					set.Add(int64(len(v.SetCookies)))
				})
			}
			wg.Wait()
			want := int64(1)
			if store != nil {
				want = 0 // the cookie doesn't change
			}
			if got := set.Load(); got != want {
				t.Errorf("%s: 50 requests set %d cookies, want %d", name, got, want)
			}
			// The answer got lost: a later request notes the use.
			time.Sleep(s.noted.life)
			if b.wants(s, time.Now(), audit.Allowed); int64(b.set) != want {
				t.Errorf("%s: after a lost answer %d cookies are set, want %d", name, b.set, want)
			}
		})
	}
}

// TestSEC_V7_4_1_Logout: the session is over for every copy of its cookie.
func TestSEC_V7_4_1_Logout(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		s := newTestSessions(t, Options{Store: store})
		now := time.Now()
		b := newBrowser(t)
		b.begin(s, alice(), now)
		stolen := b.copy()
		r, deletions := s.End(t.Context(), "web", b.lines(), now)
		if r == nil || r.IDToken != alice().IDToken {
			t.Errorf("%s: the session that ended isn't given", name)
		}
		b.take(deletions)
		b.wants(s, now, audit.NoCredential)
		if store == nil {
			stolen.wants(s, now, audit.SessionRevoked)
		} else {
			stolen.wants(s, now, audit.SessionInvalid)
		}
		if r, deletions := s.End(t.Context(), "web", stolen.lines(), now); r != nil || len(deletions) != 1 {
			t.Errorf("%s: a session that ended ends again", name)
		}
		if r, deletions := s.End(t.Context(), "web", line(), now); r != nil || len(deletions) != 1 {
			t.Errorf("%s: without a cookie: %v, %q", name, r, deletions)
		}
	}
}

// TestExpiredSessionEnds: the provider's logout wants its ID token.
func TestExpiredSessionEnds(t *testing.T) {
	s := newTestSessions(t, Options{})
	b := newBrowser(t)
	b.begin(s, alice(), noon)
	if r, _ := s.End(t.Context(), "web", b.lines(), noon.Add(48*time.Hour)); r == nil {
		t.Error("nothing ended")
	}
}

func TestSEC_V7_4_5_5_19_RevokedSession(t *testing.T) {
	later := time.Now().Add(24 * time.Hour)
	for name, revoke := range map[string]func(v *Revocations, r *Record){
		"session": func(v *Revocations, r *Record) { v.Session(r.ID, later) },
		"subject": func(v *Revocations, r *Record) { v.Subject(r.Issuer, r.Subject, r.LoggedIn, later) },
		"sid":     func(v *Revocations, r *Record) { v.SID(r.Issuer, r.SID, r.LoggedIn, later) },
	} {
		var v Revocations
		s := newTestSessions(t, Options{Revocations: &v})
		b := newBrowser(t)
		now := time.Now()
		b.begin(s, alice(), now)
		r := b.wants(s, now, audit.Allowed)
		revoke(&v, r)
		b.wants(s, now, audit.SessionRevoked)
		if _, refusal := s.Peek(t.Context(), "web", b.lines(), now); refusal == nil || refusal.Reason != audit.SessionRevoked {
			t.Errorf("%s: peeking got %v", name, refusal)
		}
		b.begin(s, alice(), now.Add(time.Second))
		b.wants(s, now.Add(time.Second), audit.Allowed) // later logins work
	}
}

// outage is a store that can't be reached at times.
type outage struct {
	*Memory
	down atomic.Bool
}

var errDown = errors.New("connection refused")

func (o *outage) Get(ctx context.Context, key Key) ([]byte, error) {
	if o.down.Load() {
		return nil, errDown
	}
	return o.Memory.Get(ctx, key)
}

func (o *outage) Swap(ctx context.Context, key Key, old, value []byte, until time.Time) (bool, error) {
	if o.down.Load() {
		return false, errDown
	}
	return o.Memory.Swap(ctx, key, old, value, until)
}

func (o *outage) Delete(ctx context.Context, key Key) error {
	if o.down.Load() {
		return errDown
	}
	return o.Memory.Delete(ctx, key)
}

func TestStoreThatIsDown(t *testing.T) {
	store := &outage{Memory: NewMemory(10)}
	s := newTestSessions(t, Options{Store: store})
	now := time.Now()
	b := newBrowser(t)
	b.begin(s, alice(), now)
	store.down.Store(true)
	b.wants(s, now, audit.SessionStoreUnavailable)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal := s.Check(cancelled, "web", b.lines(), now); refusal == nil || refusal.Reason != audit.Cancelled {
		t.Errorf("got %v", refusal)
	}
	if _, refusal := s.Begin(t.Context(), alice(), line(), now); refusal == nil || refusal.Reason != audit.SessionStoreUnavailable || refusal.RetryAfter == 0 {
		t.Errorf("got %v", refusal)
	}
	if r, deletions := s.End(t.Context(), "web", b.lines(), now); r != nil || len(deletions) != 1 {
		t.Errorf("got %v, %v", r, deletions)
	}
	store.down.Store(false)
	b.wants(s, now, audit.Allowed)
}

// TestUseThatCantBeNoted: the session is good all the same.
func TestUseThatCantBeNoted(t *testing.T) {
	store := &writeOutage{Memory: NewMemory(10)}
	s := newTestSessions(t, Options{Store: store})
	now := time.Now()
	b := newBrowser(t)
	b.begin(s, alice(), now)
	store.down.Store(true)
	b.wants(s, now.Add(30*time.Minute), audit.Allowed)
	if r, _ := s.End(t.Context(), "web", b.lines(), now); r == nil {
		t.Error("nothing ended")
	}
	b.wants(s, now, audit.SessionRevoked) // here, though it is still in the store
}

// writeOutage is a store that can be read alone at times.
type writeOutage struct {
	*Memory
	down atomic.Bool
}

func (o *writeOutage) Swap(ctx context.Context, key Key, old, value []byte, until time.Time) (bool, error) {
	if o.down.Load() {
		return false, errDown
	}
	return o.Memory.Swap(ctx, key, old, value, until)
}

func (o *writeOutage) Delete(ctx context.Context, key Key) error {
	if o.down.Load() {
		return errDown
	}
	return o.Memory.Delete(ctx, key)
}

// TestSEC_O8_StoreHasCiphertextAlone (S2): and what somebody else puts there isn't believed.
func TestSEC_O8_StoreHasCiphertextAlone(t *testing.T) {
	store := NewMemory(10)
	s := newTestSessions(t, Options{Store: store})
	now := time.Now()
	b, other := newBrowser(t), newBrowser(t)
	b.begin(s, alice(), now)
	other.begin(s, alice(), now)
	r, r2 := b.wants(s, now, audit.Allowed), other.wants(s, now, audit.Allowed)
	key := storeKey(r.ID)
	stored, err := store.Get(t.Context(), key)
	if err != nil || stored == nil {
		t.Fatal("nothing is stored")
	}
	noCanary(t, "the store", string(stored))
	foreign, err := store.Get(t.Context(), storeKey(r2.ID))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{"short": {1, 2}, "changed": append([]byte{stored[0] ^ 1}, stored[1:]...), "another session's": foreign} {
		if ok, err := store.Swap(t.Context(), key, stored, value, now.Add(time.Hour)); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if _, got := b.check(s, now); got != audit.SessionInvalid {
			t.Errorf("%s: got %v", name, got)
		}
		stored = value
	}
}

// TestStoreCookieIsBoundToItsID: a key with another session's id opens nothing, and
// a record can't be moved to another id by whoever writes to the store.
func TestStoreCookieIsBoundToItsID(t *testing.T) {
	store := NewMemory(10)
	s := newTestSessions(t, Options{Store: store})
	now := time.Now()
	j := s.jar("web")
	r := alice()
	r.LoggedIn, r.Seen, r.Expires = now, now, now.Add(time.Hour)
	secret := newSecret()
	if ok, err := s.put(t.Context(), j, &r, secret, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	value, err := store.Get(t.Context(), storeKey(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	moved := ID{1}
	if ok, err := store.Swap(t.Context(), storeKey(moved), nil, value, now.Add(time.Hour)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for id, want := range map[ID]audit.Reason{r.ID: audit.Allowed, moved: audit.SessionInvalid, {2}: audit.SessionInvalid} {
		text := sealedText.EncodeToString(append(id[:], secret...))
		for cookie, want := range map[string]audit.Reason{"0" + text: want, "0" + text + "A": audit.SessionInvalid, "0": audit.SessionInvalid, "1" + text: audit.SessionInvalid} {
			_, refusal := s.Peek(t.Context(), "web", line(j.names[0]+"="+cookie), now)
			got := audit.Allowed
			if refusal != nil {
				got = refusal.Reason
			}
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	}
}

// TestEndByID: a session ends although its cookies aren't there.
func TestEndByID(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		synctest.Test(t, func(t *testing.T) {
			s := newTestSessions(t, Options{Store: store})
			b, other := newBrowser(t), newBrowser(t)
			b.begin(s, alice(), time.Now())
			other.begin(s, alice(), time.Now())
			r := b.wants(s, time.Now(), audit.Allowed)
			s.EndByID(t.Context(), r.ID, r.Expires)
			want := audit.SessionRevoked
			if store != nil {
				want = audit.SessionInvalid
				if got := len(store.(*Memory).sessions); got != 1 {
					t.Errorf("%d sessions are in the store, want 1", got)
				}
			}
			if _, got := b.check(s, time.Now()); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
			other.wants(s, time.Now(), audit.Allowed)
		})
	}
}

package oidc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestSEC_C5_NewKeyInQuietTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.p.AddKey("ES256", "new-1")
		r.p.AddHiddenKey("ES256", "new-2")
		first, second := r.p.Sign(oidctest.Token{KeyID: "new-1"}), r.p.Sign(oidctest.Token{KeyID: "new-2"})
		begun := time.Now()
		// A scheduled refresh has just been: that doesn't matter.
		if n := r.fetches(func() { r.want("first new key", first, "verified") }); n != 1 || time.Since(begun) != 0 {
			t.Errorf("%d fetches in %v, want 1 at once", n, time.Since(begun))
		}
		if keys, refusal := r.set.Await(t.Context(), "new-1"); refusal != nil || !keys.Known("new-1") {
			t.Errorf("a kid that is known by now: %v", refusal)
		}
		r.p.PublishKey("new-2")
		time.Sleep(12 * time.Second)
		if n := r.fetches(func() {
			_, refusal := r.set.Await(t.Context(), "new-2")
			if refusal == nil || refusal.Reason != audit.KeyRefreshPending || refusal.RetryAfter != 18*time.Second {
				t.Errorf("in the cool-down: %+v, want key_refresh_pending for 18 s", refusal)
			}
		}); n != 0 {
			t.Errorf("%d fetches in the cool-down, want none", n)
		}
		time.Sleep(18 * time.Second)
		if n := r.fetches(func() { r.want("second new key after the cool-down", second, "verified") }); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestSEC_S5_5_73_WhatNeverFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *KeySetOptions) {
			r.p.PublishRaw(`{"kid":"unusable","kty":"oct","k":"AAAA"}`)
			r.p.AddKey("RS256", "")
		})
		good := r.p.Sign(oidctest.Token{})
		for _, row := range []struct{ name, token, want string }{
			{"no kid", r.p.Sign(oidctest.Token{KeyID: "-"}), "verified"},
			{"no kid, and no key for the algorithm", r.p.Sign(oidctest.Token{Alg: "HS256", KeyID: "-"}), "key_unknown"},
			{"bad signature under a known kid", good[:len(good)-8] + "AAAAAAAA", "signature_invalid"},
			{"another algorithm under a known kid", r.p.Sign(oidctest.Token{Alg: "ES256", KeyID: "rsa-1"}), "algorithm_not_allowed"},
			{"a kid that is published but unusable", r.p.Sign(oidctest.Token{KeyID: "unusable"}), "key_unknown"},
			{"not a JWS", "nonsense", "token_opaque"},
		} {
			time.Sleep(time.Minute)
			if n := r.fetches(func() {
				for range 100 {
					r.want(row.name, row.token, row.want)
				}
			}); n != 0 {
				t.Errorf("%s: %d fetches, want none", row.name, n)
			}
		}
	})
}

func TestNoKidAndManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *KeySetOptions) {
			for i := range 4 {
				r.p.AddKey("ES256", fmt.Sprint("ec-", i+2))
			}
		})
		r.want("no kid, five keys", r.p.Sign(oidctest.Token{Alg: "ES256", KeyID: "-"}), "key_ambiguous")
		r.want("kid, five keys", r.p.Sign(oidctest.Token{Alg: "ES256", KeyID: "ec-5"}), "verified")
	})
}

// Requests flow while the provider adds a key, signs with it at once, and takes
// the old one out: nobody is turned away.
func TestT5_RotationWhileRequestsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *KeySetOptions) {
			r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: 300 * time.Millisecond})
		})
		time.Sleep(time.Second)
		token := atomic.Pointer[string]{}
		sign := func(kid string) { token.Store(new(r.p.Sign(oidctest.Token{KeyID: kid}))) }
		sign("ec-1")

		var verified, refused atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				for ctx.Err() == nil {
					if _, err := r.set.VerifySignature(ctx, *token.Load()); err == nil {
						verified.Add(1)
					} else if ctx.Err() == nil {
						refused.Add(1)
						t.Error(err)
					}
					time.Sleep(250 * time.Millisecond)
				}
			})
		}
		fetches := r.fetches(func() {
			for i, old := range []string{"ec-1", "new-1", "new-2"} {
				time.Sleep(40 * time.Second)
				kid := fmt.Sprint("new-", i+1)
				r.p.AddKey("ES256", kid)
				sign(kid)
				time.Sleep(20 * time.Second)
				r.p.RetireKey(old)
			}
		})
		cancel()
		clients.Wait()
		if verified.Load() < 10_000 || refused.Load() != 0 || fetches != 3 {
			t.Errorf("%d verified, %d refused, %d fetches; want over 10000, 0, 3", verified.Load(), refused.Load(), fetches)
		}
	})
}

// 10,000 tokens with made-up kids over five minutes, and in the middle of it a
// new key: its tokens are told to come again until the cool-down is over, and are
// never called bad.
func TestSEC_5_65_FloodOfMadeUpKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kids, spread, cooldown = 10_000, 5 * time.Minute, 30 * time.Second
		r := newRig(t, func(r *rig, o *KeySetOptions) {
			o.Refresh, o.Cooldown = time.Hour, cooldown
			r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: 200 * time.Millisecond})
		})
		time.Sleep(time.Second)
		r.p.AddKey("ES256", "new-1")
		good := r.p.Sign(oidctest.Token{KeyID: "new-1"})
		r.p.RetireKey("new-1")

		answers := map[string]int{}
		var flood sync.WaitGroup
		var mu sync.Mutex
		begun := time.Now()
		var worked time.Duration
		fetches := r.fetches(func() {
			for i := range kids {
				flood.Go(func() {
					_, refusal := r.set.Await(t.Context(), fmt.Sprint("made-up-", i))
					mu.Lock()
					defer mu.Unlock()
					answers[refusal.Reason.String()]++
				})
				if i == kids/2+kids/40 { // in the middle of a cool-down
					r.p.PublishKey("new-1")
					begun = time.Now()
				}
				if i >= kids/2+kids/40 && i%10 == 0 && worked == 0 {
					switch got := r.verify(good, time.Second); got {
					case "verified":
						worked = time.Since(begun)
					case "key_refresh_pending":
					default:
						t.Errorf("the good token gets %s", got)
					}
				}
				time.Sleep(spread / kids)
			}
			flood.Wait()
		})
		t.Logf("answers %v, fetches %d, new key worked after %v", answers, fetches, worked)
		between(t, "fetches", fetches, 8, int(spread/cooldown)+1)
		if worked == 0 || worked > cooldown+time.Second {
			t.Errorf("the new key worked after %v, want at most %v", worked, cooldown)
		}
		if got := answers["key_unknown"] + answers["key_refresh_pending"]; got != kids {
			t.Errorf("%d of %d made-up kids were refused as such: %v", got, kids, answers)
		}
	})
}

// More callers at once than may wait: the rest is sent away at once.
func TestWaitingCallersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: 5 * time.Second})
		var callers sync.WaitGroup
		var waited, sentAway atomic.Int64
		fetches := r.fetches(func() {
			begun := time.Now()
			for i := range 3 * maxWaiting {
				callers.Go(func() {
					_, refusal := r.set.Await(t.Context(), fmt.Sprint("made-up-", i))
					switch {
					// One caused the fetch. It began before the others came, as far as they know.
					case (refusal.Reason == audit.KeyUnknown || refusal.Reason == audit.KeyRefreshPending) && time.Since(begun) == 5*time.Second:
						waited.Add(1)
					case refusal.Reason == audit.KeyRefreshPending && time.Since(begun) == 0 && refusal.RetryAfter == 30*time.Second:
						sentAway.Add(1)
					default:
						t.Errorf("%+v after %v", refusal, time.Since(begun))
					}
				})
			}
			callers.Wait()
		})
		if waited.Load() != maxWaiting || sentAway.Load() != 2*maxWaiting || fetches != 1 {
			t.Errorf("%d waited, %d were sent away, %d fetches; want %d, %d, 1", waited.Load(), sentAway.Load(), fetches, maxWaiting, 2*maxWaiting)
		}
		if n := r.set.waiting.Load(); n != 0 {
			t.Errorf("%d are still counted as waiting", n)
		}
	})
}

// A fetch that began before the caller came can't say that a key doesn't exist.
func TestFetchesThatBeganTooEarly(t *testing.T) {
	const slow = 10 * time.Second
	setup := func(t *testing.T) *rig {
		r := newRig(t, nil)
		r.p.AddHiddenKey("ES256", "new-1")
		r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: slow})
		return r
	}
	bubble(t, "scheduled, in quiet times: joined, and then its own", func(t *testing.T) {
		r := setup(t)
		go func() {
			if err := r.set.Refresh(t.Context()); err != nil { // stands for a scheduled one: it starts no cool-down
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		r.p.PublishKey("new-1")
		begun := time.Now()
		r.want("new key", r.p.Sign(oidctest.Token{KeyID: "new-1"}), "verified")
		if got, want := time.Since(begun), 9*time.Second+slow; got != want {
			t.Errorf("it took %v, want %v", got, want)
		}
	})
	bubble(t, "caused by another kid: joined, and then come again", func(t *testing.T) {
		r := setup(t)
		var other sync.WaitGroup
		other.Go(func() {
			if _, refusal := r.set.Await(t.Context(), "made-up"); refusal == nil || refusal.Reason != audit.KeyUnknown {
				t.Errorf("the made-up kid gets %v", refusal)
			}
		})
		time.Sleep(time.Second)
		r.p.PublishKey("new-1")
		begun := time.Now()
		_, refusal := r.set.Await(t.Context(), "new-1")
		if refusal == nil || refusal.Reason != audit.KeyRefreshPending || refusal.RetryAfter != 20*time.Second || time.Since(begun) != 9*time.Second {
			t.Errorf("%+v after %v, want key_refresh_pending for 20 s after 9 s", refusal, time.Since(begun))
		}
		other.Wait()
		time.Sleep(20 * time.Second)
		r.want("after the cool-down", r.p.Sign(oidctest.Token{KeyID: "new-1"}), "verified")
	})
	bubble(t, "joined, and it brings the key", func(t *testing.T) {
		r := setup(t)
		r.p.PublishKey("new-1")
		go r.verify(r.p.Sign(oidctest.Token{KeyID: "made-up"}), time.Minute)
		time.Sleep(time.Second)
		if n := r.fetches(func() { r.want("new key", r.p.Sign(oidctest.Token{KeyID: "new-1"}), "verified") }); n != 0 {
			t.Errorf("%d more fetches, want none", n)
		}
	})
	bubble(t, "ended between the look and the question", func(t *testing.T) {
		r := newRig(t, nil)
		arrived := r.set.begun.Load()
		if err := r.set.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.fetches(func() {
			ticket, _ := r.set.ask(t.Context(), arrived, false)
			if ticket.fetch == nil || ticket.fetch.number <= arrived {
				t.Errorf("ticket %+v, want the fetch that has ended", ticket)
			}
			synctest.Wait()
		}); n != 0 {
			t.Errorf("%d fetches, want none", n)
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.p.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		want := func(what string, ctx context.Context, s *KeySet, reason audit.Reason, after time.Duration) {
			t.Helper()
			begun := time.Now()
			_, refusal := s.Await(ctx, "made-up")
			if refusal == nil || refusal.Reason != reason || time.Since(begun) != after {
				t.Errorf("%s: %v after %v, want %v after %v", what, refusal, time.Since(begun), reason, after)
			}
		}
		soon, cancelSoon := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelSoon()
		want("deadline", soon, r.set, audit.DeadlineExceeded, 3*time.Second)
		want("deadline passed", soon, r.set, audit.DeadlineExceeded, 0)

		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(4*time.Second, leave)
		want("cancelled", left, r.set, audit.Cancelled, 4*time.Second)

		idle := NewKeySet(KeySetOptions{Issuer: "https://issuer.test"})
		soon, cancelSoon = context.WithTimeout(t.Context(), time.Second)
		defer cancelSoon()
		want("never run", soon, idle, audit.DeadlineExceeded, time.Second)

		time.Sleep(time.Minute)
		time.AfterFunc(time.Second, r.stop)
		want("stopped while waiting", t.Context(), r.set, audit.KeysUnavailable, time.Second)
		want("stopped", t.Context(), r.set, audit.KeysUnavailable, 0)
		r.want("a known key after the stop", r.p.Sign(oidctest.Token{}), "verified")
	})
}

// A caller that gives up doesn't take the fetch with it.
func TestFetchesOutliveTheirCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.p.AddKey("ES256", "new-1")
		token := r.p.Sign(oidctest.Token{KeyID: "new-1"})
		r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: 10 * time.Second})
		if got, want := r.verify(token, time.Second), "deadline_exceeded"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		time.Sleep(10 * time.Second)
		if n := r.fetches(func() { r.want("afterwards", token, "verified") }); n != 0 {
			t.Errorf("%d fetches, want none", n)
		}
	})
}

func TestForeignTextInRefusalsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		kid := strings.Repeat("\x1b\u2028", 5000)
		for range 2 { // unknown, then pending
			_, refusal := r.set.Await(t.Context(), kid)
			if s := refusal.Error(); len(s) > 600 || strings.ContainsAny(s, "\x1b\u2028") {
				t.Errorf("%d bytes: %.700s", len(s), s)
			}
		}
	})
}

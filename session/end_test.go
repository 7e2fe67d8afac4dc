package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

// discards are the refresh tokens that were given to Discard.
type discards struct {
	mu     sync.Mutex
	tokens []string
}

func (d *discards) discard(_ context.Context, r *Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens = append(d.tokens, r.RefreshToken)
}

// wants waits for what goes on in the background.
func (d *discards) wants(t *testing.T, name string, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.tokens, want) {
		t.Errorf("%s: discarded %q, want %q", name, d.tokens, want)
	}
}

// TestLogoutGivesTheLatestTokens, also to a browser that has the session from before
// they were renewed: those are what the provider is to revoke.
func TestLogoutGivesTheLatestTokens(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		b := p.login(t, s)
		old := b.copy()
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.Allowed)
		r, _ := s.End(t.Context(), "web", old.lines(), time.Now())
		if r == nil || r.RefreshToken != p.token() || p.next != 1 {
			t.Errorf("the tokens are from before they were renewed")
		}
	})
}

// TestLogoutWhileTokensAreRenewed: the logout wins, and what the provider hands out
// after it is discarded.
func TestLogoutWhileTokensAreRenewed(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		var gone discards
		s.discarder = gone.discard
		b := p.login(t, s)
		p.during = func() {
			if r, _ := s.End(context.Background(), "web", b.lines(), time.Now()); r == nil || r.RefreshToken != "refresh-token-canary0" {
				t.Error("the session that ended isn't given")
			}
		}
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.SessionRevoked)
		if _, got := b.check(s, time.Now()); got == audit.Allowed {
			t.Error("the session is back")
		}
		gone.wants(t, "the renewed tokens", "refresh-token-canary1")
	})
}

// TestTokensOfNobodyAreDiscarded, and no others.
func TestTokensOfNobodyAreDiscarded(t *testing.T) {
	const old = "refresh-token-canary"
	for _, test := range []struct {
		name string
		do   func(b *browser, s *Sessions)
		want []string
	}{
		{"another person logs in", func(b *browser, s *Sessions) {
			r := alice()
			r.Subject = "bob"
			b.begin(s, r, time.Now())
		}, []string{old}},
		{"the provider's session is another", func(b *browser, s *Sessions) {
			r := alice()
			r.SID = "another"
			b.begin(s, r, time.Now())
		}, []string{old}},
		{"the provider's session goes on", func(b *browser, s *Sessions) { b.begin(s, alice(), time.Now()) }, nil},
		{"the provider's session isn't known", func(b *browser, s *Sessions) {
			r := alice()
			r.SID = ""
			b.begin(s, r, time.Now())
		}, nil},
		{"a login that can't be kept", func(b *browser, s *Sessions) {
			r := large(40_000)
			r.Subject = "bob"
			if _, refusal := s.Begin(b.t.Context(), r, b.lines(), time.Now()); refusal == nil {
				b.t.Error("it can")
			}
		}, []string{old}},
		{"a logout, whose tokens its caller has", func(b *browser, s *Sessions) { s.End(b.t.Context(), "web", b.lines(), time.Now()) }, nil},
		{"a logout of two sessions at once", func(b *browser, s *Sessions) {
			tossed, r := newBrowser(b.t), alice()
			r.RefreshToken = "tossed"
			tossed.begin(s, r, time.Now())
			s.End(b.t.Context(), "web", line(b.header()+"; "+tossed.header()), time.Now())
		}, []string{"tossed"}},
		{"a logout that comes twice", func(b *browser, s *Sessions) {
			s.End(b.t.Context(), "web", b.lines(), time.Now())
			s.End(b.t.Context(), "web", b.lines(), time.Now())
		}, nil},
		{"a login that had its session ended before", func(b *browser, s *Sessions) {
			old, _ := s.Peek(b.t.Context(), "web", b.lines(), time.Now())
			s.EndByID(b.t.Context(), old.ID, old.Expires)
			r := alice()
			r.Subject = "bob"
			b.begin(s, r, time.Now())
		}, []string{old}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var gone discards
			s := newTestSessions(t, Options{Discard: gone.discard})
			b := newBrowser(t)
			b.begin(s, alice(), time.Now())
			test.do(b, s)
			gone.wants(t, test.name, test.want...)
		})
	}
}

func TestRenewedSessionThatIsTooLargeIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone discards
		p := provider{life: time.Minute}
		s := newTestSessions(t, Options{Discard: gone.discard, Refresh: map[string]RefreshFunc{"web": func(ctx context.Context, r *Record) *audit.Refusal {
			r.IDToken = large(30_000).IDToken
			return p.refresh(ctx, r)
		}}})
		b := p.login(t, s)
		time.Sleep(time.Minute)
		b.wants(s, time.Now(), audit.SessionEnded)
		gone.wants(t, "too large", "refresh-token-canary1")
	})
}

// TestDiscardsAreBounded: a provider that hangs holds on to no more than so many.
func TestDiscardsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var underWay, ended atomic.Int64
		s := newTestSessions(t, Options{Discard: func(ctx context.Context, _ *Record) {
			underWay.Add(1)
			<-ctx.Done()
			ended.Add(1)
		}})
		began := time.Now()
		for range 2 * maxDiscarding {
			s.discard(t.Context(), new(alice()))
		}
		synctest.Wait()
		if got := underWay.Load(); got != maxDiscarding {
			t.Errorf("%d are under way, want %d", got, maxDiscarding)
		}
		time.Sleep(discardLimit)
		synctest.Wait()
		if got := ended.Load(); got != maxDiscarding {
			t.Errorf("%d ended after %v, want all", got, time.Since(began))
		}
	})
}

// TestCloseWaits for a refresh that nobody else waits for, whose tokens are then
// kept, and no longer than it may.
func TestCloseWaits(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		p.slow = 7 * time.Second
		b := p.login(t, s)
		time.Sleep(6 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, refusal := s.Check(ctx, "web", b.lines(), time.Now()); refusal == nil || refusal.Reason != audit.DeadlineExceeded {
			t.Fatalf("got %v", refusal)
		}
		began := time.Now()
		if s.Close(); time.Since(began) != 6*time.Second {
			t.Errorf("took %v, want what the refresh has left", time.Since(began))
		}
		if store != nil { // another process with the same store has the new tokens
			if r := b.wants(newTestSessions(t, Options{Store: store}), time.Now(), audit.Allowed); r.Refreshes != 1 {
				t.Errorf("the store has version %d", r.Refreshes)
			}
		}
		if s.Close(); time.Since(began) != 6*time.Second {
			t.Error("waits for nothing")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		s := newTestSessions(t, Options{Discard: func(context.Context, *Record) { <-forever }})
		s.discard(t.Context(), new(alice()))
		began := time.Now()
		if s.Close(); time.Since(began) != closeLimit {
			t.Errorf("took %v, want %v", time.Since(began), closeLimit)
		}
		close(forever)
	})
}

// TestLogoutWithoutTheStore deletes the cookies, every one of them, and only that: who
// has a copy is back with the store.
func TestLogoutWithoutTheStore(t *testing.T) {
	store := &outage{Memory: NewMemory(10)}
	s := newTestSessions(t, Options{Store: store})
	now := time.Now()
	b := newBrowser(t)
	b.begin(s, alice(), now)
	b.cookies["__Host-credence.web.3"] = "left over"
	stolen := b.copy()
	store.down.Store(true)
	if _, refusal := s.Peek(t.Context(), "web", b.lines(), now); refusal == nil || refusal.Reason != audit.SessionStoreUnavailable {
		t.Errorf("peeking got %v, which doesn't tell", refusal)
	}
	r, deletions := s.End(t.Context(), "web", b.lines(), now)
	if r != nil {
		t.Error("a session ended that can't be read")
	}
	if b.take(deletions); len(b.cookies) != 0 {
		t.Errorf("%d cookies are left", len(b.cookies))
	}
	store.down.Store(false)
	stolen.wants(s, now, audit.Allowed)
}

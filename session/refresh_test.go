package session

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestTokensAreRenewedInTime(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		b := p.login(t, s)
		time.Sleep(4*time.Minute - time.Second)
		if r := b.wants(s, time.Now(), audit.Allowed); p.calls.Load() != 0 || r.Refreshes != 0 {
			t.Error("renewed before the leeway began")
		}
		time.Sleep(15*time.Second + time.Second) // a quarter of the leeway depends on the id
		r := b.wants(s, time.Now(), audit.Allowed)
		if p.calls.Load() != 1 || r.Refreshes != 1 || r.RefreshToken != p.token() || !r.Refreshed.Equal(wholeSecond(time.Now())) {
			t.Errorf("%d calls, refreshed %d times", p.calls.Load(), r.Refreshes)
		}
		for range 20 { // and on and on
			time.Sleep(260 * time.Second)
			b.wants(s, time.Now(), audit.Allowed)
		}
		if got := p.calls.Load(); got != 21 {
			t.Errorf("%d calls, want 21", got)
		}
	})
}

func TestWhatIsNotRenewed(t *testing.T) {
	for name, change := range map[string]func(r *Record){
		"without a refresh token": func(r *Record) { r.RefreshToken = "" },
		"without a known end":     func(r *Record) { r.AccessExpires = time.Time{} },
		"of another client":       func(r *Record) { r.Client = "other" },
	} {
		synctest.Test(t, func(t *testing.T) {
			var p provider
			s := newTestSessions(t, Options{Refresh: map[string]RefreshFunc{"web": p.refresh}})
			r := alice()
			r.AccessExpires = time.Now().Add(time.Minute)
			change(&r)
			b := newBrowser(t)
			b.begin(s, r, time.Now())
			time.Sleep(30 * time.Minute)
			v, refusal := s.Check(t.Context(), r.Client, b.lines(), time.Now())
			if refusal != nil || v.Record.Refreshes != 0 || p.calls.Load() != 0 {
				t.Errorf("%s: %v, %d calls", name, refusal, p.calls.Load())
			}
		})
	}
}

// TestShortTokens: whatever the leeway, a session isn't renewed with each request.
func TestShortTokens(t *testing.T) {
	for life, most := range map[time.Duration]int64{30 * time.Second: 28, time.Second: 121, 0: 121} {
		synctest.Test(t, func(t *testing.T) {
			p := &provider{life: life}
			s := newTestSessions(t, Options{RefreshLeeway: time.Hour, Refresh: map[string]RefreshFunc{"web": p.refresh}})
			b := p.login(t, s)
			for range 600 {
				time.Sleep(time.Second)
				b.wants(s, time.Now(), audit.Allowed)
			}
			if got := p.calls.Load(); got == 0 || got > most {
				t.Errorf("tokens of %v: %d calls in ten minutes, want %d at most", life, got, most)
			}
		})
	}
}

// TestOneRenewsForAll (S5).
func TestOneRenewsForAll(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		p.slow = time.Second
		b := p.login(t, s)
		time.Sleep(5 * time.Minute)
		old := b.copy()
		var set atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 40 * time.Millisecond) // some come when it is done
				v, refusal := s.Check(t.Context(), "web", old.lines(), time.Now())
				if refusal != nil || v.Record.RefreshToken != "refresh-token-canary1" {
					t.Errorf("got %v", refusal)
				}
				set.Add(int64(len(v.SetCookies)))
				if v.SetCookies != nil && i == 49 {
					b.take(v.SetCookies)
				}
			})
		}
		wg.Wait()
		want := int64(50) // so that whichever answer comes last, the browser has the new version
		if store != nil {
			want = 0
		}
		if p.calls.Load() != 1 || set.Load() != want {
			t.Errorf("%d calls and %d cookies, want 1 and %d", p.calls.Load(), set.Load(), want)
		}
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 {
			t.Errorf("version %d", r.Refreshes)
		}
	})
}

// TestOldVersions: for a minute a request with the old version gets the new one.
func TestOldVersions(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		b := p.login(t, s)
		old := b.copy()
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.Allowed)
		for range 5 {
			time.Sleep(10 * time.Second)
			late := old.copy()
			if r := late.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 || (late.set > 0) != (store == nil) {
				t.Errorf("version %d, %d cookies", r.Refreshes, late.set)
			}
			if late.header() == old.header() && store == nil {
				t.Error("the new version isn't sent")
			}
		}
		if r, refusal := s.Peek(t.Context(), "web", old.lines(), time.Now()); refusal != nil || r.Refreshes != 1 {
			t.Errorf("peeking got %v", refusal)
		}
		time.Sleep(11 * time.Second)
		if store == nil {
			// Rotation has spent the old refresh token: the provider says no.
			old.wants(s, time.Now(), audit.SessionEnded)
			b.wants(s, time.Now(), audit.SessionRevoked)
			return
		}
		old.wants(s, time.Now(), audit.Allowed)
	})
}

// TestRenewalOutlivesItsRequest: the old refresh token is spent whoever waits.
func TestRenewalOutlivesItsRequest(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		p.slow = time.Second
		b := p.login(t, s)
		time.Sleep(6 * time.Minute) // the access token has ended, so the request has to wait
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, refusal := s.Check(ctx, "web", b.lines(), time.Now()); refusal == nil || refusal.Reason != audit.DeadlineExceeded {
			t.Errorf("got %v", refusal)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, refusal := s.Check(gone, "web", b.lines(), time.Now()); refusal == nil || refusal.Reason != audit.Cancelled {
			t.Errorf("got %v", refusal)
		}
		time.Sleep(time.Second)
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 || p.calls.Load() != 1 {
			t.Errorf("version %d after %d calls", r.Refreshes, p.calls.Load())
		}
	})
}

// TestRenewalThatLandedMeanwhile: a request that looked before it landed and asks
// after it, doesn't begin another.
func TestRenewalThatLandedMeanwhile(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		b := p.login(t, s)
		time.Sleep(5 * time.Minute)
		found := s.find("web", b.copy().lines())
		h, refusal := s.look(t.Context(), found, time.Now())
		if refusal != nil {
			t.Fatal(refusal)
		}
		b.wants(s, time.Now(), audit.Allowed)
		h, refusal = s.refresh(t.Context(), found.jar, h, time.Now())
		if refusal != nil || h.record.Refreshes != 1 || p.calls.Load() != 1 {
			t.Errorf("got %v after %d calls", refusal, p.calls.Load())
		}
	})
}

// TestSlowProviderHoldsUpNobody as long as the access token lives.
func TestSlowProviderHoldsUpNobody(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		p.slow = 3 * time.Second
		b := p.login(t, s)
		time.Sleep(4*time.Minute + 20*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		v, refusal := s.Check(ctx, "web", b.lines(), began)
		if refusal != nil || v.Record.Refreshes != 0 || time.Since(began) != time.Second/2 {
			t.Errorf("got %v after %v", refusal, time.Since(began))
		}
		time.Sleep(3 * time.Second)
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 || p.calls.Load() != 1 {
			t.Errorf("version %d after %d calls", r.Refreshes, p.calls.Load())
		}
	})
}

// TestProviderDown (S5): the session goes on while its token lives, is undecided
// after that, and works again when the provider does.
func TestProviderDown(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		b := p.login(t, s)
		p.refuses.Store(&audit.Refusal{Reason: audit.RefreshUnavailable, Detail: "connection refused"})
		time.Sleep(4*time.Minute + 20*time.Second)
		for range 30 {
			if r := b.wants(s, time.Now(), audit.Allowed); r.Claims != alice().Claims {
				t.Fatal("what a failed renewal did is seen")
			}
			time.Sleep(time.Second)
		}
		if got := p.calls.Load(); got != 6 {
			t.Errorf("%d calls in 30 s, want 6", got)
		}
		time.Sleep(10 * time.Second)
		before := p.calls.Load()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, refusal := s.Check(t.Context(), "web", b.lines(), time.Now())
				if refusal == nil || refusal.Reason != audit.RefreshUnavailable || refusal.RetryAfter != retryAfter || refusal.Detail != "connection refused" {
					t.Errorf("got %v", refusal)
				}
			})
		}
		wg.Wait()
		if got := p.calls.Load() - before; got != 1 {
			t.Errorf("%d calls by 10 requests at once, want 1", got)
		}
		p.refuses.Store(nil)
		time.Sleep(retryAfter)
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 {
			t.Errorf("version %d", r.Refreshes)
		}
	})
}

func TestProviderThatHangs(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, _ Store) {
		p.slow = time.Hour
		b := p.login(t, s)
		time.Sleep(5 * time.Minute)
		began := time.Now()
		if b.wants(s, began, audit.RefreshUnavailable); time.Since(began) != refreshLimit {
			t.Errorf("took %v", time.Since(began))
		}
	})
}

// TestProviderSaysNo: the session is over for every copy of its cookie.
func TestProviderSaysNo(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		b := p.login(t, s)
		p.refuses.Store(&audit.Refusal{Reason: audit.SessionEnded, Detail: "invalid_grant"})
		time.Sleep(4*time.Minute + 20*time.Second) // though the access token lives
		b.wants(s, time.Now(), audit.SessionEnded)
		p.refuses.Store(nil)
		if store == nil {
			b.wants(s, time.Now(), audit.SessionRevoked)
		} else {
			b.wants(s, time.Now(), audit.SessionInvalid)
		}
		if got := p.calls.Load(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

func TestRenewalsThatCantBeTaken(t *testing.T) {
	tests := []struct {
		name    string
		refresh RefreshFunc
		want    audit.Reason
		detail  string
	}{
		{"for another subject", func(_ context.Context, r *Record) *audit.Refusal { r.Subject = "mallory"; return nil }, audit.SessionEnded, "another identity"},
		{"for another issuer", func(_ context.Context, r *Record) *audit.Refusal { r.Issuer = "https://evil.example"; return nil }, audit.SessionEnded, "another identity"},
		{"for another client", func(_ context.Context, r *Record) *audit.Refusal { r.Client = "admin"; return nil }, audit.SessionEnded, "another identity"},
		{"too large", func(_ context.Context, r *Record) *audit.Refusal { r.IDToken = large(30_000).IDToken; return nil }, audit.SessionEnded, "doesn't fit"},
		{"a panic", func(context.Context, *Record) *audit.Refusal { panic("refresh-token-canary") }, audit.RefreshUnavailable, "panic"},
		{"a fault of ours", func(context.Context, *Record) *audit.Refusal {
			return &audit.Refusal{Reason: audit.InternalError, Detail: "d"}
		}, audit.RefreshUnavailable, "internal_error: d"},
		{"down, and says for how long", func(context.Context, *Record) *audit.Refusal {
			return &audit.Refusal{Reason: audit.RefreshUnavailable, RetryAfter: time.Minute, Detail: "d"}
		}, audit.RefreshUnavailable, "d"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			s := newTestSessions(t, Options{Refresh: map[string]RefreshFunc{"web": test.refresh}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			p := provider{life: time.Minute}
			b := p.login(t, s)
			time.Sleep(time.Minute)
			_, refusal := s.Check(t.Context(), "web", b.lines(), time.Now())
			if refusal == nil || refusal.Reason != test.want || !strings.Contains(refusal.Detail, test.detail) {
				t.Errorf("%s: got %v, want %v", test.name, refusal, test.want)
			}
			noCanary(t, test.name, log.String()+refusal.Error())
		})
	}
}

// TestStoreForgetsWhileTokensAreRenewed: a session that another replica ended isn't put
// back.
func TestStoreForgetsWhileTokensAreRenewed(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		if store == nil {
			t.Skip("cookies aren't changed by others")
		}
		var gone discards
		s.discarder = gone.discard
		b := p.login(t, s)
		r := b.wants(s, time.Now(), audit.Allowed)
		p.during = func() {
			if err := store.Delete(t.Context(), storeKey(r.ID)); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.SessionRevoked)
		b.wants(s, time.Now(), audit.SessionInvalid)
		gone.wants(t, "the renewed tokens", "refresh-token-canary1")
	})
}

// TestRenewalMovesNoEnd: not even a RefreshFunc does.
func TestRenewalMovesNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{life: 5 * time.Minute}
		s := newTestSessions(t, Options{Lifetime: time.Hour, Refresh: map[string]RefreshFunc{"web": func(ctx context.Context, r *Record) *audit.Refusal {
			r.LoggedIn, r.Expires = time.Now(), r.Expires.Add(24*time.Hour)
			return p.refresh(ctx, r)
		}}})
		b := p.login(t, s)
		first := b.wants(s, time.Now(), audit.Allowed)
		for range 11 {
			time.Sleep(5 * time.Minute)
			if r := b.wants(s, time.Now(), audit.Allowed); !r.LoggedIn.Equal(first.LoggedIn) || !r.Expires.Equal(first.Expires) {
				t.Fatalf("from %v to %v, want %v to %v", r.LoggedIn, r.Expires, first.LoggedIn, first.Expires)
			}
		}
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.SessionExpired)
	})
}

// TestUseIsNotedWhileTokensAreRenewed: the store's record changes under the renewal,
// which wins all the same.
func TestUseIsNotedWhileTokensAreRenewed(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		if store == nil {
			t.Skip("cookies aren't changed by others")
		}
		b := p.login(t, s)
		r := b.wants(s, time.Now(), audit.Allowed)
		p.during = func() {
			stored, err := store.Get(t.Context(), storeKey(r.ID))
			if err != nil {
				t.Error(err)
			}
			h, refusal := s.open(t.Context(), &presented{jar: s.jar("web")}, b.cookies["__Host-credence.web"])
			if refusal != nil {
				t.Error(refusal)
			}
			if ok, err := s.put(t.Context(), s.jar("web"), r, h.secret, stored); !ok || err != nil {
				t.Error(ok, err)
			}
		}
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.Allowed)
		s.newest.entries.Clear()
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 {
			t.Errorf("the store has version %d", r.Refreshes)
		}
	})
}

// TestRenewedSessionThatCantBeStored goes on, and is stored later.
func TestRenewedSessionThatCantBeStored(t *testing.T) {
	refreshing(t, func(t *testing.T, p *provider, s *Sessions, store Store) {
		if store == nil {
			t.Skip("cookies are always there")
		}
		b := p.login(t, s)
		down := &store.(*writeOutage).down
		down.Store(true)
		time.Sleep(5 * time.Minute)
		b.wants(s, time.Now(), audit.Allowed)
		down.Store(false)
		time.Sleep(10 * time.Second)
		b.wants(s, time.Now(), audit.Allowed)
		time.Sleep(rememberVersion)
		if r := b.wants(s, time.Now(), audit.Allowed); r.Refreshes != 1 || p.calls.Load() != 1 {
			t.Errorf("version %d after %d calls", r.Refreshes, p.calls.Load())
		}
	})
}

func TestRefreshesAreWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := audit.NewLog(&b, audit.AllowsAll)
		p := &provider{life: time.Minute, slow: time.Second}
		s := newTestSessions(t, Options{Audit: log, Refresh: map[string]RefreshFunc{"web": p.refresh}})
		browser := p.login(t, s)
		time.Sleep(time.Minute)
		browser.wants(s, time.Now(), audit.Allowed)
		p.refuses.Store(&audit.Refusal{Reason: audit.SessionEnded, Detail: "invalid_grant"})
		time.Sleep(time.Minute)
		browser.wants(s, time.Now(), audit.SessionEnded)
		synctest.Wait()
		log.Close()
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		wants := []string{`"msg":"refresh","verdict":"allow","reason":"allowed","subject":"alice-subject","client":"web","took_us":1000000`, `"msg":"refresh","verdict":"deny","reason":"session_ended","subject":"alice-subject","client":"web","detail":"invalid_grant"`}
		if len(lines) != len(wants) {
			t.Fatalf("got %q", lines)
		}
		for i, want := range wants {
			if !strings.Contains(lines[i], want) {
				t.Errorf("got %s, want %s", lines[i], want)
			}
		}
		noCanary(t, "the audit log", b.String())
	})
}

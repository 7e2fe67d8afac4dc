package session

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

// provider renews tokens as one with rotation does: a refresh token works once.
type provider struct {
	life    time.Duration // of the access tokens
	slow    time.Duration // to answer
	calls   atomic.Int64
	refuses atomic.Pointer[audit.Refusal]
	during  func() // runs within a call

	mu   sync.Mutex
	next int
}

func (p *provider) refresh(ctx context.Context, r *Record) *audit.Refusal {
	p.calls.Add(1)
	select {
	case <-time.After(p.slow):
	case <-ctx.Done():
		return &audit.Refusal{Reason: audit.RefreshUnavailable, Err: ctx.Err()}
	}
	if p.during != nil {
		p.during()
	}
	if no := p.refuses.Load(); no != nil {
		r.Claims, r.RefreshToken = "half", "way" // nobody may see that
		return no
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if want := p.token(); r.RefreshToken != want {
		return &audit.Refusal{Reason: audit.SessionEnded, Detail: "invalid_grant"}
	}
	p.next++
	r.RefreshToken, r.AccessToken = p.token(), fmt.Sprint("access-token-canary", p.next)
	r.AccessExpires = time.Now().Add(p.life)
	return nil
}

func (p *provider) token() string { return fmt.Sprint("refresh-token-canary", p.next) }

// login is a browser with a session whose access token has a life.
func (p *provider) login(t *testing.T, s *Sessions) *browser {
	t.Helper()
	b := newBrowser(t)
	r := alice()
	r.RefreshToken, r.AccessExpires = p.token(), time.Now().Add(p.life)
	b.begin(s, r, time.Now())
	return b
}

// refreshing runs a test with both kinds of stores and a provider whose tokens live
// five minutes.
func refreshing(t *testing.T, test func(t *testing.T, p *provider, s *Sessions, store Store)) {
	for _, kind := range []string{"cookie", "memory"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &provider{life: 5 * time.Minute}
				var store Store
				if kind == "memory" {
					store = &writeOutage{Memory: NewMemory(10)}
				}
				s := newTestSessions(t, Options{Store: store, RefreshLeeway: time.Minute, Refresh: map[string]RefreshFunc{"web": p.refresh}})
				test(t, p, s, store)
			})
		})
	}
}

package authz

import (
	"context"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestDecidingWhileEverythingChanges: keys rotate, configurations are swapped and
// callers give up while many decide. A good token is never refused as bad, a bad
// one never passes, and everybody is told about themselves.
func TestDecidingWhileEverythingChanges(t *testing.T) {
	corp := newIssuer(t, "corp")
	corp.AddKey("EdDSA", "comes-and-goes")
	corp.refresh(t)
	log := audit.NewLog(io.Discard, audit.AllowsSampled)
	defer log.Close()
	tokens, counters := newTokens(t), audit.NewCounters()
	rules := []Rule{
		{Name: "public", Match: Match{Paths: []string{"/public"}}, Public: true, Headers: map[string]string{"x-user": `"nobody"`}},
		{Name: "orders", Bearer: orders.Bearer, Require: `claims.groups.exists(g, g == "staff")`, Headers: map[string]string{"x-user": "claims.sub", "x-groups": "claims.groups"}, Metadata: map[string]string{"all": "claims"}},
	}
	build := func() *Engine {
		return newEngine(t, Options{Rules: rules, Tokens: tokens, Counters: counters, Audit: log, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))})
	}
	var engine atomic.Pointer[Engine]
	engine.Store(build())

	const people, rounds = 8, 150
	var good, leaving [people]string
	for i := range people {
		claims := map[string]any{"sub": "user-" + strconv.Itoa(i)}
		good[i] = corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: claims})
		leaving[i] = corp.Sign(oidctest.Token{KeyID: "comes-and-goes", Claims: claims})
	}
	bad := corp.Sign(oidctest.Token{KeyID: "ed-1", TTL: -time.Hour})

	over := make(chan struct{})
	var changing, deciding sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			default:
			}
			if i%2 == 0 {
				corp.RetireKey("comes-and-goes")
			} else {
				corp.PublishKey("comes-and-goes")
			}
			if err := corp.keys.Refresh(context.Background()); err != nil {
				t.Error(err)
			}
			engine.Store(build())
		}
	})
	for i := range people {
		deciding.Go(func() {
			for range rounds {
				d := asks(t, engine.Load(), good[i], time.Now())
				if !d.Allow || string(d.Subject) != "user-"+strconv.Itoa(i) || value(t, d.Set, "x-user") != "user-"+strconv.Itoa(i) {
					t.Errorf("got %v for %q, %q", d.Reason, d.Subject, d.Set)
				}
				if d := asks(t, engine.Load(), bad, time.Now()); d.Reason != audit.TokenExpired {
					t.Errorf("got %v", d.Reason)
				}
				switch d := asks(t, engine.Load(), leaving[i], time.Now()); d.Reason {
				case audit.Allowed:
					if string(d.Subject) != "user-"+strconv.Itoa(i) {
						t.Errorf("got %q", d.Subject)
					}
				case audit.KeyUnknown, audit.KeyRefreshPending:
				default:
					t.Errorf("got %v", d.Reason)
				}
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				if d := engine.Load().Decide(ctx, get("/public")); d.Reason != audit.PublicRule && d.Reason != audit.Cancelled {
					t.Errorf("got %v", d.Reason)
				}
				cancel()
			}
		})
	}
	deciding.Wait()
	close(over)
	changing.Wait()
	var counted uint64
	counters.Each(func(_ string, _ audit.Reason, n uint64) { counted += n })
	if counted != 4*people*rounds {
		t.Errorf("counted %d decisions, want %d", counted, 4*people*rounds)
	}
}

package authz

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// watched is an engine whose memory is watched at every hit.
type watched struct {
	*Engine
	corp  *issuer
	watch *Recheck
	said  lines
}

func newWatched(t testing.TB) *watched {
	t.Helper()
	w := &watched{corp: newIssuer(t, "corp")}
	w.watch = NewRecheck(1, newTextLog(&w.said))
	tokens := newTokens(t)
	tokens.Recheck = w.watch
	w.Engine = newEngine(t, Options{Rules: []Rule{orders}, Tokens: tokens, Verifier: newVerifier(w.corp.provider(t, "corp", oidc.ProviderOptions{}))})
	return w
}

// confuse has memory take a token for another one, which is good.
func (w *watched) confuse(t testing.TB, token, with string, now time.Time) {
	t.Helper()
	verdict := w.bearer.verifier.Verify(t.Context(), oidc.RawToken(with), now, netip.Addr{})
	if !verdict.Good() {
		t.Fatalf("got %v", verdict.Refusal)
	}
	w.bearer.tokens.good.Put(w.bearer.tokens.keyer.Key(token), flatten(&verdict), now, now.Add(time.Minute))
}

// wantCounts asserts what the watch has seen, once it has nothing to do.
func (w *watched) wantCounts(t testing.TB, rechecks, falseAllows uint64) {
	t.Helper()
	synctest.Wait()
	if got, found := w.watch.Rechecks(), w.watch.FalseAllows(); got != rechecks || found != falseAllows {
		t.Errorf("got %d rechecks and %d false allows, want %d and %d", got, found, rechecks, falseAllows)
	}
}

// TestO13_FalseAllowIsFound: a token that memory takes for a good one is found, counted,
// written down without the token, and forgotten.
func TestO13_FalseAllowIsFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		token func(*issuer) string
		then  audit.Reason
		who   string
	}{
		{"expired", func(i *issuer) string { return i.Sign(oidctest.Token{TTL: -time.Hour}) }, audit.TokenExpired, ""},
		{"of somebody else", func(i *issuer) string { return i.Sign(oidctest.Token{Claims: map[string]any{"sub": "bob"}}) }, audit.Allowed, "bob"},
		{"with less in it", func(i *issuer) string { return i.Sign(oidctest.Token{Claims: map[string]any{"scope": nil}}) }, audit.Allowed, "alice"},
		{"signed by nobody", func(i *issuer) string { return i.Sign(oidctest.Token{Alg: "none"}) }, audit.AlgorithmNotAllowed, ""},
		{"by a key that nobody has", func(i *issuer) string { return i.Sign(oidctest.Token{KeyID: "unknown"}) }, audit.KeyRefreshPending, ""},
		{"not a token at all", func(*issuer) string { return "canary.canary.canary" }, audit.TokenMalformed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatched(t)
				now, token := time.Now(), tt.token(w.corp)
				w.confuse(t, token, w.corp.Sign(oidctest.Token{}), now)
				d := asks(t, w.Engine, token, now)
				wantCached(t, d, audit.Allowed, true)
				w.wantCounts(t, 1, 1)
				said := w.said.String()
				if !strings.Contains(said, "provider=corp") || strings.Contains(said, token) || strings.Contains(said, "canary") {
					t.Errorf("got log %q", said)
				}
				d = asks(t, w.Engine, token, now)
				wantCached(t, d, tt.then, false)
				if string(d.Subject) != tt.who {
					t.Errorf("got %q, want %q", d.Subject, tt.who)
				}
			})
		})
	}
}

// TestO13_TrueVerdictsRaiseNoAlarm: not at the ends of their time, not while keys come
// and go, and not where a provider is asked, which isn't asked more for it.
func TestO13_TrueVerdictsRaiseNoAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		now := time.Now()
		token := w.corp.Sign(oidctest.Token{TTL: time.Minute})
		asks(t, w.Engine, token, now)
		w.wantCounts(t, 0, 0) // it wasn't remembered
		end := now.Add(time.Minute + 30*time.Second).Truncate(time.Second)
		for i, at := range []time.Time{now, now.Add(time.Minute), end.Add(-time.Millisecond)} {
			wantCached(t, asks(t, w.Engine, token, at), audit.Allowed, true)
			time.Sleep(3 * time.Minute) // the request's clock counts, not that of the recheck
			w.wantCounts(t, uint64(i+1), 0)
		}
		w.corp.AddKey("EdDSA", "second")
		w.corp.refresh(t)
		wantCached(t, asks(t, w.Engine, token, now), audit.Allowed, true)
		w.wantCounts(t, 4, 0)
		wantCached(t, asks(t, w.Engine, w.corp.Sign(oidctest.Token{TTL: -2 * time.Hour}), now), audit.TokenExpired, false)
		w.wantCounts(t, 4, 0) // refusals aren't watched
		now = time.Now()
		unnamed := w.corp.Sign(oidctest.Token{KeyID: "-"})
		wantCached(t, asks(t, w.Engine, unnamed, now), audit.Allowed, false)
		for _, kid := range []string{"a", "b", "c", "d"} {
			w.corp.AddKey("RS256", kid)
		}
		w.corp.refresh(t)
		wantCached(t, asks(t, w.Engine, unnamed, now), audit.Allowed, true) // its key is still there
		w.wantCounts(t, 4, 0)
		wantCached(t, asks(t, w.Engine, w.corp.Sign(oidctest.Token{KeyID: "-", Claims: map[string]any{"sub": "bob"}}), now), audit.KeyAmbiguous, false)
	})
	synctest.Test(t, func(t *testing.T) {
		corp, tokens := newIssuer(t, "corp"), newTokens(t)
		tokens.Recheck = NewRecheck(1, nil)
		provider := corp.introspected(t, "corp", oidc.IntrospectorOptions{}, oidc.ProviderOptions{IntrospectJWTs: true})
		e := newEngine(t, Options{Rules: []Rule{orders}, Tokens: tokens, Verifier: newVerifier(provider)})
		token := corp.IssueJWT(oidctest.Token{})
		for _, cached := range []bool{false, true, true} {
			wantCached(t, asks(t, e, token, time.Now()), audit.Allowed, cached)
		}
		synctest.Wait()
		if asked := corp.Requests(oidctest.Introspection); asked != 1 || tokens.Recheck.Rechecks() != 0 {
			t.Errorf("asked %d times, %d rechecks", asked, tokens.Recheck.Rechecks())
		}
	})
}

// TestO13_OneRecheckAtATime: requests don't wait for it, and it isn't to be had twice.
// Keys that change meanwhile explain any difference, until the next one.
func TestO13_OneRecheckAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		began := time.Now()
		token, good := w.corp.Sign(oidctest.Token{KeyID: "unknown"}), w.corp.Sign(oidctest.Token{})
		asks(t, w.Engine, good, began)
		w.confuse(t, token, good, began)
		w.corp.AddKey("EdDSA", "second")
		w.corp.Break(oidctest.JWKS, oidctest.Fault{Delay: time.Second})
		wantCached(t, asks(t, w.Engine, token, began), audit.Allowed, true) // its recheck asks for the key
		synctest.Wait()
		for range 100 {
			wantCached(t, asks(t, w.Engine, good, began), audit.Allowed, true)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("requests waited %s", waited)
		}
		time.Sleep(time.Minute)
		w.wantCounts(t, 0, 0)
		wantCached(t, asks(t, w.Engine, token, began), audit.Allowed, true)
		time.Sleep(time.Minute)
		w.wantCounts(t, 1, 1)
	})
}

// TestO13_CloseWaitsForTheRecheck and lets none begin.
func TestO13_CloseWaitsForTheRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		now := time.Now()
		token, good := w.corp.Sign(oidctest.Token{KeyID: "unknown"}), w.corp.Sign(oidctest.Token{})
		w.confuse(t, token, good, now)
		asks(t, w.Engine, good, now)
		w.corp.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		asks(t, w.Engine, token, now)
		w.watch.Close()
		if waited := time.Since(now); waited != recheckLimit {
			t.Errorf("waited %s", waited)
		}
		wantCached(t, asks(t, w.Engine, good, now), audit.Allowed, true)
		w.wantCounts(t, 0, 0) // it was given up
	})
}

package authz

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// asks decides on a token for the orders.
func asks(t testing.TB, e *Engine, token string, now time.Time) Decision {
	r := get("/", bearer(token))
	r.Time = now
	return e.Decide(t.Context(), r)
}

// wantCached asserts a decision's reason, and whether it was remembered.
func wantCached(t *testing.T, d Decision, reason audit.Reason, cached bool) {
	t.Helper()
	wantReason(t, d, reason)
	if d.Cached != cached {
		t.Errorf("%v: got cached %t, want %t", d.Reason, d.Cached, cached)
	}
}

func TestSEC_5_17_VerdictIsRemembered(t *testing.T) {
	corp, e := newCorp(t, Rule{Name: "root", Match: Match{Paths: []string{"/root"}}, Bearer: orders.Bearer, Require: `claims.sub == "root"`}, orders)
	now := time.Now()
	fine, expired := corp.Sign(oidctest.Token{}), corp.Sign(oidctest.Token{TTL: -time.Hour})
	wantCached(t, asks(t, e, fine, now), audit.Allowed, false)
	wantCached(t, asks(t, e, expired, now), audit.TokenExpired, false)
	for range 3 {
		d := asks(t, e, fine, now)
		wantCached(t, d, audit.Allowed, true)
		if d.Provider != "corp" || d.Subject != "alice" || d.ClientID != "web" {
			t.Errorf("got %+v", d)
		}
		d = asks(t, e, expired, now)
		wantCached(t, d, audit.TokenExpired, true)
		if !strings.Contains(d.Detail, "exp ") {
			t.Errorf("the detail is forgotten: %q", d.Detail)
		}
	}
	// Another rule judges the same identity anew (5.17).
	d := e.Decide(t.Context(), get("/root", bearer(fine)))
	wantCached(t, d, audit.RequirementFalse, true)
}

func TestWhatIsntRemembered(t *testing.T) {
	corp, down := newIssuer(t, "corp"), newBrokenIssuer(t, "down", oidctest.Fault{Status: 503})
	e := newEngine(t, Options{Rules: []Rule{orders}, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}), down.provider(t, "down", oidc.ProviderOptions{}))})
	now := time.Now()
	unknown := corp.Sign(oidctest.Token{KeyID: "nobody"})
	wantCached(t, asks(t, e, unknown, now), audit.KeyUnknown, false)
	wantCached(t, asks(t, e, unknown, now), audit.KeyRefreshPending, false)
	unavailable := down.Sign(oidctest.Token{})
	for range 2 {
		wantCached(t, asks(t, e, unavailable, now), audit.KeysUnavailable, false)
		wantCached(t, asks(t, e, "opaque", now), audit.TokenOpaque, false)
		wantCached(t, asks(t, e, corp.Sign(oidctest.Token{Claims: map[string]any{"iss": "x"}}), now), audit.IssuerUnknown, false)
		wantCached(t, asks(t, e, corp.Sign(oidctest.Token{Alg: "none"}), now), audit.AlgorithmNotAllowed, false)
	}
	if good, refused := e.bearer.tokens.good.Stats(), e.bearer.tokens.refused.Stats(); good.Entries+refused.Entries != 0 {
		t.Errorf("%d good and %d refused are remembered", good.Entries, refused.Entries)
	}
}

// TestVerdictLastsAsLongAsItIsTrue: at each time the answer is that of a clock that
// stands there, whichever answer was given before.
func TestVerdictLastsAsLongAsItIsTrue(t *testing.T) {
	corp, e := newCorp(t, orders)
	const skew = 30 * time.Second
	begin := time.Now().Truncate(time.Second).Add(time.Hour)
	end := begin.Add(5 * time.Minute)
	token := corp.Sign(oidctest.Token{Claims: map[string]any{"nbf": begin.Unix(), "exp": end.Unix(), "iat": nil}})
	rows := []struct {
		name   string
		at     time.Time
		want   audit.Reason
		cached bool
	}{
		{"long before", begin.Add(-time.Hour), audit.TokenNotYetValid, false},
		{"and again", begin.Add(-time.Hour), audit.TokenNotYetValid, true},
		{"a moment before", begin.Add(-skew - time.Millisecond), audit.TokenNotYetValid, false}, // that refusal is too old
		{"and again", begin.Add(-skew - time.Millisecond), audit.TokenNotYetValid, true},
		{"from then on", begin.Add(-skew), audit.Allowed, false},
		{"and again", begin.Add(-skew), audit.Allowed, true},
		{"the clock is set back", begin.Add(-skew - time.Millisecond), audit.TokenNotYetValid, true},
		{"and forward", begin, audit.Allowed, true},
		{"a moment before the end", end.Add(skew - time.Millisecond), audit.Allowed, true},
		{"the end", end.Add(skew), audit.TokenExpired, false},
		{"and again", end.Add(skew), audit.TokenExpired, true},
		{"before the end once more", end.Add(skew - time.Millisecond), audit.Allowed, true},
		{"long after", end.Add(time.Hour), audit.TokenExpired, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { wantCached(t, asks(t, e, token, row.at), row.want, row.cached) })
	}
}

func TestVerdictLastsNoLongerThanItsTimeToLive(t *testing.T) {
	corp, e := newCorp(t, orders)
	now := time.Now()
	fine, bad := corp.Sign(oidctest.Token{}), corp.Sign(oidctest.Token{Claims: map[string]any{"aud": "other"}})
	asks(t, e, fine, now)
	asks(t, e, bad, now)
	wantCached(t, asks(t, e, fine, now.Add(15*time.Minute-time.Second)), audit.Allowed, true)
	wantCached(t, asks(t, e, fine, now.Add(15*time.Minute)), audit.Allowed, false)
	wantCached(t, asks(t, e, bad, now.Add(10*time.Second-time.Millisecond)), audit.AudienceMismatch, true)
	wantCached(t, asks(t, e, bad, now.Add(10*time.Second)), audit.AudienceMismatch, false)
}

// TestSEC_5_19_RemovedKeyEndsVerdicts: at once when the key set is known to be
// without it.
func TestSEC_5_19_RemovedKeyEndsVerdicts(t *testing.T) {
	corp, e := newCorp(t, orders)
	corp.AddKey("EdDSA", "second")
	corp.refresh(t)
	now := time.Now()
	fine, bad := corp.Sign(oidctest.Token{KeyID: "second"}), corp.Sign(oidctest.Token{KeyID: "second", TTL: -time.Hour})
	other := corp.Sign(oidctest.Token{})
	for _, token := range []string{fine, bad, other} {
		asks(t, e, token, now)
	}
	wantCached(t, asks(t, e, fine, now), audit.Allowed, true)
	wantCached(t, asks(t, e, bad, now), audit.TokenExpired, true)
	corp.RetireKey("second")
	wantCached(t, asks(t, e, fine, now), audit.Allowed, true) // nobody knows yet
	corp.refresh(t)
	wantCached(t, asks(t, e, fine, now), audit.KeyUnknown, false)
	if d := asks(t, e, bad, now); d.Allow || d.Cached {
		t.Errorf("got %v, cached %t", d.Reason, d.Cached)
	}
	wantCached(t, asks(t, e, other, now), audit.Allowed, true) // its own key is still there
	corp.PublishKey("second")
	corp.refresh(t)
	wantReason(t, asks(t, e, fine, now), audit.Allowed)
}

// TestRefusalEndsWithItsKeySet: a key that came later may be the one that signed.
func TestRefusalEndsWithItsKeySet(t *testing.T) {
	corp, e := newCorp(t, orders)
	corp.AddHiddenKey("EdDSA", "second")
	corp.refresh(t)
	now := time.Now()
	token := corp.Sign(oidctest.Token{KeyID: "second", Header: map[string]any{"kid": nil}})
	wantCached(t, asks(t, e, token, now), audit.SignatureInvalid, false)
	corp.refresh(t) // the same keys
	wantCached(t, asks(t, e, token, now), audit.SignatureInvalid, true)
	corp.PublishKey("second")
	corp.refresh(t)
	wantCached(t, asks(t, e, token, now), audit.Allowed, false)
}

func TestKeysThatAreTooOldEndVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCorp(t, orders)
		fine, bad := corp.Sign(oidctest.Token{TTL: 100 * time.Hour}), corp.Sign(oidctest.Token{TTL: -time.Hour})
		corp.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		time.Sleep(24*time.Hour - time.Minute)
		for _, cached := range []bool{false, true} {
			wantCached(t, asks(t, e, fine, time.Now()), audit.Allowed, cached)
			wantCached(t, asks(t, e, bad, time.Now()), audit.TokenExpired, cached)
		}
		time.Sleep(2 * time.Minute)
		wantCached(t, asks(t, e, fine, time.Now()), audit.KeysUnavailable, false)
		wantCached(t, asks(t, e, bad, time.Now()), audit.KeysUnavailable, false)
		corp.Mend(oidctest.JWKS)
		corp.refresh(t)
		wantCached(t, asks(t, e, fine, time.Now()), audit.Allowed, true) // the same key as before
	})
}

// TestRefusalsDontPushOutGoodTokens: whoever sends nonsense can't make us forget.
func TestRefusalsDontPushOutGoodTokens(t *testing.T) {
	corp, e := newCorp(t, orders)
	now := time.Now()
	fine := corp.Sign(oidctest.Token{})
	asks(t, e, fine, now)
	for range 300 {
		asks(t, e, corp.Sign(oidctest.Token{KeyID: "ed-1", TTL: -time.Hour}), now)
	}
	wantCached(t, asks(t, e, fine, now), audit.Allowed, true)
	if good, refused := e.bearer.tokens.good.Stats(), e.bearer.tokens.refused.Stats(); good.Entries != 1 || refused.Entries != 300 {
		t.Errorf("%d good and %d refused are remembered", good.Entries, refused.Entries)
	}
}

// TestReloadKeepsWhatItWouldJudgeAlike: memory outlives an engine.
func TestReloadKeepsWhatItWouldJudgeAlike(t *testing.T) {
	corp, tokens := newIssuer(t, "corp"), newTokens(t)
	now := time.Now()
	fine, bad := corp.Sign(oidctest.Token{}), corp.Sign(oidctest.Token{Claims: map[string]any{"aud": "other"}})
	engine := func(o oidc.ProviderOptions) *Engine {
		return newEngine(t, Options{Rules: []Rule{orders}, Tokens: tokens, Verifier: newVerifier(corp.provider(t, "corp", o))})
	}
	first := engine(oidc.ProviderOptions{})
	asks(t, first, fine, now)
	asks(t, first, bad, now)
	same := engine(oidc.ProviderOptions{})
	wantCached(t, asks(t, same, fine, now), audit.Allowed, true)
	wantCached(t, asks(t, same, bad, now), audit.AudienceMismatch, true)
	other := engine(oidc.ProviderOptions{Audiences: []string{"other"}})
	wantCached(t, asks(t, other, fine, now), audit.AudienceMismatch, false)
	wantCached(t, asks(t, other, bad, now), audit.Allowed, false)
	wantCached(t, asks(t, other, bad, now), audit.Allowed, true)
	strict := engine(oidc.ProviderOptions{RequiredClaims: []string{"tenant"}})
	wantCached(t, asks(t, strict, fine, now), audit.RequiredClaimMissing, false)
	nobody := newEngine(t, Options{Rules: []Rule{orders}, Tokens: tokens})
	wantCached(t, asks(t, nobody, fine, now), audit.IssuerUnknown, false)
	// One configuration doesn't read what another wrote, and each its own again.
	wantCached(t, asks(t, other, fine, now), audit.AudienceMismatch, false)
	wantReason(t, asks(t, same, fine, now), audit.Allowed)
}

// TestSEC_5_15_5_20_TokensDontShareVerdicts: a token is the whole of it.
func TestSEC_5_15_5_20_TokensDontShareVerdicts(t *testing.T) {
	corp, e := newCorp(t, orders)
	now := time.Now()
	tokens := map[string]string{}
	for i := range 50 {
		sub := "user-" + strconv.Itoa(i)
		tokens[sub] = corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: map[string]any{"sub": sub, "jti": "same", "client_id": "same"}})
	}
	for range 2 {
		for sub, token := range tokens {
			if d := asks(t, e, token, now); !d.Allow || string(d.Subject) != sub {
				t.Errorf("got %v for %q, want %q", d.Reason, d.Subject, sub)
			}
		}
	}
	one := tokens["user-0"]
	for _, near := range []string{one[:len(one)-1], one + "A", one + "=", strings.ToUpper(one), strings.ToLower(one), one[1:], strings.TrimSuffix(one, one[strings.LastIndex(one, "."):])} {
		if d := asks(t, e, near, now); d.Allow {
			t.Errorf("a token near another is good: %s", d.Subject)
		}
	}
}

// TestSEC_5_18_TokensOfEveryLength: none of any length reads or spoils another.
func TestSEC_5_18_TokensOfEveryLength(t *testing.T) {
	corp := newIssuer(t, "corp")
	verifier := oidc.NewVerifier([]*oidc.Provider{corp.provider(t, "corp", oidc.ProviderOptions{})}, 1<<20)
	e := newEngine(t, Options{Rules: []Rule{orders}, Verifier: verifier})
	now := time.Now()
	long := func(pad int) string {
		return corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: map[string]any{"pad": strings.Repeat("x", pad), "sub": strconv.Itoa(pad)}})
	}
	for _, pad := range []int{0, 1, 10_000, 16_000, 32_000, 48_000, 48_700, 48_800, 48_810, 48_820, 49_000, 100_000, 500_000} {
		token := long(pad)
		for range 2 {
			if d := asks(t, e, token, now); !d.Allow || string(d.Subject) != strconv.Itoa(pad) {
				t.Errorf("%d bytes: got %v for %q", len(token), d.Reason, d.Subject)
			}
		}
	}
	for _, n := range []int{65_517, 65_518, 65_535, 65_536, 65_537, 65_568, 131_072} {
		for range 2 {
			wantReason(t, asks(t, e, strings.Repeat("a", n), now), audit.TokenOpaque)
		}
	}
	wantReason(t, asks(t, e, long(2), now), audit.Allowed)
}

// TestOneVerificationForManyCallers: callers of one token wait for the first.
func TestOneVerificationForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp := newIssuer(t, "corp")
		// A cache that keeps nothing counts what it was given.
		counting, err := cache.New(cache.Options{MaxValue: 1, MaxLife: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer counting.Close()
		e := newEngine(t, Options{
			Rules: []Rule{orders}, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
			Tokens: NewTokens(counting, newCache(t, time.Minute), time.Minute, time.Minute),
		})
		corp.AddKey("EdDSA", "new")
		corp.Break(oidctest.JWKS, oidctest.Fault{Delay: time.Second})
		token := corp.Sign(oidctest.Token{KeyID: "new"})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wantCached(t, asks(t, e, token, time.Now()), audit.Allowed, false) })
		}
		wg.Wait()
		if got := counting.Stats().Rejected; got != 1 {
			t.Errorf("%d verifications", got)
		}
	})
}

// TestCallerGivesUpAlone: the verification goes on for the others, and is
// remembered although nobody waits any more.
func TestCallerGivesUpAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCorp(t, orders)
		corp.AddKey("EdDSA", "new")
		corp.Break(oidctest.JWKS, oidctest.Fault{Delay: time.Second})
		message := []byte(corp.Sign(oidctest.Token{KeyID: "new"}))
		token := string(message)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		// As in a front that reads the token where it lies.
		d := e.Decide(ctx, get("/", Header{"authorization", "Bearer " + unsafe.String(&message[0], len(message))}))
		wantReason(t, d, audit.DeadlineExceeded)
		clear(message)
		time.Sleep(2 * time.Second)
		wantCached(t, asks(t, e, token, time.Now()), audit.Allowed, true)
	})
}

// TestVerdictDoesntOutliveItsMessage: the front that reads requests in place gives
// the bytes back while the verification goes on.
func TestVerdictDoesntOutliveItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCorp(t, orders)
		corp.AddKey("EdDSA", "new")
		corp.Break(oidctest.JWKS, oidctest.Fault{Delay: time.Second})
		alice, bob := corp.Sign(oidctest.Token{KeyID: "new"}), corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: map[string]any{"sub": "robert"}})
		message := make([]byte, max(len(alice), len(bob)))
		raw := oidc.RawToken(unsafe.String(&message[0], copy(message, alice)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if result, _ := e.bearer.authenticate(ctx, raw, &Request{Time: time.Now()}, &memo{key: e.bearer.tokens.keyer.Key(string(raw))}); result.Refusal == nil || result.Refusal.Reason != audit.DeadlineExceeded {
			t.Fatalf("got %v", result.Refusal)
		}
		copy(message, bob) // the next request
		time.Sleep(2 * time.Second)
		d := asks(t, e, alice, time.Now())
		wantCached(t, d, audit.Allowed, true)
		if d.Subject != "alice" {
			t.Errorf("got %q", d.Subject)
		}
	})
}

func TestMemoryThatIsntWhole(t *testing.T) {
	corp, e := newCorp(t, orders)
	now := time.Now()
	asks(t, e, corp.Sign(oidctest.Token{}), now)
	result := e.bearer.verifier.Verify(t.Context(), oidc.RawToken(corp.Sign(oidctest.Token{})), now, netip.Addr{})
	whole := flatten(&result)
	if _, stands := e.bearer.recall(whole, now); !stands {
		t.Fatal("a whole verdict doesn't stand")
	}
	for n := range flatRest {
		if _, stands := e.bearer.recall(whole[:n], now); stands {
			t.Errorf("%d bytes of a verdict stand", n)
		}
	}
	for _, at := range []int{flatProvider, flatKey, flatRest - 1} {
		changed := append([]byte(nil), whole...)
		changed[at] ^= 0x80
		if _, stands := e.bearer.recall(changed, now); stands {
			t.Errorf("a verdict changed in byte %d stands", at)
		}
	}
}

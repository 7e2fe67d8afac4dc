package authz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestMemoryChangesNoAnswer holds two engines side by side, one that remembers and
// one that can't, through random sequences of tokens, rotations, outages, reloads
// and a clock that steps either way. They have to agree at every step.
func TestMemoryChangesNoAnswer(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			// With a clock of its own, the key set fetches nothing by itself between two
			// answers that are compared.
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed)
				for range 1000 {
					w.step()
				}
				// Without these it would show little.
				if w.hits < 60 || w.memory.Templates.Stats().Hits < 20 || w.reasons[audit.Allowed] < 40 || len(w.reasons) < 10 {
					t.Errorf("%d answers were remembered, of %v", w.hits, w.reasons)
				}
			})
		})
	}
}

// world is what the engines live in.
type world struct {
	t      *testing.T
	random *rand.Rand
	idp    *oidctest.Provider
	keys   *oidc.KeySet
	kids   []string // that come and go
	tokens []string

	began, now time.Time

	remembers, forgets *Engine
	memory, none       *Tokens
	log                []string // the steps so far

	hits    int
	reasons map[audit.Reason]int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 7)), began: time.Now(), reasons: map[audit.Reason]int{}}
	w.now = w.began
	w.idp = oidctest.New(oidctest.Options{Issuer: "https://corp.test"})
	// Without a cool-down, whether an unknown key is fetched doesn't depend on who
	// asked before.
	w.keys = oidc.NewKeySet(oidc.KeySetOptions{
		Name: "corp", Issuer: "https://corp.test", Client: &http.Client{Transport: w.idp.Transport()}, Cooldown: time.Nanosecond,
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.keys.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		w.idp.Close()
	})
	w.kids = []string{"a", "b", "c"} // with ed-1 as many as a token without kid is tried with
	for _, kid := range w.kids {
		w.idp.AddHiddenKey("EdDSA", kid)
	}
	w.makeTokens()
	w.memory = newTokens(t)
	tiny, err := cache.New(cache.Options{MaxValue: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tiny.Close)
	w.none = NewTokens(tiny, tiny, time.Minute, time.Minute)
	w.refresh()
	w.reload()
	return w
}

// favourites is how many of the tokens come in every other request.
const favourites = 12

// makeTokens makes tokens of each key, good ones and such as turn good or bad with
// the clock, with the keys or with the configuration.
func (w *world) makeTokens() {
	at := func(d time.Duration) int64 { return w.now.Add(d).Unix() }
	kinds := []oidctest.Token{
		{},
		{Claims: map[string]any{"aud": "other"}},
		{Claims: map[string]any{"aud": []string{"api", "other"}, "sub": "bob"}},
		{Claims: map[string]any{"exp": at(time.Minute), "iat": nil}},
		{Claims: map[string]any{"nbf": at(time.Minute), "exp": at(10 * time.Minute)}},
		{Claims: map[string]any{"iat": at(2 * time.Minute), "exp": at(20 * time.Minute)}},
		{Claims: map[string]any{"sub": nil}},
		{Claims: map[string]any{"cnf": map[string]any{}}},
		{Claims: map[string]any{"nonce": "n", "tenant": "t"}},
		{Claims: map[string]any{"scope": "orders.write", "client_id": nil}},
		{Header: map[string]any{"typ": nil}},
		{Header: map[string]any{"kid": nil}},
		{Header: map[string]any{"kid": "unheard-of"}},
	}
	for _, kid := range append([]string{"ed-1"}, w.kids...) {
		for _, kind := range kinds {
			kind.KeyID = kid
			w.tokens = append(w.tokens, w.idp.Sign(kind))
		}
	}
	w.random.Shuffle(len(w.tokens), func(i, j int) { w.tokens[i], w.tokens[j] = w.tokens[j], w.tokens[i] })
	one := w.tokens[0]
	w.tokens = append(w.tokens, one[:len(one)-4]+"AAAA", "opaque", "a.b.c", "")
}

// reload makes both engines anew, of another configuration.
func (w *world) reload() {
	pick := func(lists ...[]string) []string { return lists[w.random.IntN(len(lists))] }
	strict := w.random.IntN(4) == 0
	p, err := oidc.NewProvider(oidc.ProviderOptions{
		Name: "corp", Issuer: "https://corp.test", Keys: w.keys, Algorithms: []string{"EdDSA"},
		Audiences: pick([]string{"api"}, []string{"api"}, []string{"other"}, []string{"api", "other"}),
		ClockSkew: time.Duration(w.random.IntN(2)) * 30 * time.Second, StrictType: strict, AcceptNonce: w.random.IntN(4) == 0,
		AcceptMissingSubject: !strict && w.random.IntN(3) == 0, RequiredClaims: pick(nil, nil, []string{"tenant"}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	rule := Rule{Name: "orders", Bearer: &Bearer{Providers: []string{"corp"}, Scopes: pick(nil, []string{"orders.read"})}, Headers: map[string]string{"x-user": "claims.sub"}}
	w.remembers = newEngine(w.t, Options{Rules: []Rule{rule}, Verifier: newVerifier(p), Tokens: w.memory})
	w.forgets = newEngine(w.t, Options{Rules: []Rule{rule}, Verifier: newVerifier(p), Tokens: w.none})
	w.note("reload")
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) refresh() {
	// It fails while the provider is down, which changes nothing.
	w.note("refresh: %v", w.keys.Refresh(context.Background()))
}

func (w *world) step() {
	switch n := w.random.IntN(100); {
	case n < 1:
		w.idp.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		w.note("down")
	case n < 5:
		w.idp.Mend(oidctest.JWKS)
		w.note("up")
	case n < 7:
		kid := w.kids[w.random.IntN(len(w.kids))]
		w.idp.PublishKey(kid)
		w.note("publish %s", kid)
	case n < 8:
		kid := w.kids[w.random.IntN(len(w.kids))]
		w.idp.RetireKey(kid)
		w.note("retire %s", kid)
	case n < 11:
		w.refresh()
	case n < 13:
		w.reload()
	case n < 20:
		w.now = w.now.Add(time.Duration(w.random.Int64N(int64(40*time.Second))) - 20*time.Second).Truncate(time.Second)
		w.note("the clock says %v", w.now)
	case n < 22:
		w.now = w.began.Add(time.Duration(w.random.Int64N(int64(25*time.Minute))) - 3*time.Minute)
		w.note("the clock is set to %v", w.now)
	default:
		// Some come again and again.
		w.ask(w.random.IntN([]int{favourites, len(w.tokens)}[w.random.IntN(2)]))
	}
}

// ask puts the same question to both, in either order.
func (w *world) ask(i int) {
	engines := []*Engine{w.remembers, w.forgets}
	first := w.random.IntN(2)
	var got [2]Decision
	for _, n := range []int{first, 1 - first} {
		time.Sleep(time.Microsecond) // longer than the cool-down
		got[n] = asks(w.t, engines[n], w.tokens[i], w.now)
	}
	remembered, fresh := got[0], got[1]
	w.note("token %d: %v, cached %t; %v", i, remembered.Reason, remembered.Cached, fresh.Reason)
	if fresh.Cached {
		w.t.Fatal("the engine without a memory remembers")
	}
	w.reasons[fresh.Reason]++
	if remembered.Cached {
		w.hits++
	}
	// What is found out about a bad token may be told with other figures.
	remembered.Cached, remembered.Detail, fresh.Detail = false, "", ""
	if !reflect.DeepEqual(remembered, fresh) {
		for _, line := range w.log[max(0, len(w.log)-40):] {
			w.t.Log(line)
		}
		w.t.Fatalf("token %d: remembered %+v, fresh %+v", i, remembered, fresh)
	}
}

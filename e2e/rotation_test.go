package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// burst sends so many requests from each of several clients, which have one
// connection each, and calls halfway once half of them are answered. token gives
// the header line of each; an answer other than 200 is an error.
func burst(t *testing.T, address string, clients, each int, token func() string, halfway func()) {
	t.Helper()
	var answered atomic.Int64
	var sending sync.WaitGroup
	for range clients {
		sending.Go(func() {
			transport := (&client{}).transport()
			defer transport.CloseIdleConnections()
			for range each {
				got, err := roundTrip(t.Context(), transport, address, request{method: http.MethodGet, host: "shop.test", target: "/orders", headers: []string{token()}})
				if err != nil || got.status != 200 {
					t.Errorf("got %d %s, %v; want 200", got.status, got.body, err)
				}
				if answered.Add(1) == int64(clients*each/2) {
					halfway()
				}
			}
		})
	}
	sending.Wait()
}

// Keys change while requests come in: no good token is turned away, no withdrawn
// key is believed once the set without it has been fetched, and the provider is
// asked no more often than promised.
func TestKeyRotationUnderLoad(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream := startProvider(t), startUpstream(t)
	const coolDown = time.Second
	awaitCool := func() { time.Sleep(coolDown + 100*time.Millisecond) }
	credence := startCredence(t, listenFreely+"providers:\n  - {name: corp, issuer: "+provider.Issuer()+
		", audiences: [api], keys: {refresh: 1h, cooldown: 1s}}\n"+orderRules)
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true"}}})
	client := e.client(t, "raw")

	sign := func(kid string) string {
		return bearer(provider, oidctest.Token{Alg: "ES256", KeyID: kid, Claims: staff().Claims})
	}
	kid := "ec-1"
	var current atomic.Value // header line
	current.Store(sign(kid))
	fetches := provider.Requests(oidctest.JWKS)
	// For the new key, the made-up one, and the old one after the cool-down.
	const rounds = 2
	most := 3 * rounds
	for round := range rounds {
		next := fmt.Sprint("next-", round)
		provider.AddHiddenKey("ES256", next)
		old := current.Load().(string)
		burst(t, e.at(t, "raw"), 4, 400, func() string { return current.Load().(string) }, func() {
			provider.PublishKey(next)
			current.Store(sign(next))
		})
		provider.RetireKey(kid)
		awaitCool()
		asked := time.Now()
		if got := client.get(t, "/orders", sign("made-up")); got.status != 401 {
			t.Errorf("round %d: a made-up key got %d %s, want 401", round, got.status, got.body)
		}
		// The set that was fetched for it has no old key: what was verified with that
		// and is remembered doesn't stand any more.
		if got := client.get(t, "/orders", old); got.status == 200 {
			t.Errorf("round %d: a withdrawn key got 200", round)
		}
		if time.Since(asked) > coolDown {
			most++ // for the old one already
		}
		awaitCool()
		if got := client.get(t, "/orders", old); got.status != 401 || got.reason() != "key_unknown" {
			t.Errorf("round %d: a withdrawn key got %d %s, want 401 key_unknown", round, got.status, got.body)
		}
		awaitCool()
		kid = next
	}
	if got := provider.Requests(oidctest.JWKS) - fetches; got > most {
		t.Errorf("got %d fetches of keys in %d rounds, want %d at most", got, rounds, most)
	}
}

// Anybody can make up key ids. That costs the provider one request in a
// cool-down, and nobody else anything.
func TestSEC_5_65_MadeUpKeyIDs(t *testing.T) {
	t.Parallel()
	w := startWorld(t, orderRules, ingress{Name: "raw", Filter: "encode_raw_headers: true"}) // with a cool-down of an hour
	fetches := w.provider.Requests(oidctest.JWKS)
	client := w.envoy.client(t, "raw")
	var reasons sync.Map
	var sending sync.WaitGroup
	for i := range 4 {
		sending.Go(func() {
			for j := range 50 {
				token := bearer(w.provider, oidctest.Token{Alg: "ES256", KeyID: fmt.Sprint("made-up-", i, "-", j)})
				got, err := client.exchange(t.Context(), request{target: "/orders", headers: []string{token}})
				reasons.Store(fmt.Sprint(got.status, " ", got.reason()), err)
			}
		})
	}
	sending.Wait()
	for reason, err := range reasons.Range {
		if reason != "401 key_unknown" && reason != "503 key_refresh_pending" {
			t.Errorf("got %s, %v for a made-up key id", reason, err)
		}
	}
	if got := w.provider.Requests(oidctest.JWKS) - fetches; got != 1 {
		t.Errorf("got %d fetches for 200 made-up key ids, want one", got)
	}
	if got := client.get(t, "/orders", bearer(w.provider, staff())); got.status != 200 {
		t.Errorf("a good token got %d %s, want 200", got.status, got.body)
	}
	w.provider.AddKey("ES256", "new")
	if got := client.get(t, "/orders", bearer(w.provider, oidctest.Token{Alg: "ES256", KeyID: "new"})); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a token of a new key within the cool-down got %d %s, want 503 with retry-after", got.status, got.body)
	}
}

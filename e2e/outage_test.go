package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// Without an answer nothing passes, however good the token, and where Envoy is
// told so it says that it is an outage.
func TestSEC_5_27_NothingPassesWithoutCredence(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, socket := startProvider(t), startUpstream(t), socketPath(t)
	credence := startCredence(t, "listen: {check: 'unix:"+socket+"', probe: 127.0.0.1:0}\n"+corp(provider)+orderRules)
	credence.awaitReady(t)
	listeners := append([]ingress{{Name: "default"}}, bothEncodings...)
	for i := range listeners {
		listeners[i].Timeout = "8s"
	}
	e := startProxy(t, proxy{Authorizer: "unix:" + socket, Application: upstream.address, Ingresses: listeners})
	requests := []request{{target: "/orders", headers: []string{bearer(provider, staff())}}, {target: "/healthz"}}

	expect := func(when string, want, wantByDefault int) {
		t.Helper()
		var sending sync.WaitGroup
		for name, address := range e.addresses {
			for version, c := range clients(address) {
				for _, r := range requests {
					sending.Go(func() {
						want := want
						if name == "default" {
							want = wantByDefault
						}
						if got, err := c.exchange(t.Context(), r); err != nil || got.status != want {
							t.Errorf("%s, %s in %s: %s got %d, %v; want %d", when, name, version, r.target, got.status, err, want)
						}
					})
				}
			}
		}
		sending.Wait()
	}
	expect("serving", 200, 200)
	credence.hang(t)
	expect("hung", 503, 403)
	credence.signal(t, syscall.SIGCONT)
	expect("going on", 200, 200)
	credence.kill(t)
	expect("killed", 503, 403)
	if got, want := upstream.requests.Load(), int64(2*3*2*len(requests)); got != want {
		t.Errorf("got %d requests at the application, want the %d that were answered with 200", got, want)
	}

	// The socket of the killed one is still there, and is taken over.
	if _, err := os.Lstat(socket); err != nil {
		t.Fatal(err)
	}
	restartCredence(t, credence.config).awaitReady(t)
	await(t, "Envoy is connected again", func() bool { return e.client(t, "default").get(t, "/healthz").status == 200 })
	expect("started again", 200, 200)
}

// What Credence can't decide it says so itself, with a denial: an Envoy that lets
// requests pass in an outage doesn't let these pass.
func TestSEC_5_27_UndecidedIsDenied(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream := startProvider(t), startUpstream(t)
	provider.Break(oidctest.Discovery, oidctest.Fault{Status: 500})
	credence := startCredence(t, listenFreely+corp(provider)+orderRules)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{
		{Name: "open", Filter: "failure_mode_allow: true"},
		{Name: "open and raw", Filter: "failure_mode_allow: true\nencode_raw_headers: true"},
	}})
	token := bearer(provider, staff())

	t.Run("keys that never arrived", func(t *testing.T) {
		e.eachWay(t, func(t *testing.T, c *client) {
			got := c.get(t, "/orders", token)
			if got.status != 503 || got.reason() != "keys_unavailable" || got.header.Get("Retry-After") == "" {
				t.Errorf("got %d %v %s, want 503 keys_unavailable with retry-after", got.status, got.header, got.body)
			}
			checkDenial(t, got)
			if got := c.get(t, "/healthz"); got.status != 200 {
				t.Errorf("public: got %d, want 200: it needs no keys", got.status)
			}
			if got := c.get(t, "/orders"); got.status != 401 {
				t.Errorf("without a token: got %d, want 401: that needs no keys", got.status)
			}
		})
	})
	provider.Mend(oidctest.Discovery)
	credence.awaitReady(t)
	t.Run("keys that have arrived", func(t *testing.T) {
		e.eachWay(t, func(t *testing.T, c *client) {
			if got := c.get(t, "/orders", token); got.status != 200 {
				t.Errorf("got %d %s, want 200", got.status, got.body)
			}
		})
	})
	t.Run("keys that stay good while the provider is down", func(t *testing.T) {
		provider.Break(oidctest.Discovery, oidctest.Fault{Refuse: true})
		provider.Break(oidctest.JWKS, oidctest.Fault{Refuse: true})
		fresh := staff(map[string]any{"jti": "fresh"})
		if got := e.client(t, "open").get(t, "/orders", bearer(provider, fresh)); got.status != 200 {
			t.Errorf("a known key: got %d %s, want 200", got.status, got.body)
		}
		fresh.KeyID = "new"
		if got := e.client(t, "open").get(t, "/orders", bearer(provider, fresh)); got.status != 503 {
			t.Errorf("an unknown key: got %d %s, want 503", got.status, got.body)
		}
	})
}

// A copy of the keys outlives a restart, for the day when the provider is down.
func TestKeptKeysOutliveARestart(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, socket := startProvider(t), startUpstream(t), socketPath(t)
	keep := filepath.Join(t.TempDir(), "corp.json")
	credence := startCredence(t, fmt.Sprintf("listen: {check: 'unix:%s', probe: 127.0.0.1:0}\nproviders:\n"+
		"  - {name: corp, issuer: %s, audiences: [api], keys: {keep_file: %s}}\n", socket, provider.Issuer(), keep)+orderRules)
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: "unix:" + socket, Application: upstream.address, Ingresses: []ingress{{Name: "raw"}}})
	credence.kill(t)

	token := bearer(provider, staff())
	provider.Close()
	restartCredence(t, credence.config).awaitReady(t)
	await(t, "Envoy is connected again", func() bool { return e.client(t, "raw").get(t, "/healthz").status == 200 })
	if got := e.client(t, "raw").get(t, "/orders", token); got.status != 200 {
		t.Errorf("got %d %s, want 200", got.status, got.body)
	}
}

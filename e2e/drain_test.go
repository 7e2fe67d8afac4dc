package e2e

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// SIGTERM: whoever asks is told that it isn't ready any more, what comes
// nevertheless is answered for a while, and what is under way to its end.
func TestDrain(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream := startProvider(t), startUpstream(t)
	credence := startCredence(t, listenFreely+corp(provider)+"audit: {allows: all}\n"+orderRules, "--drain-delay", "3s")
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{
		{Name: "raw", Filter: "encode_raw_headers: true\nstatus_on_error: {code: ServiceUnavailable}"},
	}})
	client := e.client(t, "raw")

	// Requests that are under way for longer than the delay: they wait for a key.
	fetches := provider.Requests(oidctest.JWKS)
	provider.Break(oidctest.JWKS, oidctest.Fault{Delay: 5 * time.Second})
	provider.AddKey("ES256", "new")
	waiting := request{target: "/orders", headers: []string{bearer(provider, oidctest.Token{Alg: "ES256", KeyID: "new", Claims: staff().Claims})}}
	var underWay sync.WaitGroup
	for range 8 {
		underWay.Go(func() {
			if got, err := client.exchange(t.Context(), waiting); err != nil || got.status != 200 {
				t.Errorf("under way: got %d %s, %v; want 200", got.status, got.body, err)
			}
		})
	}
	await(t, "the key is asked for", func() bool { return provider.Requests(oidctest.JWKS) > fetches })

	credence.signal(t, syscall.SIGTERM)
	credence.await(t, "says that it drains", func() bool {
		status, body := credence.probed(t, "/readyz")
		return status == 503 && body == "draining\n"
	})
	for service, want := range map[string]string{"": "NOT_SERVING", "readiness": "NOT_SERVING", "envoy.service.auth.v3.Authorization": "NOT_SERVING", "liveness": "SERVING"} {
		if got := credence.health(t, service); got != want {
			t.Errorf("gRPC health %q: got %s, want %s", service, got, want)
		}
	}
	if status, _ := credence.probed(t, "/livez"); status != 200 {
		t.Errorf("/livez: got %d, want 200: nobody should restart what is ending", status)
	}
	token := bearer(provider, staff())
	burst(t, e.at(t, "raw"), 2, 20, func() string { return token }, func() {})
	underWay.Wait()
	if status := credence.wait(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if got := client.get(t, "/healthz"); got.status != 503 {
		t.Errorf("ended: got %d, want 503", got.status)
	}
	// The audit log is written to its end: it has a line for each request under way.
	if got := strings.Count(credence.stdout.String(), `"verdict":"allow"`); got != 8+2*20 {
		t.Errorf("got %d decisions in the audit log, want %d", got, 8+2*20)
	}
}

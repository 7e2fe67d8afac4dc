package e2e

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// startDraining runs a Credence with this delay after SIGTERM, which writes down what it
// allows, and an Envoy before it.
func startDraining(t *testing.T, delay string) (*oidctest.Provider, *credence, *envoy) {
	t.Helper()
	envoyPath(t)
	provider := startProvider(t)
	credence := startCredence(t, listenFreely+corp(provider)+"audit: {allows: all}\n"+orderRules, "--drain-delay", delay)
	credence.awaitReady(t)
	return provider, credence, startProxy(t, proxy{Authorizer: credence.check, Application: startUpstream(t).address, Ingresses: []ingress{
		{Name: "raw", Filter: "encode_raw_headers: true\nstatus_on_error: {code: ServiceUnavailable}"},
	}})
}

// allowsWritten is how many allows are in the audit log, once Credence has ended.
func (c *credence) allowsWritten() int {
	return strings.Count(c.stdout.String(), `"verdict":"allow"`)
}

// SIGTERM: whoever asks is told that it isn't ready any more, and what comes nevertheless
// is answered for a while.
func TestDrain(t *testing.T) {
	t.Parallel()
	provider, credence, e := startDraining(t, "15s")
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
	if status := credence.wait(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if got := e.client(t, "raw").get(t, "/healthz"); got.status != 503 {
		t.Errorf("ended: got %d, want 503", got.status)
	}
	if got := credence.allowsWritten(); got != 2*20 {
		t.Errorf("got %d decisions in the audit log, want %d", got, 2*20)
	}
}

// What is under way when the delay is over is answered nevertheless, and written down.
func TestDrainEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	provider, credence, e := startDraining(t, "0s")
	client := e.client(t, "raw")

	// They wait for a key.
	fetches := provider.Requests(oidctest.JWKS)
	provider.Break(oidctest.JWKS, oidctest.Fault{Delay: 5 * time.Second})
	provider.AddKey("ES256", "new")
	waiting := request{target: "/orders", headers: []string{bearer(provider, oidctest.Token{Alg: "ES256", KeyID: "new", Claims: staff().Claims})}}
	const many = 8
	var underWay sync.WaitGroup
	for range many {
		underWay.Go(func() {
			if got, err := client.exchange(t.Context(), waiting); err != nil || got.status != 200 {
				t.Errorf("under way: got %d %s, %v; want 200", got.status, got.body, err)
			}
		})
	}
	await(t, "the key is asked for", func() bool { return provider.Requests(oidctest.JWKS) > fetches })
	await(t, "all Checks are under way", func() bool {
		_, stats := e.ask(t, "/stats?filter=^cluster.authorizer.upstream_rq_total$")
		return strings.TrimSpace(stats) == "cluster.authorizer.upstream_rq_total: 8"
	})
	credence.signal(t, syscall.SIGTERM)
	underWay.Wait()
	if status := credence.wait(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if got := credence.allowsWritten(); got != many {
		t.Errorf("got %d decisions in the audit log, want %d", got, many)
	}
}

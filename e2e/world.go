package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// world is all that stands around one Credence.
type world struct {
	provider *oidctest.Provider
	upstream *upstream
	credence *credence
	envoy    *envoy
}

// startWorld runs a provider, an application, a ready Credence with these rules,
// and an Envoy with these listeners.
func startWorld(t *testing.T, rules string, listeners ...ingress) *world {
	t.Helper()
	envoyPath(t) // a test that is skipped needn't start anything
	w := &world{provider: startProvider(t), upstream: startUpstream(t)}
	w.credence = startCredence(t, listenFreely+corp(w.provider)+rules)
	w.credence.awaitReady(t)
	w.envoy = startProxy(t, proxy{Authorizer: w.credence.check, Application: w.upstream.address, Ingresses: listeners})
	return w
}

// bothEncodings are listeners that send Credence the headers joined in a map, and
// line by line.
var bothEncodings = []ingress{
	{Name: "headers", Filter: "status_on_error: {code: ServiceUnavailable}"},
	{Name: "encode_raw_headers", Filter: "status_on_error: {code: ServiceUnavailable}\nencode_raw_headers: true"},
}

// eachWay runs a test over every listener, in both versions of HTTP.
func (e *envoy) eachWay(t *testing.T, test func(*testing.T, *client)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(e.addresses)) {
		for version, c := range clients(e.at(t, name)) {
			t.Run(name+" in "+version, func(t *testing.T) { test(t, c) })
		}
	}
}

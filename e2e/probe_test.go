package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// Credence serves before it has keys, but says that it isn't ready.
func TestReadiness(t *testing.T) {
	t.Parallel()
	provider, optional := startProvider(t), startProvider(t)
	provider.Break(oidctest.Discovery, oidctest.Fault{Status: 500})
	optional.Break(oidctest.Discovery, oidctest.Fault{Status: 500})
	credence := startCredence(t, listenFreely+corp(provider)+"  - {name: partner, issuer: '"+optional.Issuer()+"', audiences: [api], optional: true}\n"+orderRules)
	expect := func(t *testing.T, readyz int, readiness string) {
		t.Helper()
		if status, body := credence.probed(t, "/livez"); status != 200 || body != "alive\n" {
			t.Errorf("/livez: got %d %q, want 200", status, body)
		}
		if status, body := credence.probed(t, "/readyz"); status != readyz {
			t.Errorf("/readyz: got %d %q, want %d", status, body, readyz)
		}
		for service, want := range map[string]string{"": readiness, "readiness": readiness, "envoy.service.auth.v3.Authorization": readiness, "liveness": "SERVING"} {
			credence.await(t, fmt.Sprintf("health of %q is %s", service, want), func() bool { return credence.health(t, service) == want })
		}
	}
	expect(t, 503, "NOT_SERVING")
	provider.Mend(oidctest.Discovery)
	credence.awaitReady(t)
	expect(t, 200, "SERVING") // the optional provider is still down
	if got := credence.health(t, "other"); !strings.Contains(got, "NotFound") {
		t.Errorf("health of a service that isn't there: got %s, want NotFound", got)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/readyz/", "/metrics/x"} {
		if status, _ := credence.probed(t, path); status != 404 {
			t.Errorf("%s: got %d, want 404: the probe listener serves nothing else", path, status)
		}
	}
}

// The metrics are well-formed, and say what happened.
func TestMetrics(t *testing.T) {
	t.Parallel()
	// A recheck, which comes by chance, would look past the template.
	w := startWorld(t, orderRules+"audit: {recheck: 0}\n", ingress{Name: "raw", Filter: "encode_raw_headers: true"})
	client := w.envoy.client(t, "raw")
	token := bearer(w.provider, staff())
	for range 3 {
		client.get(t, "/orders", token)
	}
	client.get(t, "/orders")
	client.get(t, "/healthz")
	client.get(t, "/nowhere/"+strings.Repeat("x", 100))

	status, text := w.credence.probed(t, "/metrics")
	if status != 200 {
		t.Fatalf("got %d %s", status, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("the metrics can't be parsed: %v\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	lines := strings.Split(text, "\n")
	for _, want := range []string{
		`credence_decisions_total{reason="allowed",rule="orders",verdict="allow"} 3`,
		`credence_decisions_total{reason="no_credential",rule="orders",verdict="deny"} 1`,
		`credence_decisions_total{reason="public_rule",rule="health",verdict="allow"} 1`,
		`credence_decisions_total{reason="no_rule",rule="-",verdict="deny"} 1`,
		`credence_decision_seconds_count 6`,
		`credence_cache_lookups_total{cache="tokens",result="hit"} 1`,
		`credence_cache_lookups_total{cache="tokens",result="miss"} 1`,
		`credence_cache_entries{cache="tokens"} 1`,
		`credence_cache_lookups_total{cache="templates",result="hit"} 1`,
		`credence_cache_lookups_total{cache="templates",result="miss"} 2`,
		`credence_cache_entries{cache="templates"} 1`,
		`credence_provider_keys{provider="corp"} 3`,
		`credence_provider_keys_skipped{provider="corp"} 0`,
		`credence_provider_keys_fetches_total{provider="corp"} 1`,
		`credence_provider_keys_fetch_failures_total{provider="corp"} 0`,
		`credence_audit_dropped_total 0`,
	} {
		found := false
		for _, line := range lines {
			found = found || line == want
		}
		if !found {
			name, _, _ := strings.Cut(want, "{")
			t.Errorf("there is no %s\nbut %s", want, strings.Join(matching(lines, name), "\nand "))
		}
	}
	if !strings.Contains(text, "\ncredence_build_info{") {
		t.Error("there is no credence_build_info")
	}
	if strings.Contains(text, "xxx") || strings.Contains(text, "alice") {
		t.Error("something of a request became a label")
	}
}

func matching(lines []string, prefix string) (found []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return found
}

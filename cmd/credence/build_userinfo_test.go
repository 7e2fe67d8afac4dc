package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestT13_ConfiguredUserInfo is asked as configured, once for a token, at the address
// that discovery gives; what it and the token say of other addresses is never followed
// (SEC-J10).
func TestT13_ConfiguredUserInfo(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	names := map[string]any{"groups": "src1", "roles": "src1"}
	sources := map[string]any{"src1": map[string]any{"endpoint": elsewhere.URL, "access_token": "canary"}}
	p := startProvider(t)
	p.Break(oidctest.UserInfo, oidctest.Fault{Status: http.StatusOK, Body: fmt.Sprintf(
		`{"sub":"alice","groups":["staff"],"team":"t1","_claim_names":{"roles":"a"},"_claim_sources":{"a":{"endpoint":%q}},"profile":%q,"picture":%q}`,
		elsewhere.URL, elsewhere.URL, elsewhere.URL)})
	a := start(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %q, audiences: [api], userinfo: {when: left_out}}]
rules:
  - {name: roles, match: {paths: [/roles]}, bearer: {providers: [corp]}, require: '"x" in claims.roles'}
  - {name: all, bearer: {providers: [corp]}, require: '"staff" in claims.groups', headers: {x-team: claims.team}}
`, p.Issuer()))
	token := p.Sign(oidctest.Token{Claims: map[string]any{
		"groups": nil, "_claim_names": names, "_claim_sources": sources, "iss_url": elsewhere.URL, "jku": elsewhere.URL,
	}, Header: map[string]any{"jku": elsewhere.URL, "x5u": elsewhere.URL}})
	for range 3 {
		d := a.asks(t, token)
		if d.Reason != audit.Allowed || !slices.Contains(d.Set, authz.Header{Name: "x-team", Value: "t1"}) {
			t.Errorf("got %v (%s), %v", d.Reason, d.Detail, d.Set)
		}
	}
	d := a.engine.Decide(t.Context(), &authz.Request{
		Method: "GET", Scheme: "https", Host: "api.example.com", Target: "/roles", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}},
	})
	if d.Reason != audit.ClaimOverage {
		t.Errorf("got %v (%s)", d.Reason, d.Detail)
	}
	// Tokens that leave out nothing aren't shown to it.
	if d := a.asks(t, p.Sign(oidctest.Token{Claims: map[string]any{"groups": []string{"staff"}}})); d.Reason != audit.Allowed {
		t.Errorf("got %v (%s)", d.Reason, d.Detail)
	}
	if got := p.Requests(oidctest.UserInfo); got != 1 || followed.Load() != 0 {
		t.Errorf("%d questions to userinfo, %d elsewhere", got, followed.Load())
	}
	if got := counted(t, a, "credence_userinfo_requests_total"); got != 1 {
		t.Errorf("%v counted", got)
	}
}

// counted is the sum of a counter over its labels.
func counted(t *testing.T, a *authorizer, name string) (sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(newMetrics(a))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestT13_UserInfoThatIsntDiscovered: Credence isn't ready, and decides nothing.
func TestT13_UserInfoThatIsntDiscovered(t *testing.T) {
	p := startProvider(t)
	p.DiscoveryMember("userinfo_endpoint", nil)
	a := start(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %q, audiences: [api], userinfo: {when: always}}]
rules: [{name: all, bearer: {providers: [corp]}}]
`, p.Issuer()))
	if d := a.asks(t, p.Sign(oidctest.Token{})); d.Reason != audit.UserInfoUnavailable || a.ready(true) {
		t.Errorf("got %v (%s), ready %t", d.Reason, d.Detail, a.ready(true))
	}
	if got := strings.Join(a.unready(true), " "); !strings.Contains(got, "the document has no userinfo_endpoint") {
		t.Errorf("got %s", got)
	}
}

// TestT13_LargeUserInfoIsRemembered, up to the longest that is read.
func TestT13_LargeUserInfoIsRemembered(t *testing.T) {
	p := startProvider(t)
	groups := strings.Repeat(`"8f14e45f-ceea-467f-9575-1e0a3d3f5c2b",`, 1600)
	p.Break(oidctest.UserInfo, oidctest.Fault{Status: http.StatusOK, Body: `{"sub":"alice","groups":[` + groups + `"staff"]}`})
	a := start(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %q, audiences: [api], userinfo: {}}]
rules: [{name: all, bearer: {providers: [corp]}, require: '"staff" in claims.groups'}]
`, p.Issuer()))
	token := p.Sign(oidctest.Token{Claims: map[string]any{"groups": nil}})
	for range 3 {
		if d := a.asks(t, token); d.Reason != audit.Allowed {
			t.Errorf("got %v (%s)", d.Reason, d.Detail)
		}
	}
	if got := p.Requests(oidctest.UserInfo); got != 1 {
		t.Errorf("%d questions", got)
	}
}

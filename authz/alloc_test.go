//go:build !race

// The race detector makes pools drop what they are given.

package authz

import (
	"context"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestAllocations bounds what a decision allocates, the request itself apart. A
// front keeps one Request for many calls, and so do these.
func TestAllocations(t *testing.T) {
	corp := newIssuer(t, "corp")
	rules := hundredRules()
	engine := func(change func(*Rule)) *Engine {
		last := rules[len(rules)-1]
		change(&last)
		return newEngine(t, Options{Rules: append(rules[:len(rules)-1:len(rules)-1], last), Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))})
	}
	token := corp.Sign(oidctest.Token{Claims: map[string]any{"acr": "gold", "auth_time": time.Now().Unix()}})
	rows := []struct {
		name   string
		change func(*Rule)
		token  string
		want   audit.Reason
		most   float64
	}{
		{"a remembered token: its claims, and the key that finds them", func(*Rule) {}, token, audit.Allowed, 2},
		{"with an expression on claims", func(r *Rule) { r.Require = `"staff" in claims.groups` }, token, audit.Allowed, 2},
		{"with one on the request as well: the method, for CEL", func(r *Rule) { r.Require = `"staff" in claims.groups && request.method != "DELETE"` }, token, audit.Allowed, 3},
		{"with one on the user's login", func(r *Rule) {
			r.Bearer = &Bearer{Providers: []string{"corp"}, UserAuthentication: oidc.UserAuthentication{ACRValues: []string{"silver", "gold"}, MaxAge: time.Hour}}
		}, token, audit.Allowed, 2},
		{"a public rule", func(r *Rule) { r.Public, r.Bearer, r.Headers = true, nil, nil }, "", audit.PublicRule, 0},
		{"a denial", func(*Rule) {}, "", audit.NoCredential, 8},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e, r := engine(row.change), browserRequest(row.token)
			var d Decision
			got := testing.AllocsPerRun(200, func() { d = e.Decide(context.Background(), r) })
			wantReason(t, d, row.want)
			if got > row.most {
				t.Errorf("got %v allocations, want at most %v", got, row.most)
			}
		})
	}
}

//go:build !race

// The race detector makes pools drop what they are given.

package authz

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
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
		{"a denial: why, the challenge, and the headers and body that say so", func(*Rule) {}, "", audit.NoCredential, 8},
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

// TestSessionAllocations bounds what a decision by a session allocates: its cookie, decoded;
// its record; and twice what is left of the Cookie line. It is the same with forty claims
// more, since none is decoded that no rule reads.
func TestSessionAllocations(t *testing.T) {
	engine, sessions := newSite(t, session.Options{}, Rule{Name: "app", Login: "web", Require: `"staff" in claims.groups`, Headers: map[string]string{"x-user": "claims.sub"}})
	var more strings.Builder
	for i := range 40 {
		fmt.Fprintf(&more, `,"claim-%d":{"a":["b",%d]}`, i, i)
	}
	for name, claims := range map[string]string{"few claims": "", "many claims": more.String()} {
		record := session.Record{Claims: claimsOf(t, `{"iss":"https://corp.test","sub":"alice","groups":["staff"]`+claims+`}`).Flat()}
		r := get("/", Header{"cookie", "theme=dark; " + logIn(t, sessions, record)})
		var d Decision
		got := testing.AllocsPerRun(200, func() { d = engine.Decide(context.Background(), r) })
		wantReason(t, d, audit.Allowed)
		if got > 4 {
			t.Errorf("%s: got %v allocations, want at most 4", name, got)
		}
	}
}

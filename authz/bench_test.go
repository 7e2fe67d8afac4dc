package authz

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// decided keeps a result from being optimised away.
var decided Decision

// hundredRules are those of a usual configuration; the last is for the orders.
func hundredRules() []Rule {
	var rules []Rule
	for i := range 99 {
		rules = append(rules, Rule{
			Name: fmt.Sprint("rule-", i), Match: Match{Hosts: []string{"api.example.com"}, Paths: []string{fmt.Sprintf("/service-%d/**", i)}}, Public: true,
		})
	}
	return append(rules, Rule{
		Name: "orders", Match: Match{Hosts: []string{"api.example.com"}, Paths: []string{"/v1/**"}},
		Bearer:  &Bearer{Providers: []string{"corp"}, Scopes: []string{"orders.read"}},
		Headers: map[string]string{"x-user-id": "claims.sub", "x-user-groups": "claims.groups"},
	})
}

// browserRequest has the headers that a proxy sends for one, some twenty.
func browserRequest(token string) *Request {
	r := get("/v1/orders?page=2")
	for _, name := range []string{
		":authority", ":method", ":path", ":scheme", "accept", "accept-encoding", "accept-language", "cache-control", "content-type", "cookie", "origin", "referer",
		"sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "user-agent", "x-envoy-internal", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
	} {
		r.Headers = append(r.Headers, Header{name, "value of " + name})
	}
	if token != "" {
		r.Headers = append(r.Headers, bearer(token))
	}
	return r
}

func BenchmarkDecide(b *testing.B) {
	corp := newIssuer(b, "corp")
	reader := hundredRules()
	last := &reader[len(reader)-1]
	last.Require = `"staff" in claims.groups && request.method != "DELETE"`
	engines := map[string]*Engine{
		"cached":             benchEngine(b, corp, hundredRules()),
		"cached, expression": benchEngine(b, corp, reader),
	}
	token := corp.Sign(oidctest.Token{})
	for name, e := range engines {
		b.Run(name, func(b *testing.B) {
			r := browserRequest(token)
			b.ReportAllocs()
			for b.Loop() {
				decided = e.Decide(context.Background(), r)
			}
			if !decided.Allow || !decided.Cached {
				b.Fatal(decided.Reason)
			}
		})
	}
	b.Run("no credential", func(b *testing.B) {
		r := browserRequest("")
		b.ReportAllocs()
		for b.Loop() {
			decided = engines["cached"].Decide(context.Background(), r)
		}
		if decided.Reason != audit.NoCredential {
			b.Fatal(decided.Reason)
		}
	})
}

func benchEngine(b *testing.B, corp *issuer, rules []Rule) *Engine {
	return newEngine(b, Options{Rules: rules, Verifier: newVerifier(corp.provider(b, "corp", oidc.ProviderOptions{}))})
}

// BenchmarkDecideCold verifies a new token each time.
func BenchmarkDecideCold(b *testing.B) {
	for _, key := range []string{"rsa-1", "ec-1", "ed-1"} {
		b.Run(key, func(b *testing.B) {
			corp := newIssuer(b, "corp")
			e := benchEngine(b, corp, hundredRules())
			token := corp.Sign(oidctest.Token{KeyID: key})
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				// As if it had never come.
				e.bearer.tokens.good.Delete(e.bearer.tokens.keyer.Key(token))
				r := browserRequest(token)
				r.Time = now
				decided = e.Decide(context.Background(), r)
			}
			if !decided.Allow || decided.Cached {
				b.Fatal(decided.Reason)
			}
		})
	}
}

// BenchmarkMatch finds the last of a host's rules.
func BenchmarkMatch(b *testing.B) {
	for _, size := range []struct{ hosts, rules int }{{1, 1}, {500, 10}, {1, 5000}} {
		b.Run(fmt.Sprintf("%d hosts with %d rules", size.hosts, size.rules), func(b *testing.B) {
			var rules []Rule
			for host := range size.hosts {
				for i := range size.rules {
					rules = append(rules, Rule{
						Name: "rule", Match: Match{Hosts: []string{fmt.Sprintf("host-%d.example.com", host)}, Paths: []string{fmt.Sprintf("/service-%d/**", i)}}, Public: true,
					})
				}
			}
			e := newEngine(b, Options{Rules: rules})
			r := get(fmt.Sprintf("/service-%d/a", size.rules-1))
			r.Host = fmt.Sprintf("host-%d.example.com", size.hosts/2)
			b.ReportAllocs()
			for b.Loop() {
				decided = e.Decide(context.Background(), r)
			}
			if !decided.Allow {
				b.Fatal(decided.Reason)
			}
		})
	}
}

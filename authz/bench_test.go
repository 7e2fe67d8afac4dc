package authz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

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

// BenchmarkFront reads a question, as a map of headers and as lines, and writes the
// answer to it.
func BenchmarkFront(b *testing.B) {
	r := browserRequest(strings.Repeat("t", 900))
	d := Decision{Allow: true, Reason: audit.Allowed, Remove: []string{"authorization"}, Set: []Header{{"x-user-id", "alice"}, {"x-user-email", "alice@example.com"}, {"x-user-groups", "staff,admin"}}}
	for _, raw := range []bool{false, true} {
		name := "read headers"
		if raw {
			name = "read header_map"
		}
		message, err := proto.Marshal(toCheckRequest(r, raw))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := wireRequests.Get().(*wireRequest)
				w.read(message)
				if len(w.Headers) != len(r.Headers) {
					b.Fatal(len(w.Headers))
				}
				w.release()
			}
		})
	}
	b.Run("answer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encodeAnswer(&d).Free()
		}
	})
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

// BenchmarkMatch finds every rule of an index, in no order, and beside it, as often,
// the one rule of another, so that the ratio is of one run.
func BenchmarkMatch(b *testing.B) {
	const rules = 5000
	for _, row := range []struct {
		name    string
		matches []Match
		hosts   int
	}{
		{"1 rule", services(1, 1), 1},
		{"100 rules of a host", services(100, 1), 1},
		{"5000 rules of 500 hosts", services(rules, 500), 500},
		{"5000 rules of a host", services(rules, 1), 1},
		{"5000 rules of no host", ofNone(rules), 1},
		{"5000 rules, each of 500 hosts", ofAll(rules, 500), 500},
	} {
		b.Run(row.name, func(b *testing.B) {
			var before, after runtime.MemStats
			compiled := indexOf(row.matches...).rules
			runtime.GC()
			runtime.ReadMemStats(&before)
			x, one := newIndex(compiled), indexOf(services(1, 1)...)
			runtime.GC()
			runtime.ReadMemStats(&after)
			size := float64(after.HeapAlloc) - float64(before.HeapAlloc)

			var here, beside time.Duration
			turns := rand.Perm(rules)
			many, same := make([]Request, rules), make([]Request, rules)
			for i, turn := range turns {
				turn %= len(row.matches)
				many[i] = Request{Method: "GET", host: host(turn % row.hosts), path: service(turn) + "/a"}
				same[i] = Request{Method: "GET", host: host(0), path: service(0) + "/a"}
			}
			b.ReportAllocs()
			for b.Loop() {
				here += findAll(b, x, many)
				beside += findAll(b, one, same)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(here)/float64(b.N*rules), "ns/match")
			b.ReportMetric(float64(here)/float64(beside), "of-one-rule")
			b.ReportMetric(size/float64(len(row.matches)), "B/rule")
		})
	}
}

func findAll(b *testing.B, x *index, requests []Request) time.Duration {
	began := time.Now()
	for i := range requests {
		if x.first(&requests[i]) == nil {
			b.Fatal("no rule fits")
		}
	}
	return time.Since(began)
}

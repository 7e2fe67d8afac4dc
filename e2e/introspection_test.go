package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// asked is the part of a configuration that asks a provider about tokens, with the
// client's secret in a file. Its answers stand for as long as ttl.
func asked(p *oidctest.Provider, secret, more, ttl string) string {
	return fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [api]
    tokens: introspection
    introspection: {client_id: credence, client_secret: {file: %s}, ttl: %s%s}
`, p.Issuer(), secret, ttl, more)
}

// A token that says nothing passes as the one that the provider knows, as long as
// the provider says so, and no secret is written down on the way.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, secret := startProvider(t), startUpstream(t), filepath.Join(t.TempDir(), "secret")
	provider.AddClient("credence", "first-secret", oidctest.Token{})
	writeSecret(t, secret, "first-secret")
	credence := startCredence(t, listenFreely+asked(provider, secret, "", "1s")+orderRules+"audit: {allows: all}\nlog: {level: debug}\n")
	credence.awaitReady(t)
	listeners := append([]ingress{}, bothEncodings...)
	for i := range listeners {
		listeners[i].Timeout = "8s"
	}
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: listeners})
	c := e.client(t, "encode_raw_headers")
	var tokens []string
	issue := func(token oidctest.Token) string {
		tokens = append(tokens, provider.IssueOpaque(token))
		return "Authorization: Bearer " + tokens[len(tokens)-1]
	}
	denied := func(token string, status int, reason string) {
		t.Helper()
		got := c.get(t, "/orders", token)
		if got.status != status || got.reason() != reason {
			t.Errorf("got %d %s, want %d %s", got.status, got.body, status, reason)
		}
		checkDenial(t, got)
	}

	t.Run("every way", func(t *testing.T) {
		live := issue(staff())
		e.eachWay(t, func(t *testing.T, c *client) {
			got := c.get(t, "/orders", live).upstream(t)
			if got.get("x-user-id") != "alice" || got.get("x-user-groups") != "staff" || got.get("authorization") != "" {
				t.Errorf("got %v", got.Header)
			}
		})
	})
	t.Run("what isn't good", func(t *testing.T) {
		live := issue(staff())
		denied(live[:len(live)-1], 401, "token_inactive")
		denied(strings.ToLower(live), 401, "token_inactive")
		denied("Authorization: Bearer made-up", 401, "token_inactive")
		denied(issue(staff(map[string]any{"aud": "billing"})), 401, "audience_mismatch")
		denied(issue(staff(map[string]any{"scope": "openid"})), 403, "insufficient_scope")
		denied(issue(oidctest.Token{Claims: map[string]any{"groups": nil}}), 403, "claim_missing")
		denied(bearer(provider, staff()), 401, "token_inactive") // signed, but the provider doesn't know it
	})
	t.Run("revoked", func(t *testing.T) {
		live := issue(staff())
		if got := c.get(t, "/orders", live); got.status != 200 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		provider.Revoke(strings.TrimPrefix(live, "Authorization: Bearer "))
		await(t, "the answer is too old", func() bool { return c.get(t, "/orders", live).status == 401 })
		denied(live, 401, "token_inactive")
	})
	t.Run("the provider is down", func(t *testing.T) {
		provider.Break(oidctest.Introspection, oidctest.Fault{Refuse: true})
		defer provider.Mend(oidctest.Introspection)
		denied(issue(staff()), 503, "introspection_unavailable")
	})
	t.Run("another secret", func(t *testing.T) {
		provider.AddClient("credence", "second-secret", oidctest.Token{})
		denied(issue(staff()), 503, "introspection_unavailable")
		writeSecret(t, secret, "second-secret")
		live := issue(staff())
		await(t, "the secret is read again", func() bool { return c.get(t, "/orders", live).status == 200 })
	})

	_, metrics := credence.probed(t, "/metrics")
	for _, result := range []string{"active", "inactive", "unavailable", "busy"} {
		if !strings.Contains(metrics, `credence_introspections_total{provider="corp",result="`+result+`"}`) {
			t.Errorf("no metric of %s", result)
		}
	}
	credence.signal(t, syscall.SIGTERM)
	credence.wait(t)
	for where, text := range map[string]string{"metrics": metrics, "log": credence.stderr.String(), "audit log": credence.stdout.String()} {
		checkSecrets(t, where, text, append(tokens, "first-secret", "second-secret", "made-up"))
	}
}

// Whoever comes with a token while the provider is asked about it waits for that answer,
// and whoever comes later gets it too.
func TestManyAtOnceAreOneQuestion(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, secret := startProvider(t), startUpstream(t), filepath.Join(t.TempDir(), "secret")
	provider.AddClient("credence", "secret", oidctest.Token{})
	writeSecret(t, secret, "secret")
	credence := startCredence(t, listenFreely+asked(provider, secret, "", "1h")+orderRules)
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true"}}})
	c := e.client(t, "raw")
	provider.Break(oidctest.Introspection, oidctest.Fault{Delay: 300 * time.Millisecond})
	live := "Authorization: Bearer " + provider.IssueOpaque(staff())
	var sending sync.WaitGroup
	for range 20 {
		sending.Go(func() {
			if got, err := c.exchange(t.Context(), request{target: "/orders", headers: []string{live}}); err != nil || got.status != 200 {
				t.Errorf("got %d %s, %v", got.status, got.body, err)
			}
		})
	}
	sending.Wait()
	if got := provider.Requests(oidctest.Introspection); got != 1 {
		t.Errorf("%d questions", got)
	}
}

// A flood of made-up tokens costs the provider no more questions than configured,
// and nobody whose token is known anything.
func TestFloodOfMadeUpTokens(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, secret := startProvider(t), startUpstream(t), filepath.Join(t.TempDir(), "secret")
	provider.AddClient("credence", "secret", oidctest.Token{})
	writeSecret(t, secret, "secret")
	credence := startCredence(t, listenFreely+asked(provider, secret, ", max_per_second: 5", "1h")+orderRules)
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}})
	c := e.client(t, "raw")
	live := "Authorization: Bearer " + provider.IssueOpaque(staff())
	if got := c.get(t, "/orders", live); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	began := time.Now()
	statuses := map[int]int{}
	for i := range 200 {
		statuses[c.get(t, "/orders", fmt.Sprintf("Authorization: Bearer made-up-%d", i)).status]++
		if i%20 == 0 {
			if got := c.get(t, "/orders", live); got.status != 200 {
				t.Errorf("a known token: got %d %s", got.status, got.body)
			}
		}
	}
	most := 5 + int(5*time.Since(began).Seconds()) + 1
	if got := provider.Requests(oidctest.Introspection); got > most || statuses[401] > most || statuses[401]+statuses[503] != 200 {
		t.Errorf("%d questions, at most %d are allowed; got %v", got, most, statuses)
	}
}

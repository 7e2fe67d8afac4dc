package e2e

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

const orderRules = `
rules:
  - name: health
    match: {paths: [/healthz]}
    public: true
  - name: orders
    match: {paths: [/orders, /orders/**]}
    bearer: {providers: [corp], scopes: [orders.read]}
    require: '"staff" in claims.groups'
    headers: {x-user-id: claims.sub, x-user-groups: claims.groups}
  - name: reports
    match: {paths: [/reports]}
    bearer: {providers: [corp]}
    require: claims.clearance == "high"
`

// staff are the claims of somebody who may read orders.
func staff(more ...map[string]any) oidctest.Token {
	claims := map[string]any{"groups": []string{"staff"}}
	for _, m := range more {
		maps.Copy(claims, m)
	}
	return oidctest.Token{Claims: claims}
}

// The decision is the same whichever way the request comes.
func TestDecisions(t *testing.T) {
	t.Parallel()
	w := startWorld(t, orderRules, bothEncodings...)
	sign := func(token oidctest.Token) []string { return []string{bearer(w.provider, token)} }
	good := w.provider.Sign(staff())
	parts := strings.Split(good, ".")
	forged := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))

	for _, c := range []struct {
		name, target string
		headers      []string
		status       int
		reason       string // empty: allowed
	}{
		{"a good token", "/orders", sign(staff()), 200, ""},
		{"a good token once more", "/orders/1?x=y", sign(staff()), 200, ""},
		{"another algorithm", "/orders", sign(oidctest.Token{Alg: "ES256", Claims: staff().Claims}), 200, ""},
		{"the scheme in another case", "/orders", []string{"Authorization: bEARER " + good}, 200, ""},
		{"a public path", "/healthz", nil, 200, ""},
		{"a public path with a bad token", "/healthz", []string{"Authorization: Bearer nonsense"}, 200, ""},

		{"no credential", "/orders", nil, 401, "no_credential"},
		{"a credential of another scheme", "/orders", []string{"Authorization: Basic YTpi"}, 401, "no_credential"},
		{"a token in the query", "/orders?access_token=" + good, nil, 401, "no_credential"},
		{"a token in a cookie", "/orders", []string{"Cookie: access_token=" + good}, 401, "no_credential"},
		{"a token that isn't one", "/orders", []string{"Authorization: Bearer nonsense"}, 401, "token_opaque"},
		{"half a token", "/orders", []string{"Authorization: Bearer " + parts[0] + "." + parts[1]}, 401, "token_malformed"},
		{"an encrypted token", "/orders", []string{"Authorization: Bearer a.b.c.d.e"}, 401, "token_encrypted"},
		{"a token over the limit", "/orders", []string{"Authorization: Bearer " + strings.Repeat("a", 16385)}, 401, "token_too_large"},
		{"a forged signature", "/orders", []string{"Authorization: Bearer " + forged}, 401, "signature_invalid"},
		{"no signature", "/orders", sign(oidctest.Token{Alg: "none"}), 401, "algorithm_not_allowed"},
		{"a public key as secret", "/orders", sign(oidctest.Token{Alg: "HS256"}), 401, "algorithm_not_allowed"},
		{"an expired token", "/orders", sign(oidctest.Token{TTL: -time.Hour}), 401, "token_expired"},
		{"a token of tomorrow", "/orders", sign(staff(map[string]any{"nbf": time.Now().Add(24 * time.Hour).Unix()})), 401, "token_not_yet_valid"},
		{"a token for another audience", "/orders", sign(staff(map[string]any{"aud": "billing"})), 401, "audience_mismatch"},
		{"a token of another issuer", "/orders", sign(staff(map[string]any{"iss": w.provider.Issuer() + "/"})), 401, "issuer_unknown"},
		{"an ID token", "/orders", sign(staff(map[string]any{"at_hash": "x"})), 401, "not_an_access_token"},
		{"a token bound to a key", "/orders", sign(staff(map[string]any{"cnf": map[string]any{"jkt": "x"}})), 401, "constraint_unproven"},
		{"a token without a subject", "/orders", sign(staff(map[string]any{"sub": nil})), 401, "subject_missing"},

		{"two tokens", "/orders", []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, 400, "malformed_authorization"},
		{"a token and a password", "/orders", []string{"Authorization: Basic YTpi", "Authorization: Bearer " + good}, 400, "malformed_authorization"},
		{"two tokens on a public path", "/healthz", []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, 400, "malformed_authorization"},
		{"a scheme without a token", "/orders", []string{"Authorization: Bearer"}, 400, "malformed_authorization"},
		{"more than a token", "/orders", []string{"Authorization: Bearer " + good + " more"}, 400, "malformed_authorization"},
		{"a path with two readings", "/orders//1", sign(staff()), 400, "ambiguous_path"},

		{"a token without the scope", "/orders", sign(staff(map[string]any{"scope": "openid"})), 403, "insufficient_scope"},
		{"a token of somebody else", "/orders", sign(staff(map[string]any{"groups": []string{"guests"}})), 403, "requirement_false"},
		{"a token without the claim", "/reports", sign(staff()), 403, "claim_missing"},
		{"a requirement over another type", "/reports", sign(staff(map[string]any{"clearance": 3})), 403, "requirement_false"},
		{"a path of no rule", "/admin", sign(staff()), 403, "no_rule"},
		{"a path of no rule without a credential", "/admin", nil, 403, "no_rule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.envoy.eachWay(t, func(t *testing.T, client *client) {
				before := w.upstream.requests.Load()
				got := client.get(t, c.target, c.headers...)
				if got.status != c.status || got.reason() != c.reason {
					t.Errorf("got %d %s, want %d %s", got.status, got.body, c.status, c.reason)
				}
				if reached := w.upstream.requests.Load() != before; reached != (c.reason == "") {
					t.Errorf("reached the application: %v", reached)
				}
				if c.reason != "" {
					checkDenial(t, got)
				}
			})
		})
	}
	t.Run("two Host lines", func(t *testing.T) {
		got := w.envoy.client(t, "headers").send(t, request{target: "/healthz", headers: []string{"Host: evil.test"}})
		if got.status != 400 || got.reason() != "malformed_host" {
			t.Errorf("got %d %s, want 400 malformed_host", got.status, got.body)
		}
	})
}

// checkDenial checks what every denial has to be: not to be kept, of a known form,
// and without a cookie or a place to go to.
func checkDenial(t *testing.T, got answer) {
	t.Helper()
	if v := got.header.Values("Cache-Control"); len(v) != 1 || v[0] != "no-store" {
		t.Errorf("got cache-control %q, want no-store", v)
	}
	if v := got.header.Values("Content-Type"); len(v) != 1 || v[0] != "application/json" {
		t.Errorf("got content-type %q, want application/json", v)
	}
	if got.header.Get("Set-Cookie") != "" || got.header.Get("Location") != "" {
		t.Errorf("got %v, want neither cookie nor redirect", got.header)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body["error"] == "" || body["error_description"] == "" || len(body) != 3 {
		t.Errorf("got body %q, want error, error_description and reason", got.body)
	}
}

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// No secret that comes by is written down anywhere, at any log level: not a token
// that is good, nor one that is bad, nor what stands beside it.
func TestSEC_5_46_SecretsAreNotWrittenDown(t *testing.T) {
	t.Parallel()
	w := startWorld(t, `
rules:
  - name: orders
    match: {paths: [/orders]}
    bearer: {providers: [corp], scopes: [orders.read]}
    headers: {x-user-id: claims.sub}
  - name: compared
    match: {paths: [/compared]}
    bearer: {providers: [corp]}
    require: claims.secret > 3
  - name: chosen
    match: {paths: [/chosen], headers: {x-api-key: canary-never}}
    public: true
log: {level: debug}
audit: {allows: all}
`, append(bothEncodings, ingress{Name: "with body", Filter: "with_request_body: {max_request_bytes: 1024}"})...)

	const canary = "canary"
	secret := func(claims map[string]any) oidctest.Token {
		claims["secret"] = canary + "-claim"
		return staff(claims)
	}
	sign := w.provider.Sign
	signature := func(token string) string { return token[strings.LastIndex(token, ".")+1:] }
	good := sign(secret(map[string]any{}))
	tokens := []string{
		good,
		good[:len(good)-8],               // cut off
		good + "." + canary,              // a segment too many
		strings.ToUpper(good),            // damaged
		canary + "-opaque",               // of no form
		canary + ".of.three",             // of the form alone
		canary + "." + canary + ".a.b.c", // encrypted, it seems
		sign(secret(map[string]any{"aud": "billing"})),
		sign(secret(map[string]any{"scope": "x"})),
		sign(secret(map[string]any{"iss": "https://other.test"})),
		sign(secret(map[string]any{"sub": 3})),
		sign(oidctest.Token{TTL: -time.Hour, Claims: map[string]any{"secret": canary}}),
		sign(oidctest.Token{KeyID: "unknown", Claims: map[string]any{"secret": canary}}),
		sign(oidctest.Token{Alg: "none", Claims: map[string]any{"secret": canary}}),
		sign(oidctest.Token{RawClaims: `{"iss": "` + w.provider.Issuer() + `", "secret": "` + canary + `", "secret": 1}`}),
		sign(oidctest.Token{RawClaims: `{"secret": "` + canary + `" "` + canary}),
		sign(oidctest.Token{RawHeader: `{"alg": "RS256", "crit": ["x"], "secret": "` + canary + `"}`}),
	}
	secrets := []string{canary, strings.ToUpper(canary), base64.StdEncoding.EncodeToString([]byte(canary))}
	beside := []string{"Cookie: session=" + canary, "X-Api-Key: " + canary, "DPoP: " + canary, "Proxy-Authorization: Basic " + canary}
	var authorizations []string
	for _, token := range tokens {
		if s := signature(token); len(s) > 40 {
			secrets = append(secrets, s[:20], token[:len(token)-len(s)][20:60])
		}
		authorizations = append(authorizations, "Bearer "+token, "Bearer "+token+" "+canary, "Bearer "+token+", Bearer "+token, "DPoP "+token, "bearer")
	}
	authorizations = append(authorizations, "Basic "+base64.StdEncoding.EncodeToString([]byte(canary+":"+canary)))

	denied := 0
	w.envoy.eachWay(t, func(t *testing.T, c *client) {
		for _, authorization := range authorizations {
			for _, path := range []string{"/orders", "/compared", "/chosen", "/orders/..", "/nowhere"} {
				got := c.send(t, request{
					method: "POST", target: path + "?access_token=" + canary + "&code=" + good, body: canary,
					headers: append([]string{"Authorization: " + authorization}, beside...),
				})
				if got.header.Get("X-App") != "" {
					continue // the application says what it got
				}
				denied++
				var answer strings.Builder
				_ = got.header.Write(&answer) // never fails on a Builder
				answer.WriteString(got.body)
				checkSecrets(t, "an answer to "+path, answer.String(), secrets)
			}
		}
	})
	_, metrics := w.credence.probed(t, "/metrics")
	checkSecrets(t, "the metrics", metrics, secrets)
	w.credence.signal(t, syscall.SIGTERM)
	w.credence.wait(t)
	log, audit := w.credence.stderr.String(), w.credence.stdout.String()
	checkSecrets(t, "the log", log, secrets)
	checkSecrets(t, "the audit log", audit, secrets)

	// Or all this would be true of a Credence that writes nothing.
	if lines := strings.Count(audit, "\n"); lines <= denied || !strings.Contains(metrics, "credence_decisions_total") || !strings.Contains(log, `"msg"`) {
		t.Errorf("got %d lines in the audit log for %d denials and some allows", lines, denied)
	}
	for line := range strings.Lines(audit + log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %q", line)
		}
	}
}

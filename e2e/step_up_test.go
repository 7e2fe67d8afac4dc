package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// stepUpRules want more of the user's login for payments than for the rest.
const stepUpRules = `
dpop: {origins: ["https://shop.test"]}
rules:
  - {name: payments, match: {paths: [/payments]}, bearer: {providers: [corp], scopes: [orders.read], acr_values: [gold, "urn:example:silver"], max_age: 5m}}
  - {name: rest, bearer: {providers: [corp]}, headers: {x-user-id: claims.sub}}
audit: {allows: all, recheck: 1}
log: {level: debug}
`

// TestSEC_A6_StepUp: a client whose user logged in too weakly or too long ago is told
// what is needed, for each scheme that it may use (RFC 9470), by the Envoy that is
// printed; its token is as good as ever for everything else.
func TestSEC_A6_StepUp(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, app := startProvider(t), startUpstream(t)
	credence := startCredence(t, "listen: {check: 'unix:"+socketPath(t)+"', probe: 127.0.0.1:0}\n"+corp(provider)+stepUpRules)
	credence.awaitReady(t)
	envoy := startEnvoy(t, output(t, binary, "envoy-config", "--config", credence.config,
		"--listen", "127.0.0.1:0", "--upstream", app.address, "--timeout", "10s"))
	login := func(acr any, ago time.Duration, scope string) string {
		return bearer(provider, oidctest.Token{Claims: map[string]any{"acr": acr, "auth_time": time.Now().Add(-ago).Unix(), "scope": scope}})
	}
	const (
		more   = `error="insufficient_user_authentication", error_description="a stronger or a more recent login is needed"`
		needed = `acr_values="gold urn:example:silver", max_age="300", scope="orders.read"`
	)
	stepUp := []string{`Bearer realm="credence", ` + more + ", " + needed, `DPoP realm="credence", algs="`, more + ", " + needed}
	for version, client := range clients(envoy.at(t, "ingress")) {
		t.Run(version, func(t *testing.T) {
			for _, row := range []struct {
				name, token, reason string
				status              int
				says                []string // in the challenges, in this order
			}{
				{"a strong login of just now", login("gold", 0, "orders.read"), "", 200, nil},
				{"the other kind, minutes ago", login("urn:example:silver", 4*time.Minute, "orders.read"), "", 200, nil},
				{"too weak", login("bronze", 0, "orders.read"), "insufficient_user_authentication", 401, stepUp},
				{"an hour ago", login("gold", time.Hour, "orders.read"), "insufficient_user_authentication", 401, stepUp},
				{"in an hour", login("gold", -time.Hour, "orders.read"), "insufficient_user_authentication", 401, stepUp},
				{"nobody knows how", login(nil, 0, "orders.read"), "insufficient_user_authentication", 401, stepUp},
				{"too weak, and for something else", login("bronze", 0, "other"), "insufficient_user_authentication", 401, stepUp},
				{"strong, and for something else", login("gold", 0, "other"), "insufficient_scope", 403, []string{`error="insufficient_scope"`, `scope="orders.read"`}},
				{"a machine's", bearer(provider, oidctest.Token{}), "insufficient_user_authentication", 401, stepUp},
			} {
				t.Run(row.name, func(t *testing.T) {
					for range 3 { // from memory too
						got := client.get(t, "/payments", row.token)
						if got.status != row.status || row.reason != "" && got.reason() != row.reason {
							t.Fatalf("got %d %s, want %d %s", got.status, got.body, row.status, row.reason)
						}
						challenges := strings.Join(got.header["Www-Authenticate"], ", ")
						rest := challenges
						for _, text := range row.says {
							_, after, ok := strings.Cut(rest, text)
							if !ok {
								t.Errorf("got challenges %q, want %q", challenges, row.says)
							}
							rest = after
						}
						if strings.Contains(challenges, "acr_values") != slices.Equal(row.says, stepUp) {
							t.Errorf("got challenges %q", challenges)
						}
					}
					if got := client.get(t, "/orders", row.token); got.upstream(t).get("x-user-id") != "alice" {
						t.Errorf("elsewhere: got %d %s", got.status, got.body)
					}
				})
			}
		})
	}
	checkFalseAllows(t, credence)
	explained := output(t, binary, "explain", "--config", credence.config, "-H", login("bronze", 0, "orders.read"), "https://shop.test/payments")
	if want := `FAIL  user authentication: insufficient_user_authentication: acr "bronze" is none of gold, urn:example:silver`; !strings.Contains(explained, want) {
		t.Errorf("got %s, want %s", explained, want)
	}
}

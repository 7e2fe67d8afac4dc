package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Keycloak's tokens without groups, which its userinfo has: people have them by asking it
// once, and machines are served beside them.
func TestUserInfoOfKeycloak(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	const secret = "a-secret-of-the-mobile-app"
	r := startRealm(t, realm{
		Name:    "profiles",
		Clients: []realmClient{{ID: "mobile", Secret: secret, RedirectURIs: []string{}, Audiences: []string{"api"}, Passwords: true, ThinTokens: true}},
		Users:   []realmUser{{Name: "alice", Password: "wonderland", Groups: []string{"staff", "night"}}, {Name: "bob", Password: "builder", Groups: []string{"night"}}},
	})
	endpoint := r.issuer() + "/protocol/openid-connect/"
	person := func(name, password string) string {
		return "Authorization: Bearer " + grantToClient(t, endpoint+"token", "mobile", secret,
			url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}, "scope": {"openid"}})
	}
	machine := "Authorization: Bearer " + grantToClient(t, endpoint+"token", "mobile", secret, nil)
	upstream := startUpstream(t)
	start := func(t *testing.T, userinfo string) (*credence, *client) {
		credence := startCredence(t, listenFreely+fmt.Sprintf(`
providers: [{name: corp, issuer: %s, audiences: [api], userinfo: %s}]
rules:
  - {name: staff, match: {paths: [/staff]}, bearer: {providers: [corp]}, require: '"staff" in claims.groups', headers: {x-user: claims.preferred_username, x-groups: claims.groups}}
  - {name: orders, match: {paths: [/orders]}, bearer: {providers: [corp]}, headers: {x-client: claims.azp}}
audit: {allows: all, recheck: 1}
log: {level: debug}
`, r.issuer(), userinfo))
		credence.awaitReady(t)
		return credence, startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}}).client(t, "raw")
	}
	denied := func(t *testing.T, c *client, path, token string, status int, reason string) {
		t.Helper()
		if got := c.get(t, path, token); got.status != status || got.reason() != reason {
			t.Errorf("%s: got %d %s, want %s", path, got.status, got.body, reason)
		}
	}
	t.Run("people and machines", func(t *testing.T) {
		credence, c := start(t, "{}")
		alice := person("alice", "wonderland")
		for range 3 {
			got := c.get(t, "/staff", alice, "X-Groups: forged").upstream(t)
			if groups := got.get("x-groups"); got.get("x-user") != "alice" || !strings.Contains(groups, "staff") || strings.Contains(groups, "forged") {
				t.Errorf("got %v", got.Header)
			}
		}
		if _, metrics := credence.probed(t, "/metrics"); !strings.Contains(metrics, "\n"+`credence_userinfo_requests_total{provider="corp",result="answered"} 1`+"\n") {
			t.Errorf("got %s", metrics)
		}
		denied(t, c, "/staff", person("bob", "builder"), 403, "requirement_false")
		denied(t, c, "/staff", machine, 403, "claim_missing")
		if got := c.get(t, "/orders", machine).upstream(t); got.get("x-client") != "mobile" {
			t.Errorf("got %v", got.Header)
		}
		revoked := person("alice", "wonderland")
		_, token, _ := strings.Cut(revoked, "Bearer ")
		postForm(t, endpoint+"revoke", "mobile", secret, url.Values{"token": {token}})
		denied(t, c, "/staff", revoked, 401, "user_info_refused")
		checkFalseAllows(t, credence)
	})
	t.Run("always", func(t *testing.T) {
		_, c := start(t, "{when: always}")
		denied(t, c, "/orders", machine, 401, "user_info_refused")
		if got := c.get(t, "/staff", person("alice", "wonderland")).upstream(t); got.get("x-user") != "alice" {
			t.Errorf("got %v", got.Header)
		}
	})
	t.Run("not asked", func(t *testing.T) {
		_, c := start(t, "{when: left_out}")
		denied(t, c, "/staff", person("alice", "wonderland"), 403, "claim_missing")
	})
}

package e2e

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// machineRules let in programs, and tell the application which.
const machineRules = `
rules:
  - {name: orders, match: {paths: [/orders]}, bearer: {providers: [corp]}, headers: {x-client: claims.client_id, x-audience: claims.aud}}
  - {name: mail, match: {paths: [/mail]}, bearer: {providers: [corp], scopes: [email, profile]}}
  - {name: write, match: {paths: [/write]}, bearer: {providers: [corp], scopes: [email, orders.write]}}
audit: {allows: all, recheck: 1}
log: {level: debug}
`

// grantToClient has a provider give an access token to a client, by its credentials.
func grantToClient(t *testing.T, endpoint, id, secret string, more url.Values) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(form, more)
	var granted struct {
		Token string `json:"access_token"`
	}
	text := postForm(t, endpoint, id, secret, form)
	if err := json.Unmarshal([]byte(text), &granted); err != nil || granted.Token == "" {
		t.Fatalf("got %s, %v", text, err)
	}
	return granted.Token
}

// postForm asks an endpoint of a provider as one of its clients.
func postForm(t *testing.T, endpoint, id, secret string, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, secret)
	req.Close = true // Node ends connections that are idle, in the middle of a next POST
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %s %s, %v", endpoint, resp.Status, body, err)
	}
	return string(body)
}

// Tokens of oidc-provider in every form it has: JWT, encrypted, and opaque, of which
// it tells in plain JSON or in a signed answer.
func TestTokensOfNodeProvider(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	dir := t.TempDir()
	key := newKey(t)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	ours, secret := filepath.Join(dir, "key.pem"), filepath.Join(dir, "secret")
	writePEM(t, ours, "PRIVATE KEY", private)
	writeSecret(t, secret, "a-secret-of-the-resource-server")
	const plain, sealed, opaque, foreign = "https://api.test/plain", "https://api.test/sealed", "https://api.test/opaque", "https://api.test/foreign"
	machine := func(id, answers string) map[string]any {
		return map[string]any{
			"client_id": id, "client_secret": "a-secret-of-the-resource-server", "redirect_uris": []string{}, "response_types": []string{},
			"grant_types": []string{"client_credentials"}, "introspection_signed_response_alg": answers,
		}
	}
	p := startNodeProvider(t, nodeConfiguration{
		Clients: []map[string]any{machine("machine", "RS256"), machine("credence", "RS256"), machine("credence-hmac", "HS256")},
		Resources: map[string]map[string]any{
			sealed: {"jwt": map[string]any{"encrypt": map[string]any{
				"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
			}}},
			opaque: {"accessTokenFormat": "opaque"},
		},
	})
	issue := func(audience string) string {
		return grantToClient(t, p.issuer+"/token", "machine", "a-secret-of-the-resource-server", url.Values{"resource": {audience}, "scope": {"orders.read"}})
	}
	upstream := startUpstream(t)
	for _, asking := range []struct{ name, signed string }{{"plain answers", "false"}, {"signed answers", "true"}} {
		t.Run(asking.name, func(t *testing.T) {
			credence := startCredence(t, listenFreely+fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [%s, %s, %s]
    accept_missing_subject: true
    tokens: auto
    introspection: {client_id: credence, client_secret: {file: %s}, ttl: 1s, signed_answers: %s}
    decryption_keys: [{file: %s}]
`, p.issuer, plain, sealed, opaque, secret, asking.signed, ours)+machineRules)
			credence.awaitReady(t)
			c := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}}).client(t, "raw")
			for _, row := range []struct {
				name, audience string
				dots           int
			}{{"JWT", plain, 2}, {"encrypted", sealed, 4}, {"opaque", opaque, 0}} {
				token := issue(row.audience)
				if got := strings.Count(token, "."); got != row.dots {
					t.Fatalf("%s: the token has %d dots", row.name, got)
				}
				for range 3 { // from memory too
					got := c.get(t, "/orders", "Authorization: Bearer "+token).upstream(t)
					if got.get("x-client") != "machine" || got.get("x-audience") != row.audience || got.get("authorization") != "" {
						t.Errorf("%s: got %v", row.name, got.Header)
					}
				}
				middle := len(token) / 2
				altered := token[:middle] + map[bool]string{true: "A", false: "B"}[token[middle] != 'A'] + token[middle+1:]
				if got := c.get(t, "/orders", "Authorization: Bearer "+altered); got.status != 401 {
					t.Errorf("%s, altered: got %d %s", row.name, got.status, got.body)
				}
			}
			if got := c.get(t, "/orders", "Authorization: Bearer "+issue(foreign)); got.status != 401 || got.reason() != "audience_mismatch" {
				t.Errorf("for another audience: got %d %s", got.status, got.body)
			}
			revoked := issue(opaque)
			if got := c.get(t, "/orders", "Authorization: Bearer "+revoked); got.status != 200 {
				t.Errorf("got %d %s", got.status, got.body)
			}
			postForm(t, p.issuer+"/token/revocation", "machine", "a-secret-of-the-resource-server", url.Values{"token": {revoked}})
			await(t, "the revoked token ends", func() bool { return c.get(t, "/orders", "Authorization: Bearer "+revoked).reason() == "token_inactive" })
			checkFalseAllows(t, credence)
		})
	}
	t.Run("answers signed with the client's secret", func(t *testing.T) {
		credence := startCredence(t, listenFreely+fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [%s]
    accept_missing_subject: true
    tokens: introspection
    introspection: {client_id: credence-hmac, client_secret: {file: %s}, signed_answers: true}
`, p.issuer, opaque, secret)+machineRules)
		credence.awaitReady(t)
		c := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}}).client(t, "raw")
		if got := c.get(t, "/orders", "Authorization: Bearer "+issue(opaque)); got.status != 503 || got.reason() != "introspection_unavailable" {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
}

// Tokens of Keycloak's service accounts, judged by their signature and by asking it.
func TestTokensOfKeycloak(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	secret := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, secret, "a-secret-of-the-resource-server")
	r := startRealm(t, realm{Name: "machines", Clients: []realmClient{
		{ID: "machine", Secret: "a-secret-of-a-machine", RedirectURIs: []string{}, Audiences: []string{"api", "credence"}},
		{ID: "stranger", Secret: "a-secret-of-a-machine", RedirectURIs: []string{}, Audiences: []string{"credence"}},
		{ID: "credence", Secret: "a-secret-of-the-resource-server", RedirectURIs: []string{}},
	}})
	issue := func(client string) string {
		return grantToClient(t, r.issuer()+"/protocol/openid-connect/token", client, "a-secret-of-a-machine", nil)
	}
	upstream := startUpstream(t)
	for _, judged := range []struct{ name, more string }{
		{"by signature", ""},
		{"by asking", fmt.Sprintf("    tokens: introspection\n    introspection: {client_id: credence, client_secret: {file: %s}, ttl: 1s}\n", secret)},
	} {
		t.Run(judged.name, func(t *testing.T) {
			credence := startCredence(t, listenFreely+fmt.Sprintf("providers:\n  - name: corp\n    issuer: %s\n    audiences: [api]\n", r.issuer())+judged.more+strings.Replace(machineRules, "claims.client_id", "claims.azp", 1))
			credence.awaitReady(t)
			c := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}}).client(t, "raw")
			token := issue("machine")
			for range 3 {
				got := c.get(t, "/orders", "Authorization: Bearer "+token).upstream(t)
				if got.get("x-client") != "machine" || !strings.Contains(got.get("x-audience"), "api") || got.get("authorization") != "" {
					t.Errorf("got %v", got.Header)
				}
			}
			// Keycloak gives these scopes to whoever asks for none.
			for target, status := range map[string]int{"/mail": 200, "/write": 403} {
				if got := c.get(t, target, "Authorization: Bearer "+token); got.status != status || status == 403 && got.reason() != "insufficient_scope" {
					t.Errorf("%s: got %d %s, want %d", target, got.status, got.body, status)
				}
			}
			if got := c.get(t, "/orders", "Authorization: Bearer "+issue("stranger")); got.status != 401 || got.reason() != "audience_mismatch" {
				t.Errorf("for another audience: got %d %s", got.status, got.body)
			}
			if judged.more != "" {
				postForm(t, r.issuer()+"/protocol/openid-connect/revoke", "machine", "a-secret-of-a-machine", url.Values{"token": {token}})
				await(t, "the revoked token ends", func() bool { return c.get(t, "/orders", "Authorization: Bearer "+token).reason() == "token_inactive" })
			}
			checkFalseAllows(t, credence)
		})
	}
}

// checkFalseAllows asserts that memory was watched, where it watched, and never wrong.
func checkFalseAllows(t *testing.T, c *credence) {
	t.Helper()
	if _, metrics := c.probed(t, "/metrics"); !strings.Contains(metrics, "\ncredence_false_allow_total 0\n") {
		t.Errorf("got %s", metrics)
	}
}

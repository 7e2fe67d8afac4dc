package e2e

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// oidc-provider is asked about opaque tokens by a client that proves itself in each of the
// ways there are; without the right proof nobody is let in.
func TestEveryClientAuthentication(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	const opaque, name = "https://api.test/opaque", "spiffe://shop.test/credence"
	ca := newAuthority(t)
	right, other := ca.issue(t, name), ca.issue(t, "spiffe://shop.test/other")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeSecret(t, file("right"), "a-secret-of-the-resource-server-here")
	writeSecret(t, file("wrong"), "a-secret-of-some-other-resource-server")
	keys := jose.JSONWebKeySet{}
	for _, name := range []string{"right.pem", "wrong.pem"} {
		key := newKey(t)
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, file(name), "EC PRIVATE KEY", der)
		if name == "right.pem" {
			keys.Keys = []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig", Algorithm: "ES256"}}
		}
	}

	asks := func(method string, more map[string]any) map[string]any {
		c := boundMachine(method)
		c["token_endpoint_auth_method"] = method
		if more != nil {
			delete(c, "client_secret")
		} else {
			c["client_secret"] = "a-secret-of-the-resource-server-here"
		}
		maps.Copy(c, more)
		return c
	}
	p := startNodeProvider(t, nodeConfiguration{
		TLS:       ca.issue(t, "127.0.0.1"),
		Resources: map[string]map[string]any{opaque: {"accessTokenFormat": "opaque"}},
		Clients: []map[string]any{
			asks("client_secret_basic", nil), asks("client_secret_post", nil), asks("client_secret_jwt", nil),
			asks("private_key_jwt", map[string]any{"jwks": keys}), asks("tls_client_auth", map[string]any{"tls_client_auth_san_uri": name}),
			boundMachine("machine"),
		},
	})
	via := ca.client(t, nil)
	via.ServerName = "" // as the address says
	transport := &http.Transport{TLSClientConfig: via}
	defer transport.CloseIdleConnections()
	token := grantBound(t, &http.Client{Transport: transport}, p.issuer+"/token", "Bearer", "", url.Values{
		"client_id": {"machine"}, "client_secret": {"a-secret-of-a-machine"}, "resource": {opaque}, "scope": {"orders.read"},
	})

	upstream := startUpstream(t)
	ask := func(t *testing.T, client, how string, shown *credentials) answer {
		t.Helper()
		credence := startCredence(t, listenFreely+fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    ca_file: %s
    connection: {client_certificate_file: %s, client_key_file: %s}
    audiences: [%s]
    accept_missing_subject: true
    tokens: introspection
    introspection: {client_id: %s, %s}
`, p.issuer, ca.file, shown.CertFile, shown.KeyFile, opaque, client, how)+machineRules)
		credence.awaitReady(t)
		c := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true", Timeout: "8s"}}}).client(t, "raw")
		return c.get(t, "/orders", "Authorization: Bearer "+token)
	}
	for method, how := range map[string]string{
		"client_secret_basic": "client_secret: {file: %s}", "client_secret_post": "client_secret: {file: %s}, authentication: post",
		"client_secret_jwt": "client_secret: {file: %s}, authentication: client_secret_jwt",
		"private_key_jwt":   "key_file: %s.pem, key_id: '1', authentication: private_key_jwt",
	} {
		t.Run(method, func(t *testing.T) {
			if got := ask(t, method, fmt.Sprintf(how, file("right")), other); got.status != 200 {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if got := ask(t, method, fmt.Sprintf(how, file("wrong")), other); got.status != 503 || got.reason() != "introspection_unavailable" {
				t.Errorf("without the right proof: got %d %s", got.status, got.body)
			}
		})
	}
	t.Run("tls_client_auth", func(t *testing.T) {
		if got := ask(t, "tls_client_auth", "authentication: tls_client_auth", right); got.status != 200 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if got := ask(t, "tls_client_auth", "authentication: tls_client_auth", other); got.status != 503 || got.reason() != "introspection_unavailable" {
			t.Errorf("with another certificate: got %d %s", got.status, got.body)
		}
	})
}

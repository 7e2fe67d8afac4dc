package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
)

// certificateHeaders are those in which proxies tell of a client's certificate, with
// this one.
func certificateHeaders(t *testing.T, c *credentials) []string {
	t.Helper()
	text, err := os.ReadFile(c.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	escaped := url.PathEscape(string(text))
	var lines []string
	for _, name := range []string{"X-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert"} {
		lines = append(lines, name+": "+escaped)
	}
	return append(lines, `X-Forwarded-Client-Cert: By=spiffe://shop.test/x;Cert="`+escaped+`";Chain="`+escaped+`";Subject=""`,
		"Client-Cert: :"+base64.StdEncoding.EncodeToString(block.Bytes)+":") // RFC 9440
}

// Tokens of oidc-provider that are bound to the certificate by which a client got them
// (RFC 8705): they are good on connections with that one.
func TestCertificateBoundTokens(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	const audience = "https://api.test/plain"
	ca := newAuthority(t)
	right, other := ca.issue(t, "spiffe://shop.test/right"), ca.issue(t, "spiffe://shop.test/other")
	bound := boundMachine("bound", "tls_client_certificate_bound_access_tokens")
	delete(bound, "client_secret")
	bound["token_endpoint_auth_method"], bound["tls_client_auth_san_uri"] = "tls_client_auth", "spiffe://shop.test/right"
	p := startNodeProvider(t, nodeConfiguration{TLS: ca.issue(t, "127.0.0.1"), Clients: []map[string]any{bound, boundMachine("machine")}})

	issue := func(certificate *credentials, client string) string {
		config := ca.client(t, certificate)
		config.ServerName = "" // as the address says
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		form := url.Values{"client_id": {client}, "resource": {audience}, "scope": {"orders.read"}}
		if client == "machine" {
			form.Set("client_secret", "a-secret-of-a-machine")
		}
		return grantBound(t, &http.Client{Transport: transport}, p.issuer+"/token", "Bearer", "", form)
	}
	token, ordinary := issue(right, "bound"), issue(nil, "machine")

	server := ca.issue(t, "credence.test")
	w := startBound(t, fmt.Sprintf(`
providers:
  - {name: corp, issuer: %s, ca_file: %s, audiences: [%s], accept_missing_subject: true}
`, p.issuer, ca.file, audience), "", "client_id", overTLS(t, server))
	// The printed listener sends no header of these. Here are some that send all, and
	// take the client's word for certificates.
	const trusting, all = "forward_client_cert_details: ALWAYS_FORWARD_ONLY", "encode_raw_headers: true\ninclude_peer_certificate: true"
	lax := startProxy(t, proxy{Authorizer: "unix:" + w.credence.check, Application: w.upstream.address, Ingresses: []ingress{
		{Name: "trusting", Manager: trusting, Filter: all, TLS: server},
		{Name: "appending", Manager: "forward_client_cert_details: APPEND_FORWARD\nset_current_client_cert_details: {cert: true}", Filter: all, TLS: server},
		{Name: "trusting in cleartext", Manager: trusting, Filter: all},
		{Name: "not telling", Manager: trusting, Filter: "encode_raw_headers: true", TLS: server},
	}})

	type row struct {
		name        string
		certificate *credentials
		token       string
		forged      *credentials // in headers
		reason      string       // empty: allowed
	}
	rows := []row{
		{"the right certificate", right, token, nil, ""},
		{"the right certificate, and another in headers", right, token, other, ""},
		{"another certificate", other, token, nil, "certificate_mismatch"},
		{"another certificate, and the right one in headers", other, token, right, "certificate_mismatch"},
		{"no certificate", nil, token, nil, "certificate_mismatch"},
		{"no certificate, and the right one in headers", nil, token, right, "certificate_mismatch"},
		{"a token that is bound to nothing", nil, ordinary, nil, ""},
		{"a token that is bound to nothing, with a certificate", other, ordinary, right, ""},
	}
	check := func(t *testing.T, c *client, rows []row) {
		t.Helper()
		for _, row := range rows {
			headers := []string{"Authorization: Bearer " + row.token}
			if row.forged != nil {
				headers = append(headers, certificateHeaders(t, row.forged)...)
			}
			if c.tls != nil {
				c.tls = ca.client(t, row.certificate)
			}
			for range 2 { // from memory too
				passed := w.upstream.requests.Load()
				got := c.get(t, "/orders", headers...)
				if row.reason == "" {
					if s := got.upstream(t); s.get("x-client") == "" || s.get("authorization") != "" {
						t.Errorf("%s: got %v", row.name, s.Header)
					}
				} else if got.status != 401 || got.reason() != row.reason || w.upstream.requests.Load() != passed {
					t.Errorf("%s: got %d %s, want %s", row.name, got.status, got.body, row.reason)
				}
			}
		}
	}
	for name, address := range map[string]string{
		"printed": w.envoy.at(t, "ingress"), "trusting": lax.at(t, "trusting"), "appending": lax.at(t, "appending"),
	} {
		for version, c := range clients(address) {
			t.Run(name+" in "+version, func(t *testing.T) {
				c.tls = ca.client(t, nil)
				check(t, c, rows)
			})
		}
	}
	t.Run("a listener without TLS", func(t *testing.T) {
		check(t, lax.client(t, "trusting in cleartext"), []row{
			{"no certificate", nil, token, nil, "certificate_mismatch"},
			{"the right one in headers", nil, token, right, "certificate_mismatch"},
			{"a token that is bound to nothing", nil, ordinary, right, ""},
		})
	})
	t.Run("an Envoy that doesn't tell", func(t *testing.T) {
		c := lax.client(t, "not telling")
		c.tls = ca.client(t, nil)
		check(t, c, []row{{"the right certificate", right, token, right, "certificate_mismatch"}})
	})
	t.Run("a resumed connection", func(t *testing.T) {
		c := w.envoy.client(t, "ingress")
		for _, row := range []struct {
			certificate *credentials
			status      int
		}{{right, 200}, {other, 401}} {
			var resumed atomic.Int32
			c.tls = ca.client(t, row.certificate)
			c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			c.tls.VerifyConnection = func(s tls.ConnectionState) error {
				if s.DidResume {
					resumed.Add(1)
				}
				return nil
			}
			for range 3 {
				if got := c.get(t, "/orders", "Authorization: Bearer "+token); got.status != row.status {
					t.Errorf("got %d %s, want %d", got.status, got.body, row.status)
				}
			}
			if resumed.Load() != 2 {
				t.Errorf("%d connections were resumed, want 2", resumed.Load())
			}
		}
	})
	checkFalseAllows(t, w.credence)
}

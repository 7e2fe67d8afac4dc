package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// Tokens of Keycloak that are bound to the certificate by which a client got them, as
// those of oidc-provider are (TestCertificateBoundTokens).
func TestCertificateBoundTokensOfKeycloak(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	ca := newAuthority(t)
	right, other := ca.issue(t, "spiffe://shop.test/right"), ca.issue(t, "spiffe://shop.test/other")
	k := startSecureKeycloak(t, ca.issue(t, "127.0.0.1"))
	machine := realmClient{ID: "machine", Secret: "a-secret-of-a-machine", RedirectURIs: []string{}, Audiences: []string{"api"}}
	bound := machine
	bound.ID, bound.CertificateBound = "bound", true
	r := startRealm(t, realm{Name: "certificates", Origin: k.secure, Clients: []realmClient{machine, bound}, keycloak: k})

	issue := func(certificate *credentials, client string) string {
		config := ca.client(t, certificate)
		config.ServerName = "" // as the address says
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		return grantBound(t, &http.Client{Transport: transport}, r.issuer()+"/protocol/openid-connect/token", "Bearer", "",
			url.Values{"client_id": {client}, "client_secret": {machine.Secret}})
	}
	token, ordinary := issue(right, "bound"), issue(right, "machine")

	w := startBound(t, fmt.Sprintf(`
providers:
  - {name: corp, issuer: %s, ca_file: %s, audiences: [api]}
`, r.issuer(), ca.file), "", "azp", overTLS(t, ca.issue(t, "credence.test")))
	for version, c := range clients(w.envoy.at(t, "ingress")) {
		for _, row := range []struct {
			name        string
			certificate *credentials
			token       string
			forged      *credentials // in headers
			client      string       // empty: refused
		}{
			{"the right certificate", right, token, nil, "bound"},
			{"the right certificate, and another in headers", right, token, other, "bound"},
			{"another certificate", other, token, nil, ""},
			{"another certificate, and the right one in headers", other, token, right, ""},
			{"no certificate", nil, token, nil, ""},
			{"no certificate, and the right one in headers", nil, token, right, ""},
			{"a token that is bound to nothing", nil, ordinary, nil, "machine"},
			{"a token that is bound to nothing, with a certificate", other, ordinary, nil, "machine"},
		} {
			c.tls = ca.client(t, row.certificate)
			headers := []string{"Authorization: Bearer " + row.token}
			if row.forged != nil {
				headers = append(headers, certificateHeaders(t, row.forged)...)
			}
			passed := w.upstream.requests.Load()
			got := c.get(t, "/orders", headers...)
			if row.client != "" {
				if s := got.upstream(t); s.get("x-client") != row.client || s.get("authorization") != "" {
					t.Errorf("%s, %s: got %v", version, row.name, s.Header)
				}
			} else if got.status != http.StatusUnauthorized || got.reason() != "certificate_mismatch" || w.upstream.requests.Load() != passed {
				t.Errorf("%s, %s: got %d %s", version, row.name, got.status, got.body)
			}
		}
	}
	checkFalseAllows(t, w.credence)
}

package e2e

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// oidc-provider is there with all that the tests want of it, and people can log in.
func TestNodeProvider(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	const callback = "http://app.localhost:9/callback"
	p := startNodeProvider(t, nodeConfiguration{
		Users: []map[string]any{{"sub": "alice", "email": "alice@example.com", "groups": []string{"staff"}}},
		Clients: []map[string]any{{
			"client_id": "web", "client_secret": "secret", "redirect_uris": []string{callback},
			"grant_types": []string{"authorization_code", "refresh_token"},
		}},
	})
	_, text := fetch(t, p.issuer+"/.well-known/openid-configuration")
	var metadata map[string]any
	if err := json.Unmarshal([]byte(text), &metadata); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"end_session_endpoint", "revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint",
		"authorization_response_iss_parameter_supported", "backchannel_logout_session_supported",
		"dpop_signing_alg_values_supported", "id_token_encryption_alg_values_supported", "request_parameter_supported",
	} {
		if metadata[name] == nil || metadata[name] == false {
			t.Errorf("there is no %s", name)
		}
	}
	b := startBrowser(t)
	b.open(t, p.issuer+"/auth?"+url.Values{
		"client_id": {"web"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid email groups"}, "state": {"s"},
		"code_challenge_method": {"S256"}, "code_challenge": {strings.Repeat("A", 43)},
	}.Encode())
	b.logInAtNodeProvider(t, "alice")
	b.await(t, "is on its way back", "location.href.startsWith('chrome-error:')")
}

// It can be reached by TLS alone, and then knows certificates.
func TestNodeProviderByTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	p := startNodeProvider(t, nodeConfiguration{TLS: ca.issue(t, "127.0.0.1")})
	c := &client{address: strings.TrimPrefix(p.issuer, "https://"), tls: ca.client(t, nil)}
	c.tls.ServerName = "127.0.0.1"
	if got := c.get(t, "/.well-known/openid-configuration"); got.status != 200 || !strings.Contains(got.body, "self_signed_tls_client_auth") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

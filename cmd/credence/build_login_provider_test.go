package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestT19_EndpointsOfTheirOwn: each is used as it is configured, and discovery, which
// doesn't answer, isn't asked.
func TestT19_EndpointsOfTheirOwn(t *testing.T) {
	provider := startProvider(t)
	provider.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
	v := enter(t, provider, settings{
		provider: fmt.Sprintf("keys: {url: %[1]s/jwks}, endpoints: {authorization: '%[1]s/authorize?from=config', token: '%[1]s/token?from=config', userinfo: %[1]s/userinfo, end_session: '%[1]s/end_session?from=config', revocation: %[1]s/revoke, sends_iss: true}", provider.Issuer()),
		client:   "userinfo: true",
	}).visitor()
	if at := v.begins(appHost); !strings.Contains(at, "/authorize?") || !strings.Contains(at, "from=config") {
		t.Errorf("the login is at %s", at)
	}
	v.logsIn()
	v.wants(audit.Allowed, "", 0)
	if asked, infos := provider.Requests(oidctest.Discovery), provider.Requests(oidctest.UserInfo); asked > 0 || infos != 1 {
		t.Errorf("discovery was asked %d times, userinfo %d times", asked, infos)
	}
	party := v.parties[0]
	if refusal := party.CheckIssuer(nil); refusal == nil || refusal.Reason != audit.LoginIssuerMismatch {
		t.Errorf("an answer without iss: %v", refusal)
	}
	if at, _ := party.EndSessionURL("", "", ""); !strings.Contains(at, "/end_session?") || !strings.Contains(at, "from=config") {
		t.Errorf("the logout is at %s", at)
	}
	if err := party.Revoke(t.Context(), oidc.Grant{Identity: oidc.Identity{Issuer: party.Issuer()}, AccessToken: "x"}); err != nil || provider.Requests(oidctest.Revocation) != 1 {
		t.Errorf("revoking: %v", err)
	}
}

// TestT11_LoginsWithEncryptedIDTokens at a provider that has no audiences.
func TestT11_LoginsWithEncryptedIDTokens(t *testing.T) {
	provider := startProvider(t)
	sealed := oidctest.LoginClient{EncryptIDToken: func(signed string) string { return encrypt(t, signed) }}
	keys := "decryption_keys: [{file: " + writeFile(t, "ours.jwk", namedKey("ours")) + "}]"
	v := enter(t, provider, settings{provider: keys, registered: sealed}).visitor()
	v.logsIn()
	v.wants(audit.Allowed, "", 0)

	three := bytes.Join([][]byte{privatePEM(t), privatePEM(t), privatePEM(t)}, nil)
	for text, says := range map[string]string{string(three): "may be meant for 3 keys", "canary": "decryption_keys[0]: keys to decrypt tokens"} {
		_, err := buildAuthorizer(readConfig(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %s, decryption_keys: [{file: %s}]}]
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: %s/.credence/callback}]
session: {store: memory}
rules: [{name: app, login: web}]
`, provider.Issuer(), writeFile(t, "keys", []byte(text)), app)), nil, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

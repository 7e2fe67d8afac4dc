package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

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

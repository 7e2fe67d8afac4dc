package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// Encrypted tokens, and ID tokens, pass where the provider's configuration says so, and
// nowhere else.
func TestOtherKindsOfTokens(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, ours := startProvider(t), startUpstream(t), filepath.Join(t.TempDir(), "key.pem")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, ours, "PRIVATE KEY", private)
	inner := provider.Sign(staff())
	sealed := encrypt(t, key.Public(), inner)
	idToken := provider.Sign(oidctest.Token{Header: map[string]any{"typ": "JWT"}, Claims: staff(map[string]any{"nonce": "n", "at_hash": "h", "scope": "openid orders.read"}).Claims})

	for _, row := range []struct {
		name, more                     string
		sealed, idToken, sealedIDToken string // reasons
	}{
		{"neither", "", "token_encrypted", "not_an_access_token", "token_encrypted"},
		{"encrypted", fmt.Sprintf("    decryption_keys: [{file: %s}]\n", ours), "", "not_an_access_token", "not_an_access_token"},
		{"ID tokens", "    accept_id_tokens: true\n", "token_encrypted", "", "token_encrypted"},
		{"both", fmt.Sprintf("    accept_id_tokens: true\n    decryption_keys: [{file: %s}]\n", ours), "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := fmt.Sprintf("providers:\n  - name: corp\n    issuer: %s\n    audiences: [api]\n", provider.Issuer()) + row.more
			credence := startCredence(t, listenFreely+config+orderRules+"audit: {allows: all}\nlog: {level: debug}\n")
			credence.awaitReady(t)
			e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: bothEncodings})
			e.eachWay(t, func(t *testing.T, c *client) {
				for token, reason := range map[string]string{inner: "", sealed: row.sealed, idToken: row.idToken, encrypt(t, key.Public(), idToken): row.sealedIDToken} {
					got := c.get(t, "/orders", "Authorization: Bearer "+token)
					if reason != "" {
						if got.status != 401 || got.reason() != reason {
							t.Errorf("got %d %s, want %s", got.status, got.body, reason)
						}
						continue
					}
					if seen := got.upstream(t); seen.get("x-user-id") != "alice" || seen.get("authorization") != "" {
						t.Errorf("got %v", seen.Header)
					}
				}
			})
			credence.signal(t, syscall.SIGTERM)
			credence.wait(t)
			for where, text := range map[string]string{"log": credence.stderr.String(), "audit log": credence.stdout.String()} {
				checkSecrets(t, where, text, []string{inner, sealed, idToken, strings.Split(sealed, ".")[3]})
			}
		})
	}
}

// encrypt makes an encrypted token (RFC 7516) of a signed one.
func encrypt(t *testing.T, to crypto.PublicKey, signed string) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A128CBC_HS256, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	object, err := e.Encrypt([]byte(signed))
	if err != nil {
		t.Fatal(err)
	}
	token, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

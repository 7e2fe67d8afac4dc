package oidctest_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// asymmetric are the algorithms that a verifier may accept. Ed25519 is the name
// that RFC 9864 gives to EdDSA with that curve.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}

// withAllKeys gives a provider with one key for each algorithm, named after it.
func withAllKeys(t *testing.T) *oidctest.Provider {
	t.Helper()
	p := newProvider(t, oidctest.Options{})
	for _, alg := range asymmetric {
		p.AddKey(alg, "key-"+alg)
	}
	return p
}

func newProvider(t *testing.T, o oidctest.Options) *oidctest.Provider {
	t.Helper()
	p := oidctest.New(o)
	t.Cleanup(p.Close)
	return p
}

func TestGoOIDCVerifiesTokens(t *testing.T) {
	p := withAllKeys(t)
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	provider, err := gooidc.NewProvider(t.Context(), p.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range asymmetric {
		if alg == "Ed25519" {
			continue // go-oidc knows only the older name: see TestEd25519Signature
		}
		verifier := provider.Verifier(&gooidc.Config{ClientID: "api", SupportedSigningAlgs: []string{alg}})
		token, err := verifier.Verify(t.Context(), p.Sign(oidctest.Token{Alg: alg, KeyID: "key-" + alg}))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if token.Subject != "alice" {
			t.Errorf("%s: sub: got %q, want %q", alg, token.Subject, "alice")
		}
	}
}

func TestGoJoseVerifiesTokens(t *testing.T) {
	p := withAllKeys(t)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(p.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	for _, alg := range asymmetric {
		if alg == "Ed25519" {
			continue
		}
		jws, err := jose.ParseSignedCompact(p.Sign(oidctest.Token{Alg: alg, KeyID: "key-" + alg}), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		keys := set.Key("key-" + alg)
		if len(keys) != 1 || keys[0].Algorithm != alg || keys[0].Use != "sig" || !keys[0].IsPublic() || !keys[0].Valid() {
			t.Errorf("%s: published keys: %+v", alg, keys)
			continue
		}
		if _, err := jws.Verify(keys[0]); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestEd25519Signature(t *testing.T) {
	p := withAllKeys(t)
	for _, alg := range []string{"EdDSA", "Ed25519"} {
		token := p.Sign(oidctest.Token{Alg: alg, KeyID: "key-" + alg})
		public := jwk(t, p, "key-"+alg).Key.(ed25519.PublicKey)
		if input, signature := split(t, token); !ed25519.Verify(public, []byte(input), signature) {
			t.Errorf("%s: the signature doesn't verify", alg)
		}
	}
}

func TestUnsignedToken(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	token := p.Sign(oidctest.Token{Alg: "none"})
	if !strings.HasSuffix(token, ".") || strings.Count(token, ".") != 2 {
		t.Errorf("none: the signature isn't empty: %s", token)
	}
	if got := header(t, token)["alg"]; got != "none" {
		t.Errorf("alg: got %v, want none", got)
	}
}

func TestPublicKeyAsSecret(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	der, err := x509.MarshalPKIXPublicKey(jwk(t, p, "rsa-1").Key.(crypto.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	token := p.Sign(oidctest.Token{Alg: "HS256"})
	input, signature := split(t, token)
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(input))
	if !hmac.Equal(signature, mac.Sum(nil)) {
		t.Error("HS256: the secret isn't the public key's PEM")
	}
	if got := header(t, token)["kid"]; got != "rsa-1" {
		t.Errorf("kid: got %v, want rsa-1", got)
	}
}

func jwk(t *testing.T, p *oidctest.Provider, kid string) jose.JSONWebKey {
	t.Helper()
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON([]byte(p.JWK(kid))); err != nil {
		t.Fatal(err)
	}
	return k
}

// split gives what is signed, and the signature.
func split(t *testing.T, token string) (string, []byte) {
	t.Helper()
	i := strings.LastIndexByte(token, '.')
	return token[:i], decode(t, token[i+1:])
}

func header(t *testing.T, token string) map[string]any { return object(t, token, 0) }
func claims(t *testing.T, token string) map[string]any { return object(t, token, 1) }

func object(t *testing.T, token string, segment int) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(decode(t, strings.Split(token, ".")[segment]), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

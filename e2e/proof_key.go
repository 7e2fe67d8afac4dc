package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"testing"
	"time"
)

// proofKey is a key of a client's, that DPoP tokens are bound to.
type proofKey struct{ *ecdsa.PrivateKey }

// jwk is the public half (RFC 7518, 6.2.1).
func (k proofKey) jwk(t *testing.T) map[string]any {
	t.Helper()
	point, err := k.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

// sign makes a JWS with ES256, in compact serialization.
func (k proofKey) sign(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(quote(t, header))) + "." + encode([]byte(quote(t, claims)))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.PrivateKey, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64) // r, s (RFC 7518, 3.4)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + encode(signature)
}

// proof is a DPoP proof (RFC 9449, 4.2), made now, for one request with a token; none
// where it is for getting one. More claims replace these, or are removed by nil.
func (k proofKey) proof(t *testing.T, method, address, token string, more ...map[string]any) string {
	t.Helper()
	claims := map[string]any{"htm": method, "htu": address, "iat": time.Now().Unix(), "jti": rand.Text()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	for _, m := range more {
		maps.Copy(claims, m)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return k.sign(t, map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": k.jwk(t)}, claims)
}

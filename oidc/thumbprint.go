package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
)

// keyThumbprint is the SHA-256 thumbprint of a public key's JWK (RFC 7638, 3, and
// for Ed25519 RFC 8037, 2): of its required members alone, in order, without white
// space, each as the standards write it, however it was written where it came from.
func keyThumbprint(public crypto.PublicKey) [sha256.Size]byte {
	b64 := base64url.EncodeToString
	var jwk string
	switch public := public.(type) {
	case *rsa.PublicKey:
		jwk = `{"e":"` + b64(big.NewInt(int64(public.E)).Bytes()) + `","kty":"RSA","n":"` + b64(public.N.Bytes()) + `"}`
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y (SEC 1, 2.3.3)
		if err != nil {
			panic("oidc: keyThumbprint: a public key that isn't on its curve")
		}
		half := len(point) / 2
		jwk = `{"crv":"` + public.Params().Name + `","kty":"EC","x":"` + b64(point[1:1+half]) + `","y":"` + b64(point[1+half:]) + `"}`
	case ed25519.PublicKey:
		jwk = `{"crv":"Ed25519","kty":"OKP","x":"` + b64(public) + `"}`
	}
	return sha256.Sum256([]byte(jwk))
}

package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256
	_ "crypto/sha512" // SHA-384 and SHA-512
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

type family int

const (
	_ family = iota
	familyRSA
	familyEC
	familyEd25519
	familyHMAC // signs with an RSA key's public half as the secret
	familyNone // doesn't sign
)

// algorithm is a JWS algorithm (RFC 7518 section 3, RFC 8037, RFC 9864).
type algorithm struct {
	family family
	hash   crypto.Hash
	pss    bool           // familyRSA: RSASSA-PSS instead of PKCS #1 v1.5
	curve  elliptic.Curve // familyEC
}

var algorithms = map[string]algorithm{
	"RS256":   {family: familyRSA, hash: crypto.SHA256},
	"RS384":   {family: familyRSA, hash: crypto.SHA384},
	"RS512":   {family: familyRSA, hash: crypto.SHA512},
	"PS256":   {family: familyRSA, hash: crypto.SHA256, pss: true},
	"PS384":   {family: familyRSA, hash: crypto.SHA384, pss: true},
	"PS512":   {family: familyRSA, hash: crypto.SHA512, pss: true},
	"ES256":   {family: familyEC, hash: crypto.SHA256, curve: elliptic.P256()},
	"ES384":   {family: familyEC, hash: crypto.SHA384, curve: elliptic.P384()},
	"ES512":   {family: familyEC, hash: crypto.SHA512, curve: elliptic.P521()},
	"EdDSA":   {family: familyEd25519},
	"Ed25519": {family: familyEd25519},
	"HS256":   {family: familyHMAC, hash: crypto.SHA256},
	"HS384":   {family: familyHMAC, hash: crypto.SHA384},
	"HS512":   {family: familyHMAC, hash: crypto.SHA512},
	"none":    {family: familyNone},
}

// canSign reports whether the key is of the kind that alg signs with. The alg
// that the key is published for may be another: RS256 for PS256.
func (k *key) canSign(alg algorithm) bool {
	own := algorithms[k.alg]
	switch alg.family {
	case familyNone:
		return true
	case familyHMAC:
		return own.family == familyRSA
	}
	return own.family == alg.family && own.curve == alg.curve
}

// sign gives the signature of input, in the form that a JWS carries.
func (k *key) sign(alg algorithm, input string) ([]byte, error) {
	digest := []byte(input)
	if alg.hash != 0 && alg.family != familyHMAC {
		h := alg.hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	switch alg.family {
	case familyRSA:
		var opts crypto.SignerOpts = alg.hash
		if alg.pss {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: alg.hash}
		}
		return k.private().Sign(rand.Reader, digest, opts)
	case familyEC:
		r, s, err := ecdsa.Sign(rand.Reader, k.private().(*ecdsa.PrivateKey), digest)
		if err != nil {
			return nil, err
		}
		size := (alg.curve.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size) // r and s side by side, not ASN.1 (RFC 7518, 3.4)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	case familyEd25519:
		return ed25519.Sign(k.private().(ed25519.PrivateKey), digest), nil
	case familyHMAC:
		secret, err := publicPEM(k.private().Public())
		if err != nil {
			return nil, err
		}
		mac := hmac.New(alg.hash.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil), nil
	case familyNone:
		return nil, nil
	}
	return nil, fmt.Errorf("algorithm family %d can't sign", alg.family)
}

// publicPEM is what a careless verifier has in its hands when it is told that
// the algorithm is HS256: the file with the provider's public key.
func publicPEM(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

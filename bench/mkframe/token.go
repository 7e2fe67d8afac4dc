package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// token is an access token (RFC 9068) of ten days for alice, of a size that
// providers really issue. Those of different numbers differ in jti.
func (k key) token(issuer, audience string, number int) (string, error) {
	now := time.Now()
	header, err := json.Marshal(map[string]string{"alg": k.algorithm, "kid": k.id, "typ": "at+jwt"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": []string{audience}, "sub": "f3b0c442-98fc-1c14-9afb-f4c8996fb924", "client_id": "web-frontend",
		"iat": now.Unix(), "exp": now.AddDate(0, 0, 10).Unix(), "jti": fmt.Sprintf("a1b2c3d4-e5f6-4711-8899-%012x", number),
		"email": "alice@example.test", "preferred_username": "alice", "scope": "openid profile email orders.read",
		"groups": []string{"users", "admin", "billing"},
	})
	if err != nil {
		return "", err
	}
	input := b64(header) + "." + b64(claims)
	signature, err := k.sign(input)
	return input + "." + b64(signature), err
}

// sign signs as RFC 7518 says: ES256 is r and s side by side, not ASN.1.
func (k key) sign(input string) ([]byte, error) {
	digest := sha256.Sum256([]byte(input))
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
	default:
		return private.Sign(rand.Reader, []byte(input), &ed25519.Options{})
	}
}

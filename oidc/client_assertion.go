package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is how long a provider may take us at our word. The statement is
// sent at once, so this is for the distance of the clocks.
const assertionLife = time.Minute

// assert makes the statement of RFC 7523, 3: we are this client, said to this
// provider and no other, now, and once. Its aud is the issuer alone, not the
// address that is asked: an address may be another provider's.
func (a *ClientAuth) assert(secret string, now time.Time) (string, error) {
	key, err := a.statementKey(secret)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if a.options.KeyID != "" {
		options.WithHeader("kid", a.options.KeyID)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience Issuer `json:"aud"`
		ID       string `json:"jti"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{a.options.ID, a.options.ID, a.options.Audience, rand.Text(), now.Unix(), now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// minSharedSecret is the length of HS256's result, and the least that a secret for it
// may have (RFC 7518, 3.2).
const minSharedSecret = 32

// statementKey is what makes a statement good: the secret itself, or the private key
// that it holds.
func (a *ClientAuth) statementKey(secret string) (jose.SigningKey, error) {
	if a.options.Method == PrivateKeyJWT {
		return a.key.parse(secret)
	}
	if len(secret) < minSharedSecret {
		return jose.SigningKey{}, fmt.Errorf("the client's secret has %d bytes, and client_secret_jwt needs %d or more", len(secret), minSharedSecret)
	}
	return jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil
}

// assertionKey is a private key, kept so that it isn't read out of PEM, and
// checked, for each request.
type assertionKey struct {
	mu  sync.Mutex
	pem string
	key jose.SigningKey
	err error
}

func (k *assertionKey) parse(text string) (jose.SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if text != k.pem {
		k.pem = text
		k.key, k.err = parseSigningKey(text)
	}
	return k.key, k.err
}

var errNoKey = errors.New("the client's key file holds no PEM private key (PKCS #8, SEC 1 or PKCS #1)")

// parseSigningKey reads a private key and chooses the algorithm that goes with it.
func parseSigningKey(text string) (jose.SigningKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return jose.SigningKey{}, errNoKey
	}
	var key crypto.PrivateKey
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		err = errNoKey
	}
	if err != nil {
		return jose.SigningKey{}, errNoKey
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil
		}
	case *rsa.PrivateKey:
		if key.N.BitLen() >= minRSABits {
			return jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil
		}
	}
	return jose.SigningKey{}, fmt.Errorf("the client's key is neither on P-256 nor RSA of %d bits or more", minRSABits)
}

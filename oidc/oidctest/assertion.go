package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"time"
)

// assertionType is the client_assertion_type of RFC 7523, section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// AddKeyClient registers a client as AddClient does, which proves who it is by
// assertions (private_key_jwt, RFC 7523) that it signs with the private half of
// key: ES256 with an *ecdsa.PublicKey on P-256, RS256 with an *rsa.PublicKey.
func (p *Provider) AddKeyClient(id string, key crypto.PublicKey) {
	p.AddClient(id, "", Token{})
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[id]
	c.key = key
	p.clients[id] = c
}

// assertion is what a client signs (RFC 7523, section 3).
type assertion struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

// asserted gives the client that an assertion is good for: signed with its key, or with
// its secret where it has none (client_secret_jwt), meant for this provider, not over, at most five minutes long, and never seen
// before.
func (p *Provider) asserted(text string) (client, bool) {
	segments := strings.Split(text, ".")
	if len(segments) != 3 {
		return client{}, false
	}
	var a assertion
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil || json.Unmarshal(payload, &a) != nil {
		return client{}, false
	}
	issuer, now := p.Issuer(), time.Now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	c, known := p.clients[a.Subject]
	if !known || a.Issuer != a.Subject || a.Audience != issuer || a.Expires <= now || a.Expires > now+300 ||
		a.ID == "" || p.assertions.has(a.ID) || !signedBy(c, segments) {
		return client{}, false
	}
	p.assertions.put(a.ID, struct{}{})
	return c, true
}

// signedBy verifies a compact serialization with the algorithm that fits the client.
func signedBy(c client, segments []string) bool {
	var header struct{ Alg string }
	head, headErr := base64.RawURLEncoding.DecodeString(segments[0])
	signature, err := base64.RawURLEncoding.DecodeString(segments[2])
	if headErr != nil || err != nil || json.Unmarshal(head, &header) != nil {
		return false
	}
	digest := sha256.Sum256([]byte(segments[0] + "." + segments[1]))
	switch key := c.key.(type) {
	case nil:
		mac := hmac.New(sha256.New, []byte(c.secret))
		mac.Write([]byte(segments[0] + "." + segments[1])) // never fails
		return header.Alg == "HS256" && c.secret != "" && hmac.Equal(mac.Sum(nil), signature)
	case *ecdsa.PublicKey:
		return header.Alg == "ES256" && len(signature) == 64 &&
			ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case *rsa.PublicKey:
		return header.Alg == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	}
	return false
}

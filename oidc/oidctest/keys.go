package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// key is a key pair that can sign.
type key struct {
	id, alg string
	private func() crypto.Signer // RSA keys are made when first asked for
	release func()               // gives a leased RSA key back; nil for the others
}

// entry is one member of the published key set: a key's public half, or a JWK
// given verbatim.
type entry struct {
	key *key
	raw string
}

// AddKey makes a key for alg (RS256 to 512, PS256 to 512, ES256 to 512, EdDSA or
// Ed25519) and publishes it. An empty kid makes a key without one. Several keys
// may share a kid, as they shouldn't.
func (p *Provider) AddKey(alg, kid string) {
	k := newKey(alg, kid)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, k)
	p.published = append(p.published, entry{key: k})
}

// AddHiddenKey makes a key as AddKey does, but doesn't publish it yet: it signs
// tokens that nobody can verify before PublishKey.
func (p *Provider) AddHiddenKey(alg, kid string) {
	k := newKey(alg, kid)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, k)
}

// PublishKey puts the hidden or retired keys of this kid at the end of the key
// set. It panics if there is no key of this kid.
func (p *Provider) PublishKey(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.named(kid) {
		if !p.isPublished(k) {
			p.published = append(p.published, entry{key: k})
		}
	}
}

// RetireKey takes the keys of this kid out of the key set. They can still sign
// when a Token names them. It panics if there is no key of this kid.
func (p *Provider) RetireKey(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	retired := p.named(kid)
	p.published = slices.DeleteFunc(p.published, func(e entry) bool {
		return e.key != nil && slices.Contains(retired, e.key)
	})
}

// PublishRaw puts a JWK, or anything else, verbatim at the end of the key set.
func (p *Provider) PublishRaw(jwk string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.published = append(p.published, entry{raw: jwk})
}

// JWK is the public half of the first key of this kid, as the key set shows it
// when it is published (RFC 7517). It panics if there is no key of this kid.
func (p *Provider) JWK(kid string) string {
	return p.first(kid).jwk() // outside the lock: an RSA key may have to be made
}

func (p *Provider) first(kid string) *key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.named(kid)[0]
}

// KeySet is the published key set, a JWK Set (RFC 7517, section 5): what the
// JWKS endpoint answers while it isn't broken.
func (p *Provider) KeySet() []byte {
	p.mu.Lock()
	published := slices.Clone(p.published)
	p.mu.Unlock()

	jwks := make([]string, len(published))
	for i, e := range published {
		jwks[i] = e.raw
		if e.key != nil {
			jwks[i] = e.key.jwk()
		}
	}
	return []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)
}

// named gives the keys of this kid, at least one. The caller holds mu.
func (p *Provider) named(kid string) []*key {
	var found []*key
	for _, k := range p.keys {
		if k.id == kid {
			found = append(found, k)
		}
	}
	if found == nil {
		panic(fmt.Sprintf("oidctest: no key has the id %q", kid))
	}
	return found
}

// isPublished reports whether the key set shows k. The caller holds mu.
func (p *Provider) isPublished(k *key) bool {
	return slices.ContainsFunc(p.published, func(e entry) bool { return e.key == k })
}

func newKey(alg, kid string) *key {
	k := &key{id: kid, alg: alg}
	a := algorithms[alg]
	switch {
	case a.family == familyRSA:
		k.private, k.release = leaseRSA()
		return k
	case a.family == familyEC:
		private, err := ecdsa.GenerateKey(a.curve, rand.Reader)
		if err != nil {
			panic(fmt.Sprintf("oidctest: making a key for %s: %v", alg, err))
		}
		k.private = func() crypto.Signer { return private }
	case a.family == familyEd25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(fmt.Sprintf("oidctest: making a key for %s: %v", alg, err))
		}
		k.private = func() crypto.Signer { return private }
	default:
		panic(fmt.Sprintf("oidctest: can't make a key for algorithm %q", alg))
	}
	return k
}

// jwk gives the public half (RFC 7518 section 6, RFC 8037 section 2).
func (k *key) jwk() string {
	m := map[string]string{"use": "sig", "alg": k.alg}
	if k.id != "" {
		m["kid"] = k.id
	}
	switch public := k.private().Public().(type) {
	case *rsa.PublicKey:
		m["kty"] = "RSA"
		m["n"] = base64url(public.N.Bytes())
		m["e"] = base64url(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y (SEC 1, 2.3.3): each half already padded
		if err != nil {
			panic(fmt.Sprintf("oidctest: key %q: %v", k.id, err))
		}
		half := len(point) / 2
		m["kty"], m["crv"] = "EC", public.Params().Name
		m["x"], m["y"] = base64url(point[1:1+half]), base64url(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"] = "OKP", "Ed25519"
		m["x"] = base64url(public)
	}
	data, _ := json.Marshal(m) // a map of strings always marshals
	return string(data)
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

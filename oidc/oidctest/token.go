package oidctest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Token says what a token holds. The zero Token is a good access token (RFC 9068)
// for "alice", valid for an hour.
type Token struct {
	// Alg is a JWS algorithm. Empty means that of the key which KeyID names, else
	// RS256. "none" leaves the signature empty. HS256, HS384 and HS512 use an RSA
	// key's public half in PEM as the secret.
	Alg string

	// KeyID is the kid in the header, and the key to sign with. Empty means the
	// first published key for Alg. Where no key of this id can sign Alg, that first
	// key signs and the header says KeyID all the same: an unknown or a wrong kid.
	// "-" also means the first key, but no kid in the header.
	KeyID string

	// Header and Claims replace members of the defaults, or add to them. A nil
	// value removes the member; json.RawMessage("null") makes it null.
	Header, Claims map[string]any

	// RawHeader and RawClaims are signed verbatim where not empty, and need not be
	// JSON. Header or Claims are then not looked at.
	RawHeader, RawClaims string

	// TTL is how long after now the token expires. Zero means an hour. A token
	// with a negative TTL has expired, and was issued an hour before it did.
	TTL time.Duration
}

// Sign makes a token in compact serialization. The default header has alg, kid
// and typ "at+jwt"; the default claims are iss, aud, sub "alice", client_id "web",
// scope "openid orders.read", email, groups, iat, exp and a random jti. It panics
// if there is no key for the algorithm, or the values aren't JSON.
func (p *Provider) Sign(t Token) string {
	token, err := p.sign(t)
	if err != nil {
		panic("oidctest: " + err.Error())
	}
	return token
}

func (p *Provider) sign(t Token) (string, error) {
	k, alg, err := p.signingKey(t)
	if err != nil {
		return "", err
	}
	header, claims := t.RawHeader, t.RawClaims
	if header == "" {
		if header, err = marshal(p.header(t, k, alg)); err != nil {
			return "", fmt.Errorf("token header: %w", err)
		}
	}
	if claims == "" {
		if claims, err = marshal(p.claims(t)); err != nil {
			return "", fmt.Errorf("token claims: %w", err)
		}
	}
	input := base64url([]byte(header)) + "." + base64url([]byte(claims))
	signature, err := k.sign(algorithms[alg], input)
	if err != nil {
		return "", fmt.Errorf("signing with %s: %w", alg, err)
	}
	return input + "." + base64url(signature), nil
}

// signingKey gives the key that signs t, and the algorithm.
func (p *Provider) signingKey(t Token) (*key, string, error) {
	keys := p.signingKeys()
	alg := t.Alg
	if i := slices.IndexFunc(keys, func(k *key) bool { return k.id == t.KeyID }); alg == "" && t.KeyID != "" && i >= 0 {
		alg = keys[i].alg
	}
	alg = cmp.Or(alg, "RS256")
	a, ok := algorithms[alg]
	if !ok {
		return nil, "", fmt.Errorf("algorithm %q isn't known: see Token.Alg", alg)
	}
	fitness := func(k *key) int {
		switch {
		case !k.canSign(a):
			return 0
		case k.id == t.KeyID && t.KeyID != "":
			return 3
		case k.alg == alg:
			return 2
		default:
			return 1
		}
	}
	best := slices.MaxFunc(keys, func(x, y *key) int { return fitness(x) - fitness(y) }) // the first of equals
	if fitness(best) == 0 {
		return nil, "", fmt.Errorf("no key can sign %s: AddKey makes one", alg)
	}
	return best, alg, nil
}

// signingKeys gives the published keys in their order, then the others: after a
// rotation, tokens are signed by the new key.
func (p *Provider) signingKeys() []*key {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []*key
	for _, e := range p.published {
		if e.key != nil {
			keys = append(keys, e.key)
		}
	}
	for _, k := range p.keys {
		if !p.isPublished(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (p *Provider) header(t Token, k *key, alg string) map[string]any {
	m := map[string]any{"alg": alg, "typ": "at+jwt"}
	if kid := cmp.Or(t.KeyID, k.id); kid != "" && kid != "-" {
		m["kid"] = kid
	}
	return replace(m, t.Header)
}

func (p *Provider) claims(t Token) map[string]any {
	now := time.Now()
	issued, expires := now, now.Add(cmp.Or(t.TTL, time.Hour))
	if t.TTL < 0 {
		issued = expires.Add(-time.Hour)
	}
	return replace(map[string]any{
		"iss":       p.Issuer(),
		"aud":       p.audience,
		"sub":       "alice",
		"client_id": "web",
		"scope":     "openid orders.read",
		"email":     "alice@example.com",
		"groups":    []string{"staff"},
		"iat":       issued.Unix(),
		"exp":       expires.Unix(),
		"jti":       rand.Text(),
	}, t.Claims)
}

// replace puts members into m, and takes out those whose value is nil.
func replace(m, members map[string]any) map[string]any {
	maps.Copy(m, members)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func marshal(m map[string]any) (string, error) {
	data, err := json.Marshal(m)
	return string(data), err
}

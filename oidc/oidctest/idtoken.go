package oidctest

import (
	"cmp"
	"crypto"
	"strings"
	"time"
)

// idTokenLife is how long ID tokens are good for.
const idTokenLife = 10 * time.Minute

// draft is an ID token before it is signed: what a module's quirks alter.
type draft struct {
	Token             // its Claims are all there will be
	badSignature bool // one letter of it is made another
}

// idToken makes the ID token of a login, or of its renewal (OpenID Connect Core
// 1.0, sections 2, 3.1.3.6 and 12.2).
func (p *Provider) idToken(c *LoginClient, g *grant, scopes []string, accessToken string, atLogin bool) (string, error) {
	q := p.quirks()
	if p.count(&p.signed) == q.rotateAtToken {
		p.rotate()
	}
	alg := cmp.Or(c.IDTokenAlg, "RS256")
	now := time.Now()
	d := &draft{Token: Token{Alg: alg, Header: map[string]any{"typ": "JWT"}}}
	d.Claims = map[string]any{
		"iss":       p.Issuer(),
		"sub":       g.session.subject,
		"aud":       c.ID,
		"iat":       now.Unix(),
		"exp":       now.Add(idTokenLife).Unix(),
		"auth_time": g.login.Unix(),
		"sid":       g.session.sid,
	}
	if hash := algorithms[alg].hash; hash != 0 {
		d.Claims["at_hash"] = halfHash(hash, accessToken)
	}
	if atLogin && g.nonce != "" {
		d.Claims["nonce"] = g.nonce
	}
	if !c.ThinIDToken && !q.thin {
		d.Claims = replace(p.claimsOf(g.session.subject, scopes), d.Claims)
	}
	d.Claims = replace(d.Claims, c.IDTokenClaims)
	if atLogin && q.atLogin != nil {
		q.atLogin(d)
	}
	if !atLogin && q.atRefresh != nil {
		q.atRefresh(d)
	}
	return p.signDraft(d)
}

// signDraft signs what a draft holds.
func (p *Provider) signDraft(d *draft) (string, error) {
	payload, err := marshal(d.Claims)
	if err != nil {
		return "", err
	}
	d.RawClaims = payload
	token, err := p.sign(d.Token)
	if err != nil || !d.badSignature {
		return token, err
	}
	middle := (strings.LastIndexByte(token, '.') + len(token)) / 2
	other := "A"
	if token[middle] == 'A' {
		other = "B"
	}
	return token[:middle] + other + token[middle+1:], nil
}

// halfHash is the at_hash of section 3.1.3.6.
func halfHash(hash crypto.Hash, token string) string {
	h := hash.New()
	h.Write([]byte(token))
	sum := h.Sum(nil)
	return base64url(sum[:len(sum)/2])
}

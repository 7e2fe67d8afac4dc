package oidctest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// IssueOpaque gives a token that says nothing, and of which the introspection
// endpoint says what t holds: the claims that Sign would put into a JWT, beside
// active and token_type. Header, RawHeader and RawClaims aren't looked at. It
// panics if the claims aren't JSON.
func (p *Provider) IssueOpaque(t Token) string {
	token := rand.Text()
	p.know(token, t)
	return token
}

// IssueJWT gives a JWT like Sign, of which the introspection endpoint says what it
// says of an opaque token.
func (p *Provider) IssueJWT(t Token) string {
	token := p.Sign(t)
	p.know(token, t)
	return token
}

// know keeps what is to be said of a token.
func (p *Provider) know(token string, t Token) {
	m := replace(p.claims(Token{TTL: t.TTL}), map[string]any{"active": true, "token_type": "Bearer"})
	m = replace(m, t.Claims)
	if _, err := marshal(m); err != nil {
		panic("oidctest: introspected claims: " + err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued[token] = m
}

// Revoke makes a token inactive. It panics if it isn't one that IssueOpaque or
// IssueJWT gave.
func (p *Provider) Revoke(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.issued[token] == nil {
		panic("oidctest: revoking a token that was never issued")
	}
	delete(p.issued, token)
}

// introspectionAnswer is the introspection endpoint (RFC 7662, section 2), for
// every client that has registered. Of a token that isn't known, was revoked or
// has expired it says only that it isn't active.
func (p *Provider) introspectionAnswer(r *http.Request) *answer {
	form, refusal := readForm(r)
	if refusal != nil {
		return refusal
	}
	if _, refusal := p.authenticate(r, form); refusal != nil {
		return refusal
	}
	if form.Get("token") == "" {
		return oauthError("invalid_request", "token is missing")
	}
	return uncached(jsonAnswer(http.StatusOK, p.introspected(form)))
}

func (p *Provider) introspected(form url.Values) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := maps.Clone(p.issued[form.Get("token")])
	if t := p.accessTokens.get(form.Get("token")); t != nil && p.stands(t.grant) {
		m = replace(maps.Clone(t.claims), map[string]any{"active": true, "token_type": "Bearer"})
	}
	if exp, ok := m["exp"].(int64); m == nil || ok && time.Now().Unix() >= exp {
		return map[string]any{"active": false}
	}
	return m
}

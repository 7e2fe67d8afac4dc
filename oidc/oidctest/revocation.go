package oidctest

import "net/http"

// revocationAnswer is the revocation endpoint (RFC 7009, section 2), for clients
// that log people in. With a refresh token goes all that its login gave.
func (p *Provider) revocationAnswer(r *http.Request) *answer {
	form, refusal := readForm(r)
	if refusal != nil {
		return refusal
	}
	c, refusal := p.authenticate(r, form)
	if refusal != nil {
		return refusal
	}
	token := form.Get("token")
	if token == "" {
		return oauthError("invalid_request", "token is missing")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	access, refresh := p.accessTokens.get(token), p.refreshTokens.get(token)
	switch {
	case access != nil && access.grant.clientID != c.id, refresh != nil && refresh.grant.clientID != c.id:
		return oauthError("invalid_request", "the token was given to another client")
	case access != nil:
		p.accessTokens.remove(token)
	case refresh != nil:
		refresh.grant.revoked = true
	}
	return uncached(plain(http.StatusOK, "")) // also for what never was one (section 2.2)
}

package oidctest

import (
	"cmp"
	"io"
	"net/http"
	"strings"
	"time"
)

// userInfoAnswer is the userinfo endpoint (OpenID Connect Core 1.0, section 5.3),
// for access tokens that a login gave, in the Authorization header.
func (p *Provider) userInfoAnswer(r *http.Request) *answer {
	// See readForm. What a body says isn't looked at.
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxForm)); err != nil {
		return plain(http.StatusBadRequest, "the request's body ends early")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		a := plain(http.StatusMethodNotAllowed, "use GET or POST")
		a.header.Set("Allow", "GET, POST")
		return a
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return challenge("")
	}
	t := p.accessToken(token)
	if t == nil {
		return challenge(`, error="invalid_token"`)
	}
	claims, q := p.claimsOf(t.grant.session.subject, t.scopes), p.quirks()
	if q.userInfo != nil {
		q.userInfo(p, p.base(r), claims)
	}
	alg := q.userInfoAlg
	if c := p.loginClient(t.grant.clientID); c != nil {
		alg = cmp.Or(alg, c.UserInfoAlg)
	}
	if alg == "" {
		return uncached(jsonAnswer(http.StatusOK, claims))
	}
	claims["iss"], claims["aud"] = p.Issuer(), t.grant.clientID
	return p.jwtAnswer(alg, claims)
}

// accessToken gives what a login gave, while it is good; otherwise nil.
func (p *Provider) accessToken(token string) *accessToken {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.accessTokens.get(token)
	if t == nil || !p.stands(t.grant) || !time.Now().Before(t.expires) {
		return nil
	}
	return t
}

// challenge refuses an access token (RFC 6750, section 3).
func challenge(because string) *answer {
	a := uncached(plain(http.StatusUnauthorized, ""))
	a.header.Set("WWW-Authenticate", `Bearer realm="userinfo"`+because)
	return a
}

// claimsSourceAnswer is where the module of distributed claims says that some are
// (section 5.6.2). Who fetches them has followed an address found in an answer.
func (p *Provider) claimsSourceAnswer(*http.Request) *answer {
	return p.jwtAnswer("RS256", map[string]any{"iss": p.Issuer(), "credit_score": 650})
}

func (p *Provider) jwtAnswer(alg string, claims map[string]any) *answer {
	token, err := p.signDraft(&draft{Token: Token{Alg: alg, Header: map[string]any{"typ": "JWT"}, Claims: claims}})
	if err != nil {
		return p.unable(err)
	}
	a := uncached(plain(http.StatusOK, token))
	a.header.Set("Content-Type", "application/jwt")
	return a
}

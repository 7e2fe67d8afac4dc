package oidctest

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// codeLife is how long a code waits to be redeemed (RFC 6749, 4.1.2).
const codeLife = time.Minute

// grant is what a login gave a client. The Provider's mu guards revoked.
type grant struct {
	clientID string
	session  *session
	login    time.Time // when the person logged in: auth_time
	scopes   []string
	nonce    string
	revoked  bool
}

// code is an authorization code, kept after its use: a second one tells that
// somebody else had it.
type code struct {
	grant       *grant
	redirectURI string
	challenge   string
	expires     time.Time
	used        bool
}

// refreshToken is kept after its use for the same reason.
type refreshToken struct {
	grant *grant
	used  bool
}

// accessToken is one that a login gave, as the userinfo and introspection
// endpoints know it.
type accessToken struct {
	grant   *grant
	scopes  []string
	claims  map[string]any
	expires time.Time
}

// stands reports whether what a grant gave is still good. The caller holds mu.
func (p *Provider) stands(g *grant) bool { return !g.revoked && p.live(g.session) }

func (p *Provider) issueCode(a *authorization, s *session, login time.Time) string {
	text := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes.put(text, &code{
		grant:       &grant{clientID: a.client.ID, session: s, login: login, scopes: a.scopes, nonce: a.nonce},
		redirectURI: a.redirectURI,
		challenge:   a.challenge,
		expires:     time.Now().Add(codeLife),
	})
	return text
}

// codeGrant redeems a code (RFC 6749, section 4.1.3; RFC 7636, section 4.6).
func (p *Provider) codeGrant(c *LoginClient, form url.Values) *answer {
	g, complaint := p.redeem(c, form)
	if complaint != "" {
		return oauthError("invalid_grant", complaint)
	}
	return p.tokens(c, g, g.scopes, true)
}

// redeem uses a code up, also where the rest of the request is wrong.
func (p *Provider) redeem(c *LoginClient, form url.Values) (g *grant, complaint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.codes.get(form.Get("code"))
	if k == nil || k.grant.clientID != c.ID {
		return nil, "no such code"
	}
	if k.used {
		k.grant.revoked = true
		return nil, "the code was used before"
	}
	k.used = true
	switch {
	case !time.Now().Before(k.expires) || !p.stands(k.grant):
		return nil, "the code is over"
	case form.Get("redirect_uri") != k.redirectURI:
		return nil, "redirect_uri isn't that of the authorization request"
	case !verifies(form.Get("code_verifier"), k.challenge):
		return nil, "code_verifier doesn't fit code_challenge"
	}
	return k.grant, ""
}

// verifies checks a PKCE verifier (RFC 7636, sections 4.1 and 4.6).
func verifies(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 && base64url(sum[:]) == challenge
}

// refreshGrant renews tokens (RFC 6749, section 6).
func (p *Provider) refreshGrant(c *LoginClient, form url.Values) *answer {
	g, complaint := p.reuse(c, form.Get("refresh_token"))
	if complaint != "" {
		return oauthError("invalid_grant", complaint)
	}
	scopes := g.scopes
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		for _, scope := range asked {
			if !slices.Contains(g.scopes, scope) {
				return oauthError("invalid_scope", "the login didn't give this scope")
			}
		}
		scopes = asked
	}
	return p.tokens(c, g, scopes, false)
}

// reuse uses a refresh token up, unless the client keeps its own.
func (p *Provider) reuse(c *LoginClient, token string) (g *grant, complaint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.refreshTokens.get(token)
	if t == nil || t.grant.clientID != c.ID {
		return nil, "no such refresh token"
	}
	if t.used {
		t.grant.revoked = true
		return nil, "the refresh token was used before"
	}
	if !p.stands(t.grant) {
		return nil, "the login is over"
	}
	t.used = !c.KeepRefreshToken
	return t.grant, ""
}

// tokens answers with what a grant gives: at login, and when it is renewed.
func (p *Provider) tokens(c *LoginClient, g *grant, scopes []string, atLogin bool) *answer {
	ttl, said := c.lifetime()
	claims := replace(p.claimsOf(g.session.subject, scopes), p.claims(Token{TTL: ttl, Claims: map[string]any{
		"sub": g.session.subject, "client_id": c.ID, "scope": strings.Join(scopes, " "), "sid": g.session.sid, "email": nil, "groups": nil,
	}}))
	payload, err := marshal(claims)
	if err != nil {
		return p.unable(err)
	}
	access, err := p.sign(Token{RawClaims: payload})
	if err != nil {
		return p.unable(err)
	}
	idToken, err := p.idToken(c, g, scopes, access, atLogin)
	if err != nil {
		return p.unable(err)
	}
	sent := idToken
	if c.EncryptIDToken != nil {
		sent = c.EncryptIDToken(idToken)
	}
	m := map[string]any{
		"access_token": access, "token_type": "Bearer", "id_token": sent, "scope": claims["scope"],
	}
	if said {
		m["expires_in"] = int64(ttl / time.Second)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accessTokens.put(access, &accessToken{grant: g, scopes: scopes, claims: claims, expires: time.Now().Add(ttl)})
	p.hints.put(idToken, g)
	if slices.Contains(g.scopes, "offline_access") && (atLogin || !c.KeepRefreshToken) {
		refresh := rand.Text()
		p.refreshTokens.put(refresh, &refreshToken{grant: g})
		m["refresh_token"] = refresh
	}
	return uncached(jsonAnswer(http.StatusOK, m))
}

// unable is the answer where a test's own keys or claims can't make a token.
func (p *Provider) unable(err error) *answer {
	p.log.Error("oidctest: a client's token can't be made", "err", err)
	return plain(http.StatusInternalServerError, "the token can't be made")
}

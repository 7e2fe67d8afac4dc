package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Refresh exchanges a refresh token for new tokens (RFC 6749, 6). The Grant that it
// gives takes the whole place of the one before: what the answer doesn't renew is as
// it was, such as the refresh token of a provider that doesn't rotate them.
//
// The refusals: SessionEnded where the provider says invalid_grant, or answers with
// another identity (OpenID Connect Core 1.0, 12.2); else RefreshUnavailable, after
// which the tokens from before may still be good.
//
// An ID token whose key can't be had now is left out, and so is userinfo that can't
// be had or read: the provider may have taken back the old refresh token by then,
// so refusing would end the session. The claims from before stand in.
func (p *RelyingParty) Refresh(ctx context.Context, was Grant) (Grant, *audit.Refusal) {
	known, refusal := p.counterpart()
	switch {
	case refusal != nil:
		return Grant{}, unrefreshed(refusal.Detail, refusal.RetryAfter)
	case was.Issuer != p.options.Issuer:
		return Grant{}, refuse(audit.SessionEnded, "the session is of issuer "+quote(string(was.Issuer))+", and the client's is another now")
	case was.RefreshToken == "":
		return Grant{}, refuse(audit.SessionEnded, "there is no refresh token")
	case !p.refreshes.take(netip.Addr{}):
		return Grant{}, unrefreshed("too many refreshes at once", time.Second)
	}
	defer p.refreshes.give(netip.Addr{})
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	asked := time.Now()
	tokens, refusal := p.renew(ctx, known.token, was.RefreshToken)
	if refusal != nil {
		return Grant{}, refusal
	}
	g := tokens.grant(asked)
	if g.RefreshToken == "" {
		g.RefreshToken = was.RefreshToken
	}
	if refusal := p.renewIdentity(ctx, tokens.id, &g, &was); refusal != nil {
		return Grant{}, refusal
	}
	if p.options.UserInfo {
		if refusal := p.renewUserInfo(ctx, known.userinfo, &g, &was); refusal != nil {
			return Grant{}, refusal
		}
	}
	// The nonce of the login stays, for refreshes to be compared with: a renewed ID
	// token usually has none.
	if !g.Claims.Lookup("nonce").Exists() {
		g.Claims = g.Claims.with(was.Claims, func(name string) bool { return name == "nonce" })
	}
	return g, nil
}

// renew asks the token endpoint.
func (p *RelyingParty) renew(ctx context.Context, address string, token RawToken) (*tokenAnswer, *audit.Refusal) {
	a, err := p.post(ctx, address, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(token)}})
	switch {
	case err != nil:
		return nil, unrefreshed("token endpoint: "+plain(err), retryAfterFailure)
	case a.status != http.StatusOK && a.errorCode() == "invalid_grant":
		return nil, refuse(audit.SessionEnded, "token endpoint: "+a.problem())
	case a.status != http.StatusOK:
		return nil, unrefreshed("token endpoint: "+a.problem(), retryAfter(a.header))
	}
	tokens, err := readTokenAnswer(a.body)
	if err != nil {
		return nil, unrefreshed("token endpoint: "+err.Error(), retryAfterFailure)
	}
	return tokens, nil
}

// renewIdentity judges the ID token that a refresh brought, if it did.
func (p *RelyingParty) renewIdentity(ctx context.Context, renewed RawToken, g, was *Grant) *audit.Refusal {
	g.Identity, g.Claims, g.IDToken = was.Identity, was.Claims, was.IDToken
	if renewed == "" {
		return nil
	}
	t, refusal := p.openIDToken(ctx, renewed, g.AccessToken, time.Now())
	if refusal != nil {
		switch detail := "the renewed ID token: " + refusal.Error(); {
		case refusal.Reason.Class() == audit.ClassUnavailable:
			p.log.Warn("a renewed ID token can't be checked: the session keeps the identity it has", "err", refusal)
			return nil
		case refusal.Reason == audit.IssuerUnknown, refusal.Reason == audit.AudienceMismatch, refusal.Reason == audit.SubjectMissing:
			return refuse(audit.SessionEnded, detail)
		default:
			return unrefreshed(detail, retryAfterFailure)
		}
	}
	identity := t.identity()
	if identity.Subject != was.Subject {
		return refuse(audit.SessionEnded, "the renewed ID token is about sub "+quote(string(identity.Subject))+", the session about "+quote(string(was.Subject)))
	}
	said, first := t.Claims.Lookup("nonce"), was.Claims.Lookup("nonce")
	if said.Exists() && first.Exists() && subtle.ConstantTimeCompare([]byte(said.flat), []byte(first.flat)) != 1 {
		return refuse(audit.SessionEnded, "the renewed ID token is of another login: its nonce differs")
	}
	if identity.SID == "" {
		identity.SID = was.SID
	}
	g.Identity, g.Claims, g.IDToken = identity, t.Claims, t.signed()
	return nil
}

// renewUserInfo puts userinfo of now over the claims of the ID token in force, so
// that what it no longer says is gone.
func (p *RelyingParty) renewUserInfo(ctx context.Context, address string, g, was *Grant) *audit.Refusal {
	info, refusal := p.userInfo().ask(ctx, address, g.AccessToken, g.Subject)
	switch {
	case refusal == nil:
		if g.IDToken == was.IDToken {
			g.Claims = was.idTokenClaims()
		}
		g.Claims = g.Claims.withUserInfo(info)
	case errors.Is(refusal, errOtherSubject):
		return refuse(audit.SessionEnded, refusal.Detail)
	default:
		p.log.Warn("userinfo can't be had at a refresh: the session keeps the claims it has", "err", refusal)
		g.Claims = was.Claims.renewedBy(g.Claims)
	}
	return nil
}

// idTokenClaims reads the ID token of a Grant again, which was judged when it came.
// Without one, all the claims have to do.
func (g *Grant) idTokenClaims() Claims {
	if jws, refusal := ParseJWS(g.IDToken); refusal == nil {
		if claims, err := parseObject(jws.Payload); err == nil {
			return claims
		}
	}
	return g.Claims
}

// unrefreshed is what a session gets that can't be renewed now.
func unrefreshed(detail string, retry time.Duration) *audit.Refusal {
	return &audit.Refusal{Reason: audit.RefreshUnavailable, Detail: detail, RetryAfter: retry}
}

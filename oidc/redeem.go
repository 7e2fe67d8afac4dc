package oidc

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Redeem exchanges an authorization code for tokens and judges them. Verifier and
// nonce are those of the [Attempt]; from is the address that the callback came from,
// whose share of the budget this uses.
//
// The refusals: ProviderUnavailable, LoginBusy, CodeRejected, IDTokenInvalid,
// UserInfoInvalid.
func (p *RelyingParty) Redeem(ctx context.Context, code, verifier, nonce string, from netip.Addr) (Grant, *audit.Refusal) {
	known, refusal := p.counterpart()
	if refusal != nil {
		return Grant{}, refusal
	}
	if refusal := checkAttempt(verifier, nonce); refusal != nil {
		return Grant{}, refusal
	}
	if !p.logins.take(from) {
		return Grant{}, p.logins.exceeded(audit.LoginBusy)
	}
	defer p.logins.give(from)
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	asked := time.Now()
	tokens, refusal := p.redeem(ctx, known.token, code, verifier)
	if refusal != nil {
		return Grant{}, refusal
	}
	if tokens.id == "" {
		return Grant{}, refuse(audit.IDTokenInvalid, "the answer has no id_token")
	}
	t, refusal := p.openIDToken(ctx, tokens.id, tokens.access, time.Now())
	if refusal == nil {
		refusal = p.duringLogin(t, nonce)
	}
	if refusal != nil {
		return Grant{}, disbelieved(refusal)
	}
	g := tokens.grant(asked)
	g.Claims, g.Identity, g.IDToken = t.Claims, t.identity(), t.signed()
	if p.options.UserInfo {
		info, refusal := p.userInfo().ask(ctx, known.userinfo, tokens.access, g.Subject)
		if refusal != nil {
			return Grant{}, refusal
		}
		g.Claims = g.Claims.withUserInfo(info)
	}
	return g, nil
}

// redeem asks the token endpoint (RFC 6749, 4.1.3; RFC 7636, 4.5).
func (p *RelyingParty) redeem(ctx context.Context, address, code, verifier string) (*tokenAnswer, *audit.Refusal) {
	a, err := p.post(ctx, address, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {p.options.RedirectURI},
		"code_verifier": {verifier},
	})
	if err != nil {
		return nil, unreachable("token endpoint: "+plain(err), retryAfterFailure)
	}
	if a.status != http.StatusOK {
		// The client's fault and the provider's aren't the code's.
		if a.refusesClient() {
			return nil, unreachable("token endpoint: "+a.problem(), 0)
		}
		switch a.errorCode() {
		case "", "temporarily_unavailable", "server_error":
			return nil, unreachable("token endpoint: "+a.problem(), retryAfter(a.header))
		}
		return nil, refuse(audit.CodeRejected, a.problem())
	}
	tokens, err := readTokenAnswer(a.body)
	if err != nil {
		return nil, unreachable("token endpoint: "+err.Error(), retryAfterFailure)
	}
	return tokens, nil
}

// grant is what the tokens are, but for who is meant, which the ID token says.
func (t *tokenAnswer) grant(asked time.Time) Grant {
	g := Grant{AccessToken: t.access, RefreshToken: t.refresh}
	if t.expires > 0 {
		g.Expires = asked.Add(t.expires)
	}
	return g
}

// unreachable is what a login gets that the provider has no usable answer to. Without
// retry it won't pass by itself: somebody has to change the configuration.
func unreachable(detail string, retry time.Duration) *audit.Refusal {
	return &audit.Refusal{Reason: audit.ProviderUnavailable, Detail: detail, RetryAfter: retry}
}

// disbelieved is what a login gets whose ID token was refused.
func disbelieved(why *audit.Refusal) *audit.Refusal {
	if why.Reason.Class() == audit.ClassUnavailable {
		return unreachable("the ID token: "+why.Error(), cmp.Or(why.RetryAfter, retryAfterFailure))
	}
	return refuse(audit.IDTokenInvalid, why.Error())
}

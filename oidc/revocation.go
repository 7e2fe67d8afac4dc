package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Revoke tells the provider that the tokens won't be used any more (RFC 7009): the
// refresh token first, which ends most, then the access token, also where the first
// fails. A provider without that endpoint has nothing to be told. The caller's own
// logout doesn't depend on any of it. Tokens of another issuer, which a session from
// before the client moved has, are told to nobody. The error is for a log, and holds no
// token.
func (p *RelyingParty) Revoke(ctx context.Context, g Grant) error {
	known, _ := p.endpoints.get()
	if known.revocation == "" {
		return nil
	}
	if g.Issuer != p.options.Issuer {
		return fmt.Errorf("the tokens are of issuer %s, and the client's is another now", quote(string(g.Issuer)))
	}
	ctx, cancel := context.WithTimeout(ctx, endpointTimeout) // for both
	defer cancel()
	return errors.Join(
		p.revoke(ctx, known.revocation, g.RefreshToken, "refresh_token"),
		p.revoke(ctx, known.revocation, g.AccessToken, "access_token"),
	)
}

func (p *RelyingParty) revoke(ctx context.Context, address string, token RawToken, kind string) error {
	if token == "" {
		return nil
	}
	a, err := p.post(ctx, address, url.Values{"token": {string(token)}, "token_type_hint": {kind}})
	switch {
	case err != nil:
		return fmt.Errorf("revoking the %s: %s", kind, plain(err))
	case a.status/100 == 2 || a.errorCode() == "unsupported_token_type": // such as a JWT: it ends by itself
		return nil
	}
	return fmt.Errorf("revoking the %s: %s", kind, a.problem())
}

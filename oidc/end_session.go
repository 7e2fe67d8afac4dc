package oidc

import "net/url"

// longestHint is the longest ID token that goes into a URL, in bytes: with it the
// URL stays within the 8 KiB that servers read. Without it the provider may ask
// whether to log out, which is better than its error page.
const longestHint = 6 << 10

// EndSessionURL is where a browser is sent to be logged out at the provider too
// (OpenID Connect RP-Initiated Logout 1.0, 2). The hint may be empty. returnTo is a
// registered address that the provider sends the browser back to, with state; empty
// means nowhere. ok is false where the provider has no such endpoint, or isn't
// discovered yet.
func (p *RelyingParty) EndSessionURL(idTokenHint RawToken, returnTo, state string) (address string, ok bool) {
	known, _ := p.endpoints.get()
	u, err := url.Parse(known.endSession)
	if err != nil || u.Host == "" {
		return "", false
	}
	query := u.Query()
	query.Set("client_id", p.options.ClientID)
	if idTokenHint != "" && len(idTokenHint) <= longestHint {
		query.Set("id_token_hint", string(idTokenHint))
	}
	if returnTo != "" {
		query.Set("post_logout_redirect_uri", returnTo)
		if state != "" {
			query.Set("state", state)
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), true
}

package oidctest

import (
	"cmp"
	"crypto"
	"maps"
	"slices"
	"time"
)

// LoginClient is a relying party: it sends people to log in, by the code flow with
// PKCE (S256), which it can't do without.
type LoginClient struct {
	ID string

	// Secret is proved by HTTP Basic or in the form, Key by an assertion, as with
	// AddKeyClient. With neither the client is public: it says its id.
	Secret string
	Key    crypto.PublicKey

	// AuthMethod is the only way to authenticate: client_secret_basic,
	// client_secret_post, private_key_jwt or none. Empty means whatever fits.
	AuthMethod string

	// RedirectURIs and PostLogoutRedirectURIs are where people may be sent back to,
	// compared byte for byte. Plain http and any host will do.
	RedirectURIs, PostLogoutRedirectURIs []string

	// FormPost posts the answer to a request that names no response_mode. One that
	// does gets what it names.
	FormPost bool

	// IDTokenAlg and UserInfoAlg are the algorithms that ID tokens and answers about
	// users are signed with. Empty means RS256, and JSON without a signature.
	IDTokenAlg, UserInfoAlg string

	// IDTokenClaims replace claims of ID tokens, or add to them. A nil value removes
	// the claim.
	IDTokenClaims map[string]any

	// EncryptIDToken makes a JWE of a signed ID token. Nil leaves it signed only. Either
	// way, as a hint at a logout the signed one is taken (OpenID Connect Core 1.0,
	// 3.1.2.1).
	EncryptIDToken func(signed string) string

	// ThinIDToken leaves a user's claims to the userinfo endpoint.
	ThinIDToken bool

	// AccessTTL is how long access tokens live, which answers say as expires_in.
	// Zero means five minutes. Negative means five minutes too, and not saying so.
	AccessTTL time.Duration

	// KeepRefreshToken lets a refresh token be used any number of times. Otherwise
	// each use gives a new one, and a second use of the same ends all that came
	// of that login (RFC 9700, section 4.14.2).
	KeepRefreshToken bool
}

// AddLoginClient registers a client for logins. A second call, or one of
// AddClient, with the same id replaces it; what it was given stays good.
func (p *Provider) AddLoginClient(c LoginClient) {
	c.IDTokenClaims = maps.Clone(c.IDTokenClaims)
	c.RedirectURIs, c.PostLogoutRedirectURIs = slices.Clone(c.RedirectURIs), slices.Clone(c.PostLogoutRedirectURIs)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c.ID] = client{id: c.ID, secret: c.Secret, key: c.Key, login: &c}
}

// loginClient gives the client of this id, nil if there is none that logs people in.
func (p *Provider) loginClient(id string) *LoginClient {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients[id].login
}

// lifetime gives that of access tokens, and whether answers say it.
func (c *LoginClient) lifetime() (ttl time.Duration, said bool) {
	return cmp.Or(max(0, c.AccessTTL), 5*time.Minute), c.AccessTTL >= 0
}

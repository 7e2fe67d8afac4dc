package oidc

import "time"

// Identity is who somebody is at a provider.
type Identity struct {
	Issuer  Issuer
	Subject Subject
	SID     string // the provider's session (sid); empty where it doesn't say
}

// Grant is what a provider hands out for a login.
type Grant struct {
	Identity

	// Claims are those of the ID token and, where that is asked, of userinfo, which
	// never replaces or adds what says who is meant, by whom, for whom and when.
	Claims Claims

	AccessToken  RawToken
	RefreshToken RawToken // empty: none was given

	// IDToken is the signed one, also where it came encrypted: as a hint, that is what
	// the provider takes (OpenID Connect Core 1.0, 3.1.2.1), and our keys may be others
	// by then.
	IDToken RawToken

	Expires time.Time // of the access token; zero: not known
}

package oidc

import (
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestT20_IDTokensAsBearers takes ID tokens only where that is said, and even there
// no token of another kind.
func TestT20_IDTokensAsBearers(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	ids := func(o *ProviderOptions) { o.AcceptIDTokens = true }
	const no = "not_an_access_token: "
	for _, row := range []struct {
		name          string
		typ           any
		claims        members
		want, without string
	}{
		{"of a login", "JWT", members{"at_hash": "x", "nonce": "n", "azp": "web"}, "good", no + "it has the claim at_hash"},
		{"of a hybrid login", nil, members{"c_hash": "x", "s_hash": "y"}, "good", no + "it has the claim c_hash"},
		{"with a nonce alone", nil, members{"nonce": "n"}, "good", no + "it has the claim nonce"},
		{"of Keycloak", "JWT", members{"typ": "ID"}, "good", no + "its claim typ is ID"},
		{"of Cognito", nil, members{"token_use": "id"}, "good", no + `its claim token_use is "id"`},
		{"of a Google service", "JWT", members{"azp": "1234", "email_verified": true, "jti": nil, "client_id": nil, "scope": nil}, "good", "good"},
		{"an access token", "at+jwt", nil, "good", "good"},

		{"for another audience", "JWT", members{"at_hash": "x", "aud": "web"}, `audience_mismatch: aud "web" names none of api`, no + "it has the claim at_hash"},
		{"without subject", "JWT", members{"at_hash": "x", "sub": nil}, "subject_missing", no + "it has the claim at_hash"},
		{"a logout token", "JWT", members{"events": members{}}, no + "it has the claim events", no + "it has the claim events"},
		{"a logout token by its typ", "logout+jwt", nil, `token_type_not_allowed: typ "logout+jwt"`, `token_type_not_allowed: typ "logout+jwt"`},
		{"a refresh token of Keycloak", "JWT", members{"typ": "Refresh"}, no + "its claim typ is Refresh", no + "its claim typ is Refresh"},
		{"an offline token of Keycloak", "JWT", members{"typ": "Offline"}, no + "its claim typ is Offline", no + "its claim typ is Offline"},
		{"a logout token of Keycloak", "JWT", members{"typ": "Logout"}, no + "its claim typ is Logout", no + "its claim typ is Logout"},
		{"a DPoP proof", "JWT", members{"htm": "GET", "htu": "https://api.example.com"}, no + "it has the claim htm", no + "it has the claim htm"},
		{"another use", nil, members{"token_use": "refresh"}, no + `its claim token_use is "refresh"`, no + `its claim token_use is "refresh"`},
	} {
		raw := r.sign(oidctest.Token{Header: members{"typ": row.typ}, Claims: row.claims})
		r.want(t, row.name, raw, row.want, ids)
		r.want(t, row.name+", where that isn't said", raw, row.without)
	}
}

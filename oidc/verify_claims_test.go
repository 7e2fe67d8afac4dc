package oidc

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// verbatim is a claim as encoding/json wouldn't write it.
func verbatim(text string) json.RawMessage { return json.RawMessage(text) }

func audiences(all ...string) option { return func(o *ProviderOptions) { o.Audiences = all } }

// TestSEC_J9_Audience holds SEC-A3, SEC-5.7, SEC-5.21 as well.
func TestSEC_J9_Audience(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	const invalid = "token_claims_invalid: aud "
	none := func(aud string) string { return "audience_mismatch: aud " + aud + " names none of api" }
	for _, row := range []struct {
		name string
		aud  any
		want string
	}{
		{"string", "api", "good"},
		{"array", []string{"api"}, "good"},
		{"one of several", []string{"x", "api", "y"}, "good"},
		{"twice", []string{"api", "api"}, "good"},

		{"missing", nil, "audience_mismatch: aud is missing"},
		{"another", "other", none(`"other"`)},
		{"others", []string{"x", "y"}, none(`["x","y"]`)},
		{"empty", "", none(`""`)},
		{"empty array", []string{}, none(`[]`)},
		{"array with an empty string", []string{""}, none(`[""]`)},
		{"prefix", "ap", none(`"ap"`)},
		{"longer", "api2", none(`"api2"`)},
		{"suffix", "pi", none(`"pi"`)},
		{"below", "api/v1", none(`"api/v1"`)},
		{"slash", "api/", none(`"api/"`)},
		{"another case", "API", none(`"API"`)},
		{"space", "api ", none(`"api "`)},
		{"list in a string", "x api", none(`"x api"`)},
		{"list with a comma", "api,x", none(`"api,x"`)},
		{"zero byte", "api\x00", none(`"api\u0000"`)},
		{"letter that looks alike", "аpi", none(`"аpi"`)},
		{"what a terminal would obey", "\x1b[2J\r\n\u2028\u202e", none(`"\u001b[2J\u000d\u000a\u2028\u202e"`)},
		{"long", strings.Repeat("é", 60), none(`"` + strings.Repeat("é", 31) + "…")},

		{"null", verbatim("null"), invalid + "is neither a string nor an array"},
		{"number", 1, invalid + "is neither a string nor an array"},
		{"true", true, invalid + "is neither a string nor an array"},
		{"object", members{"api": "api"}, invalid + "is neither a string nor an array"},
		{"array of null", verbatim(`[null]`), invalid + "holds something else than strings"},
		{"null beside it", verbatim(`["api",null]`), invalid + "holds something else than strings"},
		{"number beside it", verbatim(`["api",1]`), invalid + "holds something else than strings"},
		{"nested", verbatim(`[["api"]]`), invalid + "holds something else than strings"},
		{"object in an array", verbatim(`[{"api":"api"}]`), invalid + "holds something else than strings"},
	} {
		r.want(t, row.name, r.claiming(members{"aud": row.aud}), row.want)
	}
	r.want(t, "in another claim", r.claiming(members{"aud": nil, "AUD": "api", "azp": "api", "client_id": "api"}), "audience_mismatch: aud is missing")
	r.want(t, "any of ours", r.claiming(members{"aud": []string{"x", "c"}}), "good", audiences("a", "b", "c"))
	r.want(t, "none of ours", r.claiming(members{"aud": "x"}), `audience_mismatch: aud "x" names none of a, b, c`, audiences("a", "b", "c"))
}

// TestSEC_S8_DatesOfTokens holds SEC-S9, SEC-5.66 as well.
func TestSEC_S8_DatesOfTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	const invalid = "token_claims_invalid: "
	for _, row := range []struct {
		name   string
		claims members
		want   string
	}{
		{"no exp", members{"exp": nil}, "required_claim_missing: exp"},
		{"exp under another name", members{"exp": nil, "EXP": clock + 60, "Exp": clock + 60}, "required_claim_missing: exp"},
		{"exp null", members{"exp": verbatim("null")}, invalid + "exp isn't a date"},
		{"exp string", members{"exp": "1702393201"}, invalid + "exp isn't a date"},
		{"exp array", members{"exp": []int{clock + 60}}, invalid + "exp isn't a date"},
		{"exp 1e400", members{"exp": verbatim("1e400")}, invalid + "byte 70: number out of range"},
		{"exp 1e300", members{"exp": verbatim("1e300")}, invalid + "exp isn't a date"},
		{"exp 2^63", members{"exp": verbatim("9223372036854775808")}, invalid + "exp isn't a date"},
		{"exp 2^61 and a date, which times 1000 wraps to it", members{"exp": verbatim("2305843010916083612")}, invalid + "exp isn't a date"},
		{"exp in milliseconds", members{"exp": (clock + 60) * 1000}, invalid + "exp isn't a date"},
		{"exp at the end of time", members{"exp": int64(latestDate)}, "good"},
		{"exp with a fraction", members{"exp": clock + 0.5}, "good"},
		{"exp with an exponent", members{"exp": verbatim("1.8e9")}, "good"},
		{"exp as long ago as may be", members{"exp": int64(-latestDate)}, "token_expired: exp -253402300799 is 2952600 days behind this clock"},
		{"exp minus one", members{"exp": -1}, "token_expired: exp -1 is 19703 days behind this clock"},
		{"exp zero", members{"exp": 0}, "token_expired: exp 0 is 19703 days behind this clock"},
		{"exp a moment too old", members{"exp": clock - 30}, "token_expired: exp 1702389571 is 30 s behind this clock"},
		{"exp a minute ago", members{"exp": clock - 119}, "token_expired: exp 1702389482 is 119 s behind this clock"},
		{"exp two minutes ago", members{"exp": clock - 120}, "token_expired: exp 1702389481 is 2 min behind this clock"},
		{"exp two hours ago", members{"exp": clock - 7200}, "token_expired: exp 1702382401 is 2 h behind this clock"},
		{"exp two days ago", members{"exp": clock - 2*86400}, "token_expired: exp 1702216801 is 2 days behind this clock"},

		{"nbf before now", members{"nbf": clock - 1}, "good"},
		{"nbf within the leeway", members{"nbf": clock + 30}, "good"},
		{"nbf ahead", members{"nbf": clock + 59}, "token_not_yet_valid: nbf 1702389660 is 59 s ahead of this clock"},
		{"nbf far ahead", members{"nbf": int64(latestDate)}, "token_not_yet_valid: nbf 253402300799 is 2913193 days ahead of this clock"},
		{"nbf 1e300, which go-oidc takes for the past", members{"nbf": verbatim("1e300")}, invalid + "nbf isn't a date"},
		{"nbf null", members{"nbf": verbatim("null")}, invalid + "nbf isn't a date"},
		{"nbf string", members{"nbf": "0"}, invalid + "nbf isn't a date"},
		{"nbf false", members{"nbf": false}, invalid + "nbf isn't a date"},
		{"nbf under another name", members{"NBF": clock + 59}, "good"},

		{"no iat", members{"iat": nil}, "good"},
		{"iat within the leeway", members{"iat": clock + 30}, "good"},
		{"iat ahead", members{"iat": clock + 59}, "token_issued_in_future: iat 1702389660 is 59 s ahead of this clock"},
		{"iat null", members{"iat": verbatim("null")}, invalid + "iat isn't a date"},
		{"iat string", members{"iat": "now"}, invalid + "iat isn't a date"},
		{"iat 2^63", members{"iat": verbatim("9223372036854775808")}, invalid + "iat isn't a date"},
		{"iat negative", members{"iat": -1}, "good"},

		{"expired before it was valid", members{"exp": clock - 60, "nbf": clock + 60}, "token_expired: exp 1702389541 is 60 s behind this clock"},
	} {
		r.want(t, row.name, r.claiming(row.claims), row.want)
	}
	none := func(o *ProviderOptions) { o.ClockSkew = 0 }
	r.want(t, "exp now", r.claiming(members{"exp": clock}), "token_expired: exp 1702389601 is 0 ms behind this clock", none)
	r.want(t, "nbf in a moment", r.claiming(members{"nbf": clock + 0.5}), "token_not_yet_valid: nbf 1702389601 is 500 ms ahead of this clock", none)
}

// Tokens of other kinds, which the same keys sign, are no access tokens.
// Held as well: SEC-J12, SEC-A7.
func TestSEC_J11_KindsOfTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	not := func(why string) string { return "not_an_access_token: it" + why }
	for _, row := range []struct {
		name           string
		header, claims members
		want           string
	}{
		{"typ at+jwt", members{"typ": "at+jwt"}, nil, "good"},
		{"typ application/at+jwt", members{"typ": "application/at+jwt"}, nil, "good"},
		{"typ JWT", members{"typ": "JWT"}, nil, "good"},
		{"typ application/jwt", members{"typ": "application/jwt"}, nil, "good"},
		{"typ in any case", members{"typ": "Application/AT+JWT"}, nil, "good"},
		{"no typ", members{"typ": nil}, nil, "good"},
		{"empty typ", members{"typ": ""}, nil, `token_type_not_allowed: typ ""`},
		{"typ of nothing", members{"typ": "application/"}, nil, `token_type_not_allowed: typ "application/"`},
		{"typ with a parameter", members{"typ": "at+jwt; charset=utf-8"}, nil, `token_type_not_allowed: typ "at+jwt; charset=utf-8"`},
		{"typ with a space", members{"typ": "JWT "}, nil, `token_type_not_allowed: typ "JWT "`},
		{"typ with the Kelvin sign", members{"typ": "\u212aWT"}, nil, `token_type_not_allowed: typ "\u212aWT"`},
		{"typ of another tree", members{"typ": "text/at+jwt"}, nil, `token_type_not_allowed: typ "text/at+jwt"`},
		{"typ within another", members{"typ": "application/application/at+jwt"}, nil, `token_type_not_allowed: typ "application/application/at+jwt"`},
		{"typ of a DPoP proof", members{"typ": "dpop+jwt"}, nil, `token_type_not_allowed: typ "dpop+jwt"`},
		{"typ of a logout token", members{"typ": "logout+jwt"}, nil, `token_type_not_allowed: typ "logout+jwt"`},
		{"typ of an introspection answer", members{"typ": "token-introspection+jwt"}, nil, `token_type_not_allowed: typ "token-introspection+jwt"`},
		{"typ of a security event", members{"typ": "secevent+jwt"}, nil, `token_type_not_allowed: typ "secevent+jwt"`},
		{"typ of an authorization request", members{"typ": "oauth-authz-req+jwt"}, nil, `token_type_not_allowed: typ "oauth-authz-req+jwt"`},
		{"typ of an ID token of some", members{"typ": "id_token"}, nil, `token_type_not_allowed: typ "id_token"`},
		{"typ JOSE", members{"typ": "JOSE"}, nil, `token_type_not_allowed: typ "JOSE"`},

		{"ID token", nil, members{"at_hash": "x"}, not(" has the claim at_hash")},
		{"ID token with a code", nil, members{"c_hash": "x"}, not(" has the claim c_hash")},
		{"ID token with a state", nil, members{"s_hash": "x"}, not(" has the claim s_hash")},
		{"at_hash null", nil, members{"at_hash": verbatim("null")}, not(" has the claim at_hash")},
		{"logout token", nil, members{"events": members{"http://schemas.openid.net/event/backchannel-logout": members{}}}, not(" has the claim events")},
		{"DPoP proof", nil, members{"htm": "GET"}, not(" has the claim htm")},
		{"DPoP proof by its target", nil, members{"htu": "https://api.test"}, not(" has the claim htu")},
		{"introspection answer", nil, members{"token_introspection": members{"active": true}}, not(" has the claim token_introspection")},
		{"Keycloak's ID token", nil, members{"typ": "ID"}, not("s claim typ is ID")},
		{"Keycloak's refresh token", nil, members{"typ": "Refresh"}, not("s claim typ is Refresh")},
		{"Keycloak's offline token", nil, members{"typ": "Offline"}, not("s claim typ is Offline")},
		{"Keycloak's logout token", nil, members{"typ": "Logout"}, not("s claim typ is Logout")},
		{"Keycloak's access token", nil, members{"typ": "Bearer"}, "good"},
		{"Cognito's ID token", nil, members{"token_use": "id"}, not(`s claim token_use is "id"`)},
		{"Cognito's access token", nil, members{"token_use": "access"}, "good"},
		{"nonce", nil, members{"nonce": "x"}, not(" has the claim nonce")},
		{"nonce null", nil, members{"nonce": verbatim("null")}, not(" has the claim nonce")},
		{"those names elsewhere", nil, members{"x": members{"at_hash": "x", "events": 1}, "AT_HASH": "x"}, "good"},
	} {
		r.want(t, row.name, r.sign(oidctest.Token{Header: row.header, Claims: row.claims}), row.want)
	}
	nonce := func(o *ProviderOptions) { o.AcceptNonce = true }
	r.want(t, "a nonce where one is accepted", r.claiming(members{"nonce": "x"}), "good", nonce)
}

// A strict type asks for what RFC 9068, 2, does.
func TestSEC_A1_A4_StrictType(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.want(t, "all of it", r.claiming(nil), "good", strict)
	r.want(t, "typ as a media type", r.headed(members{"typ": "application/AT+jwt"}), "good", strict)
	for _, typ := range []any{nil, "", "JWT", "application/jwt", "at"} {
		if got := r.verify(t, r.headed(members{"typ": typ}), strict); reasonOf(got) != audit.TokenTypeNotAllowed {
			t.Errorf("typ %v: %s", typ, verdict(got))
		}
	}
	for name, want := range map[string]string{
		"iss":       "issuer_unknown: iss is missing or isn't a string",
		"exp":       "required_claim_missing: exp",
		"aud":       "audience_mismatch: aud is missing",
		"sub":       "subject_missing",
		"client_id": "required_claim_missing: client_id",
		"iat":       "required_claim_missing: iat",
		"jti":       "required_claim_missing: jti",
	} {
		r.want(t, "no "+name, r.claiming(members{name: nil}), want, strict)
		if got := r.verify(t, r.claiming(members{name: verbatim("null")}), strict); got.Good() {
			t.Errorf("%s null is good", name)
		}
		if got := r.verify(t, r.claiming(members{name: ""}), strict); got.Good() {
			t.Errorf("%s empty is good", name)
		}
		if got := r.verify(t, r.claiming(members{name: members{}}), strict); got.Good() {
			t.Errorf("%s as an object is good", name)
		}
	}
	r.want(t, "neither is asked for otherwise", r.claiming(members{"client_id": nil, "iat": nil, "jti": nil}), "good")
}

func TestSubject(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	lenient := func(o *ProviderOptions) { o.AcceptMissingSubject = true }
	for _, row := range []struct {
		name           string
		sub            any
		want, accepted string
	}{
		{"a name", "alice", "good", "good"},
		{"missing", nil, "subject_missing", "good"},
		{"empty", "", "subject_missing", "good"},
		{"null", verbatim("null"), "token_claims_invalid: sub isn't a string", "token_claims_invalid: sub isn't a string"},
		{"number", 7, "token_claims_invalid: sub isn't a string", "token_claims_invalid: sub isn't a string"},
		{"array", []string{"alice"}, "token_claims_invalid: sub isn't a string", "token_claims_invalid: sub isn't a string"},
	} {
		r.want(t, row.name, r.claiming(members{"sub": row.sub}), row.want)
		r.want(t, row.name+", accepted", r.claiming(members{"sub": row.sub}), row.accepted, lenient)
	}
}

func TestRequiredClaims(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	wanted := func(o *ProviderOptions) { o.RequiredClaims = []string{"email", "https://example.com/roles"} }
	roles := []string{"x"}
	for _, row := range []struct {
		name   string
		claims members
		want   string
	}{
		{"both", members{"https://example.com/roles": roles}, "good"},
		{"the second is missing", nil, "required_claim_missing: https://example.com/roles"},
		{"the first is missing", members{"email": nil, "https://example.com/roles": roles}, "required_claim_missing: email"},
		{"null", members{"email": verbatim("null"), "https://example.com/roles": roles}, "required_claim_missing: email"},
		{"another case", members{"email": nil, "Email": "x", "https://example.com/roles": roles}, "required_claim_missing: email"},
		{"deeper", members{"email": nil, "x": members{"email": "x"}, "https://example.com/roles": roles}, "required_claim_missing: email"},
		{"empty is there", members{"email": "", "https://example.com/roles": false}, "good"},
	} {
		r.want(t, row.name, r.claiming(row.claims), row.want, wanted)
	}
}

// A token that is bound to a key is no bearer token, however the binding looks.
func TestSEC_T1_Confirmation(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for name, cnf := range map[string]any{
		"certificate": members{"x5t#S256": "x"}, "DPoP key": members{"jkt": "x"}, "key": members{"jwk": members{}},
		"empty": members{}, "null": verbatim("null"), "string": "x", "false": false, "array": []string{},
	} {
		r.want(t, name, r.claiming(members{"cnf": cnf}), "constraint_unproven: it has the claim cnf")
	}
}

// A token is judged by the rules of its own issuer's provider, not of another.
func TestEachProviderHasItsOwnRules(t *testing.T) {
	a, b := newRealm(t, "https://a.test"), newRealm(t, "https://b.test")
	b.options.ClockSkew, b.options.Audiences, b.options.StrictType = 0, []string{"other"}, true
	pa, errA := NewProvider(a.options)
	pb, errB := NewProvider(b.options)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	v := NewVerifier([]*Provider{pa, pb}, 16<<10)
	for _, row := range []struct {
		name   string
		of     *realm
		claims members
		want   string
	}{
		{"a within a's leeway", a, members{"exp": clock - 29}, "good"},
		{"b within a's leeway", b, members{"exp": clock - 29, "aud": "other"}, "token_expired: exp 1702389572 is 29 s behind this clock"},
		{"a for a's audience", a, nil, "good"},
		{"a for b's audience", a, members{"aud": "other"}, `audience_mismatch: aud "other" names none of api`},
		{"b for a's audience", b, nil, `audience_mismatch: aud "api" names none of other`},
		{"b for b's audience", b, members{"aud": "other"}, "good"},
		{"a without jti", a, members{"jti": nil}, "good"},
		{"b without jti", b, members{"jti": nil, "aud": "other"}, "required_claim_missing: jti"},
	} {
		if got := verdict(v.Verify(t.Context(), row.of.claiming(row.claims), time.Unix(clock, 0), nobody)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

package oidc

import (
	"crypto/sha512"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_C1_O3_IDTokenClaims is every claim of an ID token, right and wrong.
func TestSEC_C1_O3_IDTokenClaims(t *testing.T) {
	type m map[string]any
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	const bad = "id_token_invalid: "
	for _, row := range []struct {
		name   string
		claims m
		want   string
	}{
		{"as usual", nil, "good"},
		{"aud in a list", m{"aud": []string{"web"}}, "good"},
		{"aud twice", m{"aud": []string{"web", "web"}}, "good"},
		{"azp", m{"azp": "web"}, "good"},
		{"an audience that is trusted, and azp", m{"aud": []string{"web", "project"}, "azp": "web"}, "good"},
		{"no sid", m{"sid": nil}, "good"},
		{"issued nine minutes ago", m{"iat": ago(9 * time.Minute)}, "good"},
		{"expired within the leeway", m{"exp": ago(20 * time.Second)}, "good"},
		{"issued ahead within the leeway", m{"iat": ago(-20 * time.Second), "nbf": ago(-20 * time.Second)}, "good"},
		{"typ of Keycloak, token_use of Cognito", m{"typ": "ID", "token_use": "id"}, "good"},
		{"claims that are elsewhere", m{"_claim_names": m{"groups": "a"}, "_claim_sources": m{"a": m{"endpoint": "https://evil.test/"}}}, "good"},

		{"another issuer", m{"iss": "https://evil.test"}, bad + `issuer_unknown: iss is "https://evil.test", not "https://issuer.test"`},
		{"an issuer with a slash", m{"iss": "https://issuer.test/"}, bad + "issuer_unknown"},
		{"no issuer", m{"iss": nil}, bad + "issuer_unknown"},
		{"an issuer in a list", m{"iss": []string{"https://issuer.test"}}, bad + "issuer_unknown"},
		{"an issuer in capitals", m{"iss": nil, "ISS": "https://issuer.test"}, bad + "issuer_unknown"},
		{"for another", m{"aud": "other"}, bad + `audience_mismatch: aud "other" names none of web`},
		{"for another, nearly us", m{"aud": "web2"}, bad + "audience_mismatch"},
		{"for nobody", m{"aud": nil}, bad + "audience_mismatch: aud is missing"},
		{"for none", m{"aud": []string{}}, bad + "audience_mismatch"},
		{"for us and another", m{"aud": []string{"web", "other"}, "azp": "web"}, bad + `audience_mismatch: aud ["web","other"] names others than us`},
		{"for us and one who is trusted, without azp", m{"aud": []string{"web", "project"}}, bad + "audience_mismatch: azp"},
		{"aud is a number", m{"aud": 1}, bad + "token_claims_invalid: aud"},
		{"aud in a list in a list", m{"aud": []any{"web", []string{"web"}}}, bad + "token_claims_invalid: aud"},
		{"given to another", m{"azp": "other"}, bad + `audience_mismatch: azp "other" isn't us`},
		{"azp is a number", m{"azp": 1}, bad + "audience_mismatch: azp 1 isn't us"},
		{"azp is null", m{"azp": verbatim("null")}, bad + "audience_mismatch: azp null isn't us"},
		{"no sub", m{"sub": nil}, bad + "subject_missing"},
		{"an empty sub", m{"sub": ""}, bad + "subject_missing"},
		{"a sub that isn't text", m{"sub": 1}, bad + "token_claims_invalid: sub isn't a string"},
		{"a sid that isn't text", m{"sid": 1}, bad + "token_claims_invalid: sid isn't a string"},
		{"expired", m{"exp": ago(time.Minute)}, bad + "token_expired: exp"},
		{"no exp", m{"exp": nil}, bad + "required_claim_missing: exp"},
		{"exp in a string", m{"exp": "9999999999"}, bad + "token_claims_invalid: exp isn't a date"},
		{"exp is endless", m{"exp": verbatim("1e300")}, bad + "token_claims_invalid: exp isn't a date"},
		{"not yet valid", m{"nbf": ago(-time.Minute)}, bad + "token_not_yet_valid: nbf"},
		{"nbf is endless", m{"nbf": verbatim("1e300")}, bad + "token_claims_invalid: nbf isn't a date"},
		{"no iat", m{"iat": nil}, bad + "required_claim_missing: iat"},
		{"issued in the future", m{"iat": ago(-time.Minute)}, bad + "token_issued_in_future: iat"},
		{"issued eleven minutes ago", m{"iat": ago(11 * time.Minute)}, bad + "token_expired: iat"},
		{"another nonce", m{"nonce": "nonce-2"}, bad + "token_claims_invalid: nonce isn't that of this login"},
		{"no nonce", m{"nonce": nil}, bad + "token_claims_invalid: nonce isn't that of this login"},
		{"a nonce that isn't text", m{"nonce": 1}, bad + "token_claims_invalid"},
		{"another at_hash", m{"at_hash": "x"}, bad + "token_claims_invalid: at_hash isn't that of the access token"},
		{"an at_hash that isn't text", m{"at_hash": 1}, bad + "token_claims_invalid"},
		{"a logout token", m{"events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}}, bad + "token_type_not_allowed: it has the claim events"},
		{"an introspection answer", m{"token_introspection": m{}}, bad + "token_type_not_allowed: it has the claim token_introspection"},
		{"an access token of Keycloak", m{"typ": "Bearer"}, bad + "token_type_not_allowed: its claim typ is Bearer"},
		{"an access token of Cognito", m{"token_use": "access"}, bad + `token_type_not_allowed: its claim token_use is "access"`},
		{"claims that are nowhere", m{"_claim_names": m{"groups": "a"}}, bad + "token_claims_invalid: oidc: source does not exist"},
	} {
		r := newReception(t, func(r *reception, o *RelyingPartyOptions) { o.OtherAudiences = []string{"project"} })
		r.replies["/token"] = r.tokens(row.claims, nil)
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestSEC_C1_IDTokenForm is an ID token's header, signature and key.
func TestSEC_C1_IDTokenForm(t *testing.T) {
	head := func(name string, value any) func(*reception) string {
		return func(r *reception) string { return r.idToken(nil, map[string]any{name: value}) }
	}
	as := func(token oidctest.Token) func(*reception) string {
		return func(r *reception) string {
			if token.Claims == nil && token.RawClaims == "" {
				token.Claims = map[string]any{"aud": "web", "nonce": nonce, "client_id": nil}
			}
			token.Header = map[string]any{"typ": "JWT"}
			return r.idp.Sign(token)
		}
	}
	const bad = "id_token_invalid: "
	for _, row := range []struct {
		name  string
		token func(*reception) string
		want  string
	}{
		{"no typ", head("typ", nil), "good"},
		{"typ in full", head("typ", "application/JWT"), "good"},
		{"ES256", as(oidctest.Token{Alg: "ES256"}), "good"},
		{"no kid, and one key", as(oidctest.Token{KeyID: "-"}), "good"},
		{"an access token's typ", head("typ", "at+jwt"), bad + `token_type_not_allowed: typ "at+jwt" isn't that of an ID token`},
		{"a logout token's typ", head("typ", "logout+jwt"), bad + "token_type_not_allowed"},
		{"typ isn't text", head("typ", 1), bad + "token_header_invalid"},
		{"a critical header", head("crit", []string{"x"}), bad + "critical_header"},
		{"a key that isn't one in the header", head("jwk", "x"), bad + "token_malformed: oidc: malformed jwt"},
		{"none", as(oidctest.Token{Alg: "none"}), bad + `algorithm_not_allowed: alg "none"`},
		{"HS256 with the public key", as(oidctest.Token{Alg: "HS256"}), bad + "algorithm_not_allowed"},
		{"an algorithm that isn't listed", as(oidctest.Token{Alg: "EdDSA"}), bad + "algorithm_not_allowed"},
		{"an unknown key", as(oidctest.Token{KeyID: "rsa-9"}), bad + "key_unknown"},
		{"another signature", func(r *reception) string { return string(resigned(RawToken(r.idToken(nil, nil)), "AAAA")) }, bad + "signature_invalid"},
		{"no signature", func(r *reception) string { return string(resigned(RawToken(r.idToken(nil, nil)), "")) }, bad + "signature_invalid"},
		{"encrypted", func(*reception) string { return "eyJ.a.b.c.d" }, bad + "token_encrypted"},
		{"opaque", func(*reception) string { return canary }, bad + "token_opaque"},
		{"with a line break", func(r *reception) string { return r.idToken(nil, nil) + "\n" }, "provider_unavailable: token endpoint: id_token isn't printable ASCII"},
		{"JSON", func(r *reception) string { return `{"payload":"x"}` }, bad + "token_malformed"},
		{"a claim twice", as(oidctest.Token{RawClaims: `{"iss":"https://issuer.test","sub":"alice","sub":"bob"}`}), bad + `token_claims_invalid: byte`},
		{"claims that aren't an object", as(oidctest.Token{RawClaims: `[]`}), bad + "token_claims_invalid"},
	} {
		r := newReception(t, nil)
		r.answer("/token", r.tokensWith(row.token(r), nil))
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestSEC_C1_AccessTokenHash in each family of algorithms.
func TestSEC_C1_AccessTokenHash(t *testing.T) {
	const access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y" // OpenID Connect Core 1.0, A.3
	sum := sha512.Sum512([]byte(access))
	for _, row := range []struct{ alg, hash string }{
		{"RS256", "77QmUPtjPfzWtF2AnpK9RQ"},
		{"ES256", "77QmUPtjPfzWtF2AnpK9RQ"},
		{"EdDSA", base64url.EncodeToString(sum[:32])},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.Algorithms = []string{row.alg} })
		for hash, want := range map[string]string{row.hash: "good", row.hash + "A": "id_token_invalid: token_claims_invalid: at_hash"} {
			token := r.idp.Sign(oidctest.Token{Alg: row.alg, Header: map[string]any{"typ": "JWT"}, Claims: map[string]any{"aud": "web", "nonce": nonce, "at_hash": hash}})
			r.answer("/token", r.tokensWith(token, map[string]any{"access_token": access}))
			_, refusal := r.login(t)
			if got := outcome(t, refusal); !strings.HasPrefix(got, want) {
				t.Errorf("%s, %s: %s, want %s", row.alg, hash, got, want)
			}
		}
	}
}

// TestSEC_C1_AuthenticationTime is judged where max_age was asked for.
func TestSEC_C1_AuthenticationTime(t *testing.T) {
	for _, row := range []struct {
		name, maxAge string
		at           any
		want         string
	}{
		{"not asked for", "", nil, "good"},
		{"not asked for, and odd", "", "x", "good"},
		{"recent", "600", time.Now().Add(-9 * time.Minute).Unix(), "good"},
		{"now", "0", time.Now().Unix(), "good"},
		{"missing", "600", nil, "id_token_invalid: required_claim_missing: auth_time"},
		{"long ago", "600", time.Now().Add(-11 * time.Minute).Unix(), "id_token_invalid: token_expired: auth_time"},
		{"in the future", "600", time.Now().Add(time.Minute).Unix(), "id_token_invalid: token_issued_in_future: auth_time"},
		{"no date", "600", "x", "id_token_invalid: token_claims_invalid: auth_time isn't a date"},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) {
			if row.maxAge != "" {
				o.Parameters = map[string]string{"max_age": row.maxAge}
			}
		})
		r.replies["/token"] = r.tokens(map[string]any{"auth_time": row.at}, nil)
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestKeysThatCantBeHadAtLogin aren't a verdict on the ID token.
func TestKeysThatCantBeHadAtLogin(t *testing.T) {
	bubble(t, "keys", func(t *testing.T) {
		r := newReception(t, nil)
		r.idp.AddHiddenKey("RS256", "rsa-2")
		r.idp.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		r.answer("/token", r.tokensWith(r.idp.Sign(oidctest.Token{KeyID: "rsa-2", Header: map[string]any{"typ": "JWT"}, Claims: map[string]any{"aud": "web", "nonce": nonce}}), nil))
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, "provider_unavailable: the ID token: keys_unavailable") || refusal.RetryAfter == 0 {
			t.Errorf("got %s", got)
		}
		_, refusal = r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, "provider_unavailable: the ID token: key_refresh_pending") || refusal.RetryAfter == 0 {
			t.Errorf("within the cool-down: %s", got)
		}
		if refusal.Reason != audit.ProviderUnavailable {
			t.Errorf("got %v", refusal.Reason)
		}
		r.idp.PublishKey("rsa-2")
		r.idp.Mend(oidctest.JWKS)
		time.Sleep(time.Minute)
		if _, refusal = r.login(t); refusal != nil {
			t.Errorf("a key that is published by now: %v", refusal)
		}
	})
}

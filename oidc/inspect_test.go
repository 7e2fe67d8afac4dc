package oidc

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// told writes findings as a person reads them: one line each, without those that
// have nothing to say.
func told(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		switch {
		case !f.Judged:
			b.WriteString("? " + f.Check + "\n")
		case f.Refusal != nil:
			b.WriteString("- " + f.Check + ": " + f.Refusal.Error() + "\n")
		case f.Detail != "":
			b.WriteString("+ " + f.Check + ": " + f.Detail + "\n")
		}
	}
	return b.String()
}

// resigned is a token with another signature.
func resigned(raw RawToken, signature string) RawToken {
	return raw[:strings.LastIndexByte(string(raw), '.')+1] + RawToken(signature)
}

func TestInspect(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.idp.AddKey("ES256", "ec-2")
	r.fetch(t)
	claims := func(more string) oidctest.Token {
		return oidctest.Token{RawClaims: `{"iss":"https://issuer.test",` + more + `}`}
	}
	good := claims(`"aud":"api","sub":"alice","iat":1702389541,"exp":1702393201`)
	noKey := good
	noKey.RawHeader, noKey.KeyID = `{"alg":"ES256"}`, "ec-1"
	unsigned := good
	unsigned.Alg = "none"
	nothing := claims(`"x":1`)
	nothing.RawHeader, nothing.KeyID = `{"alg":"HS256","typ":"logout+jwt","kid":"ec-1"}`, "ec-1"
	everything := claims(`"aud":["x"],"sub":7,"iat":"now","exp":1702389541,"nbf":1702389900,"cnf":{},"at_hash":"x"`)
	everything.RawHeader, everything.KeyID = `{"alg":"ES256","typ":"JWS","kid":"ec-1"}`, "ec-2"

	const left = "? key\n? signature\n? kind\n? audience\n? expiry\n? not before\n? issued at\n? subject\n? required claims\n? confirmation\n"
	const leftAfterForm = "? claims\n? issuer\n? type\n? algorithm\n" + left
	for _, row := range []struct {
		name  string
		token RawToken
		how   option
		want  string
	}{
		{"good", r.sign(good), nil, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
+ type: typ "at+jwt"
+ algorithm: ES256
+ key: kid "ec-1" is in the key set
+ audience: "api"
+ expiry: exp 1702393201 is 60 min ahead of this clock
+ issued at: iat 1702389541 is 60 s behind this clock
+ subject: sub "alice"
`},
		{"good without kid, typ, iat and sub", r.sign(oidctest.Token{RawHeader: `{"alg":"ES256"}`, KeyID: "ec-2", RawClaims: `{"iss":"https://issuer.test","aud":["api","x"],"exp":253402300799}`}),
			func(o *ProviderOptions) { o.AcceptMissingSubject = true }, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
+ type: no typ
+ algorithm: ES256
+ key: no kid, 2 candidates
+ audience: ["api","x"]
+ expiry: exp 253402300799 is 2913193 days ahead of this clock
+ issued at: no iat
+ subject: no sub
`},
		{"opaque", "c1f6a8e2", nil, "- form: token_opaque\n" + leftAfterForm},
		{"too long", RawToken(strings.Repeat("A", 20_000)), nil, "- form: token_too_large: 20000 bytes, at most 16384\n" + leftAfterForm},
		{"cut short", r.sign(good)[:150], nil, "- form: token_malformed: 2 segments instead of 3\n" + leftAfterForm},
		{"header", RawToken(compact(`{"alg":"RS256","crit":[]}`, `{}`)), nil, "- form: critical_header: the header has crit\n" + leftAfterForm},
		{"claims", RawToken(compact(`{"alg":"RS256"}`, `{"a":1,"a":2}`)), nil, `+ form: signed JWT, N bytes
- claims: token_claims_invalid: byte 10: repeated member "a"
? issuer
? type
? algorithm
` + left},
		{"issuer", r.claiming(members{"iss": "https://issuer.test/"}), nil, `+ form: signed JWT, N bytes
- issuer: issuer_unknown: iss "https://issuer.test/" is no provider's issuer; it differs from "https://issuer.test" by a slash at the end
? type
? algorithm
` + left},
		{"signature", resigned(r.sign(good), strings.Repeat("A", 86)), nil, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
+ type: typ "at+jwt"
+ algorithm: ES256
+ key: kid "ec-1" is in the key set
- signature: signature_invalid: under key "ec-1"
+ audience: "api"
+ expiry: exp 1702393201 is 60 min ahead of this clock
+ issued at: iat 1702389541 is 60 s behind this clock
+ subject: sub "alice"
`},
		{"none", r.sign(unsigned), nil, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
+ type: typ "at+jwt"
- algorithm: algorithm_not_allowed: alg "none" isn't among ` + strings.Join(signatureAlgorithmNames, ", ") + `
- key: algorithm_not_allowed: key "rsa-1" isn't one for "none"
? signature
+ audience: "api"
+ expiry: exp 1702393201 is 60 min ahead of this clock
+ issued at: iat 1702389541 is 60 s behind this clock
+ subject: sub "alice"
`},
		{"nothing that is needed", r.sign(nothing), nil, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
- type: token_type_not_allowed: typ "logout+jwt"
- algorithm: algorithm_not_allowed: alg "HS256" isn't among ` + strings.Join(signatureAlgorithmNames, ", ") + `
- key: algorithm_not_allowed: key "ec-1" isn't one for "HS256"
? signature
- audience: audience_mismatch: aud is missing
- expiry: required_claim_missing: exp
+ issued at: no iat
- subject: subject_missing
`},
		{"everything that is wrong", r.sign(everything), nil, `+ form: signed JWT, N bytes
+ issuer: "https://issuer.test", provider corp
- type: token_type_not_allowed: typ "JWS"
+ algorithm: ES256
+ key: kid "ec-1" is in the key set
- signature: signature_invalid: under key "ec-1"
- kind: not_an_access_token: it has the claim at_hash
- audience: audience_mismatch: aud ["x"] names none of api
- expiry: token_expired: exp 1702389541 is 60 s behind this clock
- not before: token_not_yet_valid: nbf 1702389900 is 4 min ahead of this clock
- issued at: token_claims_invalid: iat isn't a date
- subject: token_claims_invalid: sub isn't a string
- confirmation: constraint_unproven: it has the claim cnf
`},
	} {
		if row.how == nil {
			row.how = func(*ProviderOptions) {}
		}
		v := r.verifier(t, row.how)
		got, findings := v.Inspect(t.Context(), row.token, time.Unix(clock, 0))
		text := strings.Replace(told(findings), "JWT, "+strconv.Itoa(len(row.token))+" bytes", "JWT, N bytes", 1)
		if text != row.want {
			t.Errorf("%s:\n%s\nwant:\n%s", row.name, text, row.want)
		}
		// To look on after the first refusal changes nothing about the verdict.
		want := v.Verify(t.Context(), row.token, time.Unix(clock, 0), nobody)
		if verdict(got) != verdict(want) || got.Key != want.Key || got.KeysVersion != want.KeysVersion || got.From != want.From ||
			got.Until != want.Until || got.Claims != want.Claims || got.Provider != want.Provider {
			t.Errorf("%s: Inspect gives %s, %d to %d, Verify %s, %d to %d", row.name, verdict(got), got.From, got.Until, verdict(want), want.From, want.Until)
		}
		if len(findings) != len(checks) {
			t.Errorf("%s: %d findings of %d checks", row.name, len(findings), len(checks))
		}
	}
}

// The package comment tells the order of the checks.
func TestPackageCommentNamesTheChecks(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	text := strings.ReplaceAll(string(doc), "\n// ", " ")
	if want := "In this order: " + strings.Join(names, ", ") + "."; !strings.Contains(text, want) {
		t.Errorf("doc.go doesn't say %q", want)
	}
}

func TestDecodeBelievesNothing(t *testing.T) {
	for _, row := range []struct {
		name           string
		token          RawToken
		header, claims string
	}{
		{"a token", RawToken(compact(`{"alg":"none"}`, `{"sub":"alice"}`)), `{"alg":"none"}`, `{"sub":"alice"}`},
		{"no signature", RawToken(segment(`{}`) + "." + segment(`{"a":1}`)), `{}`, `{"a":1}`},
		{"header that is none", RawToken(compact(`[]`, `{"a":1}`)), "null", `{"a":1}`},
		{"claims that are none", RawToken(compact(`{"alg":"x"}`, `{"a":1,"a":1}`)), `{"alg":"x"}`, "null"},
		{"JWE", RawToken(segment(`{"enc":"A128GCM"}`) + ".AAAA.AAAA.AAAA.AAAA"), `{"enc":"A128GCM"}`, "null"},
		{"other characters", "{}.{}.{}", "null", "null"},
		{"other characters behind", RawToken(segment(`{"a":"bcde"}`) + "!." + segment(`{"a":"bcde"}`) + "="), "null", "null"},
		{"opaque", "c1f6a8e2", "null", "null"},
		{"empty", "", "null", "null"},
		{"dots", "....", "null", "null"},
	} {
		header, claims := Decode(row.token)
		if h, c := string(header.AppendJSON(nil)), string(claims.AppendJSON(nil)); h != row.header || c != row.claims {
			t.Errorf("%s: %s and %s, want %s and %s", row.name, h, c, row.header, row.claims)
		}
	}
}

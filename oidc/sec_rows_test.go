package oidc

import (
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_5_13_JSONSerialisations offers good tokens in the forms that aren't the
// compact one: a flat or a general JWS, one of whose signatures is good, and JSON
// that is a compact token to those who split at dots (CVE-2016-9122, CVE-2022-39227).
func TestSEC_5_13_JSONSerialisations(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	good := string(r.sign(oidctest.Token{}))
	s := strings.Split(good, ".")
	signature := `{"protected":"` + s[0] + `","signature":"` + s[2] + `"}`
	for name, raw := range map[string]string{
		"flat":                      `{"payload":"` + s[1] + `","protected":"` + s[0] + `","signature":"` + s[2] + `"}`,
		"general":                   `{"payload":"` + s[1] + `","signatures":[` + signature + `]}`,
		"one good of two":           `{"payload":"` + s[1] + `","signatures":[{"protected":"` + s[0] + `","signature":"AA"},` + signature + `]}`,
		"a name that is a token":    `{"` + s[0] + `.` + s[1] + `.` + s[2] + `":"x","payload":"` + segment(r.good()) + `"}`,
		"a member around a token":   `{"` + s[0] + `.":"x","a":".` + s[1] + `.` + s[2] + `"}`,
		"JSON before a token":       `{}` + good,
		"JSON behind a token":       good + `{}`,
		"two tokens":                good + "," + good,
		"a token in quotes":         `"` + good + `"`,
		"two tokens, as one":        good + "." + good,
		"two signatures":            good + "." + s[2],
		"no signature in a segment": s[0] + "." + s[1],
	} {
		if raw == good {
			t.Fatal(name)
		}
		r.refused(t, name, RawToken(raw), audit.TokenMalformed)
	}
	r.want(t, "six segments", RawToken(good+"."+good), "token_malformed: 6 segments instead of 3")
	r.want(t, "an encoded JWS in JSON", RawToken(segment(`{"payload":"`+s[1]+`"}`)), "token_opaque")
}

// TestSEC_21_22_23_MissingClaims leaves out, one by one, what every token needs, and
// empties it: aud and exp above all (GHSA-wcvh-g65p-v576, CVE-2026-55669).
func TestSEC_21_22_23_MissingClaims(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for _, name := range []string{"iss", "aud", "exp", "sub"} {
		for form, value := range map[string]any{
			"missing": nil, "null": verbatim("null"), "false": false, "true": true, "zero": 0, "empty": "", "blank": " ", "empty array": []string{},
			"empty object": members{}, "array of null": verbatim("[null]"), "array of arrays": verbatim(`[["api"]]`), "array of objects": verbatim(`[{"api":"api"}]`),
		} {
			if name == "sub" && form == "blank" {
				continue // a subject may be any text
			}
			got := r.verify(t, r.claiming(members{name: value}))
			if got.Good() || got.Refusal.Reason.Class() != audit.ClassUnauthenticated {
				t.Errorf("%s %s: %s", name, form, verdict(got))
			}
		}
	}
	for _, other := range []string{"ap", "apis", "API", "api ", " api", "api\x00", "api/", "аpi", "api,x", "x api"} {
		r.refused(t, other, r.claiming(members{"aud": other}), audit.AudienceMismatch)
		r.refused(t, other+" in a list", r.claiming(members{"aud": []string{other, other}}), audit.AudienceMismatch)
	}
}

// TestSEC_14_CriticalHeaders is crit in every form (CVE-2026-32597, CVE-2025-59420),
// in signed tokens: a header that is understood by no rule isn't looked past.
func TestSEC_14_CriticalHeaders(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for name, crit := range map[string]any{
		"unknown": []string{"x"}, "registered": []string{"alg"}, "exp": []string{"exp"}, "b64": []string{"b64"}, "empty": []string{}, "null": verbatim("null"),
		"text": "exp", "number": 1, "object": members{"exp": true}, "false": false, "twice": []string{"exp", "exp"}, "nested": []any{[]string{"exp"}},
	} {
		r.want(t, name, r.headed(members{"crit": crit, "exp": clock + 60}), "critical_header: the header has crit")
	}
	for name, b64 := range map[string]any{"false": false, "true": true, "null": verbatim("null"), "text": "false"} {
		r.want(t, "b64 "+name, r.headed(members{"b64": b64}), "critical_header: the header has b64")
	}
}

package oidc

import (
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_C3_UserInfo at a login.
func TestSEC_C3_UserInfo(t *testing.T) {
	type m = map[string]any
	json := func(body string) func(*reception) reply { return func(*reception) reply { return reply{body: body} } }
	status := func(s int) func(*reception) reply {
		return func(*reception) reply { return reply{status: s, body: canary} }
	}
	jwt := func(t oidctest.Token) func(*reception) reply {
		return func(r *reception) reply { return reply{body: r.idp.Sign(t), kind: "Application/JWT; charset=utf-8"} }
	}
	signed := func(claims m) func(*reception) reply {
		return jwt(oidctest.Token{Claims: claims, Header: m{"typ": nil}})
	}
	const bad, down = "user_info_invalid: ", "provider_unavailable: "
	for _, row := range []struct {
		name string
		info func(*reception) reply
		want string
	}{
		{"as usual", json(`{"sub":"alice","team":"t1"}`), "good"},
		{"signed", signed(m{"aud": "web", "team": "t1"}), "good"},
		{"signed, and no more than it says", signed(m{"aud": nil, "iss": nil, "exp": nil, "iat": nil, "team": "t1"}), "good"},
		{"claims that are elsewhere", json(`{"sub":"alice","team":"t1","_claim_names":{"a":"b"},"_claim_sources":{"b":{"endpoint":"https://evil.test/"}}}`), "good"},

		{"another subject", json(`{"sub":"bob"}`), bad + `userinfo is about sub "bob", the ID token about "alice"`},
		{"nearly the same subject", json(`{"sub":"Alice"}`), bad + "userinfo is about"},
		{"no subject", json(`{"email":"alice"}`), bad + "userinfo has no sub"},
		{"a subject that isn't text", json(`{"sub":["alice"]}`), bad + "userinfo has no sub"},
		{"two subjects", json(`{"sub":"bob","sub":"alice"}`), bad + "userinfo isn't a JSON object"},
		{"HTML", json(`<html>`), bad + "userinfo isn't a JSON object"},
		{"signed, but not said to be", func(r *reception) reply { return reply{body: r.idp.Sign(oidctest.Token{})} }, bad + "userinfo isn't a JSON object"},
		{"a bad access token", status(401), bad + "userinfo doesn't take the access token: status 401"},
		{"too little scope", status(403), bad + "userinfo doesn't take the access token: status 403"},
		{"not found", status(404), down + "userinfo: status 404"},
		{"broken", status(500), down + "userinfo: status 500"},
		{"a redirect", status(302), down + "userinfo: status 302: redirects aren't followed"},
		{"too long", json(strings.Repeat(" ", maxEndpointAnswer+1)), down + "userinfo: the answer is over"},

		{"signed by another", signed(m{"aud": "web", "iss": "https://evil.test"}), bad + "signed userinfo: issuer_unknown"},
		{"signed for another", signed(m{"aud": "other"}), bad + "signed userinfo: audience_mismatch"},
		{"signed and expired", signed(m{"aud": "web", "exp": 1000}), bad + "signed userinfo: token_expired"},
		{"signed in the future", signed(m{"aud": "web", "iat": time.Now().Add(time.Hour).Unix()}), bad + "signed userinfo: token_issued_in_future"},
		{"signed about another", signed(m{"aud": "web", "sub": "bob"}), bad + "userinfo is about"},
		{"signed by nobody", jwt(oidctest.Token{Alg: "none"}), bad + "signed userinfo: algorithm_not_allowed"},
		{"signed by a secret", jwt(oidctest.Token{Alg: "HS256"}), bad + "signed userinfo: algorithm_not_allowed"},
		{"signed by an unknown key", jwt(oidctest.Token{KeyID: "rsa-9"}), bad + "signed userinfo: key_unknown"},
		{"signed and altered", func(r *reception) reply {
			return reply{body: string(resigned(RawToken(r.idp.Sign(oidctest.Token{})), "AAAA")), kind: "application/jwt"}
		}, bad + "signed userinfo: signature_invalid"},
		{"encrypted", func(*reception) reply { return reply{body: "eyJ.a.b.c.d", kind: "application/jwt"} }, bad + "signed userinfo: token_encrypted"},
		{"signed, and nothing", func(*reception) reply { return reply{kind: "application/jwt"} }, bad + "signed userinfo: token_opaque"},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.UserInfo = true })
		r.answer("/userinfo", row.info(r))
		g, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if team, _ := g.Claims.Lookup("team").Text(); refusal == nil && team != "t1" {
			t.Errorf("%s: claims %s", row.name, g.Claims.AppendJSON(nil))
		}
		q := r.asked[len(r.asked)-1]
		if q.path != "/userinfo" || q.header.Get("Authorization") != "Bearer access-"+canary || len(q.form) > 0 {
			t.Errorf("%s: asked %s, %v", row.name, q.path, q.header)
		}
		if strings.Contains(row.name, "elsewhere") && len(r.asked) != 2 {
			t.Errorf("%s: %d requests", row.name, len(r.asked))
		}
	}
}

// TestSignedUserInfoWithoutKeys can't be judged now.
func TestSignedUserInfoWithoutKeys(t *testing.T) {
	bubble(t, "keys", func(t *testing.T) {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.UserInfo = true })
		r.idp.AddHiddenKey("RS256", "rsa-2")
		r.answer("/userinfo", reply{body: r.idp.Sign(oidctest.Token{KeyID: "rsa-2"}), kind: "application/jwt"})
		r.idp.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, "provider_unavailable: signed userinfo: keys_unavailable") || refusal.RetryAfter == 0 {
			t.Errorf("got %s", got)
		}
	})
}

// TestSEC_C7_MergedClaims: userinfo adds and renews, but never says who is meant.
func TestSEC_C7_MergedClaims(t *testing.T) {
	for _, row := range []struct{ name, own, info, want string }{
		{"both", `{"sub":"a","x":1}`, `{"sub":"a","y":2}`, `{"sub":"a","x":1,"y":2}`},
		{"newer", `{"sub":"a","x":1,"z":3}`, `{"x":{"deep":[2]}}`, `{"sub":"a","z":3,"x":{"deep":[2]}}`},
		{"registered ones", `{"iss":"i","sub":"a","aud":"w","exp":1}`, `{"iss":"e","sub":"e","aud":"e","exp":9,"nbf":9,"iat":9,"jti":"e"}`, `{"iss":"i","sub":"a","aud":"w","exp":1}`},
		{"registered ones that aren't there", `{"sub":"a"}`, `{"nonce":"e","azp":"e","sid":"e","acr":"e","amr":["e"],"auth_time":9,"scope":"e","scp":"e","client_id":"e","cnf":{},"act":{}}`, `{"sub":"a"}`},
		{"an address that was verified", `{"email":"a","email_verified":true}`, `{"email":"b"}`, `{"email":"b"}`},
		{"an address that is verified", `{"email":"a","email_verified":false}`, `{"email":"b","email_verified":true}`, `{"email":"b","email_verified":true}`},
		{"that an address is verified, without it", `{"email":"a","email_verified":false}`, `{"email_verified":true}`, `{"email":"a"}`},
		{"that an address isn't verified, without it", `{"email":"a","email_verified":true}`, `{"email_verified":false}`, `{"email":"a"}`},
		{"that an address is verified, as before", `{"email":"a","email_verified":true}`, `{"email_verified":true}`, `{"email":"a","email_verified":true}`},
		{"that an address is verified which nobody names", `{}`, `{"email_verified":true}`, `{"email_verified":true}`},
		{"an address that stays", `{"email":"a","email_verified":true}`, `{"name":"b"}`, `{"email":"a","email_verified":true,"name":"b"}`},
		{"nothing", `{"sub":"a"}`, `{}`, `{"sub":"a"}`},
		{"to nothing", `{}`, `{"x":null}`, `{"x":null}`},
	} {
		got := mustRead(t, row.own).withUserInfo(mustRead(t, row.info))
		if text := string(got.AppendJSON(nil)); text != row.want {
			t.Errorf("%s: %s, want %s", row.name, text, row.want)
		}
		if got.Flat() != mustRead(t, row.want).Flat() || UnflattenClaims(got.Flat()) != got {
			t.Errorf("%s: the flat form isn't that of the text", row.name)
		}
	}
}

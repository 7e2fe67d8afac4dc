package oidc

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestRefresh renews what the answer has, and keeps the rest.
func TestRefresh(t *testing.T) {
	type m = map[string]any
	for _, row := range []struct {
		name            string
		claims, members m
		refresh         RawToken
		groups, sid     string
		sameIDToken     bool
	}{
		{"all of it", m{"groups": "new", "sid": nil, "nonce": nil}, m{"refresh_token": "refresh-2"}, "refresh-2", `"new"`, "s1", false},
		{"with the nonce of the login", m{"groups": "new", "nonce": nonce}, nil, "refresh-" + canary, `"new"`, "s1", false},
		{"another session at the provider", m{"groups": "new", "sid": "s2"}, nil, "refresh-" + canary, `"new"`, "s2", false},
		{"no new refresh token", m{"groups": "new"}, m{"refresh_token": nil}, "refresh-" + canary, `"new"`, "s1", false},
		{"no ID token", nil, m{"id_token": nil}, "refresh-" + canary, `["staff"]`, "s1", true},
		{"claims that are gone", m{"groups": nil}, nil, "refresh-" + canary, "null", "s1", false},
		{"issued an hour ago", m{"groups": "new", "iat": time.Now().Add(-time.Hour).Unix()}, nil, "refresh-" + canary, `"new"`, "s1", false},
	} {
		r := newReception(t, nil)
		was, refusal := r.login(t)
		if refusal != nil {
			t.Fatal(refusal)
		}
		members := m{"access_token": "access-2", "expires_in": nil}
		maps.Copy(members, row.members)
		r.replies["/token"] = r.tokens(row.claims, members)
		g, refusal := r.Refresh(t.Context(), was)
		if refusal != nil {
			t.Errorf("%s: %v", row.name, refusal)
			continue
		}
		if g.Issuer != was.Issuer || g.Subject != "alice" || g.SID != row.sid || g.AccessToken != "access-2" || g.RefreshToken != row.refresh || !g.Expires.IsZero() {
			t.Errorf("%s: got %v, ends %v", row.name, g.Identity, g.Expires)
		}
		if got := string(g.Claims.Lookup("groups").AppendJSON(nil)); got != row.groups || (g.IDToken == was.IDToken) != row.sameIDToken {
			t.Errorf("%s: groups %s, same ID token %t", row.name, got, g.IDToken == was.IDToken)
		}
		if text, _ := g.Claims.Lookup("nonce").Text(); text != nonce {
			t.Errorf("%s: the login's nonce is lost", row.name)
		}
		q := r.asked[1]
		if q.form.Get("grant_type") != "refresh_token" || q.form.Get("refresh_token") != "refresh-"+canary || q.header.Get("Authorization") == "" {
			t.Errorf("%s: asked %v", row.name, q.form)
		}
	}
}

// TestSEC_C2_RefreshesThatFail: what ends a session, and what only puts it off.
func TestSEC_C2_RefreshesThatFail(t *testing.T) {
	type m = map[string]any
	answering := func(a reply) func(*reception) { return func(r *reception) { r.answer("/token", a) } }
	claiming := func(claims, members m) func(*reception) {
		return func(r *reception) { r.replies["/token"] = r.tokens(claims, members) }
	}
	const ended, later = "session_ended: ", "refresh_unavailable: "
	for _, row := range []struct {
		name  string
		setUp func(*reception)
		want  string
	}{
		{"a dead refresh token", answering(reply{status: 400, body: `{"error":"invalid_grant"}`}), ended + "token endpoint: status 400, invalid_grant"},
		{"a dead refresh token, in Auth0's words", answering(reply{status: 403, body: `{"error":"invalid_grant","error_description":"` + canary + `"}`}), ended},
		{"another subject", claiming(m{"sub": "bob"}, nil), ended + `the renewed ID token is about sub "bob", the session about "alice"`},
		{"another issuer", claiming(m{"iss": "https://evil.test"}, nil), ended + "the renewed ID token: issuer_unknown"},
		{"another audience", claiming(m{"aud": "other"}, nil), ended + "the renewed ID token: audience_mismatch"},
		{"another party", claiming(m{"azp": "other"}, nil), ended + "the renewed ID token: audience_mismatch"},
		{"no subject", claiming(m{"sub": nil}, nil), ended + "the renewed ID token: subject_missing"},
		{"another nonce", claiming(m{"nonce": "nonce-2"}, nil), ended + "the renewed ID token is of another login"},

		{"a wrong secret", answering(reply{status: 401, body: `{"error":"invalid_client"}`}), later + "token endpoint: status 401, invalid_client: it doesn't take our client credentials"},
		{"another error", answering(reply{status: 400, body: `{"error":"invalid_scope"}`}), later + "token endpoint: status 400, invalid_scope"},
		{"broken, with the fatal word", answering(reply{status: 500, body: `{"error":"invalid_grant"}`}), later + "token endpoint: status 500"},
		{"too many, with the fatal word", answering(reply{status: 429, body: `{"error":"invalid_grant"}`}), later + "token endpoint: status 429"},
		{"the fatal word in HTML", answering(reply{status: 400, body: `<html>invalid_grant`}), later + "token endpoint: status 400"},
		{"the fatal word with status 200", answering(reply{body: `{"error":"invalid_grant"}`}), later + "token endpoint: the answer has no access_token"},
		{"an answer that reads two ways", answering(reply{body: `{"access_token":"a","access_token":"b"}`}), later + "token endpoint: the answer isn't a JSON object"},
		{"a DPoP token", claiming(nil, m{"token_type": "DPoP"}), later + "token endpoint: token_type"},
		{"an expired ID token", claiming(m{"exp": 1000}, nil), later + "the renewed ID token: token_expired"},
		{"another at_hash", claiming(m{"at_hash": "x"}, nil), later + "the renewed ID token: token_claims_invalid: at_hash"},
		{"a nonce that isn't text", claiming(m{"nonce": 1}, nil), later + "the renewed ID token: token_claims_invalid"},
		{"a forged ID token", func(r *reception) {
			r.answer("/token", r.tokensWith(string(resigned(RawToken(r.idToken(nil, nil)), "AAAA")), nil))
		}, later + "the renewed ID token: signature_invalid"},
	} {
		r := newReception(t, nil)
		was, refusal := r.login(t)
		if refusal != nil {
			t.Fatal(refusal)
		}
		row.setUp(r)
		g, refusal := r.Refresh(t.Context(), was)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) || g.AccessToken != "" {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if strings.HasPrefix(row.want, later) && refusal.RetryAfter == 0 {
			t.Errorf("%s: doesn't say when to come again", row.name)
		}
	}
	r := newReception(t, nil)
	if _, refusal := r.Refresh(t.Context(), Grant{RefreshToken: canary, Identity: Identity{Issuer: "https://old.test"}}); !strings.HasPrefix(outcome(t, refusal), ended+`the session is of issuer "https://old.test"`) || len(r.asked) > 0 {
		t.Errorf("a session of another issuer: %v", refusal)
	}
	if _, refusal := r.Refresh(t.Context(), Grant{Identity: Identity{Issuer: "https://issuer.test"}}); outcome(t, refusal) != ended+"there is no refresh token" {
		t.Errorf("nothing to refresh with: %v", refusal)
	}
}

// TestRefreshOutlivesKeys: a rotated refresh token isn't thrown away because a key
// is too new; the ID token that can't be checked isn't believed.
func TestRefreshOutlivesKeys(t *testing.T) {
	bubble(t, "keys", func(t *testing.T) {
		r := newReception(t, nil)
		was, refusal := r.login(t)
		if refusal != nil {
			t.Fatal(refusal)
		}
		r.idp.AddHiddenKey("RS256", "rsa-2")
		r.idp.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		r.answer("/token", r.tokensWith(r.idp.Sign(oidctest.Token{KeyID: "rsa-2", Claims: map[string]any{"aud": "web", "sub": "mallory"}, Header: map[string]any{"typ": "JWT"}}), map[string]any{"refresh_token": "refresh-2"}))
		g, refusal := r.Refresh(t.Context(), was)
		if refusal != nil || g.RefreshToken != "refresh-2" || g.Identity != was.Identity || g.Claims != was.Claims || g.IDToken != was.IDToken {
			t.Errorf("got %v, %v", g.Identity, refusal)
		}
		if r.log.count("the session keeps the identity it has") != 1 || r.log.count(canary) != 0 {
			t.Errorf("log: %s", r.log.text.String())
		}
	})
}

// TestRefreshAsksUserInfo, and gets along without.
func TestRefreshAsksUserInfo(t *testing.T) {
	type m = map[string]any
	for _, row := range []struct {
		name     string
		idToken  m // nil: none
		userinfo reply
		want     string // email, whether it is verified, team, roles
	}{
		{"of all there is", m{"email": "id2"}, reply{body: `{"sub":"alice","team":"t2"}`}, `"id2" null "t2" null`},
		{"without an ID token", nil, reply{body: `{"sub":"alice","team":"t2"}`}, `"alice@example.com" null "t2" null`},
		{"without userinfo", m{"email": "id2"}, reply{status: 503}, `"id2" null "t1" "r1"`},
		{"without both", nil, reply{status: 503}, `"alice@example.com" true "t1" "r1"`},
		{"with a userinfo that wants another token", m{"email": "id2"}, reply{status: 401}, `"id2" null "t1" "r1"`},
		{"with HTML", m{"email": "id2"}, reply{body: "<html>"}, `"id2" null "t1" "r1"`},
		{"about somebody else", m{"email": "id2"}, reply{body: `{"sub":"bob"}`}, `session_ended: userinfo is about sub "bob", the ID token about "alice"`},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.UserInfo = true })
		r.answer("/userinfo", reply{body: `{"sub":"alice","email":"alice@example.com","email_verified":true,"team":"t1","roles":"r1"}`})
		was, refusal := r.login(t)
		if refusal != nil {
			t.Fatal(refusal)
		}
		r.replies["/token"] = func(url.Values) reply {
			if row.idToken == nil {
				return r.tokensWith("", nil)
			}
			return r.tokensWith(r.idToken(row.idToken, nil), nil)
		}
		r.answer("/userinfo", row.userinfo)
		g, refusal := r.Refresh(t.Context(), was)
		got := outcome(t, refusal)
		if refusal == nil {
			show := func(name string) string { return string(g.Claims.Lookup(name).AppendJSON(nil)) }
			got = show("email") + " " + show("email_verified") + " " + show("team") + " " + show("roles")
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	g := Grant{IDToken: "gone", Claims: mustRead(t, `{"a":1}`)}
	if g.idTokenClaims() != g.Claims {
		t.Error("without an ID token the claims that there are aren't used")
	}
}

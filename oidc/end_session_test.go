package oidc

import (
	"net/url"
	"strings"
	"testing"
)

// TestSEC_L1_EndSessionURL: RP-initiated logout.
func TestSEC_L1_EndSessionURL(t *testing.T) {
	for _, row := range []struct {
		name, endpoint  string
		hint            RawToken
		returnTo, state string
		want            string // the query; empty: no such endpoint
	}{
		{"with everything", "https://issuer.test/end-session", "e.y.j", "https://app.test/out?a=b", "st&x", "client_id=web&id_token_hint=e.y.j&post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Fout%3Fa%3Db&state=st%26x"},
		{"without a hint", "https://issuer.test/end-session", "", "https://app.test/out", "", "client_id=web&post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Fout"},
		{"to nowhere", "https://issuer.test/end-session", "e.y.j", "", "st", "client_id=web&id_token_hint=e.y.j"},
		{"a hint that is too long", "https://issuer.test/end-session", RawToken(strings.Repeat("x", longestHint+1)), "", "", "client_id=web"},
		{"the endpoint's own query", "https://issuer.test/end-session?p=B2C&client_id=evil", "", "", "", "client_id=web&p=B2C"},
		{"no endpoint", "", "e.y.j", "", "", ""},
		{"an endpoint that isn't safe", "http://issuer.test/end-session", "e.y.j", "", "", ""},
	} {
		r := newReception(t, func(r *reception, _ *RelyingPartyOptions) {
			r.idp.DiscoveryMember("end_session_endpoint", row.endpoint)
		})
		address, ok := r.EndSessionURL(row.hint, row.returnTo, row.state)
		if ok != (row.want != "") || ok && mustMake(url.Parse(address)).RawQuery != row.want {
			t.Errorf("%s: %s, %t, want %s", row.name, address, ok, row.want)
		}
	}
}

// TestSEC_T8_Revoke: both tokens, whatever becomes of the first.
func TestSEC_T8_Revoke(t *testing.T) {
	alice := Identity{Issuer: "https://issuer.test", Subject: "alice"}
	whole := Grant{Identity: alice, RefreshToken: "refresh-" + canary, AccessToken: "access-" + canary}
	before := whole
	before.Issuer = "https://before.test"
	for _, row := range []struct {
		name  string
		grant Grant
		reply reply
		asked string
		says  string
	}{
		{"both", whole, reply{}, "refresh_token access_token", ""},
		{"no refresh token", Grant{Identity: alice, AccessToken: "a"}, reply{}, "access_token", ""},
		{"nothing", Grant{Identity: alice}, reply{}, "", ""},
		{"tokens that can't be revoked", whole, reply{status: 400, body: `{"error":"unsupported_token_type"}`}, "refresh_token access_token", ""},
		{"a provider that is down", whole, reply{status: 503, body: canary}, "refresh_token access_token", "revoking the refresh_token: status 503\nrevoking the access_token: status 503"},
		{"tokens of the provider that the client had before", before, reply{}, "", `the tokens are of issuer "https://before.test"`},
		{"a wrong secret", Grant{Identity: alice, RefreshToken: "r"}, reply{status: 401, body: `{"error":"invalid_client"}`}, "refresh_token", "it doesn't take our client credentials"},
	} {
		r := newReception(t, nil)
		r.answer("/revoke", row.reply)
		err := r.Revoke(t.Context(), row.grant)
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.says)
		}
		var asked []string
		for _, q := range r.asked {
			asked = append(asked, q.form.Get("token_type_hint"))
			if q.header.Get("Authorization") == "" || q.form.Get("token") == "" {
				t.Errorf("%s: asked %v", row.name, q.form)
			}
		}
		if got := strings.Join(asked, " "); got != row.asked {
			t.Errorf("%s: asked %q, want %q", row.name, got, row.asked)
		}
	}
}

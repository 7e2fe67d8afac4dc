package oidctest_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestUserInfo(t *testing.T) {
	r := newParty(t, nil)
	token := r.tokens("")["access_token"].(string)
	for _, row := range []struct {
		name, method, authorization string
		status                      int
		challenge                   string
	}{
		{"GET", http.MethodGet, "Bearer " + token, 200, ""},
		{"POST, and a scheme in small letters", http.MethodPost, "bearer " + token, 200, ""},
		{"another method", http.MethodPut, "Bearer " + token, 405, ""},
		{"no token", http.MethodGet, "", 401, `Bearer realm="userinfo"`},
		{"another scheme", http.MethodGet, "Basic " + token, 401, `Bearer realm="userinfo"`},
		{"an unknown token", http.MethodGet, "Bearer made-up", 401, `Bearer realm="userinfo", error="invalid_token"`},
		{"a token of no login's", http.MethodGet, "Bearer " + r.p.Sign(oidctest.Token{}), 401, `Bearer realm="userinfo", error="invalid_token"`},
	} {
		request, _ := http.NewRequestWithContext(t.Context(), row.method, r.p.Issuer()+"/userinfo", nil)
		request.Header.Set("Authorization", row.authorization)
		answer, err := do(r.browser, request)
		if err != nil || answer.status != row.status || answer.header.Get("WWW-Authenticate") != row.challenge {
			t.Errorf("%s: got %d, %q, %v", row.name, answer.status, answer.header.Get("WWW-Authenticate"), err)
		}
		if (row.status == 200) != strings.Contains(string(answer.body), `"sub":"alice"`) {
			t.Errorf("%s: got %s", row.name, answer.body)
		}
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.p.Issuer()+"/userinfo", io.NopCloser(broken{}))
	if answer, err := do(r.browser, request); err != nil || answer.status != 400 {
		t.Errorf("a body that ends early: got %d, %v", answer.status, err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("gone") }

func TestSignedUserInfo(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) { c.UserInfoAlg = "ES256" })
	answer, _ := r.userInfo(r.tokens("")["access_token"])
	if answer.header.Get("Content-Type") != "application/jwt" {
		t.Fatalf("got %v", answer.header)
	}
	c := claims(t, string(answer.body))
	if c["sub"] != "alice" || c["iss"] != r.p.Issuer() || c["aud"] != "web" || header(t, string(answer.body))["kid"] != "ec-1" {
		t.Errorf("got %v", c)
	}
}

// What a login gave can be asked about like any other token.
func TestIntrospectionOfALogin(t *testing.T) {
	r := newParty(t, nil)
	token := r.tokens("")["access_token"].(string)
	introspect := func() map[string]any {
		_, m := ask(t, r.browser, r.p.Issuer()+"/introspect", "web", "hush", "token="+token)
		return m
	}
	if m := introspect(); m["active"] != true || m["sub"] != "alice" || m["client_id"] != "web" {
		t.Errorf("got %v", m)
	}
	r.p.EndSession("alice")
	if m := introspect(); m["active"] != false || len(m) != 1 {
		t.Errorf("after its end: got %v", m)
	}
}

func TestFaultsOnTheLoginsEndpoints(t *testing.T) {
	r := newParty(t, nil)
	r.login("alice", "")
	for _, row := range []struct {
		e    oidctest.Endpoint
		send func() reply
	}{
		{oidctest.Authorize, func() reply { return r.post("/authorize", url.Values{}) }},
		{oidctest.SignIn, func() reply { return r.post("/sign-in", url.Values{}) }},
		{oidctest.TokenEndpoint, func() reply { return r.post("/token", url.Values{}) }},
		{oidctest.UserInfo, func() reply { return r.post("/userinfo", url.Values{}) }},
		{oidctest.ClaimsSource, func() reply { answer, _ := get(t, r.browser, r.p.Issuer()+"/claims"); return answer }},
		{oidctest.Revocation, func() reply { return r.post("/revoke", url.Values{}) }},
		{oidctest.EndSession, func() reply { return r.post("/end_session", url.Values{}) }},
	} {
		r.p.Break(row.e, oidctest.Fault{Status: 503, Body: "down"})
		before := r.p.Requests(row.e)
		if got := row.send(); got.status != 503 || string(got.body) != "down" || r.p.Requests(row.e) != before+1 {
			t.Errorf("%s: broken: got %d, %s", row.e, got.status, got.body)
		}
		r.p.Mend(row.e)
		if got := row.send(); got.status == 503 {
			t.Errorf("%s: mended: got %d", row.e, got.status)
		}
	}
}

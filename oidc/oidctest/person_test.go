package oidctest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestPersonMeetsFaults(t *testing.T) {
	for _, row := range []struct {
		name  string
		e     oidctest.Endpoint
		fault oidctest.Fault
		want  string
	}{
		{"no answer", oidctest.Authorize, oidctest.Fault{Refuse: true}, "closed without an answer"},
		{"an error in place of the login page", oidctest.Authorize, oidctest.Fault{Status: 503, Body: "<p>Come back later.</p>"}, "/authorize answered 503 and leads nowhere: Come back later."},
		{"half a login page", oidctest.Authorize, oidctest.Fault{Truncate: 10}, "reading a page"},
		{"a form that leads nowhere", oidctest.Authorize, oidctest.Fault{Body: `<form action=":"><input name="name"/></form>`}, "a form's action"},
		{"no answer to the form", oidctest.SignIn, oidctest.Fault{Refuse: true}, "closed without an answer"},
		{"a redirect nowhere", oidctest.SignIn, oidctest.Fault{Redirect: ":"}, "Location"},
	} {
		r := newParty(t, nil)
		r.p.Break(row.e, row.fault)
		if got, err := r.p.Login(t.Context(), nil, r.p.Issuer()+"/authorize?"+r.request(""), "alice"); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, %v, want %q", row.name, got, err, row.want)
		}
	}
	r := newParty(t, nil)
	r.p.Break(oidctest.EndSession, oidctest.Fault{Refuse: true})
	for _, address := range []string{":", r.p.Issuer() + "/end_session"} {
		if got, err := r.p.Logout(t.Context(), nil, address); err == nil {
			t.Errorf("%q: logged out: %v", address, got)
		}
	}
	if got, err := r.p.Login(t.Context(), nil, ":", "alice"); err == nil {
		t.Errorf("logged in: %v", got)
	}
	r.p.Break(oidctest.EndSession, oidctest.Fault{Body: `<form action=":"><button name="confirm">`})
	if got, err := r.p.Logout(t.Context(), nil, r.p.Issuer()+"/end_session"); err == nil {
		t.Errorf("logged out: %v", got)
	}
}

func TestCallback(t *testing.T) {
	for _, row := range []struct {
		name   string
		c      oidctest.Callback
		code   string
		method string // "" for a request that can't be made
	}{
		{"by query", oidctest.Callback{URL: callbackURI + "?code=1"}, "1", http.MethodGet},
		{"by form", oidctest.Callback{URL: callbackURI + "?code=1", Form: map[string][]string{"code": {"2"}}}, "2", http.MethodPost},
		{"to nowhere", oidctest.Callback{URL: ":"}, "", ""},
		{"by form, to nowhere", oidctest.Callback{URL: ":", Form: map[string][]string{"code": {"2"}}}, "2", ""},
	} {
		if got := row.c.Values().Get("code"); got != row.code {
			t.Errorf("%s: got code %q, want %q", row.name, got, row.code)
		}
		request, err := row.c.Request(t.Context())
		if (err == nil) != (row.method != "") || err == nil && request.Method != row.method {
			t.Errorf("%s: got %v, %v", row.name, request, err)
		}
	}
}

package oidc

import (
	"net/http"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// everywhere are the provider's endpoints under names of their own: the browser's,
// and one for each of those that we ask.
var everywhere = Endpoints{
	Authorization: "https://login.test/authorize", EndSession: "https://login.test/end_session",
	Token: "https://token.internal/token", UserInfo: "https://userinfo.internal/userinfo", Revocation: "https://revoke.internal/revoke",
	SendsIssuer: true,
}

// heard notes what each host is asked, with a credential or without.
type heard struct {
	next http.RoundTripper
	said map[string]bool
}

func (h *heard) RoundTrip(req *http.Request) (*http.Response, error) {
	who := "nobody"
	if kind, _, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		who = kind
	}
	h.said[req.URL.Host+req.URL.Path+" "+who] = true
	return h.next.RoundTrip(req)
}

// TestT19_EndpointsInPlaceOfDiscovery: a provider whose document can't be had logs
// people in, at once, at the addresses that are configured, and at no others.
func TestT19_EndpointsInPlaceOfDiscovery(t *testing.T) {
	h := &heard{said: map[string]bool{}}
	r := newFlow(t, oidctest.LoginClient{Secret: "s:e+c r%t"}, func(o *RelyingPartyOptions) {
		h.next = o.Client.Transport
		o.Endpoints, o.Client = everywhere, mustMake(NewClient(ClientOptions{Transport: h}))
	})
	r.idp.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
	before := r.idp.Requests(oidctest.Discovery)
	party := mustMake(NewRelyingParty(r.options))
	if refusal := party.Ready(); refusal != nil {
		t.Errorf("at once: %v", refusal)
	}
	party.Run(t.Context()) // it ends
	r.RelyingParty = party
	clear(h.said)

	g := r.enter(t, "alice")
	renewed, refusal := r.Refresh(t.Context(), g)
	if refusal != nil {
		t.Fatal(refusal)
	}
	address, ok := r.EndSessionURL(renewed.IDToken, "https://app.test/.credence/signed-out", "out")
	if !ok || !strings.HasPrefix(address, "https://login.test/end_session?") {
		t.Errorf("the logout is at %s", address)
	}
	if back, err := r.idp.Logout(t.Context(), nil, address); err != nil || back.Values().Get("state") != "out" {
		t.Errorf("logged out to %v: %v", back, err)
	}
	if err := r.Revoke(t.Context(), renewed); err != nil {
		t.Error(err)
	}
	want := map[string]bool{
		"token.internal/token Basic": true, "userinfo.internal/userinfo Bearer": true, "revoke.internal/revoke Basic": true,
	}
	for said := range h.said {
		if !want[said] {
			t.Errorf("asked %s", said)
		}
		delete(want, said)
	}
	if len(want) > 0 || r.idp.Requests(oidctest.Discovery) != before {
		t.Errorf("didn't ask %v; discovery was asked %d times", want, r.idp.Requests(oidctest.Discovery)-before)
	}
}

// TestT19_ConfiguredEndpointsWin over those that are discovered, one by one.
func TestT19_ConfiguredEndpointsWin(t *testing.T) {
	discovered := counterpart{
		authorization: "https://issuer.test/authorize", token: "https://issuer.test/token", userinfo: "https://issuer.test/userinfo",
		endSession: "https://issuer.test/end_session", revocation: "https://issuer.test/revoke",
	}
	for _, row := range []struct {
		name      string
		endpoints Endpoints
		want      func(*counterpart)
	}{
		{"none", Endpoints{}, func(*counterpart) {}},
		{"authorization", Endpoints{Authorization: "https://login.test/?a=b"}, func(c *counterpart) { c.authorization = "https://login.test/?a=b" }},
		{"token", Endpoints{Token: "http://127.0.0.1/token"}, func(c *counterpart) { c.token = "http://127.0.0.1/token" }},
		{"authorization and token", Endpoints{Authorization: "https://login.test", Token: "https://t.internal"}, func(c *counterpart) { c.authorization, c.token = "https://login.test", "https://t.internal" }},
		{"userinfo", Endpoints{UserInfo: "http://[::1]:1/u"}, func(c *counterpart) { c.userinfo = "http://[::1]:1/u" }},
		{"end-session", Endpoints{EndSession: "http://localhost/out"}, func(c *counterpart) { c.endSession = "http://localhost/out" }},
		{"revocation", Endpoints{Revocation: "https://r.internal"}, func(c *counterpart) { c.revocation = "https://r.internal" }},
		{"iss", Endpoints{SendsIssuer: true}, func(c *counterpart) { c.sendsIssuer = true }},
	} {
		r := newReception(t, func(r *reception, o *RelyingPartyOptions) {
			r.idp.DiscoveryMember("authorization_response_iss_parameter_supported", false)
			o.Endpoints, o.UserInfo = row.endpoints, true
		})
		want := discovered
		row.want(&want)
		if got, _ := r.endpoints.get(); got != want {
			t.Errorf("%s: got %+v, want %+v", row.name, got, want)
		}
	}
}

// TestSEC_M_IssuerWithoutDiscovery: who may leave out iss is then configured, and who
// sends a wrong one is refused as ever.
func TestSEC_M_IssuerWithoutDiscovery(t *testing.T) {
	const missing, other = "login_issuer_mismatch: iss is missing", "login_issuer_mismatch: iss is"
	for _, row := range []struct {
		name  string
		sends bool
		iss   []string
		want  string
	}{
		{"sent", true, []string{"https://issuer.test"}, "good"},
		{"missing", true, nil, missing},
		{"another's", true, []string{"https://evil.test"}, other},
		{"not known, sent", false, []string{"https://issuer.test"}, "good"},
		{"not known, missing", false, nil, "good"},
		{"not known, another's", false, []string{"https://evil.test"}, other},
		{"not known, twice", false, []string{"https://issuer.test", "https://issuer.test"}, other},
	} {
		p := mustMake(NewRelyingParty(RelyingPartyOptions{
			Issuer: "https://issuer.test", Keys: NewKeySet(KeySetOptions{}), ClientID: "web", RedirectURI: "https://app.test/callback",
			Endpoints: Endpoints{Authorization: "https://login.test", Token: "https://token.test", SendsIssuer: row.sends},
		}))
		if got := outcome(t, p.CheckIssuer(row.iss)); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if _, ok := p.EndSessionURL("", "", ""); ok || p.Revoke(t.Context(), Grant{RefreshToken: "x"}) != nil {
			t.Errorf("%s: endpoints that nobody knows are used", row.name)
		}
	}
}

func TestEndpointsAreChecked(t *testing.T) {
	for _, row := range []struct {
		says      string
		endpoints Endpoints
	}{
		{`authorization endpoint: "http://login.test/a" is plain http`, Endpoints{Authorization: "http://login.test/a"}},
		{`authorization endpoint: "https://login.test/#a" has a fragment`, Endpoints{Authorization: "https://login.test/#a"}},
		{`authorization endpoint: the query of "https://login.test/?a=%zz" can't be read`, Endpoints{Authorization: "https://login.test/?a=%zz"}},
		{"token endpoint: a URL with a user or password", Endpoints{Token: "https://u:p@token.test"}},
		{`userinfo endpoint: "/userinfo" isn't an absolute URL`, Endpoints{UserInfo: "/userinfo"}},
		{`end-session endpoint: "javascript:alert(1)" isn't an absolute URL`, Endpoints{EndSession: "javascript:alert(1)"}},
		{`revocation endpoint: "ftp://r.test" isn't an https URL`, Endpoints{Revocation: "ftp://r.test"}},
	} {
		_, err := NewRelyingParty(RelyingPartyOptions{
			Issuer: "https://issuer.test", Keys: NewKeySet(KeySetOptions{}), ClientID: "web", RedirectURI: "https://app.test/callback", Endpoints: row.endpoints,
		})
		wantError(t, err, row.says)
	}
}

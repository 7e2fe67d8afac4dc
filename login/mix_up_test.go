package login

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// evilProvider is one whose authorization endpoint sends the browser on to another
// provider, in the hope of that one's code.
type evilProvider struct{ codes int }

func (e *evilProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{}`
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = `{"issuer":"https://evil.test","authorization_endpoint":"https://evil.test/authorize","token_endpoint":"https://evil.test/token","jwks_uri":"https://evil.test/jwks","response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}`
	case "/jwks":
		body = `{"keys":[]}`
	case "/token":
		e.codes++
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestSEC_O4_MixUp: a provider can't have another's code brought to it, also where that
// one sends no iss, if one of their clients has a callback of its own (RFC 9700, 4.4).
func TestSEC_O4_MixUp(t *testing.T) {
	for _, c := range []struct {
		name, honest, evil string // paths of the redirect URIs
	}{
		{"each has its own", "/callback/web", "/callback/partner"},
		{"the honest one has its own", "/callback/web", "/callback"},
		{"the evil one has its own", "/callback", "/callback/partner"},
	} {
		t.Run(c.name, func(t *testing.T) {
			evil := new(evilProvider)
			var party oidc.RelyingPartyOptions
			bubble(t, func(s *setup) {
				s.party.RedirectURI, s.idp.RedirectURIs = base+c.honest, []string{base + c.honest}
				client := must(oidc.NewClient(oidc.ClientOptions{Transport: evil}))
				party = oidc.RelyingPartyOptions{
					Name: "partner", Issuer: "https://evil.test", Client: client, ClientID: "partner", RedirectURI: base + c.evil,
					Keys: oidc.NewKeySet(oidc.KeySetOptions{Name: "evil", Issuer: "https://evil.test", Client: client}),
				}
				s.handler.Clients = append(s.handler.Clients, Client{Name: "partner", Provider: "Partner", Party: must(oidc.NewRelyingParty(party))})
			}, func(r *rig) {
				r.handler.client("partner").Party = r.party(party)
				b := r.browser()
				asked := b.open(base + "/login?client=partner&return_to=" + url.QueryEscape(app+"/")).leadsBelow("https://evil.test/authorize?")
				q := must(url.Parse(asked.location)).Query()
				if q.Get("redirect_uri") != base+c.evil {
					t.Errorf("redirect_uri: got %q", q.Get("redirect_uri"))
				}
				q.Set("client_id", "web")
				q.Set("redirect_uri", base+c.honest)
				back := b.at(&response{t: t, location: authorization + q.Encode()}, "alice")
				b.fails(b.open(changed(back, "iss", "")), audit.LoginIssuerMismatch)
				if evil.codes != 0 || r.idp.Requests(oidctest.TokenEndpoint) != 0 {
					t.Error("the code went somewhere")
				}
				b.login(app + "/") // what nobody meddles with works
			})
		})
	}
}

// TestIssuerOfTheAnswer: an answer counts only with the iss of the provider that was
// asked, as that one says that it sends it, an error no less than a code (RFC 9207, 2.4).
func TestIssuerOfTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name, iss, error string // empty: it isn't there
		want             audit.Reason
	}{
		{"SEC-M1: another's", "https://evil.test", "", audit.LoginIssuerMismatch},
		{"SEC-M1: nearly the same", "https://issuer.test/", "", audit.LoginIssuerMismatch},
		{"SEC-M2: none", "", "", audit.LoginIssuerMismatch},
		{"SEC-M3: another's, with an error", "https://evil.test", "access_denied", audit.LoginIssuerMismatch},
		{"SEC-M3: another's, with an error that has a login begin anew", "https://evil.test", "temporarily_unavailable", audit.LoginIssuerMismatch},
		{"SEC-M3: none, with an error", "", "access_denied", audit.LoginIssuerMismatch},
		{"the provider's, with an error", "https://issuer.test", "access_denied", audit.LoginDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, nil, func(r *rig) {
				b := r.browser()
				back := b.at(b.start(app+"/"), "alice")
				address := changed(back, "iss", c.iss)
				if c.error != "" {
					address += "&error=" + c.error
				}
				b.fails(b.open(address), c.want)
				if r.idp.Requests(oidctest.TokenEndpoint) != 0 {
					t.Error("the code went somewhere")
				}
				if status, _ := b.session(); status != 401 {
					t.Error("there is a session")
				}
			})
		})
	}
}

// TestSEC_M4_IssuerBeforeTheCode: what another provider answers neither takes the code
// anywhere nor ends the login that is under way.
func TestSEC_M4_IssuerBeforeTheCode(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		for _, iss := range []string{"https://evil.test", ""} {
			b.fails(b.open(changed(back, "iss", iss)), audit.LoginIssuerMismatch)
		}
		if r.idp.Requests(oidctest.TokenEndpoint) != 0 {
			t.Error("the code went somewhere")
		}
		b.back(back).leadsTo(app + "/")
	})
}

// TestOwnCallback: only those that clients have are there.
func TestOwnCallback(t *testing.T) {
	bubble(t, func(s *setup) {
		s.party.RedirectURI, s.idp.RedirectURIs = base+"/callback/web", []string{base + "/callback/web"}
	}, func(r *rig) {
		b := r.browser()
		if got := b.open(base + "/callback/other"); got.status != 404 {
			t.Errorf("got %d", got.status)
		}
		if got := b.send("HEAD", base+"/callback/web", nil); got.status != 405 {
			t.Errorf("got %d", got.status)
		}
		b.login(app + "/a")
		b.logout().leadsBelow("https://issuer.test/end_session?")
	})
}

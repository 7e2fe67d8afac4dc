package oidc

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// roundTripper is a function that carries requests.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSEC_C4_Discovery(t *testing.T) {
	const issuer = "https://issuer.test/realms/corp"
	doc := func(members string) oidctest.Fault { return oidctest.Fault{Body: "{" + members + "}"} }
	for _, row := range []struct {
		name         string
		fault        oidctest.Fault
		issuer       Issuer
		discoveryURL string
		keys, says   string
	}{
		{"good", oidctest.Fault{}, issuer, "", issuer + "/jwks", ""},
		{"discovery at an internal address", oidctest.Fault{}, issuer, "https://internal.test/realms/corp" + wellKnown, "https://internal.test/realms/corp/jwks", ""},
		{"keys on another host", doc(`"issuer":"` + issuer + `","jwks_uri":"https://keys.test/v1"`), issuer, "", "https://keys.test/v1", ""},
		{"members that aren't used", doc(`"ISSUER":"https://evil.test","issuer":"` + issuer + `","jwks_uri":"https://keys.test","x":[{}]`), issuer, "", "https://keys.test", ""},
		{"slash at the end of ours", oidctest.Fault{}, issuer + "/", "", "", `is "https://issuer.test/realms/corp", the configured one "https://issuer.test/realms/corp/": they differ by a slash at the end`},
		{"another issuer", doc(`"issuer":"https://evil.test","jwks_uri":"https://evil.test/keys"`), issuer, "", "", `is "https://evil.test", the configured one "https://issuer.test/realms/corp"; they have to be equal`},
		{"another issuer behind a discovery URL", doc(`"issuer":"https://evil.test","jwks_uri":"https://evil.test/keys"`), issuer, "https://internal.test/realms/corp" + wellKnown, "", `is "https://evil.test"`},
		{"another case", doc(`"issuer":"https://Issuer.test/realms/corp","jwks_uri":"https://keys.test"`), issuer, "", "", "they have to be equal"},
		{"ours under a folded name", doc(`"Issuer":"` + issuer + `","jwks_uri":"https://keys.test"`), issuer, "", "", "has no issuer"},
		{"ours under a name with U+017F", doc(`"i\u017fsuer":"` + issuer + `","jwks_uri":"https://keys.test"`), issuer, "", "", "has no issuer"},
		{"issuer twice", doc(`"issuer":"https://evil.test","issuer":"` + issuer + `","jwks_uri":"https://keys.test"`), issuer, "", "", `repeated member "issuer"`},
		{"no issuer", doc(`"jwks_uri":"https://keys.test"`), issuer, "", "", "has no issuer"},
		{"no jwks_uri", doc(`"issuer":"` + issuer + `"`), issuer, "", "", "has no jwks_uri"},
		{"jwks_uri under a folded name", doc(`"issuer":"` + issuer + `","JWKS_URI":"https://keys.test"`), issuer, "", "", "has no jwks_uri"},
		{"keys over plain http", doc(`"issuer":"` + issuer + `","jwks_uri":"http://keys.test"`), issuer, "", "", "jwks_uri: \"http://keys.test\" is plain http"},
		{"keys on our loopback", doc(`"issuer":"` + issuer + `","jwks_uri":"http://127.0.0.1:9090/admin"`), issuer, "", "", "jwks_uri: \"http://127.0.0.1:9090/admin\" is plain http"},
		{"loopback to loopback", doc(`"issuer":"` + issuer + `","jwks_uri":"http://127.0.0.1/keys"`), issuer, "http://127.0.0.1/realms/corp" + wellKnown, "http://127.0.0.1/keys", ""},
		{"loopback to plain http elsewhere", doc(`"issuer":"` + issuer + `","jwks_uri":"http://keys.test"`), issuer, "http://127.0.0.1/realms/corp" + wellKnown, "", "is plain http"},
		{"keys in a file", doc(`"issuer":"` + issuer + `","jwks_uri":"file:///etc/passwd"`), issuer, "", "", "jwks_uri: \"file:///etc/passwd\" isn't an absolute URL"},
		{"plain http", oidctest.Fault{}, "http://issuer.test", "", "", "is plain http"},
		{"no URL", oidctest.Fault{}, "issuer", "", "", "isn't an absolute URL"},
		{"a discovery URL of another form", oidctest.Fault{}, issuer, "https://issuer.test/.well-known/oauth-authorization-server", "", "doesn't end in"},
		{"HTML", oidctest.Fault{Body: "<html>", ContentType: "text/html"}, issuer, "", "", "Content-Type"},
		{"truncated", oidctest.Fault{Truncate: 20}, issuer, "", "", "unexpected EOF"},
		{"huge", oidctest.Fault{Huge: 2 << 20}, issuer, "", "", "over 1048576 bytes"},
		{"hanging", oidctest.Fault{Hang: true}, issuer, "", "", "deadline exceeded"},
		{"hanging in the middle", oidctest.Fault{Hang: true, Truncate: 20}, issuer, "", "", "deadline exceeded"},
		{"connection closed", oidctest.Fault{Refuse: true}, issuer, "", "", "closed without an answer"},
		{"redirect to another host", oidctest.Fault{Redirect: "https://evil.test/realms/corp" + wellKnown}, issuer, "", "", "redirect from"},
		{"an error at a long address, which stays whole", oidctest.Fault{Status: 503}, issuer, "https://issuer.test/" + strings.Repeat("tenant", 20) + wellKnown, "", "/" + strings.Repeat("tenant", 20) + wellKnown + `": `},
		{"an error with a long page", oidctest.Fault{Status: 503, Body: strings.Repeat("secret\n", 10_000)}, issuer, "", "", `503 Service Unavailable: secret\nsecret`},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := oidctest.New(oidctest.Options{Issuer: issuer})
				defer p.Close()
				p.Break(oidctest.Discovery, row.fault)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				m, err := Discover(ctx, newClient(t, ClientOptions{Transport: p.Transport()}), row.issuer, row.discoveryURL)
				if row.says != "" {
					wantError(t, err, row.says)
					if err != nil && len(err.Error()) > 600 {
						t.Errorf("an error of %d bytes", len(err.Error()))
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, want := m.JWKSURL, row.keys; got != want {
					t.Errorf("keys at %q, want %q", got, want)
				}
			})
		})
	}
}

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// secureSite is a site under a name to which browsers grant nothing that they grant to
// localhost: without TLS they neither keep Secure cookies for it nor send it any.
func secureSite(t *testing.T, host string) *site {
	t.Helper()
	s := newSite(t)
	ca := newAuthority(t)
	s.host, s.tls = host, ca.issue(t, host, "*."+host)
	s.trusting = ca.client(t, nil)
	s.trusting.ServerName = host
	return s
}

// certificate is that of the site's listener.
func (s *site) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(s.tls.CertFile, s.tls.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startSecureBrowser runs a Chromium that finds the site, and trusts its certificate. It
// is told the certificate's key: for an authority it would look in no place of the test's.
func startSecureBrowser(t *testing.T, s *site) *tab {
	t.Helper()
	key := sha256.Sum256(s.certificate(t).Leaf.RawSubjectPublicKeyInfo)
	rules := "MAP " + s.host + " 127.0.0.1, MAP *." + s.host + " 127.0.0.1, " + chromiumFlags["host-resolver-rules"].(string)
	return startBrowser(t, chromedp.Flag("host-resolver-rules", rules),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])))
}

// Over TLS, under an ordinary name: a login works, browsers never speak plain HTTP to its
// host again, and where they do all the same, they keep our cookies to themselves.
func TestLoginOverTLS(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, session, cookie, domain string
		below                         [][]string // what has the session, by the name below the host
	}{
		{"a cookie of the host", "", "__Host-credence.web", "app.test", [][]string{nil}},
		{"a cookie of the domain", "cookie: {domain: app.test}", "__Secure-credence.web", ".app.test", [][]string{nil, {"one"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := secureSite(t, "app.test")
			p := startProvider(t)
			s.testClient(p)
			s.serve(t, siteConfig{Issuer: p.Issuer(), Session: row.session})
			b := startSecureBrowser(t, s)

			deep := s.origin() + "/deep?q=1"
			b.open(t, deep)
			b.logInAtTestProvider(t, "alice")
			if got := b.awaitApplication(t, deep); got.get("x-user") != "alice" || got.get("x-forwarded-proto") != "https" {
				t.Errorf("the application got %+v", got)
			}
			cookies := b.cookies(t, "app.test")
			for name, domain := range map[string]string{row.cookie: row.domain, "__Host-credence-binding": "app.test"} {
				c := cookies[name]
				if c == nil || c.Domain != domain || c.Path != "/" || !c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.SourceScheme != network.CookieSourceSchemeSecure {
					t.Errorf("%s: got %+v", name, c)
				}
			}
			for _, path := range []string{"/.credence/session", "/.credence/logout", "/.credence/signed-out", "/.credence/callback"} {
				if got := b.fetch(t, s.origin()+path, nil); got.Header["strict-transport-security"] != "max-age=31536000" {
					t.Errorf("%s: got %+v", path, got)
				}
			}

			// The application itself, which speaks plain HTTP on a port of its own.
			plain := func(host string) string {
				return "http://" + host + strings.TrimPrefix(s.upstream.address, "127.0.0.1") + "/plain"
			}
			passed := s.upstream.requests.Load()
			if _, err := run(t, b, chromedp.NavigateResponse(plain("app.test"))); err == nil || !strings.Contains(err.Error(), "ERR_SSL_PROTOCOL_ERROR") || s.upstream.requests.Load() != passed {
				t.Errorf("plain HTTP was spoken: %v", err)
			}
			forgetTLS(t, s, b)
			for _, host := range []string{"app.test", "one.app.test"} {
				b.open(t, plain(host))
				got := b.awaitApplication(t, plain(host)) // which fails for a cookie of ours
				if cookies := got.get("cookie"); host == "app.test" && cookies != "app=1" {
					t.Errorf("%s in plain HTTP: got the cookies %q, want the application's", host, cookies)
				}
			}
			logins := p.Requests(oidctest.Authorize)
			for _, below := range row.below {
				origin := s.origin(below...)
				b.open(t, origin+"/again")
				if got := b.awaitApplication(t, origin+"/again"); got.get("x-user") != "alice" || p.Requests(oidctest.Authorize) != logins {
					t.Errorf("%s after plain HTTP: the application got %+v", origin, got)
				}
			}

			b.open(t, s.origin()+"/.credence/logout")
			b.click(t, "button[type=submit]")
			b.awaitText(t, "You are logged out")
			if c := b.cookies(t, "app.test")[row.cookie]; c != nil {
				t.Errorf("the logout left %+v", c)
			}
		})
	}
}

// forgetTLS has the browser forget that the site's host is for TLS alone, as RFC 6797
// section 6.1.1 lets the host itself say.
func forgetTLS(t *testing.T, s *site, b *tab) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=0")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	b.open(t, strings.Replace(server.URL, "127.0.0.1", s.host, 1))
}

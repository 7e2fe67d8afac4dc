package e2e

import (
	"crypto/rand"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// site is an application that people log in to: all that stands between it and their
// browsers, with the Envoy configuration that Credence prints. Its hosts are a name and
// those below it: app.localhost over plain HTTP, or what secureSite is given.
//
// The provider has to know where people come back to before it is there, and Credence
// the provider, so a site is made first and serves later.
type site struct {
	host     string
	port     string
	tls      *credentials // of the listener; nil: plain HTTP
	trusting *tls.Config  // of who trusts them
	upstream *upstream
	dir      string // of files that the configuration names
	secrets  []string
	credence *credence
	envoy    *envoy
}

// newSite makes a site that doesn't serve yet. A test that uses one needs a browser.
func newSite(t *testing.T) *site {
	t.Helper()
	envoyPath(t)
	chromiumPath(t)
	s := &site{upstream: startUpstream(t), dir: t.TempDir(), host: "app.localhost", port: reservePort(t)}
	s.write(t, "client-secret", clientSecret)
	s.write(t, "key", newSessionKey())
	return s
}

// clientSecret is that of the client "web" at every provider.
const clientSecret = "the-secret-of-the-client-web"

func newSessionKey() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// File is the path of a file that the configuration names.
func (s *site) File(name string) string { return filepath.Join(s.dir, name) }

// write puts a secret into a file, in one step. Credence never writes it down.
func (s *site) write(t *testing.T, name, secret string) {
	t.Helper()
	s.secrets = append(s.secrets, secret)
	writeSecret(t, s.File(name), secret)
}

// origin is the site's, or that of the name below it that is given.
func (s *site) origin(below ...string) string {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + strings.Join(append(below, s.host+":"+s.port), ".")
}

// Callback is the redirect_uri of the client, signedOut where a logout ends.
func (s *site) Callback() string  { return s.origin() + "/.credence/callback" }
func (s *site) signedOut() string { return s.origin() + "/.credence/signed-out" }

// siteConfig is what a test says in the configuration, beside what all say
// (site.yaml.tmpl). The texts are lines of YAML, named after what they are part of.
type siteConfig struct {
	Issuer   string
	Provider string   // the provider "corp"
	Scopes   string   // beside openid; empty: profile, email, groups, offline_access
	Client   string   // the client "web"
	Clients  string   // more clients
	KeyFiles []string // in the folder; nil: key
	Session  string
	Rules    string // before the one that wants a login everywhere

	Site   *site // filled in by serve, as is Socket
	Socket string
}

//go:embed site.yaml.tmpl
var siteText string

var siteTemplate = template.Must(template.New("site.yaml").Funcs(template.FuncMap{"indent": indentLines}).Parse(siteText))

// serve starts Credence and Envoy.
func (s *site) serve(t *testing.T, c siteConfig) {
	t.Helper()
	c.Site, c.Socket = s, socketPath(t)
	if c.KeyFiles == nil {
		c.KeyFiles = []string{"key"}
	}
	var config strings.Builder
	if err := siteTemplate.Execute(&config, c); err != nil {
		t.Fatal(err)
	}
	s.runs(t, startCredence(t, config.String()))
	printed := output(t, binary, "envoy-config", "--config", s.credence.config,
		"--listen", "127.0.0.1:"+s.port, "--upstream", s.upstream.address, "--timeout", "10s")
	if s.tls != nil {
		printed = overTLS(t, s.tls)(printed)
	}
	s.envoy = startEnvoy(t, printed)
}

// runs makes a Credence that was just started the site's.
func (s *site) runs(t *testing.T, c *credence) {
	t.Helper()
	s.credence = c
	c.awaitReady(t)
	t.Cleanup(func() {
		<-c.ended
		checkSecrets(t, "what Credence wrote", c.stderr.String()+c.stdout.String(), s.secrets)
	})
}

// restart ends Credence and starts it anew, with the files as they are now.
func (s *site) restart(t *testing.T) {
	t.Helper()
	s.credence.signal(t, syscall.SIGTERM)
	s.credence.wait(t)
	s.runs(t, restartCredence(t, s.credence.config))
	await(t, "Envoy is connected again", func() bool {
		return s.client().get(t, "/public").status == http.StatusOK && s.client().get(t, "/.credence/session").status == http.StatusOK
	})
}

// client sends requests to the site without a browser.
func (s *site) client() *client { return &client{address: "127.0.0.1:" + s.port, tls: s.trusting} }

// audited are the events of this kind that Credence wrote down: the reasons.
func (s *site) audited(event string) (reasons []string) {
	for line := range strings.Lines(s.credence.stdout.String()) {
		var said struct{ Msg, Reason string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == event {
			reasons = append(reasons, said.Reason)
		}
	}
	return reasons
}

// awaitApplication waits until the application answers at an address, and gives what it
// received.
func (b *tab) awaitApplication(t *testing.T, address string) seen {
	t.Helper()
	b.awaitURL(t, address)
	var s seen
	if text := b.text(t); json.Unmarshal([]byte(text), &s) != nil {
		t.Fatalf("%s: the application didn't answer: %s", address, text)
	}
	if at := strings.Index(s.get("cookie"), "credence"); at >= 0 {
		t.Errorf("the application got cookies of ours: %s", s.get("cookie"))
	}
	return s
}

// asScript are the headers of a request that a script in this browser would send, for
// sending it without the browser.
func (s *site) asScript(t *testing.T, b *tab) []string {
	t.Helper()
	var pairs []string
	for name, c := range b.cookies(t, s.host) {
		if len(c.Value) > 20 { // the application's is 1
			s.secrets = append(s.secrets, c.Value)
		}
		pairs = append(pairs, name+"="+c.Value)
	}
	return []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin", "Cookie: " + strings.Join(pairs, "; ")}
}

// testClient registers the site's client at the test provider.
func (s *site) testClient(p *oidctest.Provider, change ...func(*oidctest.LoginClient)) {
	c := oidctest.LoginClient{
		ID: "web", Secret: clientSecret,
		RedirectURIs: []string{s.Callback()}, PostLogoutRedirectURIs: []string{s.signedOut()},
	}
	for _, f := range change {
		f(&c)
	}
	p.AddLoginClient(c)
}

// ourCookies are the profile's cookies of ours, and how many bytes they are.
func ourCookies(t *testing.T, b *tab, host string) (names []string, size int) {
	t.Helper()
	for name, c := range b.cookies(t, host) {
		if strings.Contains(name, "credence") {
			names = append(names, name)
			size += len(name) + len(c.Value)
		}
	}
	return names, size
}

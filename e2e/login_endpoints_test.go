package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// publicFace is what the public sees of a Keycloak: its pages, under the name localhost,
// but nothing that programs ask.
type publicFace struct {
	origin string

	mu    sync.Mutex
	asked []string // what it was asked by programs
}

func startPublicFace(t *testing.T, keycloak string) *publicFace {
	t.Helper()
	inside, err := url.Parse(keycloak)
	if err != nil {
		t.Fatal(err)
	}
	f := &publicFace{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(inside)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, part := range []string{"/.well-known/", "/openid-connect/token", "/openid-connect/certs", "/openid-connect/userinfo", "/openid-connect/revoke"} {
			if strings.Contains(r.URL.Path, part) || strings.HasPrefix(r.UserAgent(), "credence") {
				f.mu.Lock()
				f.asked = append(f.asked, r.Method+" "+r.URL.Path)
				f.mu.Unlock()
				http.NotFound(w, r)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.origin = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return f
}

// Keycloak behind two names: browsers know the public one, which is the issuer's, and
// Credence asks by the inner one, without discovery. A session lives as with any other.
func TestLoginAtKeycloakBehindTwoNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	inner := startKeycloak(t).origin
	face := startPublicFace(t, inner)
	wanted := s.realm()
	wanted.Origin = face.origin
	r := startRealm(t, wanted)
	inside, outside := inner+"/realms/"+r.Name+"/protocol/openid-connect", r.issuer()+"/protocol/openid-connect"
	s.serve(t, siteConfig{
		Issuer: r.issuer(), Scopes: "profile, email", Client: "userinfo: true",
		Provider: "keys: {url: '" + inside + "/certs'}\nendpoints:\n" +
			"  authorization: '" + outside + "/auth'\n  token: '" + inside + "/token'\n  userinfo: '" + inside + "/userinfo'\n" +
			"  end_session: '" + outside + "/logout'\n  revocation: '" + inside + "/revoke'\n  sends_iss: true",
	})
	b := startBrowser(t)
	deep := s.origin() + "/reports/2026?q=a%20b"
	b.open(t, deep)
	b.await(t, "asks for the password", "document.querySelector('#password')")
	if at := b.url(t); !strings.HasPrefix(at, face.origin+"/") {
		t.Errorf("the login is at %s", at)
	}
	b.logInAtKeycloak(t, "alice", "correct horse")
	if got := b.awaitApplication(t, deep); got.get("x-user-email") != "alice@example.com" || got.get("x-user-groups") != "staff" {
		t.Errorf("the application got %+v", got)
	}
	await(t, "the tokens are renewed", func() bool {
		b.open(t, deep)
		b.awaitApplication(t, deep)
		return len(s.audited("refresh")) > 0
	})
	if got := s.audited("refresh"); got[0] != "allowed" {
		t.Errorf("the refresh: got %v", got)
	}

	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	if at := b.url(t); !strings.HasPrefix(at, s.signedOut()+"?") {
		t.Errorf("the logout ended at %s", at)
	}
	b.open(t, deep)
	b.await(t, "Keycloak asks for the password again", "document.querySelector('#password')")
	if log := s.credence.stderr.String(); strings.Contains(log, "tokens can't be revoked") {
		t.Errorf("Credence wrote %s", log)
	}
	face.mu.Lock()
	defer face.mu.Unlock()
	if len(face.asked) > 0 {
		t.Errorf("the public name was asked %v", face.asked)
	}
}

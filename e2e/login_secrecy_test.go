package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// wiretap is the test provider, and notes every secret that comes by it: codes and what
// proves them, tokens, and what a login's address has sealed in it.
type wiretap struct {
	*oidctest.Provider

	mu        sync.Mutex
	secrets   []string
	addresses []string // that were asked
}

func (w *wiretap) note(values url.Values) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret", "state", "nonce", "access_token", "id_token"} {
		if text := values.Get(name); len(text) > 8 {
			w.secrets = append(w.secrets, text)
		}
	}
}

func (w *wiretap) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.addresses = append(w.addresses, r.URL.String())
	w.mu.Unlock()
	w.note(r.URL.Query())
	if r.URL.Path != "/token" {
		w.Provider.ServeHTTP(to, r)
		return
	}
	body, _ := io.ReadAll(r.Body) // what is cut short the provider refuses
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body))
	w.note(form)
	answer := httptest.NewRecorder()
	w.Provider.ServeHTTP(answer, r)
	var granted map[string]any
	if json.Unmarshal(answer.Body.Bytes(), &granted) == nil {
		tokens := url.Values{}
		for name, value := range granted {
			if text, ok := value.(string); ok {
				tokens.Set(name, text)
			}
		}
		w.note(tokens)
	}
	maps.Copy(to.Header(), answer.Header())
	to.WriteHeader(answer.Code)
	_, _ = io.Copy(to, answer.Body) // whoever has gone doesn't read it
}

// noted are the secrets so far.
func (w *wiretap) noted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.secrets)
}

// TestSEC_5_46_SecretsOfALogin are written down nowhere, at any log level, and are on no
// page: not in a log, a metric, an answer to a browser, or what the application gets. Nor
// are tokens in an address, but for the ID token that a logout hints with.
func TestSEC_5_46_SecretsOfALogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tap := &wiretap{}
	server := httptest.NewServer(tap)
	t.Cleanup(server.Close)
	tap.Provider = oidctest.New(oidctest.Options{Issuer: server.URL})
	t.Cleanup(tap.Close)
	s.testClient(tap.Provider, func(c *oidctest.LoginClient) { c.AccessTTL = 8 * time.Second })
	s.serve(t, siteConfig{Issuer: server.URL, Client: "userinfo: true"})

	b := startBrowser(t)
	var pages strings.Builder
	look := func() {
		pages.WriteString(evaluate[string](t, b, "document.documentElement.outerHTML") + b.url(t) + "\n")
	}
	cookies := func() {
		for _, c := range b.cookies(t, "app.localhost") {
			if len(c.Value) > 20 {
				s.secrets = append(s.secrets, c.Value)
			}
		}
	}
	b.open(t, s.origin()+"/reports")
	cookies() // those of a login that is under way
	b.logInAtTestProvider(t, "alice")
	b.awaitApplication(t, s.origin()+"/reports")
	cookies()
	await(t, "the tokens are renewed", func() bool {
		b.open(t, s.origin()+"/reports")
		b.awaitApplication(t, s.origin()+"/reports")
		return len(s.audited("refresh")) > 0
	})
	cookies()
	look()
	b.open(t, s.origin()+"/.credence/session")
	look()
	b.open(t, s.origin()+"/.credence/logout")
	look()
	b.click(t, "button[type=submit]")
	b.awaitText(t, "You are logged out")
	b.open(t, s.origin()+"/reports")
	b.await(t, "asks who it is", asksWho)
	b.click(t, "button[name=cancel]")
	b.awaitText(t, "The identity provider didn’t log you in.")
	for _, query := range []string{"?code=made-up-canary&state=made-up-canary", "?error=made-up-canary&error_description=made-up-canary", "?code=" + tap.noted()[0] + "&state=" + tap.noted()[0]} {
		b.open(t, s.origin()+"/.credence/callback"+query)
		pages.WriteString(evaluate[string](t, b, "document.documentElement.outerHTML"))
	}
	await(t, "the tokens are given back", func() bool { return tap.Requests(oidctest.Revocation) > 0 })

	secrets := append(tap.noted(), s.secrets...)
	if len(tap.noted()) < 10 {
		t.Errorf("only %d secrets came by", len(tap.noted()))
	}
	checkSecrets(t, "a page", pages.String(), append(secrets, "made-up-canary"))
	_, metrics := s.credence.probed(t, "/metrics")
	checkSecrets(t, "the metrics", metrics, secrets)
	s.secrets = append(secrets, "made-up-canary") // what is written is looked at when it has ended
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, address := range tap.addresses {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"code_verifier", "client_secret", "access_token", "refresh_token", "id_token"} {
			if u.Query().Has(name) {
				t.Errorf("%s has %s in its address", u.Path, name)
			}
		}
	}
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// settings are what a test adds to the least configuration that logs people in: each
// is members of a YAML object.
type settings struct {
	provider, client, session, login, limits string

	auth   string   // of the client; empty: authentication: none
	keys   []string // the files of the session keys; none: one of its own
	prefix string   // of the login pages; empty: /.credence

	registered oidctest.LoginClient // how the provider knows the client, beside its addresses
}

// entrance is an authorizer where people log in, and what it wrote.
type entrance struct {
	*authorizer
	t              *testing.T
	provider       *oidctest.Provider
	base           string // of the login pages
	log, decisions written
	end            func()
}

// written is a log that can be read while it is written.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

const (
	appHost = "app.example.com"
	app     = "https://" + appHost
)

// newKey makes a file with a key, and gives its path.
func newKey(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	return writeFile(t, "key", []byte(base64.StdEncoding.EncodeToString(key)))
}

// enter runs an authorizer until it is ready, and registers its client.
func enter(t *testing.T, provider *oidctest.Provider, s settings) *entrance {
	t.Helper()
	prefix := cmp.Or(s.prefix, "/.credence")
	e := &entrance{t: t, provider: provider, base: app + prefix}
	s.registered.ID, s.registered.RedirectURIs = "web", []string{e.base + "/callback"}
	provider.AddLoginClient(s.registered)
	if s.keys == nil {
		s.keys = []string{newKey(t)}
	}
	var keys []string
	for _, path := range s.keys {
		keys = append(keys, fmt.Sprintf("{file: %q}", path))
	}
	file := readConfig(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %s, %s}]
clients: [{name: web, provider: corp, client_id: web, redirect_uri: %s/callback, %s, %s}]
session: {keys: %s, %s}
login: {prefix: %s, %s}
limits: {%s}
rules: [{name: app, login: web, headers: {x-email: claims.email}}]
`, provider.Issuer(), s.provider, e.base, cmp.Or(s.auth, "authentication: none"), s.client, "["+strings.Join(keys, ", ")+"]", s.session, prefix, s.login, cmp.Or(s.limits, "token_bytes: 16384")))
	var err error
	if e.authorizer, err = buildAuthorizer(file, &e.decisions, slog.New(slog.NewTextHandler(&e.log, nil))); err != nil {
		t.Fatal(err)
	}
	e.end = sync.OnceFunc(e.close)
	t.Cleanup(e.end)
	e.run(t.Context())
	eventually(t, "being ready", func() bool { return e.ready(true) })
	return e
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	const patience = time.Minute
	for end := time.Now().Add(patience); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// visitor is a person's browser.
type visitor struct {
	*entrance
	jar     http.CookieJar
	address string // that the proxy in front puts into X-Forwarded-For
	accepts string // what it wants to see
}

func (e *entrance) visitor() *visitor {
	jar, _ := cookiejar.New(nil) // which never fails
	return &visitor{entrance: e, jar: jar, address: "203.0.113.9", accepts: "text/html"}
}

// asks is what is decided about a page of the application so long from now.
func (v *visitor) asks(host string, later time.Duration) authz.Decision {
	u := &url.URL{Scheme: "https", Host: host, Path: "/"}
	headers := []authz.Header{{Name: "accept", Value: "text/html"}}
	for _, c := range v.jar.Cookies(u) {
		headers = append(headers, authz.Header{Name: "cookie", Value: c.String()})
	}
	d := v.engine.Decide(v.t.Context(), &authz.Request{Method: "GET", Scheme: "https", Host: host, Target: "/orders", Headers: headers, Time: time.Now().Add(later)})
	for _, line := range d.SetCookies {
		if c, err := http.ParseSetCookie(line); err == nil {
			v.jar.SetCookies(u, []*http.Cookie{c})
		}
	}
	return d
}

// wants holds that the application lets the browser in so long from now, or why not.
func (v *visitor) wants(reason audit.Reason, name string, later time.Duration) {
	v.t.Helper()
	if d := v.asks(appHost, later); d.Reason != reason {
		v.t.Errorf("%s: got %v %q, want %v", name, d.Reason, d.Detail, reason)
	}
}

// sends opens an address of the login pages, or posts a form there.
func (v *visitor) sends(ctx context.Context, address string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, "GET", address, nil)
	if form != nil {
		r = httptest.NewRequestWithContext(ctx, "POST", address, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.Header.Set("Accept", v.accepts)
	r.Header.Set("X-Forwarded-For", v.address)
	for _, c := range v.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.login.ServeHTTP(w, r)
	v.jar.SetCookies(r.URL, w.Result().Cookies())
	return w
}

// begins opens the application, and goes where that leads: to the provider.
func (v *visitor) begins(host string) (authorizationURL string) {
	v.t.Helper()
	d := v.asks(host, 0)
	if d.Denial == nil || d.Denial.Status != 302 {
		v.t.Fatalf("got %v %q, want to be sent to log in", d.Reason, d.Detail)
	}
	w := v.sends(v.t.Context(), d.Denial.Headers[1].Value, nil)
	if !strings.HasPrefix(w.Header().Get("Location"), "http://") {
		v.t.Fatalf("got %d %s, want to be sent to the provider", w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

// atProvider says there who it is, and gives the way back.
func (v *visitor) atProvider(authorizationURL string) oidctest.Callback {
	v.t.Helper()
	back, err := v.provider.Login(v.t.Context(), nil, authorizationURL, "alice")
	if err != nil {
		v.t.Fatal(err)
	}
	return back
}

func (v *visitor) logsIn() *httptest.ResponseRecorder {
	v.t.Helper()
	back := v.atProvider(v.begins(appHost))
	return v.sends(v.t.Context(), back.URL, back.Form)
}

// session is what the browser is told of its session.
func (v *visitor) session() (shown struct {
	Error             string
	Claims            json.RawMessage
	LoggedIn, Expires time.Time
}) {
	v.t.Helper()
	v.accepts = "application/json"
	w := v.sends(v.t.Context(), v.base+"/session", nil)
	body := bytes.ReplaceAll(w.Body.Bytes(), []byte("logged_in"), []byte("LoggedIn"))
	if err := json.Unmarshal(body, &shown); err != nil {
		v.t.Fatalf("%v: %s", err, body)
	}
	return shown
}

// query is a parameter of an address.
func query(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

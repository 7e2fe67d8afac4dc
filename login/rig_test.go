package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

const (
	app  = "https://app.example.com"
	base = app + "/.credence"
)

// rig is a handler, a provider where people log in, and what both of them have
// written. Its time is a bubble's.
type rig struct {
	t        *testing.T
	idp      *oidctest.Provider
	handler  *Handler
	sessions *session.Sessions
	log      written
	audit    written
	close    func() // ends the audit log

	// secrets must not be on a page, in a log or in the audit log: each with what it
	// is.
	mu      sync.Mutex
	secrets map[string]string
}

// written is a log that can be read.
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

// setup is what a story may want otherwise.
type setup struct {
	handler Options // with the client web
	session session.Options
	party   oidc.RelyingPartyOptions // of the client web
	idp     oidctest.LoginClient
	module  string // that the provider plays; empty: none
}

// bubble runs a story in time of its own.
func bubble(t *testing.T, edit func(*setup), story func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, edit)
		story(r)
		r.close()
		r.checkSecrets("log", r.log.String())
		r.checkSecrets("audit log", r.audit.String())
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newRig(t *testing.T, edit func(*setup)) *rig {
	t.Helper()
	r := &rig{t: t, idp: oidctest.New(oidctest.Options{Issuer: "https://issuer.test"}), secrets: map[string]string{}}
	t.Cleanup(r.idp.Close)
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	auditLog := audit.NewLog(&r.audit, audit.AllowsAll)
	r.close = sync.OnceFunc(auditLog.Close)
	t.Cleanup(r.close)
	ring := must(session.NewRing(session.RingOptions{}))
	client := must(oidc.NewClient(oidc.ClientOptions{Transport: recorder{r}}))
	s := setup{
		handler: Options{
			Prefix: "/.credence", Ring: ring, Audit: auditLog, Log: log, TrustedHops: 1,
			Clients: []Client{{Name: "web", Provider: "Example Corp", ShownClaims: []string{"name", "email", "groups"}}},
		},
		session: session.Options{Ring: ring},
		party: oidc.RelyingPartyOptions{
			Name: "web", Issuer: "https://issuer.test", Client: client, RedirectURI: base + "/callback", Log: log,
			Auth:   must(oidc.NewClientAuth(oidc.ClientAuthOptions{ID: "web", Secret: func() (string, error) { return "client-secret-canary", nil }})),
			Scopes: []string{"openid", "profile", "email", "offline_access"},
			Keys:   oidc.NewKeySet(oidc.KeySetOptions{Name: "corp", Issuer: "https://issuer.test", Client: client}),
		},
		idp: oidctest.LoginClient{ID: "web", Secret: "client-secret-canary", RedirectURIs: []string{base + "/callback"}, PostLogoutRedirectURIs: []string{base + "/signed-out"}},
	}
	if edit != nil {
		edit(&s)
	}
	r.secret("client secret", "client-secret-canary")
	r.idp.AddLoginClient(s.idp)
	r.idp.Misbehave(s.module)
	r.idp.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"name": "Alice <b>Ünal</b>", "email": "alice@example.com", "groups": []string{"staff", "ops"}, "secret": "claim-canary"}})
	r.secret("claim that isn't shown", "claim-canary")
	r.sessions = must(session.New(s.session))
	s.handler.Sessions = r.sessions
	s.handler.Clients[0].Party = r.party(s.party)
	r.handler = must(New(s.handler))
	t.Cleanup(r.handler.Close)
	return r
}

// party makes a relying party that knows its provider, as far as that answers.
func (r *rig) party(o oidc.RelyingPartyOptions) *oidc.RelyingParty {
	p := must(oidc.NewRelyingParty(o))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { o.Keys.Run(ctx) })
	running.Go(func() { p.Run(ctx) })
	r.t.Cleanup(func() { cancel(); running.Wait() })
	synctest.Wait()
	return p
}

// strangerAt makes a relying party that never asks its provider anything.
func strangerAt(redirectURI string) *oidc.RelyingParty {
	return must(oidc.NewRelyingParty(oidc.RelyingPartyOptions{
		Name: "web", Issuer: "https://issuer.test", ClientID: "web", RedirectURI: redirectURI,
		Keys: oidc.NewKeySet(oidc.KeySetOptions{Name: "corp", Issuer: "https://issuer.test"}),
	}))
}

// recorder carries requests to the provider, and notes the tokens it gives.
type recorder struct{ r *rig }

func (c recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.r.idp.Transport().RoundTrip(req)
	if err != nil || req.URL.Path != "/token" {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var tokens map[string]any
	if json.Unmarshal(body, &tokens) == nil {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			if text, ok := tokens[name].(string); ok {
				c.r.secret(name, text)
			}
		}
	}
	return resp, nil
}

func (r *rig) secret(what, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(text) >= 8 {
		r.secrets[text] = what
	}
}

func (r *rig) checkSecrets(where, text string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for secret, what := range r.secrets {
		if strings.Contains(text, secret) {
			r.t.Errorf("the %s has a %s: %s", where, what, text)
		}
	}
}

// events are the lines of the audit log, in short: event, verdict and reason.
func (r *rig) events() []string {
	r.t.Helper()
	r.close()
	var list []string
	for line := range strings.Lines(r.audit.String()) {
		var m struct{ Msg, Verdict, Reason string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, m.Msg+" "+m.Verdict+" "+m.Reason)
	}
	return list
}

// browser is a person's: it has a jar of cookies for us, and one for the provider.
type browser struct {
	*rig
	jar    http.CookieJar
	there  *http.Client
	header http.Header // of every request
	doing  string      // what the failures begin with
}

func (r *rig) browser() *browser {
	return &browser{
		rig: r, jar: must(cookiejar.New(nil)),
		there:  &http.Client{Transport: r.idp.Transport(), Jar: must(cookiejar.New(nil))},
		header: http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}, "X-Forwarded-For": {"203.0.113.9"}},
	}
}

// response is what the handler answered.
type response struct {
	t        *testing.T
	status   int
	header   http.Header
	location string
	body     string // without the built-in style, which would fill the failures
}

var builtinStyle = regexp.MustCompile(`<style>:root [^<]*</style>`)

func (b *browser) open(address string) *response { return b.send(http.MethodGet, address, nil) }

func (b *browser) post(address string, form url.Values) *response {
	return b.send(http.MethodPost, address, form)
}

// send makes a request as a server gets it, keeps the cookies that the answer sets
// and holds what is true of every answer.
func (b *browser) send(method, address string, form url.Values) *response {
	b.t.Helper()
	u := must(must(url.Parse(base + "/")).Parse(address))
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req := httptest.NewRequestWithContext(b.t.Context(), method, u.String(), body)
	req.RemoteAddr = "10.0.0.1:1234"
	maps.Copy(req.Header, b.header)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range b.jar.Cookies(u) {
		req.AddCookie(c)
	}
	return b.serve(req)
}

func (b *browser) serve(req *http.Request) *response {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, req)
	result := w.Result()
	origin := must(url.Parse(app))
	b.jar.SetCookies(origin, result.Cookies())
	for _, c := range result.Cookies() {
		b.secret("cookie", c.Value)
	}
	got := &response{t: b.t, status: w.Code, header: w.Header(), location: w.Header().Get("Location"), body: builtinStyle.ReplaceAllString(w.Body.String(), "")}
	got.check()
	b.checkSecrets("page", got.body)
	return got
}

// check holds what is true of every answer.
func (got *response) check() {
	got.t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got.header.Get(name) != want {
			got.t.Errorf("%s: got %q, want %q", name, got.header.Get(name), want)
		}
	}
	policy := got.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src ") || !strings.HasSuffix(policy, "; frame-ancestors 'none'; base-uri 'none'") || strings.Contains(policy, "script") || strings.Contains(policy, "unsafe") {
		got.t.Errorf("Content-Security-Policy: got %q", policy)
	}
	switch {
	case got.location == "" && got.status >= 300 && got.status < 400, got.location != "" && got.status != 302 && got.status != 303, got.location != "" && got.body != "":
		got.t.Errorf("status %d with Location %q and a body of %d bytes", got.status, got.location, len(got.body))
	}
	if strings.Contains(got.body, "<script") || strings.Contains(got.body, "ZgotmplZ") {
		got.t.Errorf("page: %s", got.body)
	}
}

// leadsTo holds that the answer is a redirect there.
func (got *response) leadsTo(address string) *response {
	got.t.Helper()
	if got.location != address {
		got.t.Fatalf("got %d to %q, want to %q: %s", got.status, got.location, address, got.body)
	}
	return got
}

// leadsBelow holds that the answer is a redirect to an address that begins so.
func (got *response) leadsBelow(start string) *response {
	got.t.Helper()
	if !strings.HasPrefix(got.location, start) {
		got.t.Fatalf("got %d to %q, want to %q…: %s", got.status, got.location, start, got.body)
	}
	return got
}

const authorization = "https://issuer.test/authorize?"

var referenceOnPage = regexp.MustCompile(`Reference <code>([A-Z2-7]{10})</code>`)

// fails holds that the answer is a page for that reason, with a reference that is in
// both logs, and a way on.
func (b *browser) fails(got *response, reason audit.Reason) *response {
	b.t.Helper()
	reference := referenceOnPage.FindStringSubmatch(got.body)
	if got.status != reason.Class().Status() || reference == nil || !strings.Contains(got.body, sentence(reason.Public())) || !strings.Contains(got.body, `<a class="button" href="`) {
		b.t.Fatalf("%s: got %d to %q, want a page for %v: %s", b.doing, got.status, got.location, reason, got.body)
	}
	synctest.Wait()
	for name, log := range map[string]*written{"log": &b.log, "audit log": &b.audit} {
		found := false
		for line := range strings.Lines(log.String()) {
			found = found || strings.Contains(line, reference[1]) && strings.Contains(line, reason.String())
		}
		if !found {
			b.t.Errorf("%s: the %s has no line with %s and %v: %s", b.doing, name, reference[1], reason, log)
		}
	}
	return got
}

// start opens the login endpoint for an address of the application.
func (b *browser) start(returnTo string) *response {
	b.t.Helper()
	return b.open(base + "/login?client=web&return_to=" + url.QueryEscape(returnTo))
}

// at logs in at the provider, to which the answer leads, and gives how that sends
// the browser back.
func (b *browser) at(got *response, subject string) oidctest.Callback {
	b.t.Helper()
	got.leadsBelow(authorization)
	b.secret("state", must(url.Parse(got.location)).Query().Get("state"))
	back, err := b.idp.Login(b.t.Context(), b.there, got.location, subject)
	if err != nil {
		b.t.Fatal(err)
	}
	b.secret("code", back.Values().Get("code"))
	return back
}

// back follows the provider's way back.
func (b *browser) back(c oidctest.Callback) *response {
	b.t.Helper()
	if c.Form != nil {
		return b.post(c.URL, c.Form)
	}
	return b.open(c.URL)
}

// login logs alice in.
func (b *browser) login(returnTo string) {
	b.t.Helper()
	b.back(b.at(b.start(returnTo), "alice")).leadsTo(returnTo)
}

// changed is the callback with another value of a parameter; an empty one takes it
// away.
func changed(c oidctest.Callback, name, value string) string {
	u := must(url.Parse(c.URL))
	query := u.Query()
	query.Set(name, value)
	if value == "" {
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// as gives the session's JSON.
func (b *browser) session() (status int, m map[string]any) {
	b.t.Helper()
	b.header.Set("Accept", "application/json")
	defer b.header.Set("Accept", "text/html")
	got := b.open(base + "/session")
	if err := json.Unmarshal([]byte(got.body), &m); err != nil {
		b.t.Fatalf("%v: %s", err, got.body)
	}
	return got.status, m
}

// brokenStore is a store whose server is gone while down.
type brokenStore struct {
	session.Store
	down bool
}

var errDown = errors.New("connection refused")

func (s *brokenStore) Get(ctx context.Context, key session.Key) ([]byte, error) {
	if s.down {
		return nil, errDown
	}
	return s.Store.Get(ctx, key)
}

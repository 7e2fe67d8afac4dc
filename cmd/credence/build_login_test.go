package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestCookieIsConfigured(t *testing.T) {
	provider := startProvider(t)
	for _, row := range []struct{ session, name, attributes string }{
		{"", "__Host-credence.web", "SameSite=Lax"},
		{"cookie: {name: shop}", "__Host-shop.web", "SameSite=Lax"},
		{"cookie: {same_site: lax}", "__Host-credence.web", "SameSite=Lax"},
		{"cookie: {same_site: strict}", "__Host-credence.web", "SameSite=Strict"},
		{"cookie: {same_site: none}", "__Host-credence.web", "SameSite=None"},
		{"cookie: {same_site: none, partitioned: true}", "__Host-credence.web", "SameSite=None; Partitioned"},
		{"cookie: {domain: example.com}", "__Secure-credence.web", "SameSite=Lax; Domain=example.com"},
		{"cookie: {persistent: true}, lifetime: 2h", "__Host-credence.web", "SameSite=Lax; Max-Age=7199"}, // counted from the second in which the login ended
		{"cookie: {persistent: true}", "__Host-credence.web", "SameSite=Lax; Max-Age=43199"},
	} {
		v := enter(t, provider, settings{session: row.session}).visitor()
		w := v.logsIn()
		pair, attributes, _ := strings.Cut(w.Header().Get("Set-Cookie"), "; ")
		if name, _, _ := strings.Cut(pair, "="); name != row.name || attributes != "Path=/; Secure; HttpOnly; "+row.attributes {
			t.Errorf("%q: got %s, %s, want %s, %s", row.session, name, attributes, row.name, row.attributes)
		}
		v.wants(audit.Allowed, row.session, 0)
	}
}

func TestSessionTimesAreConfigured(t *testing.T) {
	provider := startProvider(t)
	for _, row := range []struct {
		session string
		life    time.Duration // at most, as the browser is told
		later   time.Duration
		want    audit.Reason
	}{
		{"", 12 * time.Hour, 59 * time.Minute, audit.Allowed},
		{"", 12 * time.Hour, 61 * time.Minute, audit.SessionExpired},
		{"idle: 10m", 12 * time.Hour, 9 * time.Minute, audit.Allowed},
		{"idle: 10m", 12 * time.Hour, 11 * time.Minute, audit.SessionExpired},
		{"idle: 3h", 12 * time.Hour, 2 * time.Hour, audit.Allowed},
		{"idle: 20h, lifetime: 20h", 20 * time.Hour, 19 * time.Hour, audit.Allowed},
		{"idle: 20m, lifetime: 20m", 20 * time.Minute, 21 * time.Minute, audit.SessionExpired},
	} {
		v := enter(t, provider, settings{session: row.session}).visitor()
		v.logsIn()
		if shown := v.session(); shown.Expires.Sub(shown.LoggedIn) != row.life {
			t.Errorf("%q: got a life of %v, want %v", row.session, shown.Expires.Sub(shown.LoggedIn), row.life)
		}
		v.wants(row.want, row.session, row.later)
	}
}

// TestAuthorizationRequestIsConfigured, and its answer is understood.
func TestAuthorizationRequestIsConfigured(t *testing.T) {
	provider := startProvider(t)
	for _, row := range []struct{ client, parameter, want string }{
		{"", "client_id", "web"},
		{"", "redirect_uri", app + "/.credence/callback"},
		{"", "scope", "openid"},
		{"scopes: [openid, email]", "scope", "openid email"},
		{"", "acr_values", ""},
		{"parameters: {acr_values: gold, audience: shop}", "acr_values", "gold"},
		{"parameters: {acr_values: gold, audience: shop}", "audience", "shop"},
		{"", "response_mode", ""},
		{"response_mode: query", "response_mode", ""},
		{"response_mode: form_post", "response_mode", "form_post"},
	} {
		v := enter(t, provider, settings{client: row.client}).visitor()
		address := v.begins(appHost)
		if got := query(t, address, row.parameter); got != row.want {
			t.Errorf("%q: got %s %q, want %q", row.client, row.parameter, got, row.want)
		}
		back := v.atProvider(address)
		if w := v.sends(t.Context(), back.URL, back.Form); w.Header().Get("Location") != app+"/orders" {
			t.Errorf("%q: got %d %s", row.client, w.Code, w.Body)
		}
	}
}

func TestClaimsAreConfigured(t *testing.T) {
	provider := startProvider(t)
	for _, row := range []struct {
		client string
		thin   bool // the ID token has no claims of the person's
		want   string
	}{
		{"scopes: [openid]", false, `{}`},
		{"scopes: [openid, email]", false, `{"email":"alice@example.com"}`},
		{"scopes: [openid, email]", true, `{}`},
		{"scopes: [openid, email], userinfo: true", true, `{"email":"alice@example.com"}`},
		{"scopes: [openid, profile, email]", false, `{"name":"Alice","email":"alice@example.com"}`},
		{"scopes: [openid, profile, email], shown_claims: [groups, name]", false, `{"groups":["staff"],"name":"Alice"}`},
	} {
		v := enter(t, provider, settings{client: row.client, registered: oidctest.LoginClient{ThinIDToken: row.thin}}).visitor()
		v.logsIn()
		if got := string(v.session().Claims); got != row.want {
			t.Errorf("%q, thin %t: got %s, want %s", row.client, row.thin, got, row.want)
		}
	}
}

// TestLoginIsJudged by the settings of its provider and client.
func TestLoginIsJudged(t *testing.T) {
	provider := startProvider(t)
	early := map[string]any{"iat": time.Now().Add(4 * time.Minute).Unix()}
	secret := writeFile(t, "secret", []byte("s3cret"))
	basic := "client_secret: {file: " + secret + "}"
	for _, row := range []struct {
		name string
		settings
		want audit.Reason
	}{
		{"ES256 is accepted", settings{registered: oidctest.LoginClient{IDTokenAlg: "ES256"}}, audit.Allowed},
		{"not by this provider", settings{provider: "algorithms: [RS256]", registered: oidctest.LoginClient{IDTokenAlg: "ES256"}}, audit.IDTokenInvalid},
		{"EdDSA isn't", settings{registered: oidctest.LoginClient{IDTokenAlg: "EdDSA"}}, audit.IDTokenInvalid},
		{"by this provider", settings{provider: "algorithms: [EdDSA]", registered: oidctest.LoginClient{IDTokenAlg: "EdDSA"}}, audit.Allowed},
		{"a clock ahead", settings{registered: oidctest.LoginClient{IDTokenClaims: early}}, audit.IDTokenInvalid},
		{"a clock ahead, expected", settings{provider: "clock_skew: 299s", registered: oidctest.LoginClient{IDTokenClaims: early}}, audit.Allowed},
		{"a secret", settings{auth: basic, registered: oidctest.LoginClient{Secret: "s3cret", AuthMethod: "client_secret_basic"}}, audit.Allowed},
		{"a secret in the form", settings{auth: basic + ", authentication: post", registered: oidctest.LoginClient{Secret: "s3cret", AuthMethod: "client_secret_post"}}, audit.Allowed},
		{"a secret where none is", settings{registered: oidctest.LoginClient{Secret: "s3cret"}}, audit.ProviderUnavailable},
	} {
		v := enter(t, provider, row.settings).visitor()
		v.accepts = "application/json"
		w := v.logsIn()
		if got := w.Body.String(); (row.want == audit.Allowed) != (w.Code < 400) || w.Code >= 400 && !strings.Contains(got, `"error":"`+row.want.String()+`"`) {
			t.Errorf("%s: got %d %s, want %v", row.name, w.Code, got, row.want)
		}
	}
}

// TestSessionsOfAnotherProcess are good where it could be this one: with the key and
// the provider that they were begun with.
func TestSessionsOfAnotherProcess(t *testing.T) {
	provider, another := startProvider(t), startProvider(t)
	old, next := newKey(t), newKey(t)
	both := []string{next, old}
	for _, row := range []struct {
		name         string
		before, here settings
		at           *oidctest.Provider // here
		want         audit.Reason
	}{
		{"in the cookie", settings{keys: []string{old}}, settings{keys: []string{old}}, provider, audit.Allowed},
		{"another key", settings{keys: []string{old}}, settings{keys: []string{next}}, provider, audit.SessionInvalid},
		{"a second key", settings{keys: []string{old}}, settings{keys: both}, provider, audit.Allowed},
		{"the new key is known, and doesn't seal yet", settings{keys: both}, settings{keys: []string{old}}, provider, audit.Allowed},
		{"the old key seals as long", settings{keys: both}, settings{keys: []string{next}}, provider, audit.SessionInvalid},
		{"in memory", settings{keys: []string{old}, session: "store: memory"}, settings{keys: []string{old}, session: "store: memory"}, provider, audit.SessionInvalid},
		{"of another provider", settings{keys: []string{old}}, settings{keys: []string{old}}, another, audit.SessionInvalid},
		{"under another name", settings{keys: []string{old}, session: "cookie: {name: shop}"}, settings{keys: []string{old}}, provider, audit.NoCredential},
	} {
		v := enter(t, provider, row.before).visitor()
		v.logsIn()
		v.wants(audit.Allowed, row.name+", before", 0)
		v.entrance = enter(t, row.at, row.here)
		v.wants(row.want, row.name, 0)
	}
}

func TestMostSessionsInMemory(t *testing.T) {
	e := enter(t, startProvider(t), settings{session: "store: memory, max_sessions: 2"})
	first, second, third := e.visitor(), e.visitor(), e.visitor()
	for _, v := range []*visitor{first, second, third} {
		v.logsIn()
	}
	first.wants(audit.SessionInvalid, "one too many", 0)
	second.wants(audit.Allowed, "the second", 0)
	third.wants(audit.Allowed, "the third", 0)
}

// TestReturnAddressesAreConfigured: who asked for another host of the domain gets back
// there.
func TestReturnAddressesAreConfigured(t *testing.T) {
	v := enter(t, startProvider(t), settings{
		session: "cookie: {domain: example.com}", client: "return_to: [https://shop.example.com, " + app + "]",
	}).visitor()
	back := v.atProvider(v.begins("shop.example.com"))
	if w := v.sends(t.Context(), back.URL, nil); w.Header().Get("Location") != "https://shop.example.com/orders" {
		t.Errorf("got %d to %q", w.Code, w.Header().Get("Location"))
	}
	if d := v.asks("shop.example.com", 0); !d.Allow || d.Client != "web" || d.Provider != "corp" {
		t.Errorf("got %v %s, client %q of provider %q", d.Reason, d.Detail, d.Client, d.Provider)
	}
}

var tokenOnPage = regexp.MustCompile(`name="token" value="([A-Za-z0-9_-]+)"`)

// logsOut by way of the page, and gives where that leads.
func (v *visitor) logsOut() string {
	v.t.Helper()
	page := v.sends(v.t.Context(), v.base+"/logout?client=web", nil).Body.String()
	token := tokenOnPage.FindStringSubmatch(page)
	if token == nil {
		v.t.Fatalf("no token on the page %s", page)
	}
	return v.sends(v.t.Context(), v.base+"/logout", url.Values{"client": {"web"}, "token": token[1:]}).Header().Get("Location")
}

func TestLogoutIsConfigured(t *testing.T) {
	provider := startProvider(t)
	there := provider.Issuer() + "/end_session"
	for _, row := range []struct {
		client, leadsTo, returnsTo string
		hint                       bool
	}{
		{"", there, app + "/.credence/signed-out", true},
		{"provider_logout: redirect", there, app + "/.credence/signed-out", true},
		{"post_logout_redirect_uri: https://www.example.com/bye", there, "https://www.example.com/bye", true},
		{"provider_logout: without_hint", there, app + "/.credence/signed-out", false},
		{"provider_logout: none", "/.credence/signed-out", "", false},
	} {
		v := enter(t, provider, settings{client: row.client}).visitor()
		v.logsIn()
		location := v.logsOut()
		address, _, _ := strings.Cut(location, "?")
		returnsTo, hint := query(t, location, "post_logout_redirect_uri"), query(t, location, "id_token_hint")
		if address != row.leadsTo || returnsTo != row.returnsTo || (hint != "") != row.hint {
			t.Errorf("%q: got %s, back to %q, hint %t; want %s, back to %q, hint %t", row.client, address, returnsTo, hint != "", row.leadsTo, row.returnsTo, row.hint)
		}
		v.wants(audit.NoCredential, row.client, 0)
	}
}

// TestCloseWaitsForLogouts: the provider is told of the tokens before the process ends.
func TestCloseWaitsForLogouts(t *testing.T) {
	provider := startProvider(t)
	v := enter(t, provider, settings{client: "scopes: [openid, offline_access]"}).visitor()
	v.logsIn()
	provider.Break(oidctest.Revocation, oidctest.Fault{Delay: 50 * time.Millisecond})
	v.logsOut()
	v.end()
	if got := provider.Requests(oidctest.Revocation); got != 2 { // refresh token and access token, one after the other
		t.Errorf("got %d tokens revoked, want 2", got)
	}
}

func TestLoginPagesAreConfigured(t *testing.T) {
	pages := t.TempDir()
	if err := os.WriteFile(filepath.Join(pages, "session.html"), []byte(`{{define "content"}}{{range .Sessions}}Welcome from {{.Provider}}{{end}}{{end}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		settings
		path, says string
	}{
		{settings{}, "/.credence/session", "<dt>Logged in at</dt><dd>corp</dd>"},
		{settings{prefix: "/auth"}, "/auth/session", "<dt>Logged in at</dt><dd>corp</dd>"},
		{settings{login: "pages: " + pages}, "/.credence/session", "Welcome from corp"},
	} {
		v := enter(t, startProvider(t), row.settings).visitor()
		v.logsIn()
		if w := v.sends(t.Context(), app+row.path, nil); w.Code != 200 || !strings.Contains(w.Body.String(), row.says) {
			t.Errorf("%+v: got %d %s, want %q", row.settings, w.Code, w.Body, row.says)
		}
		if d := v.engine.Decide(t.Context(), &authz.Request{Method: "GET", Scheme: "https", Host: appHost, Target: row.path}); !d.Allow {
			t.Errorf("%s isn't let through: %v", row.path, d.Reason)
		}
	}
}

// TestTrustedHops: which browsers share the part of the budget that one address has,
// while one login of the first is under way.
func TestTrustedHops(t *testing.T) {
	for _, row := range []struct {
		limits, first string
		others        []string // several, since two addresses may fall into one place of the budget
		share         bool
	}{
		{"", "203.0.113.1", []string{"203.0.113.2", "203.0.113.3"}, false},
		{"", "203.0.113.1", []string{"198.51.100.1, 203.0.113.1", "198.51.100.2, 203.0.113.1"}, true},
		{"trusted_hops: 1", "203.0.113.1", []string{"203.0.113.2", "203.0.113.3"}, false},
		{"trusted_hops: 0", "203.0.113.1", []string{"203.0.113.2", "203.0.113.3"}, true},
		{"trusted_hops: 2", "203.0.113.1, 10.0.0.1", []string{"203.0.113.2, 10.0.0.1", "203.0.113.3, 10.0.0.1"}, false},
		{"trusted_hops: 2", "203.0.113.1, 10.0.0.1", []string{"203.0.113.1, 10.0.0.2", "203.0.113.1, 10.0.0.3"}, true},
	} {
		t.Run(row.limits+" "+row.others[0], func(t *testing.T) {
			provider := startProvider(t)
			e := enter(t, provider, settings{client: "max_concurrent: 4", limits: row.limits})
			var callbacks []func(context.Context) int
			for _, address := range append([]string{row.first}, row.others...) {
				v := e.visitor()
				v.address = address
				back := v.atProvider(v.begins(appHost))
				callbacks = append(callbacks, func(ctx context.Context) int { return v.sends(ctx, back.URL, nil).Code })
			}
			provider.Break(oidctest.TokenEndpoint, oidctest.Fault{Hang: true})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			under := func() int { return provider.Requests(oidctest.TokenEndpoint) }
			running.Go(func() { callbacks[0](ctx) })
			eventually(t, "the first login", func() bool { return under() == 1 })
			var refused atomic.Int32
			for _, callback := range callbacks[1:] {
				running.Go(func() {
					if callback(ctx) == http.StatusServiceUnavailable && ctx.Err() == nil {
						refused.Add(1)
					}
				})
			}
			eventually(t, "the others", func() bool { return under()+int(refused.Load()) == len(callbacks) })
			if share := under() == 1; share != row.share {
				t.Errorf("got shared %t, want %t", share, row.share)
			}
		})
	}
}

func TestLoginsInASecond(t *testing.T) {
	provider := startProvider(t)
	for client, want := range map[string]int{"": http.StatusFound, "max_per_second: 1": http.StatusServiceUnavailable} { // one address has a quarter: one login in four seconds
		e := enter(t, provider, settings{client: client})
		first, second := e.visitor(), e.visitor()
		one, other := first.atProvider(first.begins(appHost)), second.atProvider(second.begins(appHost))
		began := time.Now()
		first.sends(t.Context(), one.URL, nil)
		got := second.sends(t.Context(), other.URL, nil).Code
		if late := time.Since(began) >= 4*time.Second; got != want && !(late && got == http.StatusFound) {
			t.Errorf("%q: got %d, want %d", client, got, want)
		}
	}
}

// TestLoginsAreWrittenDown, in the audit log and in ours.
func TestLoginsAreWrittenDown(t *testing.T) {
	key := newKey(t)
	v := enter(t, startProvider(t), settings{keys: []string{key}}).visitor()
	v.logsIn()
	v.sends(t.Context(), v.base+"/callback?state=x", nil)
	if err := os.WriteFile(key, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ring to read the key again", func() bool {
		v.wants(audit.Allowed, "with the key of before", 0)
		return strings.Contains(v.log.String(), "session keys can't be read again")
	})
	v.end()
	for text, log := range map[string]*written{
		`"msg":"login","verdict":"allow"`: &v.decisions, `"msg":"login","verdict":"deny","reason":"login_state_invalid"`: &v.decisions,
		"login or logout refused": &v.log, "provider discovered\" client=web": &v.log,
	} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("no %s in %s", text, log)
		}
	}
}

// TestPartyIsReady where the provider is found as its configuration says, unless it is
// optional.
func TestPartyIsReady(t *testing.T) {
	guarded, down := startGuarded(t), startProvider(t)
	token := writeFile(t, "token", []byte(shown))
	_, certificate, key := issue(t, "credence", &guarded.ca)
	connection := fmt.Sprintf("ca_file: %s, connection: {client_certificate_file: %s, client_key_file: %s, bearer_token_file: %s}", guarded.caFile, certificate, key, token)
	elsewhere := oidctest.New(oidctest.Options{Issuer: "https://login.invalid"})
	server := httptest.NewServer(elsewhere)
	t.Cleanup(func() { server.Close(); elsewhere.Close() })
	down.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
	keys := "keys: {file: " + writeFile(t, "keys.json", down.KeySet()) + "}"
	endpoints := fmt.Sprintf(", endpoints: {authorization: %[1]s/authorize, token: %[1]s/token, end_session: %[1]s/end_session}", down.Issuer())
	for _, row := range []struct {
		name, issuer, provider string
		ready, withOptional    bool
	}{
		{"behind a connection of its own", guarded.Issuer(), connection, true, true},
		{"its document is elsewhere", elsewhere.Issuer(), "discovery_url: " + server.URL + "/.well-known/openid-configuration", true, true},
		{"down", down.Issuer(), keys, false, false},
		{"down, and needed for nothing", down.Issuer(), keys + endpoints, true, true},
		{"down and optional", down.Issuer(), keys + ", optional: true", true, false},
	} {
		file := readConfig(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %s, %s}]
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: %s/.credence/callback}]
session: {store: memory}
rules: [{name: app, login: web}]
`, row.issuer, row.provider, app))
		a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.close)
		a.run(t.Context())
		asked := down.Requests(oidctest.Discovery)
		eventually(t, row.name, func() bool {
			return a.ready(true) || row.issuer == down.Issuer() && down.Requests(oidctest.Discovery) > asked && a.providers[0].ready() == nil
		})
		if ready, withOptional := a.ready(false), a.ready(true); ready != row.ready || withOptional != row.withOptional {
			t.Errorf("%s: got ready %t, and %t with optional ones; want %t and %t", row.name, ready, withOptional, row.ready, row.withOptional)
		}
	}
}

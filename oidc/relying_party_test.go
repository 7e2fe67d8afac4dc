package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// The parts of a login in these tests. Verifier and challenge are of RFC 7636, B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	nonce     = "nonce-1"
)

// visitor is the address that somebody logs in from.
var visitor = netip.MustParseAddr("192.0.2.1")

// reception is a relying party, and the provider https://issuer.test where it logs
// people in: a real one but for the endpoints that a test answers itself.
type reception struct {
	*RelyingParty
	idp *oidctest.Provider
	log logBuffer

	mu      sync.Mutex
	replies map[string]func(url.Values) reply // by path
	asked   []question
}

type question struct {
	path   string
	header http.Header
	form   url.Values
}

type reply struct {
	status int // zero: 200
	body   string
	kind   string // Content-Type; empty: JSON
	header map[string]string
}

// newReception makes the client web with a secret, discovered, whose code exchange
// brings an ID token of alice, an access token and a refresh token.
func newReception(t testing.TB, edit func(*reception, *RelyingPartyOptions)) *reception {
	t.Helper()
	r := &reception{idp: oidctest.New(oidctest.Options{Issuer: "https://issuer.test"})}
	t.Cleanup(r.idp.Close)
	t.Cleanup(func() {
		if r.log.count(canary) > 0 {
			t.Error("a token is in the log")
		}
	})
	client := mustMake(NewClient(ClientOptions{Transport: roundTripper(r.roundTrip)}))
	o := RelyingPartyOptions{
		Name: "web", Issuer: "https://issuer.test", Client: client, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Auth:        mustMake(NewClientAuth(ClientAuthOptions{ID: "web", Secret: secret("s:e+c r%t")})),
		RedirectURI: "https://app.test/.credence/callback", ClockSkew: 30 * time.Second,
		Keys: NewKeySet(KeySetOptions{Name: "corp", Issuer: "https://issuer.test", Client: client}),
	}
	r.replies = map[string]func(url.Values) reply{"/token": r.tokens(nil, nil)}
	if edit != nil {
		edit(r, &o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { o.Keys.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	r.RelyingParty = mustMake(NewRelyingParty(o))
	if err := o.Keys.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.endpoints.discover(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reception) roundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	answer := r.replies[req.URL.Path]
	r.mu.Unlock()
	if answer == nil {
		return r.idp.Transport().RoundTrip(req)
	}
	var form url.Values
	if req.Body != nil {
		body, _ := io.ReadAll(req.Body)
		form, _ = url.ParseQuery(string(body))
	}
	r.mu.Lock()
	r.asked = append(r.asked, question{path: req.URL.Path, header: req.Header, form: form})
	r.mu.Unlock()
	a := answer(form)
	h := http.Header{"Content-Type": {cmp.Or(a.kind, "application/json")}}
	for name, value := range a.header {
		h.Set(name, value)
	}
	return &http.Response{StatusCode: cmp.Or(a.status, 200), Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

// answer replaces an endpoint.
func (r *reception) answer(path string, a reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[path] = func(url.Values) reply { return a }
}

// idToken signs an ID token for web; a claim that is nil isn't there.
func (r *reception) idToken(claims map[string]any, header map[string]any) string {
	all := map[string]any{"aud": "web", "nonce": nonce, "client_id": nil, "scope": nil, "jti": nil, "sid": "s1"}
	maps.Copy(all, claims)
	head := map[string]any{"typ": "JWT"}
	maps.Copy(head, header)
	return r.idp.Sign(oidctest.Token{Claims: all, Header: head})
}

// tokens is a token endpoint that hands out an ID token with these claims, in an
// answer with these members.
func (r *reception) tokens(claims, members map[string]any) func(url.Values) reply {
	return func(url.Values) reply { return r.tokensWith(r.idToken(claims, nil), members) }
}

func (r *reception) tokensWith(idToken string, members map[string]any) reply {
	all := map[string]any{"access_token": "access-" + canary, "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-" + canary, "id_token": idToken}
	for name, value := range members {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return reply{body: marshalled(all)}
}

func (r *reception) login(t testing.TB) (Grant, *audit.Refusal) {
	t.Helper()
	return r.Redeem(t.Context(), "code-"+canary, verifier, nonce, visitor)
}

// outcome is "good", or the refusal; it fails where that holds a token.
func outcome(t testing.TB, refusal *audit.Refusal) string {
	t.Helper()
	if refusal == nil {
		return "good"
	}
	if text := refusal.Error(); strings.Contains(text, canary) || strings.Contains(text, "s:e+c") || strings.Contains(text, verifier) {
		t.Errorf("a secret is in %s", text)
	}
	return refusal.Error()
}

func TestSEC_O1_O11_RelyingPartyOptionsAreChecked(t *testing.T) {
	sound := func() RelyingPartyOptions {
		return RelyingPartyOptions{Issuer: "https://issuer.test", Keys: NewKeySet(KeySetOptions{}), ClientID: "web", RedirectURI: "https://app.test/callback"}
	}
	if p, err := NewRelyingParty(sound()); err != nil || p.options.Auth.options.Method != PublicClient || p.Ready() == nil {
		t.Errorf("the least there can be: %v", err)
	}
	for _, row := range []struct {
		says string
		edit func(*RelyingPartyOptions)
	}{
		{"issuer is missing", func(o *RelyingPartyOptions) { o.Issuer = "" }},
		{"keys are missing", func(o *RelyingPartyOptions) { o.Keys = nil }},
		{"client id is missing", func(o *RelyingPartyOptions) { o.ClientID = "" }},
		{"isn't that of the client authentication", func(o *RelyingPartyOptions) {
			o.Auth = mustMake(NewClientAuth(ClientAuthOptions{ID: "other", Secret: secret("s")}))
		}},
		{"clock skew", func(o *RelyingPartyOptions) { o.ClockSkew = 5 * time.Minute }},
		{`algorithm "none" can't be verified`, func(o *RelyingPartyOptions) { o.Algorithms = []string{"none"} }},
		{`algorithm "HS256" can't be verified`, func(o *RelyingPartyOptions) { o.Algorithms = []string{"RS256", "HS256"} }},
		{"the scope openid is missing", func(o *RelyingPartyOptions) { o.Scopes = []string{"email"} }},
		{"isn't an absolute URL", func(o *RelyingPartyOptions) { o.RedirectURI = "/callback" }},
		{"isn't an absolute URL without a fragment", func(o *RelyingPartyOptions) { o.RedirectURI += "#x" }},
		{"isn't an absolute URL", func(o *RelyingPartyOptions) { o.RedirectURI = "https://app.test/%zz" }},
		{`max_age "-1" isn't a number of seconds`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"max_age": "-1"} }},
		{`parameter "" can't be given`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"": "x"} }},
		{`parameter "state" can't be given: it belongs to the flow`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"state": "x"} }},
		{`parameter "request_uri" can't be given`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"request_uri": "https://evil.test"} }},
		{`parameter "code_challenge_method" can't be given`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"code_challenge_method": "plain"} }},
		{`parameter "client_secret" can't be given`, func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"client_secret": "s"} }},
	} {
		o := sound()
		row.edit(&o)
		_, err := NewRelyingParty(o)
		wantError(t, err, row.says)
	}
}

// TestProviderIsDiscovered in the background, and stays known when discovery fails.
func TestProviderIsDiscovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.UserInfo, o.FormPost = true, true })
		r.endpoints.known.Store(nil)
		if got := outcome(t, r.Ready()); got != "provider_unavailable: the provider wasn't discovered yet" || r.Ready().RetryAfter == 0 {
			t.Errorf("got %s", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, row := range []struct {
			member string
			value  any
			says   string
		}{
			{"authorization_endpoint", nil, "the document has no authorization_endpoint"},
			{"authorization_endpoint", "http://issuer.test/authorize", "is plain http"},
			{"authorization_endpoint", "https://issuer.test/authorize#x", "has a fragment"},
			{"authorization_endpoint", "https://issuer.test/authorize?a=%zz", "the query of"},
			{"authorization_endpoint", "https://issuer.test/authorize", "good"},
			{"token_endpoint", nil, "the document has no token_endpoint"},
			{"token_endpoint", "", "the document has no token_endpoint"},
			{"token_endpoint", "https://issuer.test/token", "good"},
			{"userinfo_endpoint", "ftp://issuer.test/", "isn't an https URL"},
			{"userinfo_endpoint", "https://issuer.test/userinfo", "good"},
			{"revocation_endpoint", "http://evil.test", "good"},
			{"end_session_endpoint", nil, "good"},
		} {
			r.endpoints.known.Store(nil)
			r.idp.DiscoveryMember(row.member, row.value)
			_ = r.endpoints.discover(ctx)
			if got := outcome(t, r.Ready()); !strings.Contains(got, row.says) {
				t.Errorf("%s %v: %s, want %s", row.member, row.value, got, row.says)
			}
		}
		if _, ok := r.EndSessionURL("", "", ""); ok || r.Revoke(ctx, Grant{RefreshToken: "x"}) != nil {
			t.Error("endpoints that aren't there are used")
		}
		running.Go(func() { r.Run(ctx) })
		r.idp.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
		time.Sleep(3 * time.Hour)
		if got := outcome(t, r.Ready()); got != "good" || r.log.count("endpoints can't be discovered") != 1 {
			t.Errorf("while discovery is down: %s", got)
		}
		r.idp.DiscoveryMember("token_endpoint", "https://issuer.test/moved")
		r.idp.DiscoveryMember("code_challenge_methods_supported", []string{"plain"})
		r.idp.DiscoveryMember("response_modes_supported", []string{"query"})
		r.idp.Mend(oidctest.Discovery)
		time.Sleep(2 * time.Hour)
		if got, _ := r.endpoints.get(); got.token != "https://issuer.test/moved" {
			t.Errorf("got %s", got.token)
		}
		if r.log.count("code_challenge_methods_supported lacks S256; response_modes_supported lacks form_post") != 1 {
			t.Errorf("no doubts are logged: %s", r.log.text.String())
		}
		stop()
		running.Wait()
	})
}

func marshalled(v any) string { return string(mustMake(json.Marshal(v))) }

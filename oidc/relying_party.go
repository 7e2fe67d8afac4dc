package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// RelyingPartyOptions say as which client people are logged in at which provider.
type RelyingPartyOptions struct {
	Name   string // the client's, for logs
	Issuer Issuer

	// DiscoveryURL is as in KeySetOptions.
	DiscoveryURL string

	// Endpoints that aren't to be discovered.
	Endpoints Endpoints

	// Keys are the issuer's. Whoever made the set runs it.
	Keys *KeySet

	// DecryptionKeys are ours; the provider may encrypt ID tokens to them. None means
	// that encrypted ones are refused.
	DecryptionKeys []*DecryptionKey

	// Algorithms of ID tokens that are accepted, by JWS name. Empty means RS256 and
	// ES256.
	Algorithms []string

	// ClockSkew is the leeway for the dates of ID tokens; under five minutes. Zero
	// means none.
	ClockSkew time.Duration

	// Auth proves which client is asking. Nil means a public client, which proves
	// nothing; it needs a ClientID.
	Auth *ClientAuth

	// ClientID is what the provider calls us; empty means Auth's.
	ClientID string

	// OtherAudiences may stand beside our client id in aud. An ID token that is for
	// anybody else too is refused (OpenID Connect Core 1.0, 3.1.3.7).
	OtherAudiences []string

	// RedirectURI is where the provider sends the browser back to, as registered.
	RedirectURI string

	// Scopes to ask for; openid has to be among them. Empty means openid.
	Scopes []string

	// FormPost has the provider answer by a form that the browser posts, so that the
	// code is in no URL (OAuth 2.0 Form Post Response Mode).
	FormPost bool

	// Parameters are more of them for the authorization endpoint, such as acr_values.
	// Those that make up the flow can't be given. A max_age is checked in the ID
	// token as well.
	Parameters map[string]string

	// UserInfo asks the provider's userinfo too, at login and refresh.
	UserInfo bool

	// MaxConcurrent bounds the code exchanges under way, and MaxPerSecond those that
	// begin; one client address gets a quarter of each. What is over is LoginBusy.
	// Zero means 32 and 50. Refreshes have a budget of their own, at least 64 and 200.
	MaxConcurrent, MaxPerSecond int

	Client *http.Client // from NewClient; nil means one with the zero ClientOptions
	Log    *slog.Logger // nil means nowhere
}

// RelyingParty logs people in at a provider: the authorization code flow with PKCE
// (OpenID Connect Core 1.0, 3.1; RFC 7636), refresh, logout and revocation. It keeps
// no state of a login: what an [Attempt] needs is the caller's to remember.
// [RelyingParty.Run] discovers in the background where the provider is asked, as far
// as that isn't configured.
type RelyingParty struct {
	options   RelyingPartyOptions // defaults filled in
	maxAge    time.Duration       // of Parameters; negative: none
	provider  *Provider           // whose ID tokens are judged; its audience is the client
	client    *http.Client
	logins    *budget // anonymous callers use it up
	refreshes *budget // only sessions use it up
	log       *slog.Logger
	endpoints whereabouts[counterpart]
}

// counterpart is where the provider is asked.
type counterpart struct {
	authorization, token, userinfo string
	endSession, revocation         string // empty: the provider has none
	sendsIssuer                    bool   // in every authorization response (RFC 9207, 3)
}

const (
	defaultLogins          = 32
	defaultLoginsPerSecond = 50
	endpointTimeout        = 10 * time.Second // one request to an endpoint
	exchangeTimeout        = 20 * time.Second // all that a login or a refresh asks
)

// flowParameters make up the flow, or would let a secret into a URL or another
// request take this one's place (RFC 9101). No configuration gives them.
var flowParameters = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
	"request", "request_uri", "client_secret", "client_assertion", "client_assertion_type", "code", "code_verifier", "id_token_hint",
}

// NewRelyingParty checks the options.
func NewRelyingParty(o RelyingPartyOptions) (*RelyingParty, error) {
	if o.Auth != nil && o.ClientID == "" {
		o.ClientID = o.Auth.options.ID
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid"}
	}
	maxAge, err := checkParameters(o.Parameters)
	switch {
	case err != nil:
		return nil, err
	case o.ClientID == "":
		return nil, errors.New("client id is missing")
	case o.Auth != nil && o.Auth.options.ID != o.ClientID:
		return nil, fmt.Errorf("client id %q isn't that of the client authentication, %q", o.ClientID, o.Auth.options.ID)
	case !slices.Contains(o.Scopes, "openid"):
		return nil, errors.New("the scope openid is missing: without it there is no ID token")
	}
	provider, err := NewProvider(ProviderOptions{
		Name: o.Name, Issuer: o.Issuer, Audiences: []string{o.ClientID}, Algorithms: o.Algorithms, ClockSkew: o.ClockSkew, Keys: o.Keys,
	})
	if err != nil {
		return nil, err
	}
	if err := o.Endpoints.check(); err != nil {
		return nil, err
	}
	if _, err := checkDecryption(o.DecryptionKeys); err != nil {
		return nil, fmt.Errorf("decryption keys: %w", err)
	}
	if u, err := url.Parse(o.RedirectURI); err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" {
		return nil, fmt.Errorf("redirect URI %q isn't an absolute URL without a fragment", o.RedirectURI)
	}
	if o.Auth == nil {
		o.Auth = &ClientAuth{options: ClientAuthOptions{ID: o.ClientID, Method: PublicClient}}
	}
	o.MaxConcurrent = cmp.Or(max(o.MaxConcurrent, 0), defaultLogins)
	o.MaxPerSecond = cmp.Or(max(o.MaxPerSecond, 0), defaultLoginsPerSecond)
	if o.Client == nil {
		o.Client, _ = NewClient(ClientOptions{}) // only a CAFile can fail
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &RelyingParty{
		options:   o,
		maxAge:    maxAge,
		provider:  provider,
		client:    withoutRedirects(o.Client),
		logins:    newBudget(o.MaxConcurrent, o.MaxPerSecond),
		refreshes: newBudget(max(o.MaxConcurrent, defaultMaxConcurrent), max(o.MaxPerSecond, defaultMaxPerSecond)),
		log:       o.Log.With("client", o.Name),
	}
	p.endpoints = whereabouts[counterpart]{
		what: "the provider", locate: p.locate, moved: p.moved, directory: directory{o.Issuer, o.DiscoveryURL, o.Client, p.log},
	}
	if !o.discovers() {
		configured, err := p.locate(&Metadata{})
		if err != nil {
			return nil, err
		}
		p.endpoints.configure(configured)
	}
	return p, nil
}

// discovers says whether a login needs something that isn't configured.
func (o *RelyingPartyOptions) discovers() bool {
	e := &o.Endpoints
	return e.Authorization == "" || e.Token == "" || o.UserInfo && e.UserInfo == ""
}

// checkParameters refuses parameters of the flow itself, and reads max_age, which
// is negative where there is none.
func checkParameters(parameters map[string]string) (maxAge time.Duration, err error) {
	for name := range parameters {
		if name == "" || slices.Contains(flowParameters, name) {
			return 0, fmt.Errorf("parameter %q can't be given: it belongs to the flow", name)
		}
	}
	text, ok := parameters["max_age"]
	if !ok {
		return -1, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("max_age %q isn't a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second, nil
}

// Run discovers the provider, and again every hour in case something has moved,
// until ctx ends. It returns at once where all that a login needs is configured.
func (p *RelyingParty) Run(ctx context.Context) { p.endpoints.run(ctx) }

// Issuer is the provider that people are sent to.
func (p *RelyingParty) Issuer() Issuer { return p.options.Issuer }

// RedirectURI is where the provider sends the browser back to.
func (p *RelyingParty) RedirectURI() string { return p.options.RedirectURI }

// FormPost says whether the browser comes back by a POST.
func (p *RelyingParty) FormPost() bool { return p.options.FormPost }

// Ready refuses as long as it isn't known where the provider is.
func (p *RelyingParty) Ready() *audit.Refusal {
	_, refusal := p.counterpart()
	return refusal
}

func (p *RelyingParty) counterpart() (counterpart, *audit.Refusal) {
	known, problem := p.endpoints.get()
	if problem != "" {
		return counterpart{}, unreachable(problem, retryAfterFailure)
	}
	return known, nil
}

// locate finds what a login needs, all of it, and what a logout can do without.
func (p *RelyingParty) locate(m *Metadata) (c counterpart, err error) {
	e := &p.options.Endpoints
	if c.authorization, err = m.at(e.Authorization, "authorization_endpoint"); err != nil {
		return c, err
	}
	if err := checkQuery(c.authorization); err != nil {
		return c, fmt.Errorf("authorization_endpoint: %w", err)
	}
	if c.token, err = m.at(e.Token, "token_endpoint"); err != nil {
		return c, err
	}
	if p.options.UserInfo {
		if c.userinfo, err = m.at(e.UserInfo, "userinfo_endpoint"); err != nil {
			return c, err
		}
	}
	c.endSession, _ = m.at(e.EndSession, "end_session_endpoint")
	c.revocation, _ = m.at(e.Revocation, "revocation_endpoint")
	said, _ := m.document.Lookup("authorization_response_iss_parameter_supported").Bool()
	c.sendsIssuer = said || e.SendsIssuer
	return c, nil
}

// moved writes down where the provider is now, and what it says against being asked
// as it will be.
func (p *RelyingParty) moved(m *Metadata, now counterpart) {
	p.log.Info("provider discovered", "authorization_endpoint", now.authorization, "token_endpoint", now.token)
	if doubts := p.doubts(m); len(doubts) > 0 {
		p.log.Warn("the provider says that it can't do what it will be asked for", "doubts", strings.Join(doubts, "; "))
	}
}

// doubts are what the document says against the requests that will be made. They
// aren't refused: documents are known to be wrong here, and the provider has the
// last word.
func (p *RelyingParty) doubts(m *Metadata) (doubts []string) {
	needed := [...]struct{ list, value string }{
		{"response_types_supported", "code"},
		{"code_challenge_methods_supported", "S256"},
		{"response_modes_supported", "form_post"},
		{"token_endpoint_auth_methods_supported", p.options.Auth.options.Method.String()},
	}
	for _, n := range needed {
		if n.value == "form_post" && !p.options.FormPost {
			continue
		}
		if list := m.document.Lookup(n.list); list.Exists() && !list.Has(n.value) {
			doubts = append(doubts, n.list+" lacks "+n.value)
		}
	}
	return doubts
}

package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/login"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
	"github.com/credence-authz/credence/session"
)

// activationDelay is how long a new sealing key is only known before it seals, so that
// every replica has read it by then.
const activationDelay = 5 * time.Minute

// party is one of our clients at a provider.
type party struct {
	*oidc.RelyingParty
	name, issuer string
	optional     bool // as its provider is
}

// buildLogin makes what logs people in, and the sessions that come of it.
func (a *authorizer) buildLogin(file *config.File, log *slog.Logger) (*session.Sessions, error) {
	c := file.Config
	problem := func(field string, err error) error {
		return usageError{config.Problems{file.Problem(field, plainWords(err))}}
	}
	var keys []func() (string, error)
	for _, k := range c.GetSession().GetKeys() {
		keys = append(keys, config.NewSecret(k).Read)
	}
	ring, err := session.NewRing(session.RingOptions{Keys: keys, ActivationDelay: activationDelay, Log: log})
	if err != nil {
		return nil, problem("session.keys", err)
	}
	refresh, issuers := map[string]session.RefreshFunc{}, map[string]string{}
	parties := map[string]*oidc.RelyingParty{}
	var clients []login.Client
	for i, client := range c.GetClients() {
		built, err := a.buildParty(c, client, log)
		if err != nil {
			return nil, problem(fmt.Sprintf("clients[%d]", i), err)
		}
		a.parties = append(a.parties, built)
		parties[client.GetName()], refresh[client.GetName()] = built.RelyingParty, refreshBy(built.RelyingParty)
		issuers[client.GetName()] = built.issuer
		clients = append(clients, login.Client{
			Name: client.GetName(), Party: built.RelyingParty, Provider: client.GetProvider(),
			ReturnTo: client.GetReturnTo(), ShownClaims: client.GetShownClaims(),
			Logout: buildLogout(client.GetProviderLogout()), PostLogoutRedirectURI: client.GetPostLogoutRedirectUri(),
		})
	}
	s := c.GetSession()
	sessions, err := session.New(session.Options{
		Ring: ring, Store: buildStore(s), Cookie: session.CookieOptions{
			Name: s.GetCookie().GetName(), Domain: s.GetCookie().GetDomain(), SameSite: buildSameSite(s.GetCookie().GetSameSite()),
			Partitioned: s.GetCookie().GetPartitioned(), Persistent: s.GetCookie().GetPersistent(),
		},
		Idle: s.GetIdle().AsDuration(), Lifetime: s.GetLifetime().AsDuration(), RefreshLeeway: s.GetRefreshLeeway().AsDuration(),
		Refresh: refresh, Issuers: issuers, Discard: discardAt(parties, log), Revocations: a.revocations, Audit: a.audit, Log: log,
	})
	if err != nil {
		return nil, problem("session", err)
	}
	var pages fs.FS
	field := "login"
	if folder := c.GetLogin().GetPages(); folder != "" {
		pages, field = os.DirFS(folder), "login.pages"
	}
	handler, err := login.New(login.Options{
		Prefix: c.GetLogin().GetPrefix(), Clients: clients, Sessions: sessions, Ring: ring, Pages: pages,
		TrustedHops: int(c.GetLimits().GetTrustedHops()), Audit: a.audit, Log: log,
	})
	if err != nil {
		return nil, problem(field, err)
	}
	a.login, a.loggedOut = handler, func() { handler.Close(); sessions.Close() }
	return sessions, nil
}

func (a *authorizer) buildParty(c *configv1.Config, client *configv1.Client, log *slog.Logger) (party, error) {
	i := slices.IndexFunc(c.GetProviders(), func(p *configv1.Provider) bool { return p.GetName() == client.GetProvider() })
	from, built := c.GetProviders()[i], a.providers[i]
	auth, err := buildClientAuth(from.GetIssuer(), client)
	if err != nil {
		return party{}, err
	}
	p, err := oidc.NewRelyingParty(oidc.RelyingPartyOptions{
		Name: client.GetName(), Issuer: oidc.Issuer(from.GetIssuer()), DiscoveryURL: from.GetDiscoveryUrl(),
		Endpoints: buildEndpoints(from.GetEndpoints()), DecryptionKeys: built.opens,
		Keys: built.keys, Algorithms: from.GetAlgorithms(), ClockSkew: from.GetClockSkew().AsDuration(),
		Auth: auth, ClientID: client.GetClientId(), OtherAudiences: client.GetOtherAudiences(), RedirectURI: client.GetRedirectUri(), Scopes: client.GetScopes(),
		FormPost:   client.GetResponseMode() == configv1.ResponseMode_RESPONSE_MODE_FORM_POST,
		Parameters: client.GetParameters(), UserInfo: client.GetUserinfo(),
		MaxConcurrent: int(client.GetMaxConcurrent()), MaxPerSecond: int(client.GetMaxPerSecond()),
		Client: built.http, Log: log,
	})
	return party{p, client.GetName(), from.GetIssuer(), built.optional}, err
}

func buildEndpoints(e *configv1.Endpoints) oidc.Endpoints {
	return oidc.Endpoints{
		Authorization: e.GetAuthorization(), Token: e.GetToken(), UserInfo: e.GetUserinfo(),
		EndSession: e.GetEndSession(), Revocation: e.GetRevocation(), SendsIssuer: e.GetSendsIss(),
	}
}

// refreshBy renews the tokens of sessions at the client's provider.
func refreshBy(p *oidc.RelyingParty) session.RefreshFunc {
	return func(ctx context.Context, r *session.Record) *audit.Refusal {
		g, refusal := p.Refresh(ctx, grantOf(r))
		if refusal != nil {
			return refusal
		}
		r.SID, r.Claims, r.AccessExpires = g.SID, g.Claims.Flat(), g.Expires
		r.IDToken, r.AccessToken, r.RefreshToken = string(g.IDToken), string(g.AccessToken), string(g.RefreshToken)
		return nil
	}
}

// discardAt has the provider of a session's client revoke its tokens. A provider
// that can't be reached is told nothing: the tokens end by themselves.
func discardAt(parties map[string]*oidc.RelyingParty, log *slog.Logger) func(context.Context, *session.Record) {
	return func(ctx context.Context, r *session.Record) {
		if err := parties[r.Client].Revoke(ctx, grantOf(r)); err != nil {
			log.Warn("tokens can't be revoked at the provider", "client", r.Client, "err", err)
		}
	}
}

// grantOf is what a session came of.
func grantOf(r *session.Record) oidc.Grant {
	return oidc.Grant{
		Identity: oidc.Identity{Issuer: oidc.Issuer(r.Issuer), Subject: oidc.Subject(r.Subject), SID: r.SID},
		Claims:   oidc.UnflattenClaims(r.Claims),
		IDToken:  oidc.RawToken(r.IDToken), AccessToken: oidc.RawToken(r.AccessToken), RefreshToken: oidc.RawToken(r.RefreshToken),
		Expires: r.AccessExpires,
	}
}

func buildStore(s *configv1.Session) session.Store {
	if s.GetStore() == configv1.SessionStore_SESSION_STORE_MEMORY {
		return session.NewMemory(int(s.GetMaxSessions()))
	}
	return nil
}

func buildSameSite(s configv1.SameSite) http.SameSite {
	switch s {
	case configv1.SameSite_SAME_SITE_STRICT:
		return http.SameSiteStrictMode
	case configv1.SameSite_SAME_SITE_NONE:
		return http.SameSiteNoneMode
	default:
		return http.SameSiteLaxMode
	}
}

func buildLogout(l configv1.ProviderLogout) login.Logout {
	switch l {
	case configv1.ProviderLogout_PROVIDER_LOGOUT_WITHOUT_HINT:
		return login.RedirectWithoutHint
	case configv1.ProviderLogout_PROVIDER_LOGOUT_NONE:
		return login.LocalOnly
	default:
		return login.Redirect
	}
}

// buildClients are the clients as the decision sees them.
func buildClients(c *configv1.Config) (list []authz.Client) {
	for _, client := range c.GetClients() {
		list = append(list, authz.Client{
			Name: client.GetName(), Provider: client.GetProvider(), ReturnTo: client.GetReturnTo(),
			LoginURL: origin(client.GetRedirectUri()) + c.GetLogin().GetPrefix() + "/login",
		})
	}
	return list
}

// loginPaths are the paths of the login pages, also those that one client has.
func loginPaths(c *configv1.Config) (list []string) {
	for _, name := range login.Endpoints {
		list = append(list, c.GetLogin().GetPrefix()+name)
	}
	for _, client := range c.GetClients() {
		list = append(list, strings.TrimPrefix(client.GetRedirectUri(), origin(client.GetRedirectUri())))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// origin is that of a checked URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

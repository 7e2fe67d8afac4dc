package config

import (
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// setDefaults fills in what was left out. The schema's comments promise these
// values, and a test compares the two.
func setDefaults(c *configv1.Config) {
	def(&c.Listen, &configv1.Listen{})
	def(&c.Listen.Check, &configv1.CheckListener{})
	def(&c.Listen.Check.Address, "127.0.0.1:9001")
	def(&c.Listen.Probe, &configv1.Listener{})
	def(&c.Listen.Probe.Address, ":9090")
	setLoginDefaults(c)

	for _, p := range c.Providers {
		def(&p.ClockSkew, durationpb.New(30*time.Second))
		def(&p.Tokens, configv1.Tokens_TOKENS_JWT)
		if i := p.Introspection; i != nil {
			def(&i.Authentication, configv1.ClientAuthentication_CLIENT_AUTHENTICATION_BASIC)
			def(&i.Ttl, durationpb.New(time.Minute))
			def(&i.MaxConcurrent, 64)
			def(&i.MaxPerSecond, 200)
		}
		if u := p.Userinfo; u != nil {
			def(&u.When, configv1.UserInfoWhen_USER_INFO_WHEN_OPENID)
			def(&u.Ttl, durationpb.New(5*time.Minute))
			def(&u.MaxConcurrent, 64)
			def(&u.MaxPerSecond, 200)
		}
		if p.Tokens == configv1.Tokens_TOKENS_INTROSPECTION && !hasClient(c, p.Name) && !p.Introspection.GetSignedAnswers() {
			continue // the others are about signatures, and there are none: nobody logs in for an ID token
		}
		if len(p.Algorithms) == 0 {
			p.Algorithms = []string{"RS256", "ES256"}
		}
		def(&p.Keys, &configv1.Keys{})
		if p.Keys.File != "" {
			continue // the others are about fetching
		}
		def(&p.Keys.Refresh, durationpb.New(5*time.Minute))
		def(&p.Keys.MaxStale, durationpb.New(24*time.Hour))
		def(&p.Keys.Cooldown, durationpb.New(30*time.Second))
	}
	for _, rule := range c.Rules {
		def(&rule.AmbiguousPaths, configv1.AmbiguousPaths_AMBIGUOUS_PATHS_REFUSE)
		def(&rule.UnauthenticatedStatus, 401)
	}

	def(&c.Cache, &configv1.Cache{})
	def(&c.Cache.TokenMib, 64)
	def(&c.Cache.RefusalMib, 4)
	def(&c.Cache.TokenTtl, durationpb.New(15*time.Minute))
	def(&c.Cache.RefusalTtl, durationpb.New(10*time.Second))
	def(&c.Limits, &configv1.Limits{})
	def(&c.Limits.TokenBytes, 16384)
	def(&c.Limits.TrustedHops, new(uint32(1)))
	def(&c.Audit, &configv1.Audit{})
	def(&c.Audit.Allows, configv1.Allows_ALLOWS_SAMPLED)
	def(&c.Audit.Recheck, new(uint32(1000)))
	def(&c.Log, &configv1.Log{})
	def(&c.Log.Level, configv1.Level_LEVEL_INFO)
	def(&c.Realm, "credence")
}

// isPublic says whether there is something that the public asks Credence itself for.
func isPublic(c *configv1.Config) bool { return len(c.GetClients()) > 0 || len(c.GetResources()) > 0 }

// setLoginDefaults fills in what is about logins, where there are clients.
func setLoginDefaults(c *configv1.Config) {
	if isPublic(c) {
		def(&c.Listen.Login, &configv1.Listener{})
		def(&c.Listen.Login.Address, ":8080")
	}
	if len(c.Clients) > 0 {
		def(&c.Login, &configv1.Login{})
		def(&c.Login.Prefix, "/.credence")
	}
	for _, client := range c.Clients {
		def(&client.Authentication, configv1.ClientAuthentication_CLIENT_AUTHENTICATION_BASIC)
		def(&client.ResponseMode, configv1.ResponseMode_RESPONSE_MODE_QUERY)
		def(&client.ProviderLogout, configv1.ProviderLogout_PROVIDER_LOGOUT_REDIRECT)
		def(&client.MaxConcurrent, 32)
		def(&client.MaxPerSecond, 50)
		if len(client.Scopes) == 0 {
			client.Scopes = []string{"openid"}
		}
		if len(client.ShownClaims) == 0 {
			client.ShownClaims = []string{"name", "preferred_username", "email"}
		}
		u, err := url.Parse(client.RedirectUri)
		if err != nil || u.Host == "" {
			continue // which is reported
		}
		if len(client.ReturnTo) == 0 {
			client.ReturnTo = []string{originOf(u)}
		}
		def(&client.PostLogoutRedirectUri, originOf(u)+c.Login.Prefix+"/signed-out")
	}
	if d := c.Dpop; d != nil {
		def(&d.MaxAge, durationpb.New(time.Minute))
	}
	if s := c.Session; s != nil {
		def(&s.Store, configv1.SessionStore_SESSION_STORE_COOKIE)
		def(&s.Cookie, &configv1.Cookie{})
		def(&s.Cookie.Name, "credence")
		def(&s.Cookie.SameSite, configv1.SameSite_SAME_SITE_LAX)
		def(&s.Idle, durationpb.New(time.Hour))
		def(&s.Lifetime, durationpb.New(12*time.Hour))
		def(&s.RefreshLeeway, durationpb.New(time.Minute))
		def(&s.MaxSessions, 100_000)
	}
}

// def sets a field that has its zero value.
func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

package config

import (
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

	for _, p := range c.Providers {
		def(&p.ClockSkew, durationpb.New(30*time.Second))
		def(&p.Tokens, configv1.Tokens_TOKENS_JWT)
		if i := p.Introspection; i != nil {
			def(&i.Authentication, configv1.ClientAuthentication_CLIENT_AUTHENTICATION_BASIC)
			def(&i.Ttl, durationpb.New(time.Minute))
			def(&i.MaxConcurrent, 64)
			def(&i.MaxPerSecond, 200)
		}
		if p.Tokens == configv1.Tokens_TOKENS_INTROSPECTION {
			continue // the others are about signatures
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
	def(&c.Audit, &configv1.Audit{})
	def(&c.Audit.Allows, configv1.Allows_ALLOWS_SAMPLED)
	def(&c.Log, &configv1.Log{})
	def(&c.Log.Level, configv1.Level_LEVEL_INFO)
	def(&c.Realm, "credence")
}

// def sets a field that has its zero value.
func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

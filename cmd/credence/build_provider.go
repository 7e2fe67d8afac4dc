package main

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func buildProvider(p *configv1.Provider, log *slog.Logger) (*oidc.Provider, error) {
	client, err := oidc.NewClient(oidc.ClientOptions{CAFile: p.GetCaFile()})
	if err != nil {
		return nil, err
	}
	o := oidc.ProviderOptions{
		Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), Audiences: p.GetAudiences(), Algorithms: p.GetAlgorithms(),
		ClockSkew: p.GetClockSkew().AsDuration(), StrictType: p.GetStrictType(), AcceptNonce: p.GetAcceptNonce(),
		RequiredClaims: p.GetRequiredClaims(), AcceptMissingSubject: p.GetAcceptMissingSubject(),
		IntrospectJWTs: p.GetTokens() == configv1.Tokens_TOKENS_INTROSPECTION,
	}
	if !o.IntrospectJWTs {
		k := p.GetKeys()
		o.Keys = oidc.NewKeySet(oidc.KeySetOptions{
			Name: o.Name, Issuer: o.Issuer, DiscoveryURL: p.GetDiscoveryUrl(),
			URL: k.GetUrl(), File: k.GetFile(), KeepFile: k.GetKeepFile(), Refresh: k.GetRefresh().AsDuration(),
			MaxStale: k.GetMaxStale().AsDuration(), Cooldown: k.GetCooldown().AsDuration(), Client: client, Log: log,
		})
	}
	if p.GetIntrospection() != nil {
		if o.Introspector, err = buildIntrospector(p, client, log); err != nil {
			return nil, err
		}
	}
	return oidc.NewProvider(o)
}

func buildIntrospector(p *configv1.Provider, client *http.Client, log *slog.Logger) (*oidc.Introspector, error) {
	i := p.GetIntrospection()
	auth, err := buildClientAuth(p.GetIssuer(), i)
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	return oidc.NewIntrospector(oidc.IntrospectorOptions{
		Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), URL: i.GetUrl(), DiscoveryURL: p.GetDiscoveryUrl(), Auth: auth,
		TTL: i.GetTtl().AsDuration(), AcceptMissingAudience: i.GetAcceptMissingAudience(),
		MaxConcurrent: int(i.GetMaxConcurrent()), MaxPerSecond: int(i.GetMaxPerSecond()), Client: client, Log: log,
	})
}

// buildClientAuth makes sure that the secret or key can be used now. Later changes
// are taken over as they come.
func buildClientAuth(issuer string, i *configv1.Introspection) (*oidc.ClientAuth, error) {
	o := oidc.ClientAuthOptions{ID: i.GetClientId(), KeyID: i.GetKeyId(), Audience: oidc.Issuer(issuer)}
	reference := i.GetClientSecret()
	switch i.GetAuthentication() {
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_POST:
		o.Method = oidc.ClientSecretPost
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT:
		o.Method = oidc.PrivateKeyJWT
		reference = &configv1.Secret{File: i.GetKeyFile()}
	}
	o.Secret = config.NewSecret(reference).Read
	auth, err := oidc.NewClientAuth(o)
	if err != nil {
		return nil, err
	}
	return auth, auth.Check()
}

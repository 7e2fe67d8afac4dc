package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// provider is an issuer, what is fetched from it, and what its configuration says
// beyond.
type provider struct {
	name     string
	http     *http.Client
	keys     *oidc.KeySet          // nil where no signature of its own is verified
	tokens   *oidc.Provider        // nil where none of its tokens is a bearer's
	opens    []*oidc.DecryptionKey // private keys of ours, to which it encrypts tokens
	optional bool
}

// introspector asks about its tokens; nil where that isn't done.
func (p *provider) introspector() *oidc.Introspector {
	if p.tokens == nil {
		return nil
	}
	return p.tokens.Introspector()
}

// userInfo is asked about its tokens; nil where that isn't done.
func (p *provider) userInfo() *oidc.UserInfo {
	if p.tokens == nil {
		return nil
	}
	return p.tokens.UserInfo()
}

// ready refuses where what the provider signs, or says, couldn't be judged now.
func (p *provider) ready() *audit.Refusal {
	if p.tokens != nil {
		if refusal := p.tokens.Ready(); refusal != nil {
			return refusal
		}
	}
	if p.keys == nil {
		return nil
	}
	_, refusal := p.keys.Current()
	return refusal
}

func buildProvider(c *configv1.Config, p *configv1.Provider, log *slog.Logger) (built provider, err error) {
	n := p.GetConnection()
	client, err := oidc.NewClient(oidc.ClientOptions{
		CAFile: p.GetCaFile(), CertificateFile: n.GetClientCertificateFile(), KeyFile: n.GetClientKeyFile(),
		Proxy: n.GetProxy(), BearerFile: n.GetBearerTokenFile(),
	})
	if err != nil {
		return built, err
	}
	built = provider{name: p.GetName(), http: client, optional: p.GetOptional()}
	bearer := len(p.GetAudiences()) > 0
	introspectAll := p.GetTokens() == configv1.Tokens_TOKENS_INTROSPECTION
	logsIn := slices.ContainsFunc(c.GetClients(), func(c *configv1.Client) bool { return c.GetProvider() == p.GetName() })
	if bearer && (!introspectAll || p.GetIntrospection().GetSignedAnswers()) || logsIn {
		k := p.GetKeys()
		built.keys = oidc.NewKeySet(oidc.KeySetOptions{
			Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), DiscoveryURL: p.GetDiscoveryUrl(),
			URL: k.GetUrl(), File: k.GetFile(), KeepFile: k.GetKeepFile(), Refresh: k.GetRefresh().AsDuration(),
			MaxStale: k.GetMaxStale().AsDuration(), Cooldown: k.GetCooldown().AsDuration(), Client: client, Log: log,
		})
	}
	if built.opens, err = readDecryptionKeys(p.GetDecryptionKeys()); err != nil {
		return built, err
	}
	if bearer {
		built.tokens, err = buildBearer(p, &built, log)
	}
	return built, err
}

func buildBearer(p *configv1.Provider, built *provider, log *slog.Logger) (_ *oidc.Provider, err error) {
	o := oidc.ProviderOptions{
		Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), Audiences: p.GetAudiences(), Algorithms: p.GetAlgorithms(),
		ClockSkew: p.GetClockSkew().AsDuration(), StrictType: p.GetStrictType(), AcceptNonce: p.GetAcceptNonce(),
		RequiredClaims: p.GetRequiredClaims(), AcceptMissingSubject: p.GetAcceptMissingSubject(),
		AcceptIDTokens: p.GetAcceptIdTokens(), DecryptionKeys: built.opens,
		IntrospectJWTs: p.GetTokens() == configv1.Tokens_TOKENS_INTROSPECTION,
		// The decision asks for the proof of a bound token at each request.
		CallerChecksConstraints: true,
	}
	if !o.IntrospectJWTs {
		o.Keys = built.keys
	}
	if p.GetIntrospection() != nil {
		if o.Introspector, err = buildIntrospector(p, built.keys, built.http, log); err != nil {
			return nil, err
		}
	}
	if p.GetUserinfo() != nil {
		if o.UserInfo, err = buildUserInfo(p, built.keys, built.http, log); err != nil {
			return nil, err
		}
	}
	return oidc.NewProvider(o)
}

var userInfoWhen = map[configv1.UserInfoWhen]oidc.UserInfoWhen{
	configv1.UserInfoWhen_USER_INFO_WHEN_OPENID:   oidc.UserInfoOpenID,
	configv1.UserInfoWhen_USER_INFO_WHEN_LEFT_OUT: oidc.UserInfoLeftOut,
	configv1.UserInfoWhen_USER_INFO_WHEN_ALWAYS:   oidc.UserInfoAlways,
}

func buildUserInfo(p *configv1.Provider, keys *oidc.KeySet, client *http.Client, log *slog.Logger) (*oidc.UserInfo, error) {
	u := p.GetUserinfo()
	return oidc.NewUserInfo(oidc.UserInfoOptions{
		Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), DiscoveryURL: p.GetDiscoveryUrl(), URL: p.GetEndpoints().GetUserinfo(), When: userInfoWhen[u.GetWhen()],
		TTL: u.GetTtl().AsDuration(), Keys: keys, MaxConcurrent: int(u.GetMaxConcurrent()), MaxPerSecond: int(u.GetMaxPerSecond()),
		Client: client, Log: log,
	})
}

// readDecryptionKeys reads our keys, once: a provider is told of new ones long before
// it uses them.
func readDecryptionKeys(places []*configv1.Secret) (keys []*oidc.DecryptionKey, err error) {
	for i, place := range places {
		text, err := config.NewSecret(place).Read()
		if err != nil {
			return nil, fmt.Errorf("decryption_keys[%d]: %w", i, err)
		}
		parsed, err := oidc.ParseDecryptionKeys([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("decryption_keys[%d]: %w", i, err)
		}
		keys = append(keys, parsed...)
	}
	return keys, nil
}

func buildIntrospector(p *configv1.Provider, keys *oidc.KeySet, client *http.Client, log *slog.Logger) (*oidc.Introspector, error) {
	i := p.GetIntrospection()
	auth, err := buildClientAuth(p.GetIssuer(), i)
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	var signed *oidc.SignedAnswers
	if i.GetSignedAnswers() {
		signed = &oidc.SignedAnswers{Keys: keys, Algorithms: p.GetAlgorithms()}
	}
	return oidc.NewIntrospector(oidc.IntrospectorOptions{
		Name: p.GetName(), Issuer: oidc.Issuer(p.GetIssuer()), URL: i.GetUrl(), DiscoveryURL: p.GetDiscoveryUrl(), Auth: auth,
		TTL: i.GetTtl().AsDuration(), AcceptMissingAudience: i.GetAcceptMissingAudience(), Signed: signed,
		MaxConcurrent: int(i.GetMaxConcurrent()), MaxPerSecond: int(i.GetMaxPerSecond()), Client: client, Log: log,
	})
}

// clientCredentials are how a client of a provider is configured.
type clientCredentials interface {
	GetClientId() string
	GetClientSecret() *configv1.Secret
	GetAuthentication() configv1.ClientAuthentication
	GetKeyFile() string
	GetKeyId() string
}

// buildClientAuth makes sure that the secret or key can be used now. Later changes
// are taken over as they come.
func buildClientAuth(issuer string, i clientCredentials) (*oidc.ClientAuth, error) {
	o := oidc.ClientAuthOptions{ID: i.GetClientId(), KeyID: i.GetKeyId(), Audience: oidc.Issuer(issuer)}
	o.Secret = config.NewPassword(i.GetClientSecret()).Read
	switch i.GetAuthentication() {
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_POST:
		o.Method = oidc.ClientSecretPost
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT:
		o.Method = oidc.PrivateKeyJWT
		o.Secret = config.NewSecret(&configv1.Secret{File: i.GetKeyFile()}).Read
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_CLIENT_SECRET_JWT:
		o.Method = oidc.ClientSecretJWT
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_TLS_CLIENT_AUTH:
		o.Method, o.Secret = oidc.TLSClientAuth, nil
	case configv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE:
		o.Method, o.Secret = oidc.PublicClient, nil
	}
	auth, err := oidc.NewClientAuth(o)
	if err != nil {
		return nil, err
	}
	return auth, auth.Check()
}

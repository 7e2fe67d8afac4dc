package oidc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/credence-authz/credence/audit"
)

// ProviderOptions describe an issuer whose access tokens are believed.
type ProviderOptions struct {
	Name   string // for rules, logs and metrics
	Issuer Issuer

	// Audiences: aud has to name one of these. There has to be one.
	Audiences []string

	// Algorithms accepted, by JWS name. Empty means RS256 and ES256.
	Algorithms []string

	// ClockSkew is the leeway for exp, nbf and iat; under five minutes. Zero
	// means none.
	ClockSkew time.Duration

	// StrictType asks for all that RFC 9068 does: typ at+jwt, iat, client_id, jti.
	// It doesn't go with AcceptMissingSubject.
	StrictType bool

	// AcceptNonce lets tokens with a nonce through, which are refused as ID tokens
	// otherwise. Keycloak before 24 put it in access tokens too.
	AcceptNonce bool

	// RequiredClaims have to be present and not null.
	RequiredClaims []string

	// AcceptMissingSubject lets tokens without sub through.
	AcceptMissingSubject bool

	// AcceptIDTokens takes ID tokens for access tokens, for callers that have no
	// others, such as Google's services. Whatever an audience's own client gets at a
	// login then opens the services too. It doesn't go with StrictType.
	AcceptIDTokens bool

	// CallerChecksConstraints lets tokens through that are bound to a certificate or a
	// DPoP key, for a caller that reads [Claims.Constraint] on EACH request and asks for
	// the proof. Without it they are refused.
	CallerChecksConstraints bool

	// DecryptionKeys are ours; the provider encrypts tokens to them. Signed tokens
	// that aren't encrypted are good all the same. None means that encrypted tokens
	// are refused.
	DecryptionKeys []*DecryptionKey

	// Keys are the issuer's. Whoever made the set runs it. They aren't needed where
	// IntrospectJWTs is set.
	Keys *KeySet

	// Introspector asks the provider about tokens that aren't JWTs. Nil means that
	// none of those is believed. Whoever made it runs it.
	Introspector *Introspector

	// IntrospectJWTs asks about JWTs too, in place of verifying their signature.
	IntrospectJWTs bool

	// UserInfo completes the claims of good tokens. Nil means that they have what they
	// have. Whoever made it runs it.
	UserInfo *UserInfo
}

// Provider is an issuer whose tokens a [Verifier] believes.
type Provider struct {
	options     ProviderOptions
	fingerprint [16]byte
}

// maxSkew is the leeway that nobody gets: with five minutes, a token of five
// minutes lives for fifteen.
const maxSkew = 5 * time.Minute

// NewProvider checks the options, which fail closed: no issuer, no audience, an
// algorithm that can't be verified or a skew too large is an error.
func NewProvider(o ProviderOptions) (*Provider, error) {
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"RS256", "ES256"}
	}
	switch {
	case o.Issuer == "":
		return nil, errors.New("issuer is missing")
	case o.IntrospectJWTs && o.Introspector == nil:
		return nil, errors.New("an introspector is missing")
	case o.Keys == nil && !o.IntrospectJWTs:
		return nil, errors.New("keys are missing")
	case len(o.Audiences) == 0 || slices.Contains(o.Audiences, ""):
		return nil, errors.New("audiences are missing or empty")
	case o.ClockSkew < 0 || o.ClockSkew >= maxSkew:
		return nil, fmt.Errorf("clock skew %v isn't at least 0 and under %v", o.ClockSkew, maxSkew)
	case o.StrictType && o.AcceptIDTokens:
		return nil, errors.New("a strict type wants access tokens (RFC 9068, 2.1), so ID tokens can't be accepted")
	case o.StrictType && o.AcceptMissingSubject:
		return nil, errors.New("a strict type wants sub (RFC 9068, 2.2), so tokens without it can't be accepted")
	}
	for _, alg := range o.Algorithms {
		if _, known := signatureAlgorithms[alg]; !known {
			return nil, fmt.Errorf("algorithm %q can't be verified", alg)
		}
	}
	p := &Provider{options: o}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %d %t %t %q %t %t %t", o.Name, o.Issuer, o.Audiences, o.Algorithms, o.ClockSkew,
		o.StrictType, o.AcceptNonce, o.RequiredClaims, o.AcceptMissingSubject, o.AcceptIDTokens, o.CallerChecksConstraints)
	for _, key := range o.DecryptionKeys {
		fmt.Fprintf(h, " %x", key.fingerprint)
	}
	if o.Introspector != nil {
		fmt.Fprintf(h, " %t %s", o.IntrospectJWTs, o.Introspector.fingerprint())
	}
	if o.UserInfo != nil {
		fmt.Fprintf(h, " userinfo %s", o.UserInfo.fingerprint())
	}
	copy(p.fingerprint[:], h.Sum(nil))
	return p, nil
}

// Name is for rules, logs and metrics.
func (p *Provider) Name() string { return p.options.Name }

// Issuer is what iss has to equal.
func (p *Provider) Issuer() Issuer { return p.options.Issuer }

// Audiences are those of which aud has to name one.
func (p *Provider) Audiences() []string { return p.options.Audiences }

// Keys is the issuer's key set; nil where signatures aren't verified.
func (p *Provider) Keys() *KeySet { return p.options.Keys }

// Introspector asks the provider about tokens; nil where that isn't done.
func (p *Provider) Introspector() *Introspector { return p.options.Introspector }

// UserInfo completes the claims of the provider's tokens; nil where that isn't done.
func (p *Provider) UserInfo() *UserInfo { return p.options.UserInfo }

// Ready refuses where the provider's tokens couldn't be judged now: there are no
// usable keys, or it isn't known where to ask.
func (p *Provider) Ready() *audit.Refusal {
	if p.options.Keys != nil {
		if _, refusal := p.options.Keys.Current(); refusal != nil {
			return refusal
		}
	}
	if p.options.Introspector != nil {
		if refusal := p.options.Introspector.Ready(); refusal != nil {
			return refusal
		}
	}
	if p.options.UserInfo != nil {
		return p.options.UserInfo.Ready()
	}
	return nil
}

// Fingerprint is equal for two providers only if they judge every token alike,
// given the same keys: it is what a remembered result is tied to.
func (p *Provider) Fingerprint() [16]byte { return p.fingerprint }

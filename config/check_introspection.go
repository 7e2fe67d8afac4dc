package config

import (
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// maxAsked is how many providers may be asked about one token, one after the other.
const maxAsked = 4

// tokens checks what goes with the way in which a provider's tokens are judged.
func (c *checker) tokens(at string, p *configv1.Provider) {
	if !c.good(at + ".tokens") {
		return
	}
	asks := p.GetTokens() != configv1.Tokens_TOKENS_JWT
	switch i := p.GetIntrospection(); {
	case i == nil && asks && !c.isBroken(at+".introspection"):
		c.errorf(at+".introspection", "is missing; write client_id and client_secret of the client that asks")
	case i != nil && !asks:
		c.errorf(at+".introspection", "is never used, because tokens is jwt; write tokens: auto or tokens: introspection, or remove it")
	case i != nil:
		c.introspection(at+".introspection", i, p)
	}
	if p.GetTokens() != configv1.Tokens_TOKENS_INTROSPECTION {
		return
	}
	signed := []string{"strict_type"}
	if !hasClient(c.config, p.GetName()) && !p.GetIntrospection().GetSignedAnswers() { // ID tokens are always signed
		signed = append(signed, "keys", "algorithms")
	}
	for _, name := range signed {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is about signatures, and tokens: introspection never looks at one; remove it, or write tokens: auto")
		}
	}
}

func (c *checker) introspection(at string, i *configv1.Introspection, p *configv1.Provider) {
	if i.GetUrl() != "" {
		c.checkURL(at+".url", i.GetUrl(), true, isLoopback)
	}
	if i.GetAuthentication() == configv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE {
		c.errorf(at+".authentication", "is none, and a provider answers only clients that prove who they are; write basic, post, client_secret_jwt, private_key_jwt or tls_client_auth")
	}
	c.authentication(at, i, p)
}

// asked makes sure that a token doesn't wait for a row of answers.
func (c *checker) asked(field string, b *configv1.Bearer) {
	asked := 0
	for _, name := range b.GetProviders() {
		for _, p := range c.config.GetProviders() {
			if p.GetName() == name && p.GetIntrospection() != nil {
				asked++
			}
		}
	}
	if asked > maxAsked {
		c.errorf(field, "names %d providers that are asked about tokens, one after the other; %d fit", asked, maxAsked)
	}
}

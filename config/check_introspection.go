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
		c.introspection(at+".introspection", i)
	}
	if p.GetTokens() != configv1.Tokens_TOKENS_INTROSPECTION {
		return
	}
	for _, name := range []string{"keys", "algorithms", "strict_type"} {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is about signatures, and tokens: introspection never looks at one; remove it, or write tokens: auto")
		}
	}
}

func (c *checker) introspection(at string, i *configv1.Introspection) {
	if i.GetUrl() != "" {
		c.checkURL(at+".url", i.GetUrl(), true)
	}
	c.filePath(at+".key_file", i.GetKeyFile())
	if !c.good(at + ".authentication") {
		return
	}
	if i.GetAuthentication() == configv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT {
		if i.GetClientSecret() != nil {
			c.errorf(at+".client_secret", "isn't sent with authentication: private_key_jwt; remove it")
		}
		if i.GetKeyFile() == "" {
			c.errorf(at+".key_file", "is missing; write the PEM file of the client's private key")
		}
		return
	}
	for _, name := range []string{"key_file", "key_id"} {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is for authentication: private_key_jwt; write that, or remove it")
		}
	}
	if i.GetClientSecret() == nil {
		c.errorf(at+".client_secret", "is missing; write where it is, such as {file: /run/secrets/client}")
		return
	}
	c.secret(at+".client_secret", i.GetClientSecret())
}

func (c *checker) secret(at string, s *configv1.Secret) {
	c.filePath(at+".file", s.GetFile())
	switch {
	case s.GetFile() != "" && s.GetEnv() != "":
		c.errorf(at+".env", "can't stand beside file: a secret is in one place; remove one of them")
	case s.GetFile() == "" && s.GetEnv() == "" && c.good(at+".file") && c.good(at+".env"):
		c.errorf(at, "doesn't say where the secret is; write file: /run/secrets/client, or env: CLIENT_SECRET")
	}
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

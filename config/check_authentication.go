package config

import (
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// authenticated is a client of a provider: one that asks about tokens, or one by
// which people log in.
type authenticated interface {
	GetAuthentication() configv1.ClientAuthentication
	GetClientSecret() *configv1.Secret
	GetKeyFile() string
}

// authentication makes sure that a client of a provider has what it proves itself
// with, and nothing else. The provider may be nil, if there is none of that name.
func (c *checker) authentication(at string, client authenticated, p *configv1.Provider) {
	c.filePath(at+".key_file", client.GetKeyFile())
	if !c.good(at + ".authentication") {
		return
	}
	how := client.GetAuthentication()
	byKey := how == configv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT
	byCertificate := how == configv1.ClientAuthentication_CLIENT_AUTHENTICATION_TLS_CLIENT_AUTH
	bySecret := !byKey && !byCertificate && how != configv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
	if byCertificate && p != nil && p.GetConnection().GetClientCertificateFile() == "" {
		c.errorf(at+".authentication", "shows a certificate, and provider %q has no connection.client_certificate_file; write that", p.GetName())
	}
	switch secret := client.GetClientSecret(); {
	case bySecret && secret == nil:
		c.errorf(at+".client_secret", "is missing; write where it is, such as {file: /run/secrets/client}")
	case bySecret:
		c.secret(at+".client_secret", secret)
	case secret != nil:
		c.errorf(at+".client_secret", "isn't sent with authentication: %s; remove it", enumNames(how.Descriptor())[how-1])
	}
	if byKey {
		if client.GetKeyFile() == "" {
			c.errorf(at+".key_file", "is missing; write the PEM file of the client's private key")
		}
		return
	}
	for _, name := range []string{"key_file", "key_id"} {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is for authentication: private_key_jwt; write that, or remove it")
		}
	}
}

// secret makes sure that a secret is in one place.
func (c *checker) secret(at string, s *configv1.Secret) {
	c.filePath(at+".file", s.GetFile())
	switch {
	case s.GetFile() != "" && s.GetEnv() != "":
		c.errorf(at+".env", "can't stand beside file: a secret is in one place; remove one of them")
	case s.GetFile() == "" && s.GetEnv() == "" && c.good(at+".file") && c.good(at+".env"):
		c.errorf(at, "doesn't say where the secret is; write file: /run/secrets/name, or env: NAME")
	}
}

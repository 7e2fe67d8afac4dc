package config

import (
	"net/url"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) connection(at string, n *configv1.Connection) {
	certificate, key := n.GetClientCertificateFile(), n.GetClientKeyFile()
	c.filePath(at+".client_certificate_file", certificate)
	c.filePath(at+".client_key_file", key)
	c.filePath(at+".bearer_token_file", n.GetBearerTokenFile())
	switch {
	case certificate != "" && key == "" && c.good(at+".client_key_file"):
		c.errorf(at+".client_key_file", "is missing; write the PEM file of the certificate's private key")
	case certificate == "" && key != "" && c.good(at+".client_certificate_file"):
		c.errorf(at+".client_certificate_file", "is missing; write the PEM file of the certificate that client_key_file belongs to")
	}
	if n.GetProxy() != "" {
		c.proxy(at+".proxy", n.GetProxy())
	}
}

// proxy checks the URL of a proxy, which never stands in a message: it may hold a
// password.
func (c *checker) proxy(field, raw string) {
	u, err := url.Parse(raw)
	switch {
	case strings.Contains(raw, "@"):
		c.errorf(field, "holds a user name or password, which would end in logs; remove everything up to the @, and set HTTPS_PROXY in the environment where the proxy needs one")
	case err != nil || u.Hostname() == "" || !isPortText(u.Port()):
		c.errorf(field, "isn't the URL of a proxy; write one such as http://proxy.example.com:3128")
	case !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme):
		c.errorf(field, "has the scheme %s; write http, https or socks5", quote(u.Scheme))
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		c.errorf(field, "has a path, a query or a fragment; write scheme, host and port alone")
	}
}

// bearerOnly makes sure that a provider without audiences has nothing that is about
// its bearer tokens.
func (c *checker) bearerOnly(at string, p *configv1.Provider) {
	if len(p.GetAudiences()) > 0 || !c.good(at+".audiences") {
		return
	}
	names := []string{"introspection", "accept_id_tokens", "userinfo"}
	if !hasClient(c.config, p.GetName()) { // whose ID tokens they may be for
		names = append(names, "decryption_keys")
	}
	for _, name := range names {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is about bearer tokens, and none is accepted without audiences; add audiences to the provider, or remove it")
		}
	}
}

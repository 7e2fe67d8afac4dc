package config

import (
	"slices"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// endpoints checks the addresses that a provider has in place of discovery's.
func (c *checker) endpoints(at string, p *configv1.Provider) {
	e := p.GetEndpoints()
	for _, u := range [...]struct{ name, address string }{
		{"authorization", e.GetAuthorization()}, {"token", e.GetToken()}, {"userinfo", e.GetUserinfo()},
		{"end_session", e.GetEndSession()}, {"revocation", e.GetRevocation()},
	} {
		if u.address != "" {
			c.checkURL(at+"."+u.name, u.address, true, isLoopback)
		}
	}
	clients := clientsOf(c.config, p.GetName())
	if c.isBroken("clients") {
		return
	}
	if len(clients) == 0 {
		for _, name := range []string{"authorization", "token", "end_session", "revocation", "sends_iss"} {
			if c.file.wrote(at + "." + name) {
				c.errorf(at+"."+name, "is about people who log in, and no client is of this provider; add one to clients, or remove it")
			}
		}
	}
	if c.file.wrote(at+".userinfo") && p.GetUserinfo() == nil && !slices.ContainsFunc(clients, (*configv1.Client).GetUserinfo) {
		c.errorf(at+".userinfo", "is never asked, because neither this provider has a userinfo nor a client of it userinfo: true; write one of them, or remove it")
	}
	if e.GetEndSession() == "" && slices.ContainsFunc(clients, func(client *configv1.Client) bool {
		return !discoversLogin(client, p) && client.GetProviderLogout() != configv1.ProviderLogout_PROVIDER_LOGOUT_NONE
	}) {
		c.warnf(at, "have no end_session, and with authorization and token here discovery isn't asked for it: people who log out stay logged in at the provider; write it, or provider_logout: none for the clients")
	}
}

// discoversLogin says whether a client asks discovery where people log in.
func discoversLogin(client *configv1.Client, p *configv1.Provider) bool {
	e := p.GetEndpoints()
	return e.GetAuthorization() == "" || e.GetToken() == "" || client.GetUserinfo() && e.GetUserinfo() == ""
}

// discovers says whether anything about a provider is asked of its discovery document.
func (c *checker) discovers(p *configv1.Provider) bool {
	i := p.GetIntrospection()
	return p.GetKeys().GetUrl() == "" && p.GetKeys().GetFile() == "" || i != nil && i.GetUrl() == "" ||
		p.GetUserinfo() != nil && p.GetEndpoints().GetUserinfo() == "" ||
		slices.ContainsFunc(clientsOf(c.config, p.GetName()), func(client *configv1.Client) bool { return discoversLogin(client, p) })
}

package config

import (
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// clientNames is what rules may say about clients. Where something about a client
// was reported, what refers to it isn't.
type clientNames struct {
	names    []string
	allNames bool               // every name could be read
	returns  map[string]hostSet // by name: where people are returned to
	own      hostSet            // where the login pages are: the hosts of the redirect_uri
}

// hostSet has the host patterns that fit one of some hosts, and so anything where
// there is a host.
type hostSet map[string]bool

func (s hostSet) add(host string) {
	for _, pattern := range hostsOver(host) {
		s[pattern] = true
	}
}

func (c *checker) clients(clients []*configv1.Client, providers providerNames) clientNames {
	c.unique("clients", "name", len(clients), func(i int) string { return clients[i].GetName() })
	c.mixUp(clients)
	known := clientNames{allNames: c.good("clients"), returns: map[string]hostSet{}, own: hostSet{}}
	for i, client := range clients {
		at := fmt.Sprintf("clients[%d]", i)
		c.client(at, client, providers)
		known.names = append(known.names, client.GetName())
		known.allNames = known.allNames && c.good(at+".name")
		own, ok := c.redirectURI(at+".redirect_uri", client)
		if !ok {
			continue
		}
		known.own.add(own)
		if returns, ok := c.returnTo(at+".return_to", client.GetReturnTo(), own); ok && c.good(at+".name") {
			known.returns[client.GetName()] = returns
		}
	}
	return known
}

func (c *checker) client(at string, client *configv1.Client, providers providerNames) {
	if name := client.GetProvider(); name != "" && providers.allNames && !slices.Contains(providers.names, name) {
		c.unknownName(at+".provider", "provider", name, providers.names)
	}
	c.authentication(at, client, c.providerOf(client))
	c.parameters(at, client.GetParameters())
	if scopes := client.GetScopes(); !slices.Contains(scopes, "openid") {
		c.errorf(at+".scopes", "are without openid, and the provider would then say nothing of who logged in; add it")
	} else if slices.Contains(scopes, "offline_access") && c.inCookies() {
		c.warnf(at+".scopes", "ask for refresh tokens with offline_access, and replicas know nothing of each other's renewals while session.store is cookie: a provider that takes a refresh token once may then end the session; run one replica, or send each browser to the same one")
	}
	if u := client.GetPostLogoutRedirectUri(); u != "" && c.file.wrote(at+".post_logout_redirect_uri") {
		c.checkURL(at+".post_logout_redirect_uri", u, true, isLocalToBrowsers)
		if client.GetProviderLogout() == configv1.ProviderLogout_PROVIDER_LOGOUT_NONE {
			c.warnf(at+".post_logout_redirect_uri", "is never used, because provider_logout: none sends nobody to the provider")
		}
	}
}

// callback is the path that answers of providers come to.
func (c *checker) callback() string { return c.config.GetLogin().GetPrefix() + "/callback" }

// redirectURI gives the host that the login pages are on, or reports why a
// redirect_uri doesn't lead to them.
func (c *checker) redirectURI(field string, client *configv1.Client) (host string, ok bool) {
	raw := client.GetRedirectUri()
	if raw == "" {
		return "", false // missing, which is reported elsewhere
	}
	u := c.checkURL(field, raw, false, isLocalToBrowsers)
	if u == nil {
		return "", false
	}
	shared := originOf(u) + c.callback()
	if own := shared + "/" + client.GetName(); raw != shared && raw != own && c.good("login.prefix") {
		c.errorf(field, "doesn't lead to the login pages; write %s or %s, here and at the provider, or choose another login.prefix", quote(own), quote(shared))
		return "", false
	}
	if host, ok = c.checkBrowserHost(field, u); !ok {
		return "", false
	}
	if domain := c.cookieDomain(); domain != "" && !isUnder(host, domain) {
		c.errorf(field, "is on a host that isn't at or below session.cookie.domain, which is %s: browsers would drop the session; choose a domain above all clients, or leave it out", domain)
		return "", false
	}
	return host, true
}

// mixUp warns where clients of several issuers share one callback: the path alone then
// doesn't tell who answered (RFC 9700, 4.4). Hosts don't keep them apart, since a login
// can be begun on each host for each client.
func (c *checker) mixUp(clients []*configv1.Client) {
	first, issuer := "", ""
	for i, client := range clients {
		field := fmt.Sprintf("clients[%d].redirect_uri", i)
		of := c.providerOf(client).GetIssuer()
		origin, shares := strings.CutSuffix(client.GetRedirectUri(), c.callback())
		switch {
		case !shares || of == "" || !c.good(field) || !c.good("login.prefix"):
		case first == "":
			first, issuer = client.GetName(), of
		case of != issuer:
			c.warnf(field, "leads where that of client %q does, whose provider is another: a provider that is malicious, or was broken into, could have the other's answer sent to itself, unless that one says with iss that it is its own; write redirect_uri: %s, here and at the provider", first, origin+c.callback()+"/"+client.GetName())
		}
	}
}

// providerOf is the client's provider, or nil where there is none of that name.
func (c *checker) providerOf(client *configv1.Client) *configv1.Provider {
	for _, p := range c.config.GetProviders() {
		if p.GetName() == client.GetProvider() {
			return p
		}
	}
	return nil
}

// returnTo gives the hosts that people may be returned to. The session, whose cookie
// the host own sets, has to get to all of them; a login would otherwise lead to the
// next one.
func (c *checker) returnTo(field string, origins []string, own string) (hosts hostSet, ok bool) {
	hosts, ok = hostSet{}, c.good(field)
	for i, raw := range origins {
		at := fmt.Sprintf("%s[%d]", field, i)
		host, good := c.origin(at, raw)
		domain := c.cookieDomain()
		switch {
		case !good:
		case domain == "" && host != own && c.good("session.cookie.domain"):
			c.errorf(at, "is on another host than redirect_uri, which the session's cookie doesn't get to; write an origin on %s, or a domain above both as session.cookie.domain", own)
		case domain != "" && !isUnder(host, domain):
			c.errorf(at, "is on a host that isn't at or below session.cookie.domain, which is %s, so the session's cookie doesn't get there; remove it, or choose a domain above it", domain)
		}
		hosts.add(host)
		ok = ok && c.good(at)
	}
	return hosts, ok
}

// origin gives the host of a bare origin, or reports why it isn't one.
func (c *checker) origin(field, raw string) (host string, ok bool) {
	u := c.checkURL(field, raw, false, isLocalToBrowsers)
	if u == nil {
		return "", false
	}
	if want := originOf(u); raw != want {
		c.errorf(field, "isn't an origin as browsers write it, which is scheme, host and port alone; write %s", quote(want))
		return "", false
	}
	return c.checkBrowserHost(field, u)
}

// Parameters of the authorization endpoint that the flow depends on, and those that
// hold a secret.
var (
	flowParameters = []string{
		"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
		"code_challenge", "code_challenge_method", "request", "request_uri",
	}
	secretParameters = []string{"client_secret", "client_assertion", "client_assertion_type"}
)

func (c *checker) parameters(at string, parameters map[string]string) {
	for _, name := range sortedKeys(parameters) {
		field := fmt.Sprintf("%s.parameters[%q]", at, name)
		switch {
		case slices.Contains(flowParameters, name):
			c.errorf(field, "is set by the login itself; remove it, or write the field that is for it, such as scopes")
		case slices.Contains(secretParameters, name):
			c.errorf(field, "proves who the client is, and everybody sees this URL; remove it, and say under authentication how the client proves it")
		}
	}
}

// isUnder says whether a host is a domain or below it.
func isUnder(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

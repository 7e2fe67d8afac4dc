package config

import (
	"fmt"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) providers(providers []*configv1.Provider) {
	c.unique("providers", "name", len(providers), func(i int) string { return providers[i].GetName() })
	c.unique("providers", "issuer", len(providers), func(i int) string { return providers[i].GetIssuer() })
	c.unique("providers", "keys.keep_file", len(providers), func(i int) string { return providers[i].GetKeys().GetKeepFile() })
	for i, p := range providers {
		c.provider(fmt.Sprintf("providers[%d]", i), p)
	}
}

func (c *checker) provider(at string, p *configv1.Provider) {
	if p.GetIssuer() != "" {
		c.checkURL(at+".issuer", p.GetIssuer(), false, isLoopback)
	}
	if u := p.GetDiscoveryUrl(); u != "" {
		c.checkURL(at+".discovery_url", u, false, isLoopback)
		switch {
		case !strings.HasSuffix(u, "/.well-known/openid-configuration"):
			c.errorf(at+".discovery_url", "doesn't end in /.well-known/openid-configuration; write the whole address of the discovery document")
		case !c.discovers(p):
			c.errorf(at+".discovery_url", "would never be asked, because every address that is needed stands beside it; remove it")
		}
	}
	if strings.HasSuffix(strings.TrimSuffix(p.GetIssuer(), "/"), "/.well-known/openid-configuration") {
		c.errorf(at+".issuer", "is the address of the discovery document; write what stands before /.well-known, which is what iss says")
	}
	if p.GetStrictType() && p.GetAcceptMissingSubject() {
		c.errorf(at+".accept_missing_subject", "can't stand beside strict_type, which wants all that RFC 9068 does, sub among it; remove one of them")
	}
	if p.GetStrictType() && p.GetAcceptIdTokens() {
		c.errorf(at+".accept_id_tokens", "can't stand beside strict_type, which wants access tokens as RFC 9068 has them; remove one of them")
	}
	if p.GetUserinfo().GetWhen() == configv1.UserInfoWhen_USER_INFO_WHEN_ALWAYS && p.GetAcceptMissingSubject() {
		c.errorf(at+".accept_missing_subject", "can't stand beside userinfo.when: always, which refuses tokens without sub; remove one of them")
	}
	c.filePath(at+".ca_file", p.GetCaFile())
	c.keys(at+".keys", p.GetKeys())
	c.endpoints(at+".endpoints", p)
	c.tokens(at, p)
	for i, key := range p.GetDecryptionKeys() {
		c.secret(fmt.Sprintf("%s.decryption_keys[%d]", at, i), key)
	}
	c.bearerOnly(at, p)
	c.connection(at+".connection", p.GetConnection())
}

func (c *checker) keys(at string, k *configv1.Keys) {
	c.filePath(at+".file", k.GetFile())
	c.filePath(at+".keep_file", k.GetKeepFile())
	if k.GetUrl() != "" {
		// Entra ID has keys of an application at an address with a query.
		c.checkURL(at+".url", k.GetUrl(), true, isLoopback)
	}
	if k.GetFile() == "" {
		if c.good(at+".refresh") && k.GetMaxStale().AsDuration() < k.GetRefresh().AsDuration() {
			c.errorf(at+".max_stale", "is %s, shorter than refresh (%s): keys would be too old before they are fetched again; write a longer time",
				durationText(k.GetMaxStale().AsDuration()), durationText(k.GetRefresh().AsDuration()))
		}
		return
	}
	if k.GetUrl() != "" {
		c.errorf(at+".url", "can't stand beside file: keys come from one place; remove one of them")
	}
	for _, name := range []string{"refresh", "max_stale", "cooldown", "keep_file"} {
		if c.file.wrote(at + "." + name) {
			c.errorf(at+"."+name, "is about keys that are fetched, and file says they aren't; remove one of them")
		}
	}
}

// hasClient says whether people log in at a provider.
func hasClient(config *configv1.Config, provider string) bool {
	return len(clientsOf(config, provider)) > 0
}

// clientsOf are the clients that people log in with at a provider.
func clientsOf(config *configv1.Config, provider string) (clients []*configv1.Client) {
	for _, client := range config.GetClients() {
		if client.GetProvider() == provider {
			clients = append(clients, client)
		}
	}
	return clients
}

// unused warns of providers that no rule believes, and of clients and resources that
// none names.
func (c *checker) unused(config *configv1.Config) {
	used, loggedIn, told := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, rule := range config.GetRules() {
		loggedIn[rule.GetLogin()], told[rule.GetBearer().GetResource()] = true, true
		for _, name := range rule.GetBearer().GetProviders() {
			used[name] = true
		}
	}
	for i, p := range config.GetProviders() {
		if !used[p.GetName()] && !hasClient(config, p.GetName()) {
			c.warnf(fmt.Sprintf("providers[%d]", i), "no rule names %q in bearer.providers and no client logs in there, so its tokens are never believed", p.GetName())
		}
	}
	for i, client := range config.GetClients() {
		if !loggedIn[client.GetName()] {
			c.warnf(fmt.Sprintf("clients[%d]", i), "no rule has login: %s, so nobody is sent to log in", client.GetName())
		}
	}
	for i, r := range config.GetResources() {
		if !told[r.GetName()] {
			c.warnf(fmt.Sprintf("resources[%d]", i), "no rule has bearer.resource: %s, so no answer leads to its metadata", r.GetName())
		}
	}
}

package config

import (
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// login checks the login pages, and that what is for logins stands beside clients.
func (c *checker) login(l *configv1.Login) {
	c.filePath("login.pages", l.GetPages())
	if segments := strings.Split(l.GetPrefix(), "/"); slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		c.errorf("login.prefix", "has a . or .. segment, which browsers resolve before they ask; write such as /.credence")
	}
	if len(c.config.GetClients()) > 0 {
		if c.config.GetSession() == nil {
			c.errorf("session", "is missing, and clients need it; write session: {keys: [{file: /run/secrets/session-key}]}")
		}
		return
	}
	for _, field := range []string{"session", "login"} {
		if c.file.wrote(field) && !c.isBroken("clients") {
			c.errorf(field, "is about people who log in, and there are no clients for that; add clients, or remove it")
		}
	}
	if c.file.wrote("listen.login") && !isPublic(c.config) && !c.isBroken("clients") && !c.isBroken("resources") {
		c.errorf("listen.login", "has nothing to answer without clients or resources; add some, or remove it")
	}
}

// ruleLogin checks that people who are sent to log in can come back. A wildcard is
// good if it fits one host of the client's return_to: on the others of its hosts nobody
// can log in. A rule without hosts is as good, but more likely a mistake.
func (c *checker) ruleLogin(at string, rule *configv1.Rule, known clientNames) {
	name := rule.GetLogin()
	if name == "" {
		return
	}
	if known.allNames && !slices.Contains(known.names, name) {
		c.unknownName(at+".login", "client", name, known.names)
	}
	returns, ok := known.returns[name]
	hosts := rule.GetMatch().GetHosts()
	if ok && len(hosts) == 0 && c.good(at+".match.hosts") {
		c.warnf(at+".match.hosts", "are left out, and on a host that isn't in return_to of the client %s nobody is sent to log in, because nobody could come back; write those that are", quote(name))
	}
	for i, host := range hosts {
		if ok && !returns[host] {
			c.errorf(fmt.Sprintf("%s.match.hosts[%d]", at, i), "no origin in return_to of the client %s is on %s, so who logs in can't come back; add one there, or remove the host here", quote(name), quote(host))
		}
	}
}

// ownPages reports a rule about the login pages alone: it would never be asked. A rule
// that is also about other hosts isn't meant.
func (c *checker) ownPages(at string, m *configv1.Match, known clientNames) {
	if !c.good("login.prefix") {
		return
	}
	prefix := c.config.GetLogin().GetPrefix()
	for _, path := range orAny(m.GetPaths()) {
		if path != prefix && !strings.HasPrefix(path, prefix+"/") {
			return
		}
	}
	for _, host := range orAny(m.GetHosts()) {
		if !known.own[host] {
			return
		}
	}
	c.errorf(at+".paths", "are the login pages, which are let through on the clients' hosts before all rules; remove the rule, or choose another login.prefix")
}

package config

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) rules(rules []*configv1.Rule, providers providerNames, clients clientNames, resources resourceNames) {
	c.unique("rules", "name", len(rules), func(i int) string { return rules[i].GetName() })
	for i, rule := range rules {
		if c.full {
			return
		}
		c.rule(fmt.Sprintf("rules[%d]", i), rule, providers, clients, resources)
	}
}

// providerNames is what rules and clients may refer to. Where a name or an audience was
// reported, what refers to it isn't.
type providerNames struct {
	audiences    map[string]map[string]bool // by name
	names        []string
	allNames     bool // every name could be read
	allAudiences bool // and every audience
}

func (c *checker) known(providers []*configv1.Provider) providerNames {
	k := providerNames{audiences: map[string]map[string]bool{}, allNames: c.good("providers"), allAudiences: c.good("providers")}
	for i, p := range providers {
		at := fmt.Sprintf("providers[%d]", i)
		k.audiences[p.GetName()] = map[string]bool{}
		for _, audience := range p.GetAudiences() {
			k.audiences[p.GetName()][audience] = true
		}
		k.names = append(k.names, p.GetName())
		k.allNames = k.allNames && c.good(at+".name")
		k.allAudiences = k.allAudiences && c.good(at+".audiences")
	}
	return k
}

func (c *checker) rule(at string, rule *configv1.Rule, providers providerNames, clients clientNames, resources resourceNames) {
	unclear := c.isBroken(at+".public") || c.isBroken(at+".bearer") || c.isBroken(at+".login")
	switch {
	case rule.GetPublic() && rule.GetBearer() != nil:
		c.errorf(at+".public", "lets in everyone, so bearer would mean nothing; remove one of them")
	case rule.GetPublic() && rule.GetLogin() != "":
		c.errorf(at+".public", "lets in everyone, so login would mean nothing; remove one of them")
	case !rule.GetPublic() && rule.GetBearer() == nil && rule.GetLogin() == "" && !unclear:
		c.errorf(at, "says neither who is let in nor that everyone is; add bearer: {providers: [...]}, login with a client's name, or public: true")
	}
	if rule.GetPublic() && c.file.wrote(at+".unauthenticated_status") {
		c.warnf(at+".unauthenticated_status", "is never answered, because a public rule asks for nobody's credential")
	}
	c.match(at+".match", rule.GetMatch(), rule.GetAmbiguousPaths())
	if b := rule.GetBearer(); b != nil {
		c.bearer(at+".bearer", b, providers)
		c.userAuthentication(at+".bearer", rule)
	}
	c.ruleLogin(at, rule, clients)
	c.ruleResource(at, rule, resources, providers)
	c.ownPages(at+".match", rule.GetMatch(), clients)
	c.ownMetadata(at+".match", rule.GetMatch(), resources)
	c.setHeaders(at+".headers", rule.GetHeaders(), requestHeaders)
	c.headerEndings(at+".headers", rule.GetHeaders())
	c.setHeaders(at+".response_headers", rule.GetResponseHeaders(), responseHeaders)
	c.query(at+".query", rule.GetQuery())
	if require := rule.GetRequire(); readsEmail.MatchString(require) && !strings.Contains(require, "email_verified") {
		c.warnf(at+".require", "goes by claims.email, which at some providers people choose themselves; add && claims.email_verified, or go by claims.sub")
	}
}

// readsEmail finds an expression that lets people in by an address, which counts only
// where the provider says that it is theirs (OpenID Connect Core 1.0, 5.1).
var readsEmail = regexp.MustCompile(`\bclaims(\.email\b|\[["']email["']\])`)

// bearer checks the names of providers, and that an audience can occur: a token
// comes as far as a rule only with an audience of its provider.
func (c *checker) bearer(at string, b *configv1.Bearer, known providerNames) {
	complete := known.allNames && known.allAudiences && c.good(at+".providers")
	for i, name := range b.GetProviders() {
		field := fmt.Sprintf("%s.providers[%d]", at, i)
		_, ok := known.audiences[name]
		if !ok && known.allNames {
			c.unknownName(field, "provider", name, known.names)
		}
		if ok && known.allAudiences && len(known.audiences[name]) == 0 {
			c.errorf(field, "%s has no audiences, so none of its bearer tokens is accepted; add audiences to it, or remove it here", quote(name))
		}
		complete = complete && ok
	}
	for i, audience := range b.GetAudiences() {
		theirs := func(provider string) bool { return known.audiences[provider][audience] }
		if complete && !slices.ContainsFunc(b.GetProviders(), theirs) {
			c.errorf(fmt.Sprintf("%s.audiences[%d]", at, i), "%s is no audience of the providers named here; write one that is, or add it to a provider's audiences", quote(audience))
		}
	}
	c.asked(at+".providers", b)
	if u := b.GetResourceMetadata(); u != "" {
		c.checkURL(at+".resource_metadata", u, false, isLoopback)
	}
}

// userAuthentication checks what is asked of the user's login (RFC 9470).
func (c *checker) userAuthentication(at string, rule *configv1.Rule) {
	if age := rule.GetBearer().GetMaxAge().AsDuration(); age%time.Second != 0 && c.good(at+".max_age") {
		c.errorf(at+".max_age", "is %s, and clients are told whole seconds; write %s", durationText(age), durationText(age.Round(time.Second)))
	}
	for _, name := range []string{"acr_values", "max_age"} {
		switch field := at + "." + name; {
		case !c.file.wrote(field):
		case rule.GetLogin() != "":
			c.errorf(field, "is asked of tokens alone, so a session would be a way around it; remove login, or write it into require, which is asked of both")
		case rule.GetUnauthenticatedStatus() == http.StatusForbidden:
			c.warnf(field, "is told in the challenge of a 401, which unauthenticated_status: 403 doesn't send: clients won't know what to do; remove that")
		}
	}
}

// query checks the parameters that are set and removed.
func (c *checker) query(at string, q *configv1.Query) {
	for i, name := range q.GetRemove() {
		if _, ok := q.GetSet()[name]; ok {
			c.errorf(fmt.Sprintf("%s.remove[%d]", at, i), "%s is set as well, which replaces what the client sent; remove it here", quote(name))
		}
	}
}

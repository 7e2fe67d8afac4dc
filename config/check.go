package config

import (
	"fmt"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// checker finds what a schema can't say.
type checker struct {
	*report
	config *configv1.Config
}

// all runs every check. Those that take all rules together come last and only
// where each rule is good by itself: they would reason from nonsense.
func (c *checker) all() {
	c.listen(c.config.GetListen())
	c.providers(c.config.GetProviders())
	c.login(c.config.GetLogin())
	c.session(c.config.GetSession())
	c.dpop(c.config.GetDpop())
	providers := c.known(c.config.GetProviders())
	clients := c.clients(c.config.GetClients(), providers)
	c.rules(c.config.GetRules(), providers, clients, c.resources(c.config.GetResources(), providers))
	if len(c.errors) > 0 {
		return
	}
	c.unreachable(c.config.GetRules())
	c.ambiguous(c.config.GetRules())
	c.unused(c.config)
}

// unknownName reports that nothing in a list is called as it is here.
func (c *checker) unknownName(field, noun, name string, names []string) {
	if near := nearest(name, names); near != "" {
		c.errorf(field, "no %s is called %s; did you mean %s?", noun, quote(name), near)
		return
	}
	c.errorf(field, "no %s is called %s; name one of those under %[1]ss, or add it there", noun, quote(name))
}

// good says whether nothing was reported about a field so far.
func (c *checker) good(field string) bool { return !c.said[field] && !c.isBroken(field) }

// unique reports the names that a list has twice; name gives an entry's.
func (c *checker) unique(list, field string, count int, name func(int) string) {
	first := make(map[string]int, count)
	for i := range count {
		n := name(i)
		if n == "" {
			continue // missing, which is reported elsewhere
		}
		if j, ok := first[n]; ok {
			c.errorf(fmt.Sprintf("%s[%d].%s", list, i, field), "is the same as that of %s[%d]; each needs its own", list, j)
			continue
		}
		first[n] = i
	}
}

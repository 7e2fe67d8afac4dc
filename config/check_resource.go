package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// resourceNames is what rules may say about resources. Where something about a resource
// was reported, what refers to it isn't.
type resourceNames struct {
	names    []string
	allNames bool                     // every name could be read
	byName   map[string]knownResource // those that are good
	metadata map[string]hostSet       // where the metadata is, by path
}

// knownResource is a resource and where its URLs are.
type knownResource struct {
	*configv1.Resource
	hosts hostSet
	path  string // that all of them begin with; without a slash at its end
}

// metadataPath is what stands between the host and the path of a resource in the
// address of its metadata (RFC 9728, 3.1).
const metadataPath = "/.well-known/oauth-protected-resource"

func (c *checker) resources(resources []*configv1.Resource, providers providerNames) resourceNames {
	c.unique("resources", "name", len(resources), func(i int) string { return resources[i].GetName() })
	known := resourceNames{allNames: c.good("resources"), byName: map[string]knownResource{}, metadata: map[string]hostSet{}}
	taken := map[string]int{} // host and path of the metadata
	for i, r := range resources {
		at := fmt.Sprintf("resources[%d]", i)
		known.names = append(known.names, r.GetName())
		known.allNames = known.allNames && c.good(at+".name")
		for j, name := range r.GetProviders() {
			if providers.allNames && !slices.Contains(providers.names, name) {
				c.unknownName(fmt.Sprintf("%s.providers[%d]", at, j), "provider", name, providers.names)
			}
		}
		if u := r.GetDocumentation(); u != "" {
			c.checkURL(at+".documentation", u, true, isLocalToBrowsers)
		}
		u := c.identifier(at+".resource", r.GetResource())
		if u == nil {
			continue
		}
		host, path := hostOf(u), metadataPath
		if u.Path != "/" {
			path += u.Path
		}
		if j, ok := taken[host+path]; ok {
			c.errorf(at+".resource", "has its metadata where that of resources[%d] is; write another host or path", j)
			continue
		}
		taken[host+path] = i
		hosts := hostSet{}
		hosts.add(host)
		if c.good(at+".name") && c.good(at+".providers") {
			known.byName[r.GetName()] = knownResource{r, hosts, strings.TrimSuffix(u.Path, "/")}
		}
		if known.metadata[path] == nil {
			known.metadata[path] = hostSet{}
		}
		known.metadata[path].add(host)
	}
	return known
}

// plainPath is a path that clients and proxies spell in one way.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/?$`)

// identifier reads a resource's identifier, or reports what is wrong with it and gives
// nil. Clients compare it with what they make of the same URL themselves.
func (c *checker) identifier(field, raw string) *url.URL {
	if raw == "" {
		return nil // missing, which is reported elsewhere
	}
	u := c.checkURL(field, raw, false, isLocalToBrowsers)
	if u == nil {
		return nil
	}
	if _, ok := c.checkBrowserHost(field, u); !ok {
		return nil
	}
	segments := strings.Split(u.Path, "/")
	if !plainPath.MatchString(u.EscapedPath()) || slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		c.errorf(field, "has a path that can be spelt in several ways; write segments of letters, digits and . _ ~ -, none of which is a dot or two")
		return nil
	}
	if want := originOf(u) + u.Path; raw != want {
		c.errorf(field, "isn't spelt as clients spell it; write %s", quote(want))
		return nil
	}
	return u
}

// ruleResource checks that a client which follows a rule's challenge to the metadata
// and gets a token from there gets in with it.
func (c *checker) ruleResource(at string, rule *configv1.Rule, known resourceNames, providers providerNames) {
	b := rule.GetBearer()
	name, field := b.GetResource(), at+".bearer.resource"
	if name == "" {
		return
	}
	if b.GetResourceMetadata() != "" {
		c.errorf(field, "can't stand beside resource_metadata, which says that somebody else serves the metadata; remove one of them")
	}
	if known.allNames && !slices.Contains(known.names, name) {
		c.unknownName(field, "resource", name, known.names)
	}
	r, ok := known.byName[name]
	if !ok {
		return
	}
	if rule.GetUnauthenticatedStatus() == 403 {
		c.warnf(field, "is told in the challenge of a 401, which unauthenticated_status: 403 doesn't send; remove one of them")
	}
	c.outside(at+".match", rule.GetMatch(), r)
	isKnown := func(name string) bool { return providers.audiences[name] != nil }
	if !providers.allNames || !providers.allAudiences || !all(r.GetProviders(), isKnown) || !all(b.GetProviders(), isKnown) {
		return
	}
	if !slices.ContainsFunc(r.GetProviders(), func(name string) bool { return slices.Contains(b.GetProviders(), name) }) {
		c.errorf(field, "sends clients to %s for a token, and the rule takes none from there; name the same providers in both", strings.Join(r.GetProviders(), ", "))
		return
	}
	accepted := func(provider string) bool { return providers.audiences[provider][r.GetResource()] }
	if len(b.GetAudiences()) > 0 && !slices.Contains(b.GetAudiences(), r.GetResource()) || !slices.ContainsFunc(b.GetProviders(), accepted) {
		c.warnf(field, "is %s, which is none of the audiences accepted here: a provider that binds tokens to the resource that a client names (RFC 8707) writes it into aud, and they would be refused; add it to the audiences", quote(r.GetResource()))
	}
}

// outside warns of what a rule is about and its resource isn't. A client that asked
// there mustn't use metadata of another resource (RFC 9728, 3.3).
func (c *checker) outside(at string, m *configv1.Match, r knownResource) {
	for i, host := range m.GetHosts() {
		if !r.hosts[host] {
			c.warnf(fmt.Sprintf("%s.hosts[%d]", at, i), "isn't the host of the resource %s, so clients that ask there mustn't use its metadata; give it a rule with a resource of its own", quote(r.GetName()))
		}
	}
	for i, path := range m.GetPaths() {
		if !pathCovers(r.path+"/**", path) && !pathCovers(path, r.path) {
			c.warnf(fmt.Sprintf("%s.paths[%d]", at, i), "isn't under the path of the resource %s, so clients that ask there mustn't use its metadata; give it a rule with a resource of its own", quote(r.GetName()))
		}
	}
}

// ownMetadata reports a rule about the metadata of resources alone: it would never be
// asked.
func (c *checker) ownMetadata(at string, m *configv1.Match, known resourceNames) {
	for _, path := range orAny(m.GetPaths()) {
		hosts := known.metadata[path]
		if !all(orAny(m.GetHosts()), func(host string) bool { return hosts[host] }) {
			return
		}
	}
	c.errorf(at+".paths", "are where the metadata of resources is, which is let through on their hosts before all rules; remove the rule")
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !is(s) })
}

package oidctest

import (
	"fmt"
	"slices"
)

// Module is one of the OpenID Foundation's tests for relying parties, as this
// provider plays it: those for the code flow that don't need registration or
// request objects. A relying party passes here what it would pass there; being
// certified is something else.
type Module struct {
	Name  string   // in the conformance suite: "oidcc-client-test-invalid-iss"
	Plans []string // that it belongs to, by their names in the suite
	Step  Step     // where the relying party shows that it passes
	Want  Want     // what it has to do there; before, everything goes well
	Story string   // what the provider does
}

// Step is a point in the life of a login.
type Step string

const (
	AtDiscovery   Step = "discovery"    // reading the provider's metadata
	AtLogin       Step = "login"        // the first one: callback, token, userinfo
	AtSecondLogin Step = "second login" // one more, after a good first one
	AtRefresh     Step = "refresh"      // renewing the tokens, after a good login
	AtLogout      Step = "logout"       // coming back from the provider, logged out
)

// Want is what a relying party has to do.
type Want string

const (
	Accept Want = "accept"
	Refuse Want = "refuse"
	Either Want = "either" // the suite lets both pass
)

// The suite's plans.
const (
	planBasic      = "oidcc-client-basic-certification-test-plan"
	planConfig     = "oidcc-client-config-certification-test-plan"
	planFormPost   = "oidcc-client-formpost-basic-certification-test-plan"
	planRefresh    = "oidcc-client-refreshtoken-test-plan"
	planThirdParty = "oidcc-client-test-3rd-party-init-login-test-plan"
	planLogout     = "oidcc-client-rp-initiated-logout-rp-basic"
	planFull       = "oidcc-client-test-plan"
)

// Modules gives the modules that [Provider.Misbehave] plays.
func Modules() []Module {
	var all []Module
	for _, s := range scripts {
		m := s.Module
		m.Plans = slices.Clone(m.Plans)
		all = append(all, m)
	}
	return all
}

// Misbehave plays the module of this name from now on; "" plays none. It is meant
// for a provider of its own with one client whose ID tokens are signed by RS256:
// what a module does to the keys stays done. It panics if there is no such module.
func (p *Provider) Misbehave(module string) {
	var q quirks
	if module != "" {
		i := slices.IndexFunc(scripts, func(s script) bool { return s.Name == module })
		if i < 0 {
			panic(fmt.Sprintf("oidctest: no module %q", module))
		}
		q = scripts[i].quirks
	}
	if q.begin != nil {
		q.begin(p)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quirk, p.asked, p.signed = q, 0, 0
}

func (p *Provider) quirks() quirks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quirk
}

// count adds one to a counter of the provider's, and gives what it is then.
func (p *Provider) count(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n++
	return *n
}

// rotate puts a new key in the place of each that is published.
func (p *Provider) rotate() {
	p.mu.Lock()
	old := p.published
	p.published = nil
	p.mu.Unlock()
	for _, e := range old {
		if e.key != nil {
			p.AddKey(e.key.alg, "next-"+e.key.id)
		}
	}
}

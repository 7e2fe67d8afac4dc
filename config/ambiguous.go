package config

import (
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// ambiguous refuses the rules whose ambiguous_paths: allow would be a way around
// something. Such a rule judges /v1/..%2fadmin as it stands, and an application
// may read /admin. So every other rule that can match one of its hosts has to
// ask for nothing or for the same, and one of them has to take all paths, or the
// other reading would get around the default deny.
func (c *checker) ambiguous(rules []*configv1.Rule) {
	if !slices.ContainsFunc(rules, allowsAmbiguous) {
		return
	}
	asked, everyPath := newDemandIndex(), newCoverIndex()
	for i, rule := range rules {
		asked.add(i, rule)
		if paths := rule.GetMatch().GetPaths(); len(paths) == 0 || slices.Contains(paths, "/**") {
			everyPath.add(i, withoutPaths(rule.GetMatch()))
		}
	}
	for i, rule := range rules {
		if !allowsAmbiguous(rule) {
			continue
		}
		field := fmt.Sprintf("rules[%d].ambiguous_paths", i)
		if strings.Contains(strings.Join(strings.Fields(rule.GetRequire()), ""), "request.path") {
			c.errorf(field, "allow doesn't go with a require that reads request.path: the path that it reads needn't be the one that the application does; write refuse")
		} else if j, ok := asked.conflict(rule); ok {
			line, _ := c.file.At(fmt.Sprintf("rules[%d]", j))
			c.errorf(field, "allow would be a way around rules[%d], %s in line %d, which can match the same hosts and asks for something else; write refuse, or the same bearer, login and require in both",
				j, quote(rules[j].GetName()), line)
		} else if _, ok := everyPath.find(withoutPaths(rule.GetMatch())); !ok {
			c.errorf(field, "allow would be a way around the default deny: an application may read another path than the rule does, and not every path of these hosts has a rule; write refuse, or leave out match.paths")
		}
	}
}

func allowsAmbiguous(rule *configv1.Rule) bool {
	return rule.GetAmbiguousPaths() == configv1.AmbiguousPaths_AMBIGUOUS_PATHS_ALLOW
}

func withoutPaths(m *configv1.Match) *configv1.Match {
	return &configv1.Match{Hosts: m.GetHosts(), Methods: m.GetMethods(), Headers: m.GetHeaders(), ContextExtensions: m.GetContextExtensions()}
}

// demand is what a rule asks of a request before it lets it through. The zero
// demand asks for nothing.
type demand struct{ bearer, login, require string }

func demandOf(rule *configv1.Rule) demand {
	d := demand{login: rule.GetLogin(), require: rule.GetRequire()}
	if b := rule.GetBearer(); b != nil {
		for _, list := range [][]string{b.GetProviders(), b.GetAudiences(), b.GetScopes(), b.GetAcrValues()} {
			d.bearer += fmt.Sprintf("%q", slices.Sorted(slices.Values(list)))
		}
		d.bearer += b.GetMaxAge().AsDuration().String()
	}
	return d
}

// demandIndex finds what is asked on hosts: for each demand the first rule that
// has it.
type demandIndex struct {
	all       map[demand]int
	byPattern map[string]map[demand]int // by host pattern
	below     map[string]map[demand]int // by a name that the pattern is below
}

func newDemandIndex() *demandIndex {
	return &demandIndex{map[demand]int{}, map[string]map[demand]int{}, map[string]map[demand]int{}}
}

func (x *demandIndex) add(rule int, r *configv1.Rule) {
	d := demandOf(r)
	note := func(index map[string]map[demand]int, key string) {
		if index[key] == nil {
			index[key] = map[demand]int{}
		}
		if _, ok := index[key][d]; !ok {
			index[key][d] = rule
		}
	}
	if _, ok := x.all[d]; !ok {
		x.all[d] = rule
	}
	for _, host := range orAny(r.GetMatch().GetHosts()) {
		note(x.byPattern, host)
		for parent := range parents(strings.TrimPrefix(host, "*.")) {
			note(x.below, parent)
		}
	}
}

// conflict is the first rule that can match one of r's hosts and asks for
// something that r doesn't.
func (x *demandIndex) conflict(r *configv1.Rule) (rule int, ok bool) {
	own := demandOf(r)
	for _, host := range orAny(r.GetMatch().GetHosts()) {
		for _, asked := range x.overlapping(host) {
			for d, i := range asked {
				if d != own && d != (demand{}) && (!ok || i < rule) {
					rule, ok = i, true
				}
			}
		}
	}
	return rule, ok
}

// overlapping is what is asked by rules whose hosts have one in common with the
// pattern.
func (x *demandIndex) overlapping(host string) []map[demand]int {
	if host == anything {
		return []map[demand]int{x.all}
	}
	var asked []map[demand]int
	for _, pattern := range hostsOver(host) {
		asked = append(asked, x.byPattern[pattern])
	}
	if name, wild := strings.CutPrefix(host, "*."); wild {
		asked = append(asked, x.below[name])
	}
	return asked
}

package authz

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// index finds the first rule that fits a request, in the order of the
// configuration, without going through those before it.
//
// A rule is known by its position. Rules that name the same hosts share a tree of
// their paths (index_path.go), and a host has the trees of the rules that name it.
// A request looks into the trees of its host, of each wildcard above that, and of
// the rules that name no host; the smallest position wins. What one tree finds is
// the bound for the next: what only holds later rules is left out.
//
// So the work doesn't grow with the rules. In each tree it is a constant for each
// segment of the path, up to as many as the longest pattern has. Two things add to
// it, and both are the configuration's doing, not the client's. Where a "*" stands
// beside the segment's own name, both ways are followed; but no node of a tree is
// seen twice, so that it takes as many rules as there are ways. And rules with the
// same path, told apart by methods, headers or context extensions, are tried one by
// one.
type index struct {
	rules    []*rule
	exact    map[string][]*node
	wildcard map[string][]*node // by ".example.com"
	anyHost  *node              // nil if all rules name hosts
}

// maxTrees is how many trees a host, or a wildcard, has at most. A tree of its own
// for each group of rules saves copies of what many hosts share; fewer trees save
// time.
const maxTrees = 4

// hostGroup are the rules that name the same hosts.
type hostGroup struct {
	hosts     []string
	positions []int
	paths     int // of all its rules
	tree      *node
}

func newIndex(rules []*rule) *index {
	x := &index{rules: rules, exact: map[string][]*node{}, wildcard: map[string][]*node{}}
	groups := map[string]*hostGroup{}
	for position, r := range rules {
		hosts := slices.Compact(slices.Sorted(slices.Values(r.Match.Hosts)))
		key := fmt.Sprintf("%q", hosts)
		g := groups[key]
		if g == nil {
			g = &hostGroup{hosts: hosts}
			groups[key] = g
		}
		g.positions = append(g.positions, position)
		g.paths += max(1, len(r.Match.Paths))
	}
	byHost := map[string][]*hostGroup{}
	for _, g := range groups {
		g.tree = newTree(rules, g.positions)
		if len(g.hosts) == 0 {
			x.anyHost = g.tree
		}
		for _, host := range g.hosts {
			byHost[host] = append(byHost[host], g)
		}
	}
	for host, groups := range byHost {
		if strings.HasPrefix(host, "*.") {
			x.wildcard[host[1:]] = trees(rules, groups)
		} else {
			x.exact[host] = trees(rules, groups)
		}
	}
	return x
}

// trees gives those of a host, the one that begins first in front. Where the groups
// are too many, the largest keep their trees, and the rest are copied into one.
func trees(rules []*rule, groups []*hostGroup) []*node {
	slices.SortFunc(groups, func(a, b *hostGroup) int {
		return cmp.Or(cmp.Compare(b.paths, a.paths), cmp.Compare(a.positions[0], b.positions[0]))
	})
	var list []*node
	if len(groups) > maxTrees {
		var rest []int
		for _, g := range groups[maxTrees-1:] {
			rest = append(rest, g.positions...)
		}
		slices.Sort(rest)
		list = append(list, newTree(rules, rest))
		groups = groups[:maxTrees-1]
	}
	for _, g := range groups {
		list = append(list, g.tree)
	}
	slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.first, b.first) })
	return list
}

// first gives the first rule that fits, or nil.
func (x *index) first(r *Request) *rule {
	if position, _ := x.find(r); position < len(x.rules) {
		return x.rules[position]
	}
	return nil
}

// find is first by position, which is the number of rules where none fits. steps
// is what it took, and what the tests bound.
func (x *index) find(r *Request) (position, steps int) {
	s := search{request: r, best: len(x.rules)}
	s.look(x.exact[r.host])
	if len(x.wildcard) > 0 {
		for i := 1; i < len(r.host); i++ {
			if r.host[i] == '.' {
				s.look(x.wildcard[r.host[i:]])
			}
		}
	}
	s.descend(x.anyHost, r.path)
	return s.best, s.steps
}

// lookup lists the rules of a host, for people: it goes through them all.
func (x *index) lookup(host string) []*rule {
	var list []*rule
	for _, r := range x.rules {
		if fitsHost(r.Match.Hosts, host) {
			list = append(list, r)
		}
	}
	return list
}

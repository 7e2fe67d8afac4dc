package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// unreachable reports the rules that can never match, because one earlier rule
// matches all that they do. Several that do so together aren't found.
func (c *checker) unreachable(rules []*configv1.Rule) {
	earlier := newCoverIndex()
	for i, rule := range rules {
		if j, ok := earlier.find(rule.GetMatch()); ok {
			line, _ := c.file.At(fmt.Sprintf("rules[%d]", j))
			c.errorf(fmt.Sprintf("rules[%d]", i), "can never match: rules[%d], %s in line %d, matches everything that it does; move it before that one, or narrow that one",
				j, quote(rules[j].GetName()), line)
		}
		earlier.add(i, rule.GetMatch())
	}
}

// maxComparisons bounds the work of an index. Beyond it nothing more is found.
const maxComparisons = 20_000_000

// coverIndex finds, among matches, one that covers another: that fits every
// request which the other fits. A pattern can be covered by few others, which
// are looked up by name.
type coverIndex struct {
	byHost, byPath map[string][]*cover // by a host pattern, and by literalPart of a path pattern
	left           int                 // comparisons
}

// cover is a match made ready to be compared with many.
type cover struct {
	rule  int
	match *configv1.Match
	hosts map[string]bool
	paths map[string][]string // by literalPart
}

// anything stands for a list that was left out: it fits all.
const anything = ""

func orAny(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{anything}
	}
	return patterns
}

func newCoverIndex() *coverIndex {
	return &coverIndex{byHost: map[string][]*cover{}, byPath: map[string][]*cover{}, left: maxComparisons}
}

func (x *coverIndex) add(rule int, m *configv1.Match) {
	c := &cover{rule: rule, match: m, hosts: map[string]bool{}, paths: map[string][]string{}}
	for _, host := range orAny(m.GetHosts()) {
		c.hosts[host] = true
		x.byHost[host] = append(x.byHost[host], c)
	}
	for _, path := range orAny(m.GetPaths()) {
		key := literalPart(path)
		c.paths[key] = append(c.paths[key], path)
		x.byPath[key] = append(x.byPath[key], c)
	}
}

// find gives a rule whose match covers m.
func (x *coverIndex) find(m *configv1.Match) (rule int, ok bool) {
	index, keys := x.byHost, hostsOver(orAny(m.GetHosts())[0])
	if paths := pathsOver(orAny(m.GetPaths())[0]); count(x.byPath, paths) < count(x.byHost, keys) {
		index, keys = x.byPath, paths
	}
	for _, key := range keys {
		for _, c := range index[key] {
			if x.left -= 1 + len(m.GetHosts()) + len(m.GetPaths()); x.left < 0 {
				return 0, false
			}
			if c.covers(m) {
				return c.rule, true
			}
		}
	}
	return 0, false
}

func count(index map[string][]*cover, keys []string) int {
	n := 0
	for _, key := range keys {
		n += len(index[key])
	}
	return n
}

// covers says whether c fits every request that m fits. It may say no where that
// is so, never yes where it isn't.
func (c *cover) covers(m *configv1.Match) bool {
	for _, host := range orAny(m.GetHosts()) {
		if !slices.ContainsFunc(hostsOver(host), func(over string) bool { return c.hosts[over] }) {
			return false
		}
	}
	for _, path := range orAny(m.GetPaths()) {
		if !c.coversPath(path) {
			return false
		}
	}
	methods := c.match.GetMethods()
	return (len(methods) == 0 || len(m.GetMethods()) > 0 && subsetOf(m.GetMethods(), methods)) &&
		entriesIn(c.match.GetHeaders(), m.GetHeaders()) &&
		entriesIn(c.match.GetContextExtensions(), m.GetContextExtensions())
}

func (c *cover) coversPath(path string) bool {
	for _, key := range pathsOver(path) {
		for _, over := range c.paths[key] {
			if pathCovers(over, path) {
				return true
			}
		}
	}
	return false
}

func subsetOf(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// entriesIn says whether b has all entries of a.
func entriesIn(a, b map[string]string) bool {
	for k, v := range a {
		if other, ok := b[k]; !ok || other != v {
			return false
		}
	}
	return true
}

// pathCovers says whether pattern a fits every path that b fits. It doesn't take for granted that * fits an empty segment.
func pathCovers(a, b string) bool {
	if a == anything || a == "/**" || a == b {
		return true
	}
	a, aBelow := strings.CutSuffix(a, "/**")
	b, bBelow := strings.CutSuffix(b, "/**")
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	if len(bs) < len(as) || !aBelow && (bBelow || len(bs) > len(as)) {
		return false
	}
	for i := range as {
		if as[i] != bs[i] && (as[i] != "*" || bs[i] == "") {
			return false
		}
	}
	return true
}

// hostsOver are the patterns that cover a host pattern.
func hostsOver(host string) []string {
	if host == anything {
		return []string{anything}
	}
	over := []string{anything, host}
	for parent := range parents(strings.TrimPrefix(host, "*.")) {
		over = append(over, "*."+parent)
	}
	return over
}

// parents yields the names above a host: for a.b.c b.c and c.
func parents(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, parent, ok := strings.Cut(host, ".")
			if !ok || !yield(parent) {
				return
			}
			host = parent
		}
	}
}

// pathsOver are the literal parts of patterns that could cover a path pattern.
func pathsOver(path string) []string {
	part := literalPart(path)
	over := []string{part}
	for part != "" {
		part = part[:max(0, strings.LastIndexByte(part, '/'))]
		over = append(over, part)
	}
	return over
}

// literalPart is what stands before the first segment that is a pattern.
func literalPart(path string) string {
	if before, _, ok := strings.Cut(path, "/*"); ok {
		return before
	}
	return path
}

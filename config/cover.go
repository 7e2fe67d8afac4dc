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
const maxComparisons = 5_000_000

// coverIndex finds a match that covers another: that fits every request which
// the other fits. A pattern can be covered by few others, looked up by name.
type coverIndex struct {
	byHost, byPath map[string][]covering
	left           int // comparisons
}

type covering struct {
	rule  int
	match *configv1.Match
}

func newCoverIndex() *coverIndex {
	return &coverIndex{byHost: map[string][]covering{}, byPath: map[string][]covering{}, left: maxComparisons}
}

func (x *coverIndex) add(rule int, m *configv1.Match) {
	for _, host := range orAny(m.GetHosts()) {
		x.byHost[host] = append(x.byHost[host], covering{rule, m})
	}
	for _, path := range orAny(m.GetPaths()) {
		key := literalPart(path)
		x.byPath[key] = append(x.byPath[key], covering{rule, m})
	}
}

// find gives a rule whose match covers m.
func (x *coverIndex) find(m *configv1.Match) (rule int, ok bool) {
	index, keys := x.byHost, hostsOver(orAny(m.GetHosts())[0])
	if paths := pathsOver(orAny(m.GetPaths())[0]); count(x.byPath, paths) < count(x.byHost, keys) {
		index, keys = x.byPath, paths
	}
	for _, key := range keys {
		for _, candidate := range index[key] {
			if x.covers(candidate.match, m) {
				return candidate.rule, true
			}
		}
	}
	return 0, false
}

func count(index map[string][]covering, keys []string) int {
	n := 0
	for _, key := range keys {
		n += len(index[key])
	}
	return n
}

// covers says whether a fits every request that b fits. It may say no where that
// is so, never yes where it isn't.
func (x *coverIndex) covers(a, b *configv1.Match) bool {
	x.left -= 1 + len(b.GetHosts())*len(a.GetHosts()) + len(b.GetPaths())*len(a.GetPaths()) + len(b.GetMethods())*len(a.GetMethods())
	if x.left < 0 {
		return false
	}
	return all(a.GetHosts(), b.GetHosts(), hostCovers) &&
		all(a.GetPaths(), b.GetPaths(), pathCovers) &&
		all(a.GetMethods(), b.GetMethods(), func(a, b string) bool { return a == anything || a == b }) &&
		subset(a.GetHeaders(), b.GetHeaders()) &&
		subset(a.GetContextExtensions(), b.GetContextExtensions())
}

// anything stands for a list that was left out: it fits all.
const anything = ""

func orAny(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{anything}
	}
	return patterns
}

// all says whether each of bs is covered by one of as.
func all(as, bs []string, covers func(a, b string) bool) bool {
	for _, b := range orAny(bs) {
		if !slices.ContainsFunc(orAny(as), func(a string) bool { return covers(a, b) }) {
			return false
		}
	}
	return true
}

// subset says whether b has all of a's entries.
func subset(a, b map[string]string) bool {
	for k, v := range a {
		if other, ok := b[k]; !ok || other != v {
			return false
		}
	}
	return true
}

func hostCovers(a, b string) bool {
	return a == anything || a == b || strings.HasPrefix(a, "*.") && strings.HasSuffix(b, a[1:])
}

// pathCovers doesn't take for granted that * fits an empty segment.
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

// hostsOver are the patterns that could cover a host pattern.
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

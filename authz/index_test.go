package authz

import (
	"fmt"
	"strings"
	"testing"
)

// indexOf is that of rules named by their positions.
func indexOf(matches ...Match) *index {
	var rules []*rule
	for i, m := range matches {
		rules = append(rules, &rule{Rule: Rule{Name: fmt.Sprint(i), Match: m}, match: compileMatch(m)})
	}
	return newIndex(rules)
}

// services gives rules, each with a path of its own, spread evenly over hosts.
func services(rules, hosts int) []Match {
	var list []Match
	for i := range rules {
		list = append(list, Match{Hosts: []string{host(i % hosts)}, Paths: []string{service(i) + "/**"}})
	}
	return list
}

func host(i int) string    { return fmt.Sprintf("host-%d.example.com", i) }
func service(i int) string { return fmt.Sprintf("/v1/service-%d", i) }

// ofAll gives rules that each name all hosts.
func ofAll(rules, hosts int) []Match {
	var names []string
	for i := range hosts {
		names = append(names, host(i))
	}
	list := services(rules, 1)
	for i := range list {
		list[i].Hosts = names
	}
	return list
}

// ofTwo gives rules that name host 0 and another.
func ofTwo(rules int, other func(i int) string) []Match {
	list := services(rules, 1)
	for i := range list {
		list[i].Hosts = append(list[i].Hosts, other(i))
	}
	return list
}

// ofNone gives rules that name no host.
func ofNone(rules int) []Match {
	list := services(rules, 1)
	for i := range list {
		list[i].Hosts = nil
	}
	return list
}

func ownHost(i int) string { return fmt.Sprintf("own-%d.example.com", i) }

// TestFewSteps counts the nodes and rules that are looked at: however many rules
// there are, no more than the segments of a path ask for, in each tree.
func TestFewSteps(t *testing.T) {
	const last = 4999 // is what is asked for
	var methods []Match
	for _, m := range services(5000, 1) {
		put := m
		put.Methods = []string{"PUT"}
		methods = append(methods, put, m)
	}
	rows := []struct {
		name    string
		matches []Match
		host    int
		most    int
	}{
		{"one rule", services(5000, 1)[last:], 0, 4},
		{"a hundred on one host", services(5000, 1)[last-99:], 0, 4},
		{"over 500 hosts", services(5000, 500), last % 500, 4},
		{"on one host", services(5000, 1), 0, 4},
		{"of no host", ofNone(5000), 0, 4},
		{"of no host, beside those of 500", append(services(last, 500), ofNone(5000)...), last % 500, 6},
		{"each of 100 hosts", ofAll(5000, 100), 99, 4},
		{"each of a host of its own as well", ofTwo(5000, ownHost), 0, 4 + 2*(maxTrees-1)},
		{"each of a wildcard as well", ofTwo(5000, func(int) string { return "*.example.com" }), 0, 6},
		{"two of each path, by method", methods, 0, 5},
		{"all after one that fits, of two hosts", append([]Match{{Hosts: []string{host(0), ownHost(0)}}}, services(5000, 1)...), 0, 2},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := indexOf(row.matches...)
			r := &Request{Method: "GET", host: host(row.host), path: service(last) + "/a/b"}
			position, steps := x.find(r)
			if position == len(x.rules) || steps > row.most {
				t.Errorf("found %d in %d steps, want at most %d", position, steps, row.most)
			}
			if got := testing.AllocsPerRun(100, func() { x.first(r) }); got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}

// TestHostilePaths: no path is followed beyond the longest pattern, however long it
// is, and no node is seen twice, however many ways lead on.
func TestHostilePaths(t *testing.T) {
	// Every way to write eight segments of a or *: /a/a/a/… can go them all.
	var forked []Match
	for ways := range 1 << 8 {
		var p strings.Builder
		for i := range 8 {
			p.WriteString([]string{"/a", "/*"}[ways>>i&1])
		}
		forked = append(forked, Match{Paths: []string{p.String() + "/end"}}, Match{Paths: []string{p.String() + "/**"}, Methods: []string{"PUT"}})
	}
	const depth = 40
	stars := Match{Paths: []string{strings.Repeat("/*", depth) + "/end", strings.Repeat("/*/a", depth/2) + "/end", "/a/**"}, Methods: []string{"PUT"}}
	indexes := map[string]struct {
		*index
		most int // steps
	}{
		"forked":                {indexOf(forked...), 2<<8 + 2<<8},
		"stars":                 {indexOf(stars), 3*depth + 1},
		"five thousand":         {indexOf(services(5000, 1)...), 4},
		"a literal as long":     {indexOf(Match{Hosts: []string{"*.test"}, Paths: []string{strings.Repeat("/a", 40)}}), 41},
		"wildcards of the host": {indexOf(Match{Hosts: []string{"*.test", "*.a.test", "*.a.a.test"}, Paths: []string{"/a/*/b/*/c"}}), 9},
	}
	const size = 60 << 10
	paths := map[string]string{
		"slashes":      strings.Repeat("/", size),
		"short":        strings.Repeat("/a", size/2),
		"stars":        strings.Repeat("/*", size/2),
		"one segment":  "/" + strings.Repeat("a", size),
		"then one":     strings.Repeat("/a", 8) + "/" + strings.Repeat("a", size),
		"almost":       strings.Repeat("/a", 8) + "/en",
		"a deep end":   strings.Repeat("/a", depth) + "/end/",
		"no such name": "/v1" + strings.Repeat("/service", size/8),
	}
	for rules, c := range indexes {
		for name, path := range paths {
			for _, host := range []string{host(0), strings.Repeat("a.", 120) + "test"} {
				r := &Request{Method: "GET", host: host, path: path}
				if position, steps := c.find(r); steps > c.most || position < len(c.rules) {
					t.Errorf("%s, %s: got %d in %d steps, want none in at most %d", rules, name, position, steps, c.most)
				}
			}
		}
	}
}

// TestIndexSize: an index grows with the rules, not with rules times hosts.
func TestIndexSize(t *testing.T) {
	var pairs []Match
	for i := range 100 * 2 * maxTrees {
		pairs = append(pairs, Match{Hosts: []string{host(i % 100), ownHost(i)}})
	}
	rows := []struct {
		name    string
		matches []Match
		most    int
	}{
		{"a rule for each of many hosts", services(1000, 100), 1000 + 2*100},
		{"a host with many rules", services(1000, 1), 1000 + 2},
		{"each of all hosts", ofAll(1000, 100), 1000 + 2},
		{"each of all hosts, beside those of one", append(ofAll(1000, 100), services(1000, 100)...), 1000 + 2 + 1000 + 2*100},
		{"of no host, beside those of one", append(ofNone(1000), services(1000, 100)...), 1000 + 2 + 1000 + 2*100},
		{"each of a host of its own as well", ofTwo(1000, ownHost), 3*1000 + 1000 + 2},
		{"each of all hosts, beside many of few", append(pairs, ofAll(1000, 100)...), len(pairs) + 100 + 1000 + 2},
		{"all paths of all hosts in one rule", []Match{{Hosts: ofAll(1, 1000)[0].Hosts, Paths: paths(1000)}}, 1000 + 2},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			nodes := nodesOf(indexOf(row.matches...))
			if len(nodes) > row.most {
				t.Errorf("got %d nodes, want at most %d", len(nodes), row.most)
			}
			for n := range nodes {
				if len(n.few) > maxFew {
					t.Errorf("%d segments are compared one by one", len(n.few))
				}
			}
		})
	}
}

func paths(n int) (list []string) {
	for _, m := range services(n, 1) {
		list = append(list, m.Paths...)
	}
	return list
}

// nodesOf are all nodes of an index, each once.
func nodesOf(x *index) map[*node]bool {
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		walk(n.star)
		for _, e := range n.few {
			walk(e.to)
		}
		for _, to := range n.many {
			walk(to)
		}
	}
	walk(x.anyHost)
	for _, of := range []map[string][]*node{x.exact, x.wildcard} {
		for _, trees := range of {
			for _, root := range trees {
				walk(root)
			}
		}
	}
	return seen
}

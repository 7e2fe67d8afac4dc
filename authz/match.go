package authz

import (
	"maps"
	"slices"
	"strings"
)

// matcher is a Match made ready: everything that doesn't depend on the request
// is done.
type matcher struct {
	paths   []pathPattern
	methods []string
	headers []Header
	context []Header
}

func compileMatch(m Match) matcher {
	c := matcher{methods: m.Methods, headers: sortedHeaders(m.Headers), context: sortedHeaders(m.ContextExtensions)}
	for _, p := range m.Paths {
		c.paths = append(c.paths, compilePath(p))
	}
	return c
}

func sortedHeaders(m map[string]string) []Header {
	var list []Header
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, Header{name, m[name]})
	}
	return list
}

// fits judges everything but the host, which the index has judged.
func (m *matcher) fits(r *Request) bool { return m.mismatch(r) == "" }

// mismatch names what doesn't fit, for people; empty if all does.
func (m *matcher) mismatch(r *Request) string {
	if len(m.methods) > 0 && !slices.Contains(m.methods, r.Method) {
		return "method"
	}
	if len(m.paths) > 0 && !m.fitsPath(r.path) {
		return "path"
	}
	for _, h := range m.headers {
		// Each line has to have the value: one that fits beside one that doesn't is
		// two readers seeing two requests.
		lines := 0
		for v := range r.Values(h.Name) {
			if lines++; v != h.Value {
				return "header " + h.Name
			}
		}
		if lines == 0 {
			return "header " + h.Name
		}
	}
	for _, c := range m.context {
		if !slices.Contains(r.ContextExtensions, c) {
			return "context extension " + c.Name
		}
	}
	return ""
}

func (m *matcher) fitsPath(path string) bool {
	for i := range m.paths {
		if m.paths[i].fits(path) {
			return true
		}
	}
	return false
}

// pathPattern is a path of a rule, cut at its first star.
type pathPattern struct {
	prefix string   // whole segments without a star
	rest   []string // the segments from the first star on; "*" is any that isn't empty
	below  bool     // "/**" at the end: the path itself and all below
}

func compilePath(p string) pathPattern {
	var c pathPattern
	c.prefix, c.below = strings.CutSuffix(p, "/**")
	if star := strings.Index(c.prefix, "/*"); star >= 0 {
		c.rest = strings.Split(c.prefix[star+1:], "/")
		c.prefix = c.prefix[:star]
	}
	return c
}

func (p *pathPattern) fits(path string) bool {
	path, ok := strings.CutPrefix(path, p.prefix)
	if !ok || path != "" && path[0] != '/' {
		return false
	}
	for _, want := range p.rest {
		if path == "" {
			return false
		}
		segment := path[1:]
		if slash := strings.IndexByte(segment, '/'); slash >= 0 {
			segment, path = segment[:slash], segment[slash:]
		} else {
			path = ""
		}
		if segment != want && (want != "*" || segment == "") {
			return false
		}
	}
	return path == "" || p.below
}

// index finds the rules of a host without looking at those of others. A host that
// a rule names has its own list; any other has the list of the nearest wildcard
// above it. Each list is complete and in the order of the configuration.
type index struct {
	exact    map[string][]*rule
	wildcard map[string][]*rule // by ".example.com"
	other    []*rule
}

func newIndex(rules []*rule) *index {
	// Positions of the rules by what they say of hosts; "" for those that say nothing.
	by := map[string][]int{}
	for i, r := range rules {
		if len(r.Match.Hosts) == 0 {
			by[""] = append(by[""], i)
		}
		for _, pattern := range r.Match.Hosts {
			by[pattern] = append(by[pattern], i)
		}
	}
	x := &index{exact: map[string][]*rule{}, wildcard: map[string][]*rule{}, other: pick(rules, by[""])}
	for pattern := range by {
		below, wild := strings.CutPrefix(pattern, "*")
		positions := slices.Concat(by[""], by[pattern])
		for i := 1; i < len(below); i++ {
			if below[i] == '.' {
				positions = append(positions, by["*"+below[i:]]...)
			}
		}
		switch {
		case wild:
			x.wildcard[below] = pick(rules, positions)
		case pattern != "":
			x.exact[pattern] = pick(rules, positions)
		}
	}
	return x
}

// pick makes a list of the rules at these positions, in the order of the
// configuration and each once.
func pick(rules []*rule, positions []int) []*rule {
	slices.Sort(positions)
	var list []*rule
	for _, i := range slices.Compact(positions) {
		list = append(list, rules[i])
	}
	return list
}

// lookup gives the rules of a host that is in lower case and has no port.
func (x *index) lookup(host string) []*rule {
	if h, ok := x.exact[host]; ok {
		return h
	}
	if len(x.wildcard) > 0 {
		for i := 1; i < len(host); i++ {
			if host[i] == '.' {
				if h, ok := x.wildcard[host[i:]]; ok {
					return h
				}
			}
		}
	}
	return x.other
}

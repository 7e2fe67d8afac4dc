package authz

import (
	"maps"
	"slices"
	"strings"
)

// matcher is a Match made ready. The index looks rules up by host and path, and
// asks a matcher for what is left; a matcher looks at a path only for people.
type matcher struct {
	paths   []string
	methods []string
	headers []condition
	context []condition
}

// condition is a header or context extension that has to have a value.
type condition struct {
	Header
	unmet string // what to say where it hasn't, made beforehand: most often nobody asks
}

func compileMatch(m Match) matcher {
	return matcher{m.Paths, m.Methods, conditions("header ", m.Headers), conditions("context extension ", m.ContextExtensions)}
}

func conditions(kind string, values map[string]string) []condition {
	var list []condition
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, condition{Header{name, values[name]}, kind + name})
	}
	return list
}

// conditional says whether it asks for more than host and path.
func (m *matcher) conditional() bool {
	return len(m.methods)+len(m.headers)+len(m.context) > 0
}

// fits judges everything but the host.
func (m *matcher) fits(r *Request) bool { return m.mismatch(r) == "" }

// mismatch names what doesn't fit, the host aside, for people; empty if all does.
func (m *matcher) mismatch(r *Request) string {
	if len(m.paths) > 0 && !slices.ContainsFunc(m.paths, func(p string) bool { return fitsPath(p, r.path) }) {
		return "path"
	}
	return m.unmet(r)
}

// unmet names what doesn't fit, host and path aside; empty if all does.
func (m *matcher) unmet(r *Request) string {
	if len(m.methods) > 0 && !slices.Contains(m.methods, r.Method) {
		return "method"
	}
	for i := range m.headers {
		// Each line has to have the value: one that fits beside one that doesn't is
		// two readers seeing two requests.
		want, lines := &m.headers[i], 0
		for v := range r.Values(want.Name) {
			if lines++; v != want.Value {
				return want.unmet
			}
		}
		if lines == 0 {
			return want.unmet
		}
	}
	for i := range m.context {
		if want := &m.context[i]; !slices.Contains(r.ContextExtensions, want.Header) {
			return want.unmet
		}
	}
	return ""
}

// fitsHost says whether one of a rule's hosts is this one, or stands above it. No
// hosts means all.
func fitsHost(patterns []string, host string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		above, wild := strings.CutPrefix(p, "*")
		return p == host || wild && strings.HasPrefix(above, ".") && len(host) > len(above) && strings.HasSuffix(host, above)
	})
}

// fitsPath is what a path pattern means: segment by segment the same, where "*" is
// any segment that isn't empty, and "/**" at the end is nothing or all that follows.
func fitsPath(pattern, path string) bool {
	pattern, below := strings.CutSuffix(pattern, "/**")
	for pattern != "" && path != "" {
		var want, got string
		want, pattern = cutSegment(pattern)
		got, path = cutSegment(path)
		if got != want && (want != star || got == "/") {
			return false
		}
	}
	return pattern == "" && (path == "" || below)
}

// star is the segment of a pattern that any other fits, "/" excepted.
const star = "/*"

// cutSegment takes the first segment off a path that isn't empty. It keeps the
// slash before it, so that "/" is a segment and the end of a path isn't one.
func cutSegment(path string) (segment, rest string) {
	if next := strings.IndexByte(path[1:], '/'); next >= 0 {
		return path[:1+next], path[1+next:]
	}
	return path, ""
}

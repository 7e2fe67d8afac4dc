package authz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

// The index must find what going through all rules in order would. This is that
// way, as plainly as it can be said.

// linearly judges a request whose host and path are read: by which rule, or why not.
func linearly(rules []*rule, r *Request) (name string, reason audit.Reason) {
	for _, c := range rules {
		if !plainlyFits(c.Match, r) {
			continue
		}
		if r.ambiguous && !c.AllowAmbiguousPath {
			return "", audit.AmbiguousPath
		}
		return c.Name, audit.Allowed
	}
	if r.ambiguous {
		return "", audit.AmbiguousPath
	}
	return "", audit.NoRule
}

func plainlyFits(m Match, r *Request) bool {
	host := slices.ContainsFunc(m.Hosts, func(p string) bool {
		return p == r.host || strings.HasPrefix(p, "*.") && strings.HasSuffix(r.host, p[1:]) && r.host != p[1:]
	})
	path := slices.ContainsFunc(m.Paths, func(p string) bool {
		return strings.HasPrefix(p, "/") && globFits(strings.Split(p, "/"), strings.Split(r.path, "/"))
	})
	if !host && len(m.Hosts) > 0 || !path && len(m.Paths) > 0 || len(m.Methods) > 0 && !slices.Contains(m.Methods, r.Method) {
		return false
	}
	for name, value := range m.Headers {
		values := slices.Compact(slices.Collect(r.Values(name)))
		if !slices.Equal(values, []string{value}) {
			return false
		}
	}
	for name, value := range m.ContextExtensions {
		if !slices.Contains(r.ContextExtensions, Header{name, value}) {
			return false
		}
	}
	return true
}

func globFits(pattern, path []string) bool {
	switch {
	case len(pattern) == 1 && pattern[0] == "**":
		return true
	case len(pattern) == 0 || len(path) == 0:
		return len(pattern) == len(path)
	}
	return (pattern[0] == path[0] || pattern[0] == "*" && path[0] != "") && globFits(pattern[1:], path[1:])
}

// agree asserts that the index and the way above judge a request alike.
func agree(t *testing.T, x *index, r *Request) {
	t.Helper()
	j := judgement{engine: &Engine{index: x}, request: r}
	got := audit.Allowed
	if refusal := j.match(); refusal != nil {
		got = refusal.Reason
	}
	if want, reason := linearly(x.rules, r); j.Rule != want || got != reason {
		t.Fatalf("%s %s%s, ambiguous %t, headers %q, context %q: got rule %q, %v, want %q, %v", r.Method, r.host, r.path, r.ambiguous, r.Headers, r.ContextExtensions, j.Rule, got, want, reason)
	}
	// What people are told comes from neither.
	at := slices.IndexFunc(x.lookup(r.host), func(c *rule) bool { return c.match.fits(r) })
	if fits := x.first(r); (at >= 0) != (fits != nil) || at >= 0 && x.lookup(r.host)[at] != fits {
		t.Fatalf("%s %s%s: lookup and fits find another rule than first", r.Method, r.host, r.path)
	}
}

// readRules makes rules of lines, each of words such as host=*.test, path=/a/**,
// method=GET, header=x-a:1, context=k:v and ambiguous, any of them several times.
func readRules(lines string) []*rule {
	var rules []*rule
	for line := range strings.Lines(lines) {
		r := Rule{Name: fmt.Sprint("rule ", len(rules)), Match: Match{Headers: map[string]string{}, ContextExtensions: map[string]string{}}}
		for word := range strings.FieldsSeq(line) {
			kind, value, _ := strings.Cut(word, "=")
			h := readPair(value)
			switch kind {
			case "host":
				r.Match.Hosts = append(r.Match.Hosts, value)
			case "path":
				r.Match.Paths = append(r.Match.Paths, value)
			case "method":
				r.Match.Methods = append(r.Match.Methods, value)
			case "header":
				r.Match.Headers[h.Name] = h.Value
			case "context":
				r.Match.ContextExtensions[h.Name] = h.Value
			case "ambiguous":
				r.AllowAmbiguousPath = true
			}
		}
		rules = append(rules, &rule{Rule: r, match: compileMatch(r.Match)})
	}
	return rules
}

func readPair(s string) Header {
	name, value, _ := strings.Cut(s, ":")
	return Header{name, value}
}

func readPairs(s string) (list []Header) {
	for word := range strings.FieldsSeq(s) {
		list = append(list, readPair(word))
	}
	return list
}

// TestIndexIsALinearSearch is on random rules of few words, so that most overlap.
func TestIndexIsALinearSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(from []string) string { return from[random.IntN(len(from))] }
	hosts := []string{"a.test", "b.test", "x.a.test", "y.x.a.test", "*.test", "*.a.test", "*.x.a.test", "*.b.test", "[::1]", "test"}
	segments := []string{"a", "b", "*", "a", "*", ""}
	asked := []string{"a.test", "b.test", "c.test", "x.a.test", "y.x.a.test", "z.y.x.a.test", "x.b.test", "test", "xa.test", "a.test.evil", "[::1]", "[::2]", "x.xa.test"}
	path := func() string {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteString("/" + one(segments))
		}
		return b.String()
	}
	decided := map[string]int{}
	for range 300 {
		var lines strings.Builder
		some := func(most int, word func() string) {
			for range random.IntN(most + 1) {
				lines.WriteString(word() + " ")
			}
		}
		// A few lists of hosts that several rules share, or each its own.
		lists := make([]string, 1+random.IntN(12))
		for i := range lists {
			for range random.IntN(4) {
				lists[i] += "host=" + one(hosts) + " "
			}
		}
		for range random.IntN(40) {
			lines.WriteString(one(lists))
			some(3, func() string { return "path=" + path() + one([]string{"", "", "/**"}) })
			some(1, func() string {
				return one([]string{"method=GET", "method=PUT", "header=x-a:1", "context=k:v", "ambiguous"})
			})
			lines.WriteString("\n")
		}
		x := newIndex(readRules(lines.String()))
		for range 100 {
			r := &Request{Method: one([]string{"GET", "PUT"}), Host: one(asked), Target: path()}
			r.Headers = readPairs(one([]string{"", "x-a:1", "x-a:2", "x-a:1 x-a:1", "x-a:1 x-a:2"}))
			r.ContextExtensions = readPairs(one([]string{"", "k:v", "k:w"}))
			if refusal := r.normalise(); refusal != nil {
				t.Fatal(refusal)
			}
			agree(t, x, r)
			_, reason := linearly(x.rules, r)
			decided[fmt.Sprint(reason, " ", r.ambiguous)]++
		}
	}
	// Without these it would show little.
	for _, kind := range []string{"allowed false", "allowed true", "no_rule false", "ambiguous_path true"} {
		if decided[kind] < 500 {
			t.Errorf("too few of %s in %v", kind, decided)
		}
	}
}

func FuzzMatchAgainstLinear(f *testing.F) {
	f.Add("path=/a/*\npath=/a/b", "GET", "a.test", "/a/b", "", "")
	f.Add("host=a.test path=/**\nhost=*.test path=/*/b/** ambiguous\nmethod=PUT", "PUT", "x.a.test:80", "/a//b", "", "")
	f.Add("host=a.test header=x-a:1\nhost=a.test host=b.test context=k:v\nhost=a.test host=*.b.test path=/\nhost=a.test host=c.test\nhost=a.test host=d.test", "GET", "A.test.", "/", "x-a:1 x-a:2", "k:v")
	f.Add("path=/1 path=/2 path=/3 path=/4 path=/5 path=/6 path=/7 path=/8 path=/9 path=/*/\npath=/*/**", "GET", "a.test", "/9/", "", "")
	f.Add("path=a/** path=* path=/a* path=/a/**/b path=** host=*.a.test host=*a.test host=*\nhost=", "GET", ".a.test", "/a/**/b", "", "")
	f.Fuzz(func(t *testing.T, rules, method, host, target, headers, context string) {
		r := &Request{Method: method, Host: host, Target: target, Headers: readPairs(headers), ContextExtensions: readPairs(context)}
		if r.normalise() == nil {
			agree(t, newIndex(readRules(rules)), r)
		}
	})
}

package config

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func TestPathCovers(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"", "/x", true}, {"/**", "", true}, {"/**", "/", true}, {"/**", "/x/**", true},
		{"/x", "", false}, {"/x/**", "", false}, {"/*", "", false}, {"/*/**", "", false}, {"/*/**", "/**", false},
		{"/x", "/x", true}, {"/x", "/x/", false}, {"/x/", "/x", false}, {"/x", "/y", false},
		{"/x/**", "/x", true}, {"/x/**", "/x/", true}, {"/x/**", "/x/y", true}, {"/x/**", "/x/*", true}, {"/x/**", "/x/y/**", true},
		{"/x/**", "/xy", false}, {"/x/**", "/*", false}, {"/x/y/**", "/x/**", false}, {"/x/y/**", "/x", false},
		{"/*", "/x", true}, {"/*", "/*", true}, {"/*", "/", false}, {"/*", "/x/", false}, {"/*", "/x/y", false}, {"/*", "/x/**", false},
		{"/*/y", "/x/y", true}, {"/*/y", "/*/y", true}, {"/x/y", "/*/y", false}, {"/*/**", "/x", true}, {"/*/**", "/x/y/*", true},
	} {
		if got := pathCovers(tt.a, tt.b); got != tt.want {
			t.Errorf("%q over %q: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestPatternsOver(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"host", hostsOver("a.b.c"), []string{"", "a.b.c", "*.b.c", "*.c"}},
		{"wildcard", hostsOver("*.b.c"), []string{"", "*.b.c", "*.c"}},
		{"any host", hostsOver(""), []string{""}},
		{"path", pathsOver("/a/b"), []string{"/a/b", "/a", ""}},
		{"path with a slash at the end", pathsOver("/a/"), []string{"/a/", "/a", ""}},
		{"path with a star", pathsOver("/a/*/b"), []string{"/a", ""}},
		{"path and below", pathsOver("/a/**"), []string{"/a", ""}},
		{"any path", pathsOver(""), []string{""}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

// The patterns and requests of the tests below: few, so that chance finds every
// relation between them.
var (
	hostPatterns = []string{"a.x", "b.x", "x", "*.x", "*.a.x", "c.a.x", "y"}
	pathPatterns = []string{"/", "/p", "/p/", "/p/q", "/p/*", "/*/q", "/p/**", "/p/*/**", "/*", "/**"}
	hosts        = []string{"a.x", "b.x", "x", "c.a.x", "d.c.a.x", "y", "z"}
	paths        = []string{"/", "/p", "/p/", "/p/q", "/p/r", "/r/q", "/p/q/r", "/p/q/", "/r"}
	methods      = []string{"GET", "PUT"}
)

func randomMatch(r *rand.Rand) *configv1.Match {
	some := func(from []string) []string {
		var chosen []string
		for range r.IntN(3) {
			chosen = append(chosen, from[r.IntN(len(from))])
		}
		return chosen
	}
	m := &configv1.Match{Hosts: some(hostPatterns), Paths: some(pathPatterns), Methods: some(methods)}
	if r.IntN(4) == 0 {
		m.Headers = map[string]string{"x-a": methods[r.IntN(2)]}
	}
	return m
}

// fits is what Match promises, written as plainly as can be.
func fits(m *configv1.Match, host, path, method, header string) bool {
	return fitsHost(m, host) && fitsPath(m, path) &&
		(len(m.GetMethods()) == 0 || slices.Contains(m.GetMethods(), method)) &&
		(len(m.GetHeaders()) == 0 || m.GetHeaders()["x-a"] == header)
}

func fitsHost(m *configv1.Match, host string) bool {
	return len(m.GetHosts()) == 0 || slices.ContainsFunc(m.GetHosts(), func(p string) bool {
		below, wild := strings.CutPrefix(p, "*")
		return p == host || wild && strings.HasSuffix(host, below)
	})
}

func fitsPath(m *configv1.Match, path string) bool {
	return len(m.GetPaths()) == 0 || slices.ContainsFunc(m.GetPaths(), func(p string) bool {
		p, below := strings.CutSuffix(p, "/**")
		want, got := strings.Split(p, "/"), strings.Split(path, "/")
		if len(got) < len(want) || len(got) > len(want) && !below {
			return false
		}
		for i := range want {
			if want[i] != got[i] && (want[i] != "*" || got[i] == "") {
				return false
			}
		}
		return true
	})
}

// everyRequest says whether ok holds for all.
func everyRequest(ok func(host, path, method, header string) bool) bool {
	for _, host := range hosts {
		for _, path := range paths {
			for _, method := range methods {
				for _, header := range methods {
					if !ok(host, path, method, header) {
						return false
					}
				}
			}
		}
	}
	return true
}

// TestCoverHolds holds that what is said to be covered is: no request fits the
// covered match and not the other.
func TestCoverHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 20_000 {
		a, b := randomMatch(r), randomMatch(r)
		x := newCoverIndex()
		x.add(0, a)
		if _, ok := x.find(b); !ok {
			continue
		}
		found++
		if !everyRequest(func(host, path, method, header string) bool {
			return !fits(b, host, path, method, header) || fits(a, host, path, method, header)
		}) {
			t.Fatalf("%v isn't covered by %v", b, a)
		}
	}
	if found < 500 {
		t.Errorf("found %d only", found)
	}
}

// TestAmbiguousHolds holds that a rule which may judge ambiguous paths is no way
// around another: whatever other path the application reads, the rules would
// have let that request through too, or asked for the same.
func TestAmbiguousHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	demands := []*configv1.Rule{
		{Public: true},
		{Public: true, Require: "a"},
		{Bearer: &configv1.Bearer{Providers: []string{"corp"}}},
		{Bearer: &configv1.Bearer{Providers: []string{"corp"}}, Require: "a"},
		{Bearer: &configv1.Bearer{Providers: []string{"corp"}, Scopes: []string{"s"}}},
		{Login: "web"},
		{Login: "web", Bearer: &configv1.Bearer{Providers: []string{"corp"}}},
	}
	legal := 0
	for range 4_000 {
		rules := make([]*configv1.Rule, 1+r.IntN(3))
		for i := range rules {
			d := demands[r.IntN(len(demands))]
			rules[i] = &configv1.Rule{Match: randomMatch(r), Public: d.GetPublic(), Bearer: d.GetBearer(), Login: d.GetLogin(), Require: d.GetRequire()}
		}
		allowed := r.IntN(len(rules))
		rules[allowed].AmbiguousPaths = configv1.AmbiguousPaths_AMBIGUOUS_PATHS_ALLOW
		c := &checker{newReport(&File{}), &configv1.Config{}}
		c.ambiguous(rules)
		if len(c.errors) > 0 {
			continue
		}
		legal++
		if !everyRequest(func(host, path, method, header string) bool {
			if decides(rules, host, path, method, header) != rules[allowed] {
				return true
			}
			for _, other := range paths {
				rule := decides(rules, host, other, method, header)
				if rule == nil || demandOf(rule) != (demand{}) && demandOf(rule) != demandOf(rules[allowed]) {
					return false
				}
			}
			return true
		}) {
			t.Fatalf("rules[%d] is a way around: %v", allowed, rules)
		}
	}
	if legal < 100 {
		t.Errorf("%d were legal only", legal)
	}
}

// decides is the first rule that fits, or nil.
func decides(rules []*configv1.Rule, host, path, method, header string) *configv1.Rule {
	for _, rule := range rules {
		if fits(rule.GetMatch(), host, path, method, header) {
			return rule
		}
	}
	return nil
}

func TestCoverIndexGivesUp(t *testing.T) {
	x := newCoverIndex()
	x.add(0, &configv1.Match{})
	x.left = 0
	if _, ok := x.find(&configv1.Match{}); ok {
		t.Error("found without a comparison left")
	}
}

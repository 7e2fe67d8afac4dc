package authz

import (
	"testing"

	"github.com/credence-authz/credence/audit"
)

func TestPathPatterns(t *testing.T) {
	rows := []struct {
		pattern   string
		fits, not []string
	}{
		{"/", []string{"/"}, []string{"/a", "//", ""}},
		{"/healthz", []string{"/healthz"}, []string{"/healthz/", "/healthzz", "/health", "/healthz/a", "/HEALTHZ", "/", "/x/healthz"}},
		{"/a/", []string{"/a/"}, []string{"/a", "/a/b", "/a//"}},
		{"/**", []string{"/", "/a", "/a/b", "/a/"}, nil},
		{"/v1/**", []string{"/v1", "/v1/", "/v1/a", "/v1/a/b"}, []string{"/v10", "/v1a/b", "/v", "/", "/V1", "/x/v1"}},
		{"/v1/x/**", []string{"/v1/x", "/v1/x/y"}, []string{"/v1", "/v1/", "/v1/xy"}},
		{"/*", []string{"/a", "/*", "/a.b"}, []string{"/", "/a/", "/a/b", ""}},
		{"/users/*", []string{"/users/1"}, []string{"/users", "/users/", "/users/1/", "/users/1/a", "/user/1"}},
		{"/users/*/", []string{"/users/1/"}, []string{"/users/1", "/users//", "/users/1/secret", "/users/1//"}},
		{"/users/*/orders", []string{"/users/1/orders"}, []string{"/users/orders", "/users//orders", "/users/1/2/orders", "/users/1/orders/", "/users/1/order", "/users/1/orders2"}},
		{"/*/*", []string{"/a/b"}, []string{"/a", "/a/", "//b", "/a/b/c"}},
		{"/*/**", []string{"/a", "/a/", "/a/b/c"}, []string{"/", ""}},
		{"/users/*/orders/**", []string{"/users/1/orders", "/users/1/orders/2/3"}, []string{"/users/1", "/users//orders/2"}},
		// What config refuses, since it isn't what it looks like.
		{"/a*", []string{"/a*"}, []string{"/ab", "/a"}},
		{"/a/**/b", []string{"/a/**/b"}, []string{"/a/b", "/a/x/b", "/a/x/y/b"}},
		{"a/**", nil, []string{"/a", "/a/b", "/"}},
		{"*", nil, []string{"/", "/a"}},
		{"", nil, []string{"/", "/a"}},
	}
	for _, row := range rows {
		x := indexOf(Match{Paths: []string{row.pattern}})
		for want, paths := range map[bool][]string{true: row.fits, false: row.not} {
			for _, path := range paths {
				if got := x.first(&Request{path: path}) != nil; got != want {
					t.Errorf("%s fits %q: got %t, want %t", row.pattern, path, got, want)
				}
				if got := fitsPath(row.pattern, path); got != want {
					t.Errorf("%s fits %q, in words: got %t, want %t", row.pattern, path, got, want)
				}
			}
		}
	}
}

func TestMismatch(t *testing.T) {
	m := compileMatch(Match{
		Paths: []string{"/a", "/b/**"}, Methods: []string{"GET", "HEAD"},
		Headers: map[string]string{"x-tenant": "one", "accept": "*/*"}, ContextExtensions: map[string]string{"policy": "orders"},
	})
	good := func() *Request {
		return &Request{Method: "GET", path: "/a", Headers: []Header{{"accept", "*/*"}, {"x-tenant", "one"}}, ContextExtensions: []Header{{"other", "x"}, {"policy", "orders"}}}
	}
	rows := []struct {
		name   string
		change func(*Request)
		want   string
	}{
		{"nothing", func(*Request) {}, ""},
		{"the second method", func(r *Request) { r.Method = "HEAD" }, ""},
		{"the second path", func(r *Request) { r.path = "/b/c" }, ""},
		{"a header twice, with the same value", func(r *Request) { r.Headers = append(r.Headers, r.Headers...) }, ""},
		{"another method", func(r *Request) { r.Method = "POST" }, "method"},
		{"another path", func(r *Request) { r.path = "/c" }, "path"},
		{"no headers", func(r *Request) { r.Headers = nil }, "header accept"},
		{"another value", func(r *Request) { r.Headers[1].Value = "two" }, "header x-tenant"},
		{"a second value (5.34)", func(r *Request) { r.Headers = append(r.Headers, Header{"x-tenant", "two"}) }, "header x-tenant"},
		{"a value in another case", func(r *Request) { r.Headers[1].Value = "ONE" }, "header x-tenant"},
		{"two values joined", func(r *Request) { r.Headers[1].Value = "one,one" }, "header x-tenant"},
		{"no context", func(r *Request) { r.ContextExtensions = nil }, "context extension policy"},
		{"a header in place of the context", func(r *Request) {
			r.ContextExtensions = nil
			r.Headers = append(r.Headers, Header{"policy", "orders"})
		}, "context extension policy"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := good()
			row.change(r)
			if got := m.mismatch(r); got != row.want || m.fits(r) != (got == "") {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	everything := compileMatch(Match{})
	if got := everything.mismatch(&Request{}); got != "" {
		t.Errorf("an empty match doesn't fit: %s", got)
	}
}

func TestFirstRuleDecides(t *testing.T) {
	public := func(name string, hosts ...string) Rule {
		return Rule{Name: name, Match: Match{Hosts: hosts}, Public: true}
	}
	rows := []struct {
		name  string
		rules []Rule
		want  map[string]string // rule by host
	}{
		{"in the order of the configuration", []Rule{public("one"), public("two")}, map[string]string{"a.test": "one"}},
		{"whether named or not", []Rule{public("named", "a.test"), public("any")}, map[string]string{"a.test": "named", "b.test": "any", "A.test.:443": "named"}},
		{"also the other way round", []Rule{public("any"), public("named", "a.test")}, map[string]string{"a.test": "any"}},
		{"a wildcard before an exact host", []Rule{public("wild", "*.test"), public("exact", "a.test")}, map[string]string{"a.test": "wild"}},
		{"an exact host before a wildcard", []Rule{public("exact", "a.test"), public("wild", "*.test")}, map[string]string{"a.test": "exact", "b.test": "wild", "b.a.test": "wild"}},
		{"wide before narrow", []Rule{public("wide", "*.test"), public("narrow", "*.a.test")}, map[string]string{"x.a.test": "wide", "a.test": "wide"}},
		{"narrow before wide", []Rule{public("narrow", "*.a.test"), public("wide", "*.test")}, map[string]string{"x.a.test": "narrow", "y.x.a.test": "narrow", "a.test": "wide", "x.b.test": "wide"}},
		{"a wildcard isn't its own name", []Rule{public("wild", "*.a.test")}, map[string]string{"a.test": "", "xa.test": "", "x.a.test": "wild", "x.a.test.evil": "", ".a.test": ""}}, // 5.51
		{"several hosts", []Rule{public("several", "a.test", "*.b.test", "[::1]")}, map[string]string{"a.test": "several", "x.b.test": "several", "[::1]:80": "several", "b.test": "", "[::2]": ""}},
		{"an exact host that only a wildcard rule serves", []Rule{{Name: "exact", Match: Match{Hosts: []string{"a.test"}, Paths: []string{"/x"}}, Public: true}, public("wild", "*.test")}, map[string]string{"a.test": "wild"}},
		{"no rule", nil, map[string]string{"a.test": ""}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e := newEngine(t, Options{Rules: row.rules})
			for host, want := range row.want {
				r := get("/")
				r.Host = host
				if d := e.Decide(t.Context(), r); d.Rule != want || d.Allow != (want != "") {
					t.Errorf("%s: got %q, %v, want %q", host, d.Rule, d.Reason, want)
				}
			}
		})
	}
}

func TestNoMatchDenies(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{{Name: "post", Match: Match{Methods: []string{"POST"}}, Public: true}}})
	wantReason(t, e.Decide(t.Context(), get("/")), audit.NoRule)
}

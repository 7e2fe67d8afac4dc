package authz

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestQueryParametersAreOurs(t *testing.T) {
	rules := []Rule{
		{Name: "sets", Match: Match{Paths: []string{"/sets"}}, Public: true, SetQuery: map[string]string{"user": `"alice"`, "a b": `"c&d=e+f"`, "none": `""`}},
		{Name: "brackets", Match: Match{Paths: []string{"/brackets"}}, Public: true, SetQuery: map[string]string{"filter[owner]": `"alice"`, "$none": `""`}},
		{Name: "removes", Match: Match{Paths: []string{"/removes"}}, Public: true, RemoveQuery: []string{"access_token", "a b"}},
		{Name: "neither", Match: Match{Paths: []string{"/neither"}}, Public: true},
	}
	e := newEngine(t, Options{Rules: rules})
	rows := []struct {
		name, target string
		removed      []string
	}{
		{"set as it is written, which replaces all of that name", "/sets?user=root&user=x", []string{"none"}},
		{"set in another spelling", "/sets?us%65r=root&%75ser&x=1", []string{"none", "us%65r", "%75ser"}},
		{"set with a space", "/sets?a+b=1&a%20b=2", []string{"none", "a+b"}},
		{"set, with other names", "/sets?users=1&use=2&us%2565r=3&User=4&=5&user%=6", []string{"none"}},
		{"without a value, the client's is none either", "/sets?none=1&n%6Fne=2", []string{"none", "n%6Fne"}},
		{"set, with a name that is always escaped", "/brackets?filter[owner]=root&filter%5Bowner%5D=x&filter%5bowner]=y", []string{"%24none", "filter[owner]", "filter%5bowner]"}},
		{"without a value, with such a name", "/brackets?$none=1&%24none=2", []string{"%24none", "$none"}},
		{"set where nothing is", "/sets", nil},
		{"removed as it is written", "/removes?access_token=x", []string{"access_token", "a b"}},
		{"removed in another spelling", "/removes?access%5ftoken=x&access%5Ftoken=y&access_toke%6E", []string{"access_token", "a b", "access%5ftoken", "access%5Ftoken", "access_toke%6E"}},
		{"removed, with a space", "/removes?a+b=1&a%20b", []string{"access_token", "a b", "a+b", "a%20b"}},
		{"removed, from nothing", "/removes", []string{"access_token", "a b"}},
		{"removed, from an empty query", "/removes?", []string{"access_token", "a b"}},
		{"neither", "/neither?us%65r=root", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := e.Decide(t.Context(), get(row.target))
			if !d.Allow || !slices.Equal(d.RemoveQuery, row.removed) {
				t.Errorf("allow %t, removed %q, want %q", d.Allow, d.RemoveQuery, row.removed)
			}
		})
	}
	if got := rules[2].RemoveQuery; !slices.Equal(got, []string{"access_token", "a b"}) {
		t.Errorf("a request changed the rule: %q", got)
	}
	d := e.Decide(t.Context(), get("/sets"))
	if want := []Header{{"a b", "c&d=e+f"}, {"user", "alice"}}; !slices.Equal(d.SetQuery, want) {
		t.Errorf("set %q, want %q", d.SetQuery, want)
	}
}

// FuzzCleanQuery: after the proxy has set and removed by the names as written, an
// application that decodes sees no parameter of the client under our names.
func FuzzCleanQuery(f *testing.F) {
	for _, q := range []string{"user=1", "us%65r=1&x", "a+b=1&a%20b=2", "&&==&%", "user%=1", "%75%73%65%72", "none&%6eone"} {
		f.Add(q)
	}
	r := &rule{Rule: Rule{RemoveQuery: []string{"gone", "a b"}}, query: []namedExpression{{name: "user", escaped: "user"}, {name: "none", escaped: "none"}}}
	f.Fuzz(func(t *testing.T, query string) {
		d := Decision{SetQuery: []Header{{"user", "alice"}}}
		r.cleanQuery(&d, query)
		for parameter := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(parameter, "=")
			if name == "user" || slices.Contains(d.RemoveQuery, name) {
				continue
			}
			values, err := url.ParseQuery(parameter) // leaves out what it can't read
			for _, name := range []string{"user", "none", "gone", "a b"} {
				if values.Has(name) {
					t.Errorf("%q is left of %q (%v)", parameter, query, err)
				}
			}
		}
	})
}

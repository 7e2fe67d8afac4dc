package authz

import (
	"slices"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_O7_IdentityHeadersAreOurs: after an allow, the application sees of
// the identity headers only what a rule set.
// Held as well: SEC-5.41, SEC-5.42.
func TestSEC_O7_IdentityHeadersAreOurs(t *testing.T) {
	names := map[string]string{"X-User-Id": "claims.sub", "x-user-groups": "claims.groups", "x-user-rank": "claims.rank"}
	path := func(p string) Match { return Match{Hosts: []string{"api.example.com"}, Paths: []string{p}} }
	corp, e := newCorp(t,
		Rule{Name: "public", Match: path("/public"), Public: true},
		Rule{Name: "some", Match: path("/some"), Bearer: orders.Bearer, Headers: map[string]string{"x-user-id": "claims.sub"}},
		Rule{Name: "all", Match: path("/all"), Bearer: orders.Bearer, Headers: names},
		Rule{Name: "wild", Match: Match{Hosts: []string{"*.example.com"}, Paths: []string{"/wild"}}, Public: true, Headers: map[string]string{"x-wild": `"yes"`}},
		Rule{Name: "anywhere", Public: true, Match: Match{Paths: []string{"/anywhere"}}, Headers: map[string]string{"x-any": `"yes"`}},
		Rule{Name: "other", Match: Match{Hosts: []string{"other.test"}}, Public: true, Headers: map[string]string{"x-other": `"yes"`}},
	)
	token := bearer(corp.Sign(oidctest.Token{}))
	nobody := bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"groups": []string{}, "rank": nil}}))
	ours := []string{"x-any", "x-other", "x-user-groups", "x-user-id", "x-user-rank", "x-wild"}
	rows := []struct {
		name string
		r    *Request
		set  []string
	}{
		{"a public rule sets none", get("/public"), nil},
		{"a rule sets its own", get("/some", token), []string{"x-user-id"}},
		{"an absent claim sets none", get("/all", token), []string{"x-user-groups", "x-user-id"}},
		{"nor does an empty one", get("/all", nobody), []string{"x-user-id"}},
		{"a rule of a wildcard host", get("/wild"), []string{"x-wild"}},
		{"a rule of every host", get("/anywhere"), []string{"x-any"}},
	}
	spellings := []string{
		"x-user-id", "x_user_id", "x.user.id", "x-user_id", "x_user-id", "x!user~id", "X-USER-ID", "x-user-groups", "x_user_groups", "x.user_groups", "x_user_rank", "x+wild", "x_any",
	}
	harmless := []Header{
		{"x-user", "1"}, {"x-user-idd", "1"}, {"xuserid", "1"}, {"x-userid", "1"}, {"x-user-id-", "1"}, {"-x-user-id", "1"}, {"x--user-id", "1"}, {"accept", "1"}, {"cookie", "1"}, {"", "1"},
		{strings.Repeat("x", 300), "1"}, {strings.Repeat("x-user-id", 40), "1"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, name := range spellings {
				row.r.Headers = append(row.r.Headers, Header{lower(name), "root"}, Header{lower(name), "admin"})
			}
			row.r.Headers = append(row.r.Headers, harmless...)
			d := e.Decide(t.Context(), row.r)
			if !d.Allow {
				t.Fatalf("denied: %v, %s", d.Reason, d.Detail)
			}
			var set []string
			for _, h := range d.Set {
				set = append(set, h.Name)
				if h.Value == "" {
					t.Errorf("%s is set to nothing", h.Name)
				}
			}
			slices.Sort(set)
			if !slices.Equal(set, row.set) {
				t.Errorf("set %q, want %q", set, row.set)
			}
			for _, name := range append(spellings, ours...) {
				name = lower(name)
				if removed := slices.Contains(d.Remove, name); removed == slices.Contains(set, name) {
					t.Errorf("%s: removed %t, set %t", name, removed, !removed)
				}
			}
			for _, h := range harmless {
				if slices.Contains(d.Remove, h.Name) {
					t.Errorf("%q is removed", h.Name)
				}
			}
			if once := slices.Compact(slices.Sorted(slices.Values(d.Remove))); len(once) != len(d.Remove) {
				t.Errorf("names are removed twice: %q", d.Remove)
			}
		})
	}
}

// TestSEC_O7_OtherHostsHeadersGo: a proxy may send every host to one application, and then
// the client chooses the host.
func TestSEC_O7_OtherHostsHeadersGo(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{
		{Name: "a", Match: Match{Hosts: []string{"a.test"}}, Public: true, Headers: map[string]string{"x-a": `"1"`}},
		{Name: "b", Match: Match{Hosts: []string{"b.test"}}, Public: true, Headers: map[string]string{"x-b": `"1"`}},
		{Name: "rest", Public: true},
	}})
	for host, want := range map[string][]string{"b.test": {"x-a", "x_b"}, "evil.test": {"x-a", "x-b", "x_b"}} {
		r := get("/", Header{"x-a", "1"}, Header{"x_b", "1"})
		r.Host = host
		if d := e.Decide(t.Context(), r); !slices.Equal(d.Remove, want) {
			t.Errorf("%s: removed %q, want %q", host, d.Remove, want)
		}
	}
}

// TestSpellingsOfTwoNames: where rules set two names that fold to one, neither is
// a forgery of the other.
func TestSpellingsOfTwoNames(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{
		{Name: "one", Match: Match{Paths: []string{"/one"}}, Public: true, Headers: map[string]string{"x-user": `"1"`}},
		{Name: "two", Match: Match{Paths: []string{"/two"}}, Public: true, Headers: map[string]string{"x_user": `"1"`}},
	}})
	sent := []Header{{"x-user", "root"}, {"x_user", "root"}, {"x.user", "root"}}
	for path, want := range map[string][]string{"/one": {"x_user", "x.user"}, "/two": {"x-user", "x.user"}} {
		if d := e.Decide(t.Context(), get(path, sent...)); !slices.Equal(d.Remove, want) {
			t.Errorf("%s: removed %q, want %q", path, d.Remove, want)
		}
	}
}

// FuzzForged: a header is a forgery if and only if CGI makes the same variable of
// it as of an identity header.
func FuzzForged(f *testing.F) {
	n := newIdentityNames([]string{"remote-user", strings.Repeat("x-", 40), strings.Repeat("x-", 128), "x-user-id"})
	for _, name := range []string{"x-user-id", "x_user_id", "x.user.id", "remote_user", "accept", "", strings.Repeat("x_", 40), strings.Repeat("x_", 128), "x\x00user\xffid"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = lower(name)
		want := !slices.Contains(n.names, name) && slices.ContainsFunc(n.names, func(ours string) bool { return variable(ours) == variable(name) })
		if got := n.forged(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	})
}

// variable is the name that an application reads a header by, after RFC 3875,
// 4.1.18, in the widest reading of it.
func variable(name string) string {
	b := []byte("HTTP_" + name)
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z':
			b[i] -= 'a' - 'A'
		case !isAlphanumeric(c):
			b[i] = '_'
		}
	}
	return string(b)
}

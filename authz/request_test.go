package authz

import (
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

func TestSplitHost(t *testing.T) {
	rows := []struct {
		authority, want string // empty: refused
	}{
		{"example.com", "example.com"},
		{"EXAMPLE.Com", "example.com"},
		{"example.com:443", "example.com"},
		{"example.com.", "example.com"},
		{"example.com.:8443", "example.com"},
		{"a_b-c.example.com", "a_b-c.example.com"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"localhost", "localhost"},
		{"192.0.2.1:80", "192.0.2.1"},
		{"[::1]", "[::1]"},
		{"[2001:DB8::1]:8443", "[2001:db8::1]"},
		{"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"},
		{strings.Repeat("a", 255), strings.Repeat("a", 255)},

		{"", ""},
		{".", ""},
		{"..", ""},
		{".example.com", ""},
		{"example.com..", ""},
		{"example..com", ""},
		{"example.com:", ""},
		{"example.com:x", ""},
		{"example.com:+80", ""},
		{"example.com:123456", ""},
		{"example.com:80:80", ""},
		{":80", ""},
		{"h.test,evil.test", ""}, // two Host lines
		{"h.test, evil.test", ""},
		{"user@example.com", ""},
		{"example.com@evil.test", ""},
		{"example.com/path", ""},
		{"example.com\\path", ""},
		{"example.com?q", ""},
		{"example.com#f", ""},
		{"example.com%00", ""},
		{"example%2ecom", ""},
		{"exa mple.com", ""},
		{" example.com", ""},
		{"example.com\r\n", ""},
		{"example.com\x00", ""},
		{"ex\u00e4mple.com", ""},
		{"\u212aelvin.com", ""},
		{"*.example.com", ""},
		{"2001:db8::1", ""},
		{"[", ""},
		{"[]", ""},
		{"[]:80", ""},
		{"[::1", ""},
		{"[::1]x", ""},
		{"[::1]:", ""},
		{"[::1]:x", ""},
		{"[fe80::1%25eth0]", ""},
		{"[example.com]", ""},
		{"::1]", ""},
		{strings.Repeat("a", 262), ""},
	}
	for _, row := range rows {
		t.Run(row.authority, func(t *testing.T) {
			got, ok := splitHost(row.authority)
			if ok != (row.want != "") || ok && got != row.want {
				t.Errorf("got %q, %t, want %q", got, ok, row.want)
			}
		})
	}
}

// FuzzSplitHost: a host that is taken is taken for the same again, and holds
// nothing that begins something else in a URL.
func FuzzSplitHost(f *testing.F) {
	for _, s := range []string{"example.com:443", "[::1]:80", "a.b.", "h.test,evil.test", "u@h", "EXAMPLE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, ok := splitHost(authority)
		if !ok {
			return
		}
		if again, ok := splitHost(host); !ok || again != host {
			t.Errorf("%q is %q, which is %q", authority, host, again)
		}
		if strings.ContainsAny(host, ",@/\\?#% \t\r\n\x00") || strings.HasSuffix(host, ".") || host != strings.ToLower(host) {
			t.Errorf("%q is %q", authority, host)
		}
	})
}

func TestNormalise(t *testing.T) {
	rows := []struct {
		name string
		r    Request
		want audit.Reason // Allowed: fine
	}{
		{"a request", Request{Method: "GET", Host: "h", Target: "/"}, audit.Allowed},
		{"a method of a later standard", Request{Method: "QUERY", Host: "h", Target: "/"}, audit.Allowed},
		{"with a hyphen", Request{Method: "VERSION-CONTROL", Host: "h", Target: "/"}, audit.Allowed},
		{"nothing", Request{}, audit.MalformedRequest},
		{"no method", Request{Host: "h", Target: "/"}, audit.MalformedRequest},
		{"two methods", Request{Method: "GET,POST", Host: "h", Target: "/"}, audit.MalformedRequest},
		{"a method and more", Request{Method: "GET /", Host: "h", Target: "/"}, audit.MalformedRequest},
		{"a method that some read as DELETE", Request{Method: "delete", Host: "h", Target: "/"}, audit.MalformedRequest},
		{"in part", Request{Method: "DELETe", Host: "h", Target: "/"}, audit.MalformedRequest},
		{"a method outside ASCII", Request{Method: "GE\u0422", Host: "h", Target: "/"}, audit.MalformedRequest},
		{"a long method", Request{Method: strings.Repeat("G", 33), Host: "h", Target: "/"}, audit.MalformedRequest},
		{"no host", Request{Method: "GET", Target: "/"}, audit.MalformedHost},
		{"no path", Request{Method: "CONNECT", Host: "h:443"}, audit.MalformedRequest},
		{"a query alone", Request{Method: "GET", Host: "h", Target: "?q"}, audit.MalformedRequest},
		{"an asterisk", Request{Method: "OPTIONS", Host: "h", Target: "*"}, audit.MalformedRequest},
		{"a whole URL", Request{Method: "GET", Host: "h", Target: "https://h/"}, audit.MalformedRequest},
		{"a fragment (5.38)", Request{Method: "GET", Host: "h", Target: "/public#/../admin"}, audit.MalformedRequest},
		{"a space", Request{Method: "GET", Host: "h", Target: "/a b"}, audit.MalformedRequest},
		{"a line break", Request{Method: "GET", Host: "h", Target: "/a\r\nHost: x"}, audit.MalformedRequest},
		{"a NUL", Request{Method: "GET", Host: "h", Target: "/a\x00"}, audit.MalformedRequest},
		{"a DEL", Request{Method: "GET", Host: "h", Target: "/a\x7f"}, audit.MalformedRequest},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			refusal := row.r.normalise()
			got := audit.Allowed
			if refusal != nil {
				got = refusal.Reason
			}
			if got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			if row.r.Time.IsZero() {
				t.Error("the time isn't set")
			}
		})
	}
}

func TestTargetIsPathAndQuery(t *testing.T) {
	rows := []struct{ target, path, query string }{
		{"/", "/", ""},
		{"/a/b", "/a/b", ""},
		{"/a?", "/a", ""},
		{"/a?b=c&d", "/a", "b=c&d"},
		{"/a?b?c", "/a", "b?c"},
		{"/a?/../b#c", "/a", "/../b#c"},
		{"/%61%20b", "/a b", ""},
		{"/caf%C3%A9", "/caf\u00e9", ""},
		{"/caf\u00e9", "/caf\u00e9", ""},
	}
	for _, row := range rows {
		t.Run(row.target, func(t *testing.T) {
			r := get(row.target)
			if refusal := r.normalise(); refusal != nil {
				t.Fatal(refusal)
			}
			if r.Path() != row.path || r.query != row.query || r.ambiguous {
				t.Errorf("got %q, %q, ambiguous %t", r.Path(), r.query, r.ambiguous)
			}
		})
	}
}

func TestHeaderLines(t *testing.T) {
	r := Request{Headers: []Header{{"a", "1"}, {"b", "2"}, {"a", "3"}}}
	var got []string
	for v := range r.Values("a") {
		got = append(got, v)
	}
	if strings.Join(got, " ") != "1 3" || r.First("a") != "1" || r.First("b") != "2" || r.First("c") != "" {
		t.Errorf("got %q, %q, %q", got, r.First("b"), r.First("c"))
	}
}

package authz

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

func TestAmbiguousPaths(t *testing.T) {
	rows := []struct {
		raw       string
		ambiguous bool
	}{
		{"/", false},
		{"/a", false},
		{"/a/", false},
		{"/a/b.c/...", false},
		{"/.well-known/x", false},
		{"/a..b/.c/d.", false},
		{"/100%25", false},
		{"/100%25%20x", false},
		{"/a%2Eb", false},
		{"/a:b@c,d=e+f~g!h$i&j'k(l)m*n", false},

		{"//", true},
		{"//a", true},
		{"/a//b", true},
		{"/a//", true},
		{"/.", true},
		{"/..", true},
		{"/./a", true},
		{"/a/..", true},
		{"/a/../b", true},
		{"/a/.%2e/b", true},
		{"/a/%2E%2e/b", true},
		{"/a%2fb", true},
		{"/a%2F", true},
		{"/a%5cb", true},
		{`/a\b`, true},
		{"/a;b", true},
		{"/a%3bb", true},
		{"/a/..;/b", true},
		{"/a%00", true},
		{"/a%0d%0ab", true},
		{"/a%09", true},
		{"/a%7f", true},
		{"/a%3Fb", true},
		{"/a%23b", true},
		{"/a/..%23", true},
		{"/a%252fb", true},
		{"/a%25252fb", true},
		{"/%2561", true},
		{"/a%25%32%66b", true}, // the inner escape is escaped itself
		{"/a%252%66b", true},
		{"/a%%32%66b", true},
		{"/a%", true},
		{"/a%2", true},
		{"/a%zz", true},
		{"/a%u002f", true},
		{"/a%c0%af", true},
		{"/a%ff", true},
		{"/a\xff", true},
		{"/a%ed%a0%80", true}, // half of a surrogate pair
	}
	for _, row := range rows {
		t.Run(row.raw, func(t *testing.T) {
			if _, ambiguous, ok := readPath(row.raw); !ok || ambiguous != row.ambiguous {
				t.Errorf("got %t, %t, want %t", ambiguous, ok, row.ambiguous)
			}
		})
	}
}

// TestSEC_5_36_PublicPathIsNoWayIn: every spelling that may reach
// /admin through a public path, for some reader, is refused or judged as /admin.
// Held as well: SEC-5.37, SEC-5.38, SEC-5.43.
func TestSEC_5_36_PublicPathIsNoWayIn(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{
		{Name: "health", Match: Match{Paths: []string{"/healthz", "/static/**", "/page/*/view"}}, Public: true},
		{Name: "admin", Match: Match{Paths: []string{"/admin/**"}}, Bearer: orders.Bearer},
	}})
	refused := map[audit.Reason]bool{audit.AmbiguousPath: true, audit.MalformedRequest: true, audit.NoCredential: true, audit.NoRule: true}
	for _, target := range []string{
		"/healthz/../admin", "/healthz/..%2fadmin", "/healthz/%2e%2e/admin", "/healthz/%2e%2e%2fadmin", "/healthz%2f..%2fadmin", "/healthz/..;/admin", "/healthz;/../admin",
		`/healthz/..\admin`, "/healthz/..%5cadmin", "/healthz/%252e%252e/admin", "/healthz/..%252fadmin", "/healthz/..%25%32%66admin", "/healthz%00/../admin",
		"/static/../admin", "/static//../admin", "/static/%2e%2e/admin", "/static/%2E./admin", "/static/.%2e/admin", "/static/..%2fadmin", "/static/..%2Fadmin", "/static/..%5Cadmin",
		"/static/..;/admin", "/static/..;x=1/admin", "/static/..%3b/admin", "/static/%252e%252e/admin", "/static/%25%32%65%25%32%65/admin", "/static/..%c0%afadmin", "/static/..%ef%bc%8f/../admin",
		"/static/.;/../admin", "/static/..//admin", "/static/./../admin", "/static/x/../../admin", "/static/..%23/admin", "/static/..%3f/admin",
		"//admin", "///admin", "/./admin", "/%2fadmin", "/%5cadmin", `/\admin`, "/;/admin", "/admin;x=/healthz", "/admin;/healthz", "/admin%3bx",
		"/%61dmin", "/a%64min", "/%2561dmin", "/admin%00", "/admin%2f", "/admin/", "/admin?/healthz", "/admin?x=/static/", "/admin%3f/healthz", "/admin%23/healthz",
		"/admin#/healthz", "#/healthz", "/admin%0a", "/admin%20", "/admin/.", "/admin/..", "/page/..%2fadmin/view", "/page/../view", "/page/%2e%2e/view", "/page/admin%23/view",
		"http://x/healthz", "healthz", "?/healthz",
	} {
		d := e.Decide(t.Context(), get(target))
		if d.Allow || !refused[d.Reason] {
			t.Errorf("%s: got %v", target, d.Reason)
		}
	}
	for _, target := range []string{"/healthz", "/healthz?x=../admin", "/static/a/b", "/static", "/static/", "/page/1/view", "/h%65althz"} {
		wantReason(t, e.Decide(t.Context(), get(target)), audit.PublicRule)
	}
}

// TestAmbiguousPathNeedsARuleThatSaysSo: the first rule that fits decides, and
// doesn't leave the request to a later one.
func TestAmbiguousPathNeedsARuleThatSaysSo(t *testing.T) {
	takes := Rule{Name: "takes", Match: Match{Paths: []string{"/files/**"}}, Public: true, AllowAmbiguousPath: true}
	refuses := Rule{Name: "refuses", Match: Match{Paths: []string{"/files/private/**"}}, Public: true}
	e := newEngine(t, Options{Rules: []Rule{refuses, takes}})
	wantReason(t, e.Decide(t.Context(), get("/files/a%2fb")), audit.PublicRule)
	wantReason(t, e.Decide(t.Context(), get("/files/private/a%2fb")), audit.AmbiguousPath)
	wantReason(t, e.Decide(t.Context(), get("/other/a%2fb")), audit.AmbiguousPath)
	wantReason(t, e.Decide(t.Context(), get("/files/a%2fb%")), audit.PublicRule)
	wantReason(t, e.Decide(t.Context(), get("/files/a b")), audit.MalformedRequest)
}

// readers are ways in which applications find the path of a request. Each gives
// it as it is used to choose a handler.
var readers = map[string]func(raw string) string{
	"decodes once": unescapePath,
	"decodes twice": func(raw string) string {
		return unescapePath(unescapePath(raw))
	},
	"net/url": func(raw string) string {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return raw
		}
		return u.Path
	},
	"net/url, cleaned":       func(raw string) string { return cleaned(unescapePath(raw)) },
	"cleans, then decodes":   func(raw string) string { return unescapePath(cleaned(raw)) },
	"decodes, then parses":   func(raw string) string { return beforeAny(unescapePath(raw), "?#") },
	"drops parameters":       func(raw string) string { return withoutParameters(unescapePath(raw)) },
	"drops them, decodes":    func(raw string) string { return unescapePath(withoutParameters(raw)) },
	"backslashes as slashes": func(raw string) string { return cleaned(strings.ReplaceAll(unescapePath(raw), `\`, "/")) },
	"ends at a NUL":          func(raw string) string { return beforeAny(unescapePath(raw), "\x00") },
	"merges slashes":         func(raw string) string { return strings.ReplaceAll(unescapePath(raw), "//", "/") },
	"repairs UTF-8":          func(raw string) string { return strings.ToValidUTF8(unescapePath(raw), "\ufffd") },
}

// unescapePath decodes and leaves broken escapes as they are.
func unescapePath(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// cleaned is path.Clean, which takes the slash at the end off.
func cleaned(s string) string {
	c := path.Clean(s)
	if strings.HasSuffix(s, "/") && c != "/" {
		c += "/"
	}
	return c
}

func beforeAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

func withoutParameters(s string) string {
	segments := strings.Split(s, "/")
	for i := range segments {
		segments[i] = beforeAny(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

// FuzzReadPath: where we see one path, so does everybody else.
func FuzzReadPath(f *testing.F) {
	for _, s := range []string{
		"/", "/a/b", "/a/", "/a%20b", "/100%25", "/a/../b", "/a%2fb", "/a%252fb", "/a%25%32%66b", "/a;b/c", `/a\b`, "/a%00b", "/caf%c3%a9", "/%ff", "/a%3fb", "/a%23b", "/.../.a./a..", "/a%", "//",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.Contains(raw, "?") {
			return // the query is off before
		}
		got, ambiguous, ok := readPath(raw)
		switch {
		case !ok:
			if strings.HasPrefix(raw, "/") && !strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
				t.Errorf("%q isn't a path", raw)
			}
			return
		case got == "" || got[0] != '/':
			t.Errorf("%q is %q", raw, got)
		case ambiguous:
			return
		}
		for name, read := range readers {
			if seen := read(raw); seen != got {
				t.Errorf("%q is %q, but whoever %s sees %q", raw, got, name, seen)
			}
		}
	})
}

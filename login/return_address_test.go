package login

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// origins are those that the tests' addresses may be on.
var origins = []string{"https://app.example.com", "https://app.example.com:8443", "http://localhost:3000", "https://10.0.0.7", "https://[2001:db8::1]:9000", "https://xn--bcher-kva.example"}

func TestReturnAddressIsRebuilt(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"root":                             {"https://app.example.com", "https://app.example.com/"},
		"path and query kept":              {"https://app.example.com/a/b?c=d&e=f%20g", "https://app.example.com/a/b?c=d&e=f%20g"},
		"query without path":               {"https://app.example.com?a=b", "https://app.example.com/?a=b"},
		"empty query kept":                 {"https://app.example.com/a?", "https://app.example.com/a?"},
		"question mark in the query":       {"https://app.example.com/a?b?c", "https://app.example.com/a?b?c"},
		"fragment dropped":                 {"https://app.example.com/a#/b?c", "https://app.example.com/a"},
		"fragment without path":            {"https://app.example.com#@evil.test/", "https://app.example.com/"},
		"letters of scheme and host":       {"HTTPS://App.Example.COM/A", "https://app.example.com/A"},
		"own port":                         {"https://app.example.com:443/", "https://app.example.com/"},
		"own port with zeros":              {"https://app.example.com:00443/", "https://app.example.com/"},
		"empty port":                       {"https://app.example.com:/", "https://app.example.com/"},
		"listed port":                      {"https://app.example.com:8443/x", "https://app.example.com:8443/x"},
		"http where it is listed":          {"http://localhost:3000/x", "http://localhost:3000/x"},
		"IPv4":                             {"https://10.0.0.7/", "https://10.0.0.7/"},
		"IPv6 in another spelling":         {"https://[2001:DB8:0:0::1]:9000/", "https://[2001:db8::1]:9000/"},
		"punycode":                         {"https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example/"},
		"doubled slashes stay in the path": {"https://app.example.com//evil.test/", "https://app.example.com//evil.test/"},
		"at sign in the path":              {"https://app.example.com/@evil.test", "https://app.example.com/@evil.test"},
		"address in the query":             {"https://app.example.com/?u=https://evil.test/", "https://app.example.com/?u=https://evil.test/"},
		"backslash in the query":           {`https://app.example.com/?a=\b`, "https://app.example.com/?a=%5Cb"},
		"other letters are escaped":        {"https://app.example.com/bücher?q=ü", "https://app.example.com/b%C3%BCcher?q=%C3%BC"},
		"bytes that aren't UTF-8":          {"https://app.example.com/\xff", "https://app.example.com/%FF"},
		"blank and quotes":                 {`https://app.example.com/a b"<>`, "https://app.example.com/a%20b%22%3C%3E"},
		"blanks around it":                 {"  https://app.example.com/a?b  ", "https://app.example.com/a?b"},
		"lone percent sign":                {"https://app.example.com/50%?x=%zz%4", "https://app.example.com/50%25?x=%25zz%254"},
		"escapes stay as they are":         {"https://app.example.com/%2F%5c%00%0d%0a", "https://app.example.com/%2F%5c%00%0d%0a"},
		"brackets stay":                    {"https://app.example.com/?a[]=1", "https://app.example.com/?a[]=1"},
		"dots that are no segment":         {"https://app.example.com/.../.a/a..", "https://app.example.com/.../.a/a.."},
		"too long":                         {"https://app.example.com/" + strings.Repeat("a", maxReturnAddress), "https://app.example.com/"},
		"too long when escaped":            {"https://app.example.com/" + strings.Repeat("ü", maxReturnAddress/3), "https://app.example.com/"},
		"just short enough":                {"https://app.example.com/" + strings.Repeat("a", maxReturnAddress-24), "https://app.example.com/" + strings.Repeat("a", maxReturnAddress-24)},
	} {
		if got, ok := returnAddress(origins, c.raw); !ok || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, c.want)
		}
	}
}

// TestSEC_O5_ReturnAddressElsewhere: what a browser, or some
// reader, takes for another origin, or could.
// Held as well: SEC-5.50, SEC-5.51, SEC-5.53.
func TestSEC_O5_ReturnAddressElsewhere(t *testing.T) {
	for _, raw := range []string{
		"", "/", "/path", "//evil.test", "///evil.test", "////evil.test", `/\evil.test`, `\/evil.test`, `\\evil.test`, "/\t/evil.test", "path", "?a", "#a", ".", "https:", "https:/", "https://", "https:///",
		"https://evil.test", "https://evil.test/https://app.example.com/", "https://evil.test?https://app.example.com", "https://evil.test#https://app.example.com", "https://evil.test\\app.example.com/",
		"https://app.example.com.evil.test/", "https://evil-app.example.com/", "https://xapp.example.com/", "https://example.com/", "https://a.app.example.com/", "https://app.example.com./", "https://app-example.com/", "https://appXexample.com/",
		"https://app.example.com@evil.test/", "https://app.example.com:443@evil.test/", "https://user@app.example.com/", "https://user:pass@app.example.com/", "https://@app.example.com/", "https://evil.test@app.example.com/", "https://a@b@app.example.com/", "https://evil.test%40app.example.com/", "https://app.example.com%40evil.test/", "https://:@app.example.com/",
		`https://evil.test\@app.example.com/`, `https://app.example.com\@evil.test/`, `https://app.example.com\.evil.test/`, `https:\\app.example.com/`, `https:/\app.example.com/`, `https:\/app.example.com/`, `https://app.example.com/a\b`, `https://app.example.com\`,
		"https:app.example.com/", "https:/app.example.com/", "https:///app.example.com/", "https:////app.example.com/", "https ://app.example.com/", "https:// app.example.com/", "https://app.example.com /",
		"\thttps://app.example.com/", "\nhttps://app.example.com/", "ht\ttps://app.example.com/", "https://app.exa\tmple.com/", "https://app.example.com/\t", "https://app.example.com/\r\nSet-Cookie: a=b", "https://app.example.com/\x00", "https://app.example.com/\x7f", "\x00https://app.example.com/", "https://app.example.com/?a\nb", "https://app.example.com/#a\nb",
		"http://app.example.com/", "HTTP://app.example.com/", "http://app.example.com:443/", "https://app.example.com:80/", "https://app.example.com:8080/", "https://app.example.com:0/", "https://app.example.com:65979/", "https://app.example.com:000443/", "https://app.example.com:+443/", "https://app.example.com:-443/", "https://app.example.com:443x/", "https://app.example.com:４４３/", "https://app.example.com:443:443/", "https://app.example.com:8443:/", "https://localhost:3000/", "http://localhost/", "http://localhost:3000@evil.test",
		"javascript:alert(1)", "javascript://app.example.com/%0aalert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file://app.example.com/", "ftp://app.example.com/", "ws://app.example.com/", "wss://app.example.com/", "blob:https://app.example.com/x", "view-source:https://app.example.com/", "filesystem:https://app.example.com/", "httpſ://app.example.com/", "x-https://app.example.com/", "//app.example.com/", "https%3A//app.example.com/", "https://https://app.example.com/",
		"https://app%2eexample.com/", "https://app.example%2ecom/", "https://%61pp.example.com/", "https://app.example.com%2f@evil.test/", "https://app.example.com%00.evil.test/", "https://app.example.com%23.evil.test/", "https://app.example.com%5c.evil.test/", "https://app.example.com%ff/",
		"https://ａpp.example.com/", "https://app。example.com/", "https://app．example.com/", "https://app.example.com／evil.test", "https://app.example.com＠evil.test", "https://app.example.com℀evil.test", "https://app.ex\u00adample.com/", "https://app.ex\u200bample.com/", "https://bücher.example/", "https://app.example.ⅽom/", "https://app.example.com\u2028/", "https://\ufeffapp.example.com/",
		"https://0x0a.0.0.7/", "https://012.0.0.7/", "https://10.7/", "https://167772167/", "https://0xa000007/", "https://10.0.0.7./", "https://010.0.0.7/", "https://10.0.0.07/", "https://10.0.7/", "https://0xA.0x0.0x0.0x7/", "https://10.0.0.7.0/", "https://⑩.0.0.7/",
		"https://[2001:db8::1/", "https://2001:db8::1]:9000/", "https://[2001:db8::1]/", "https://[2001:db8::1]x:9000/", "https://[2001:db8::1%25eth0]:9000/", "https://[2001:db8::1%eth0]:9000/", "https://[::ffff:10.0.0.7]/", "https://[10.0.0.7]/", "https://[]/", "https://[/", "https://]/", "https://[v1.x]/",
		"https://app.example.com/.", "https://app.example.com/..", "https://app.example.com/../a", "https://app.example.com/a/../b", "https://app.example.com/./a", "https://app.example.com/a/.", "https://app.example.com/%2e%2e/", "https://app.example.com/.%2E/", "https://app.example.com/%2E./", "https://app.example.com/%2e/",
		"https://.app.example.com/", "https://app..example.com/", "https://app.example.com../", "https://.", "https://..", "https://*.example.com/", "https://app.example.com;evil.test/", "https://app.example.com&evil.test/", "https://app.example.com,evil.test/", "https://app.example.com|evil.test/", "https://app.example.com^evil.test/", "https://app.example.com<>/", "https://" + strings.Repeat("a", 254),
		"https://evil.test/" + strings.Repeat("a", 60_000), strings.Repeat("https://app.example.com@", 3000), "https://" + strings.Repeat("a.", 30_000),
	} {
		if got, ok := returnAddress(origins, raw); ok || got != "" {
			t.Errorf("%.200q: got %q", raw, got)
		}
	}
	if _, ok := returnAddress(nil, "https://app.example.com/"); ok {
		t.Error("no origins are listed, and one was taken")
	}
}

// TestReturnAddressCostsLittle: an address of any length is judged in a few
// allocations.
func TestReturnAddressCostsLittle(t *testing.T) {
	for _, raw := range []string{"https://app.example.com/" + strings.Repeat("%2e/", 100_000), "https://" + strings.Repeat("a.", 100_000), strings.Repeat("://", 100_000), "https://app.example.com/" + strings.Repeat("ü", 1000)} {
		if got := testing.AllocsPerRun(10, func() { returnAddress(origins, raw) }); got > 700 {
			t.Errorf("%.40q: %v allocations", raw, got)
		}
	}
}

// checkReturnAddress holds what is true of every return address.
func checkReturnAddress(t *testing.T, raw string) {
	got, ok := returnAddress(origins, raw)
	if !ok {
		if got != "" {
			t.Fatalf("%q: refused, and yet %q", raw, got)
		}
		return
	}
	if len(got) > maxReturnAddress {
		t.Fatalf("%q: %d bytes", raw, len(got))
	}
	for _, c := range []byte(got) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}#", c) >= 0 {
			t.Fatalf("%q: %q has the byte %#x", raw, got, c)
		}
	}
	i := slices.IndexFunc(origins, func(o string) bool { return strings.HasPrefix(got, o+"/") })
	if i < 0 {
		t.Fatalf("%q: %q isn't on a listed origin", raw, got)
	}
	u, err := url.Parse(got)
	if err != nil || u.Scheme+"://"+u.Host != origins[i] || u.User != nil || u.Fragment != "" {
		t.Fatalf("%q: Go reads %q as %v, %v", raw, got, u, err)
	}
	if again, ok := returnAddress(origins, got); !ok || again != got {
		t.Fatalf("%q: %q becomes %q when judged again", raw, got, again)
	}
}

func FuzzReturnAddress(f *testing.F) {
	for _, raw := range []string{"https://app.example.com/a?b#c", "HTTPS://app.example.com:443\\@evil.test/", "https://[2001:db8::1]:9000/%2e", "http://localhost:3000/%zz\xff", "https://10.0.0.7?'"} {
		f.Add(raw)
	}
	f.Fuzz(checkReturnAddress)
}

func TestOwnAddress(t *testing.T) {
	got := ownAddress("https://app.example.com/.credence/login", [2]string{"client", "web"}, [2]string{"prompt", ""}, [2]string{"return_to", "https://app.example.com/?a=b&c#d+e"})
	want := "https://app.example.com/.credence/login?client=web&return_to=https%3A%2F%2Fapp.example.com%2F%3Fa%3Db%26c%23d%2Be"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// hostileAddresses are those that lead elsewhere, or that some browser has read so.
// APP is the site's host with its port, PORT that port, EVIL somebody else's host with
// its port, and AWAY that port. What is refused here for its form alone, though it would
// lead home, is in the tests of package login.
var hostileAddresses = []string{
	"http://EVIL", "http://EVIL/http://APP/", "http://EVIL?http://APP", "http://EVIL#http://APP", "HTTP://EVIL/", "https://EVIL/", "ftp://EVIL/", "ws://EVIL/",
	// Relative to something, or to nothing.
	"//EVIL", "///EVIL", "////EVIL", `/\EVIL`, `\/EVIL`, `\\EVIL`, `/\/EVIL`, "/\t/EVIL", "/\n/EVIL", "/\r/EVIL", "\t//EVIL", "/%09/EVIL", "/%5cEVIL", "/%2fEVIL", "%2f%2fEVIL", "/.//EVIL", "/..//EVIL", "/./EVIL", "//APP", "/", "/path", "path", "?a", "#a", "..", ".EVIL", "@EVIL", ":@EVIL",
	"http:EVIL", "http:/EVIL", "http:///EVIL", "http:////EVIL", `http:\\EVIL`, `http:/\EVIL`, `http:\/EVIL`, "http:", "http:/", "http://", "http%3A//EVIL", "http://http://EVIL",
	// User information.
	"http://APP@EVIL/", "http://APP:80@EVIL/", "http://app.localhost@EVIL/", "http://a:b@EVIL/", "http://a:b@APP/", "http://a@APP/", "http://@APP/", "http://:@APP/", "http://a@APP@EVIL/", "http://EVIL@APP/", "http://a@b@APP/", "http://APP%40EVIL/", "http://EVIL%40APP/", "http://APP;@EVIL/", "http://APP&@EVIL/", "http://APP#@EVIL\n/", "http://APP%00@EVIL/", "http://APP＠EVIL/",
	// Backslashes.
	`http://EVIL\@APP/`, `http://APP\@EVIL/`, `http://EVIL\APP/`, `http://APP\.EVIL/`, `http://APP\`, `http://APP/a\..\b`, `http://APP/\EVIL`, `http://APP\\EVIL`, "http://EVIL%5c@APP/", "http://EVIL%2f@APP/", "http://EVIL%23@APP/", "http://EVIL%3f@APP/",
	// What vanishes, and what ends a line.
	"\thttp://EVIL/", " http://EVIL/", "\nhttp://EVIL/", "\x00http://EVIL/", "ht\ttp://EVIL/", "http\n://EVIL/", "http:/\n/EVIL/", "http://ev\til.localhost:AWAY/", "http://APP\t.EVIL/", "http://APP\n@EVIL/", "http://APP\r\nLocation: http://EVIL/", "http://APP/\r\nSet-Cookie: a=b\r\n\r\n<script>", "http://APP/\x00", "http://APP/a\tb", "http://APP/?a\nb", "http://APP/#a\nb", "http:// APP/", "http://APP /",
	// Names that begin or end alike.
	"http://app.localhost.evil.localhost:AWAY/", "http://evilapp.localhost:PORT/", "http://evil-app.localhost:PORT/", "http://evil.app.localhost:PORT/", "http://localhost:PORT/", "http://app.localhost.:PORT/", "http://.app.localhost:PORT/", "http://app..localhost:PORT/", "http://*.localhost:PORT/", "http://appxlocalhost:PORT/", "http://two.app.localhost:PORT/", "http://app.localhost,EVIL/", "http://app.localhost;EVIL/", "http://app.localhost|EVIL/", "http://app.localhost:PORT.EVIL/", "http://app.localhost%2eEVIL/", "http://app.localhost%2f.EVIL/", "http://127.0.0.1:PORT/",
	// Ports and schemes.
	"http://app.localhost/", "http://app.localhost:AWAY/", "http://app.localhost:0/", "http://app.localhost:080/", "http://app.localhost:+PORT/", "http://app.localhost:-PORT/", "http://app.localhost:PORT:AWAY/", "http://app.localhost:PORTx/", "http://app.localhost:0x50/", "http://app.localhost:000PORT/", "http://APP:@EVIL/", "https://APP/", "ws://APP/", "ftp://APP/", "file://APP/", "file:///etc/passwd",
	// Addresses in numbers, which are where EVIL listens.
	"http://127.0.0.1:AWAY/", "http://127.1:AWAY/", "http://0x7f.1:AWAY/", "http://0177.0.0.1:AWAY/", "http://2130706433:AWAY/", "http://0x7f000001:AWAY/", "http://127.0.0.1.:AWAY/", "http://①②⑦.0.0.1:AWAY/", "http://[::ffff:127.0.0.1]:AWAY/", "http://[::1]:AWAY/", "http://[::1%25lo]:AWAY/", "http://[::ffff:7f00:1]:AWAY/",
	// Letters that are folded into others.
	"http://ｅvil.localhost:AWAY/", "http://evil。localhost:AWAY/", "http://evil．localhost:AWAY/", "http://evil｡localhost:AWAY/", "http://ev\u00adil.localhost:AWAY/", "http://ev\u200bil.localhost:AWAY/", "http://evil.ⅼocalhost:AWAY/", "http://ａpp.localhost:PORT/", "http://app。localhost:PORT/", "http://app.localhost：PORT／@EVIL/", "http://app.localhost／EVIL/", "http://app.localhost℀EVIL/", "http://%61pp.localhost:PORT/", "http://%65vil.localhost:AWAY/", "http://evil%2elocalhost:AWAY/", "http://evil%00.localhost:AWAY/", "http://äpp.localhost:PORT/", "http://xn--pp-uia.localhost:PORT/", "httpſ://EVIL/", "\ufeffhttp://EVIL/", "http://\ufeffEVIL/", "／／EVIL", "/／EVIL", "http:／／EVIL/", "//ｅvil.localhost:AWAY/", "/\u3000/EVIL", "http://app.localhost\u2028:PORT/",
	// What isn't http.
	"javascript:location='http://EVIL/'", "javascript://APP/%0alocation='http://EVIL/'", "JaVaScRiPt:alert(1)", "\x01javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,<script>location='http://EVIL/'</script>", "data:text/html;base64,PHNjcmlwdD4=", "vbscript:x", "blob:http://APP/x", "filesystem:http://APP/x", "view-source:http://APP/", "about:blank", "chrome://version", "mailto:a@EVIL", "x-app://EVIL/",
	// Dots.
	"http://APP/..", "http://APP/../..//EVIL", "http://APP/%2e%2e//EVIL", "http://APP/.%2E/", "http://APP/./", "http://APP/a/..//EVIL", "..//EVIL", "/..;//EVIL", "./EVIL",
	// Too long.
	"http://EVIL/" + strings.Repeat("a", 5_000), "http://EVIL/" + strings.Repeat("a", 50_000), strings.Repeat("http://APP@", 200) + "EVIL/", "http://" + strings.Repeat("a.", 500) + "EVIL/", strings.Repeat("/", 1_000) + "EVIL", strings.Repeat(" ", 1_000) + "http://EVIL/", "http://APP/" + strings.Repeat("../", 300) + "/EVIL",
}

// harmlessAddresses are paths and queries that come back as they are.
var harmlessAddresses = []string{
	"/", "/?", "/?a=b", "/a/b?c=d&e=f%20g&e=h", "/a?b?c", "/a?b=c/d//e", "/a/?x=%C3%BC&y=+&z=%2B", "/b%C3%BCcher?q=%FF", "/%E2%82%AC", "/a%20b", "/50%25", "/a,b=c", "/a:b@c", "/@EVIL", "/:PORT", "/a=b&c", "/~a!$*()_-",
	"/?u=http://EVIL/", "/?u=//EVIL", "/?u=%5C%5CEVIL&v=%0d%0a", "/?return_to=http%3A%2F%2FEVIL%2F", "/http:EVIL", "/x?a[]=1&a[]=2", "/x?a=%7B%22b%22%3A1%7D", "/.../.a/a..", "/a?..", "/?a=../b", "/?@EVIL", "/?a%00b", "/a?" + strings.Repeat("x", 1900),
}

// TestSEC_5_50_ReturnAddressInChromium: whatever somebody has a login of a
// person's come back to, where Chromium ends is one of the configured origins, by its own
// account of it; nobody else hears of it; and what is on them comes back byte by byte.
// Held as well: SEC-5.51, SEC-5.53.
func TestSEC_5_50_ReturnAddressInChromium(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := startProvider(t)
	s.testClient(p)
	origins := []string{s.origin(), s.origin("one")}
	s.serve(t, siteConfig{
		Issuer: p.Issuer(), Session: "cookie: {domain: app.localhost}", Client: fmt.Sprintf("return_to: ['%s', '%s']", origins[0], origins[1]),
	})
	var heard atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		t.Errorf("somebody else got %s at %s", r.URL, r.Host)
	}))
	t.Cleanup(evil.Close)
	away := evil.Listener.Addr().String()
	away = away[strings.LastIndexByte(away, ':')+1:]
	at := strings.NewReplacer("APP", "app.localhost:"+s.port, "PORT", s.port, "EVIL", "evil.localhost:"+away, "AWAY", away)

	b := startBrowser(t)
	s.logIn(t, b, "alice")
	logins := p.Requests(oidctest.Authorize)
	loginAt := func(query string) string { return s.origin() + "/.credence/login?client=web&" + query }
	// ends opens an address, and says on which origin that ends.
	ends := func(address string) string {
		t.Helper()
		if _, err := run(t, b, chromedp.NavigateResponse(address)); err != nil {
			return err.Error() // such as a redirect that Chromium doesn't follow
		}
		return evaluate[string](t, b, "location.origin")
	}

	// Each address once: one that is asked for again and again looks like a loop.
	for origin, fragment := range map[string]string{origins[0]: "", origins[1]: "#//evil.localhost:" + away} {
		for _, target := range harmlessAddresses {
			target := at.Replace(target)
			b.open(t, loginAt("return_to="+url.QueryEscape(origin+target+fragment)))
			if got := b.awaitApplication(t, origin+target); got.Target != target || got.get("x-user") != "alice" || "http://"+got.Host != origin {
				t.Errorf("%.60q: the application got %+v", target, got)
			}
		}
	}
	for _, raw := range hostileAddresses {
		raw := at.Replace(raw)
		if got := ends(loginAt("return_to=" + url.QueryEscape(raw))); !slices.Contains(origins, got) {
			t.Errorf("%.100q: Chromium ends on %s", raw, got)
		}
		if at := b.url(t); !strings.HasPrefix(at, s.origin()+"/.credence/login?") {
			t.Errorf("%.100q: was followed to %.100s", raw, at)
		}
		// As it stands in a link that somebody made by hand. What Chromium makes of it may
		// be an address of ours.
		if got := ends(loginAt("return_to=" + raw)); !slices.Contains(origins, got) {
			t.Errorf("%.100q as it stands: Chromium ends on %s", raw, got)
		}
	}
	good, bad := url.QueryEscape(s.origin()+"/"), url.QueryEscape("http://evil.localhost:"+away+"/")
	for _, query := range []string{
		"target_link_uri=" + bad, "return_to=" + good + "&return_to=" + bad, "return_to=" + bad + "&return_to=" + good, "return_to=" + good + "&target_link_uri=" + bad,
		"return_to=" + good + ";return_to=" + bad, "return_to[]=" + bad + "&Return_To=" + bad + "&redirect_uri=" + bad + "&rd=" + bad + "&next=" + bad, "iss=" + bad, "return_to=" + good + "&iss=" + bad, "prompt=" + bad, "return_to=&target_link_uri=" + bad,
	} {
		if got := ends(loginAt(query)); !slices.Contains(origins, got) {
			t.Errorf("%s: Chromium ends on %s", query, got)
		}
	}
	if heard.Load() != 0 || p.Requests(oidctest.Authorize) != logins {
		t.Errorf("somebody else heard %d requests, and there were %d logins", heard.Load(), p.Requests(oidctest.Authorize)-logins)
	}
}

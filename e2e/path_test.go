package e2e

import "testing"

const pathRules = `
rules:
  - name: health
    match: {hosts: [shop.test], paths: [/healthz, /public/**]}
    public: true
  - name: admin
    match: {hosts: [shop.test], paths: [/admin, /admin/**]}
    bearer: {providers: [corp]}
  - name: files
    match: {hosts: [files.test]}
    public: true
    ambiguous_paths: allow
`

// These are ways from a public path to /admin that one reader or another follows,
// and paths that readers don't agree on.
var ambiguousPaths = []string{
	"/public/../admin", "/public/./../admin", "/healthz/../admin", "/public/..", "/public/.", "/./admin", "/../admin",
	"/public/%2e%2e/admin", "/public/.%2E/admin", "/public/%2e/x", "/public/%2e%2e%2fadmin",
	"/public/..%2fadmin", "/public%2f..%2fadmin", "/public%2F%2e%2e%2Fadmin", "/healthz%2f..%2fadmin", "/admin%2fx",
	`/public/..\admin`, `/public\..\admin`, "/public/..%5cadmin", "/public%5C..%5Cadmin",
	"/public/..;/admin", "/public/..;x=1/admin", "/healthz;/../admin", "/healthz;x", "/public/%2e%2e;/admin", "/public/..%3b/admin",
	"//admin", "/public//admin", "/public//../admin", "///admin", "/public/x//",
	"/public/%252e%252e/admin", "/public/%252e%252e%252fadmin", "/public/%25%32%65/admin", "/%2561dmin",
	"/public/%00", "/healthz%00/../admin", "/public/%0a", "/public/%7f",
	"/public/%c0%ae%c0%ae/admin", "/public/%c0%af../admin", "/public/%ff", "/public/%u002e%u002e/admin", "/public/%zz", "/public/%", "/public/%2",
	"/healthz%3f/../admin", "/healthz%3fx", "/healthz%23x", "/admin%23/../healthz",
}

// With an Envoy that tidies up nothing, which is its default.
func TestSEC_5_36_5_43_AmbiguousPaths(t *testing.T) {
	t.Parallel()
	w := startWorld(t, pathRules, bothEncodings...)
	token := bearer(w.provider, staff())
	w.envoy.eachWay(t, func(t *testing.T, c *client) {
		before := w.upstream.requests.Load()
		for _, target := range ambiguousPaths {
			for _, headers := range [][]string{nil, {token}} {
				for _, query := range []string{"", "?a=/../b"} {
					got := c.get(t, target+query, headers...)
					if got.status != 400 || got.reason() != "ambiguous_path" {
						t.Errorf("%s: got %d %s, want 400 ambiguous_path", target, got.status, got.body)
					}
				}
			}
		}
		if passed := w.upstream.requests.Load() - before; passed != 0 {
			t.Errorf("got %d requests at the application", passed)
		}
	})
	t.Run("a rule that takes them", func(t *testing.T) {
		got := w.envoy.client(t, "headers").send(t, request{host: "files.test", target: "/a//b;c/../d%2Fe"})
		if s := got.upstream(t); s.Target != "/a//b;c/../d%2Fe" {
			t.Errorf("got %s at the application, want it as it was", s.Target)
		}
	})
}

// One reading, however it is spelled, is judged by that reading; and by nothing
// that a client can say beside it.
// Held as well: SEC-5.36, SEC-5.40.
func TestSEC_5_26_PathsAndHosts(t *testing.T) {
	t.Parallel()
	w := startWorld(t, pathRules, bothEncodings...)
	for _, c := range []struct {
		name string
		request
		status int
	}{
		{"exact", request{target: "/healthz"}, 200},
		{"a query is no path", request{target: "/healthz?/../admin//%2f"}, 200},
		{"a question mark in the query", request{target: "/healthz??x"}, 200},
		{"an escaped letter", request{target: "/%68ealthz"}, 200},
		{"dots that are no dot segment", request{target: "/public/.../..a/.b"}, 200},
		{"below", request{target: "/public/a/b/"}, 200},
		{"another case", request{target: "/HEALTHZ"}, 403},
		{"a slash more", request{target: "/healthz/"}, 403},
		{"a longer name", request{target: "/healthzx"}, 403},
		{"a longer folder", request{target: "/publicity"}, 403},
		{"an escaped letter in what isn't public", request{target: "/%61dmin"}, 401},

		{"the host in another case", request{host: "SHOP.Test", target: "/healthz"}, 200},
		{"the host with a port", request{host: "shop.test:8443", target: "/healthz"}, 200},
		{"the host with a final dot", request{host: "shop.test.", target: "/healthz"}, 200},
		{"another host", request{host: "evil.test", target: "/healthz"}, 403},
		{"a host below", request{host: "a.shop.test", target: "/healthz"}, 403},
		{"a host that begins like it", request{host: "shop.test.evil.test", target: "/healthz"}, 403},
		{"a host that ends like it", request{host: "evilshop.test", target: "/healthz"}, 403},
		{"no host", request{host: " ", target: "/healthz"}, 400},

		{"X-Forwarded-Host", request{host: "evil.test", target: "/healthz", headers: []string{"X-Forwarded-Host: shop.test", "Forwarded: host=shop.test"}}, 403},
		{"X-Envoy-Original-Path", request{target: "/admin", headers: []string{"X-Envoy-Original-Path: /healthz"}}, 401},
		{"X-Original-URL and its like", request{target: "/admin", headers: []string{
			"X-Original-URL: /healthz", "X-Original-URI: /healthz", "X-Rewrite-URL: /healthz", "X-Forwarded-Uri: /healthz", "X-Forwarded-Path: /healthz", "X-Forwarded-Prefix: /healthz",
		}}, 401},
		{"the user agent of a probe", request{target: "/admin", headers: []string{"User-Agent: kube-probe/1.33", "X-Forwarded-For: 127.0.0.1"}}, 401},
		{"a preflight", request{method: "OPTIONS", target: "/admin", headers: []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.envoy.eachWay(t, func(t *testing.T, client *client) {
				if c.host == " " && client.http2 {
					return // Go's client puts the address there
				}
				if got := client.send(t, c.request); got.status != c.status {
					t.Errorf("got %d %s, want %d", got.status, got.body, c.status)
				}
			})
		})
	}
}

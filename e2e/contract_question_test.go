package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// Header lines as they arrive in a Check, in each encoding and version of HTTP.
// What differs is what Credence has to cope with.
func TestContractHeaderEncodings(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{
		{Name: "joined"}, {Name: "raw", Filter: "encode_raw_headers: true"},
	}})
	http1, http2, both := []string{"HTTP/1.1"}, []string{"HTTP/2"}, []string{"HTTP/1.1", "HTTP/2"}
	for _, c := range []struct {
		fact         string
		versions     []string
		lines        []string
		name, joined string
		raw          []string
	}{
		{"repeated Authorization arrives joined by commas, even raw", both, []string{"Authorization: Bearer one", "authorization: Bearer two"},
			"authorization", "Bearer one,Bearer two", []string{"Bearer one,Bearer two"}},
		{"two Cookie lines are joined by a comma, or arrive as two", http1, []string{"Cookie: a=1", "Cookie: b=2"}, "cookie", "a=1,b=2", []string{"a=1", "b=2"}},
		{"crumbs of a Cookie are joined by a semicolon", http2, []string{"Cookie: a=1", "Cookie: b=2"}, "cookie", "a=1; b=2", []string{"a=1; b=2"}},
		{"repeated lines are joined by commas, or arrive one by one", both, []string{"X-E: 1", "x-e: 2"}, "x-e", "1,2", []string{"1", "2"}},
		{"bytes that aren't UTF-8 become exclamation marks, or stay", both, []string{"X-E: \xff\xfeé"}, "x-e", "!!é", []string{"\xff\xfeé"}},
		{"an underscore stays", both, []string{"X_E: 1"}, "x_e", "1", []string{"1"}},
		{"a folded line arrives, and is forwarded, as one", http1, []string{"X-E: a,\r\n b"}, "x-e", "a, b", []string{"a, b"}},
		{"a name in Connection is gone before the Check", http1, []string{"Connection: x-e", "X-E: 1"}, "x-e", "", nil},
		{"a client's x-envoy-original-path arrives as it is", both, []string{"X-Envoy-Original-Path: /admin"}, "x-envoy-original-path", "/admin", []string{"/admin"}},
	} {
		for _, version := range c.versions {
			t.Run(c.fact+" in "+version, func(t *testing.T) {
				lines := append(slices.Clone(c.lines), a.say(t, allow(nil)))
				clients(e.at(t, "joined"))[version].get(t, "/", lines...)
				clients(e.at(t, "raw"))[version].get(t, "/", lines...)
				asked := a.questions(t)
				if len(asked) != 2 {
					t.Fatalf("got %d Checks, want 2", len(asked))
				}
				if got := checkHeader(asked[0], c.name); got != c.joined {
					t.Errorf("joined: got %q, want %q", got, c.joined)
				}
				if got := rawHeader(asked[1], c.name); !slices.Equal(got, c.raw) {
					t.Errorf("raw: got %q, want %q", got, c.raw)
				}
				if n := len(asked[1].GetAttributes().GetRequest().GetHttp().GetHeaders()); n != 0 {
					t.Errorf("raw: got %d headers in the map beside header_map, want none", n)
				}
			})
		}
	}
}

// The request line as it arrives, with no normalisation, which is Envoy's default.
func TestContractRequestLine(t *testing.T) {
	t.Parallel()
	a, u := startAuthorizer(t), startUpstream(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: u.address, Ingresses: []ingress{{Name: "plain"}}})
	http := func(t *testing.T) *authv3.AttributeContext_HttpRequest {
		return a.question(t).GetAttributes().GetRequest().GetHttp()
	}
	for _, target := range []string{"/a%2Fb/../c//d", "/a/%2e%2e/b", `/a\b`, "/a;b=1/..;/c", "/%2561dmin", "/a?x=/../y&z=%00", "/%C0%AF"} {
		for version, c := range clients(e.at(t, "plain")) {
			t.Run("the path arrives and is forwarded undecoded: "+strings.ReplaceAll(target, "/", "|")+" in "+version, func(t *testing.T) {
				got := c.get(t, target, a.say(t, allow(nil))).upstream(t)
				if http(t).GetPath() != target || got.Target != target {
					t.Errorf("got %q in the Check and %q at the application", http(t).GetPath(), got.Target)
				}
				if query := http(t).GetQuery(); query != "" {
					t.Errorf("got query %q, want it in the path alone", query)
				}
			})
		}
	}
	t.Run("two Host lines arrive joined by a comma", func(t *testing.T) {
		e.client(t, "plain").send(t, request{target: "/", headers: []string{"Host: evil.test", a.say(t, allow(nil))}})
		if got := http(t).GetHost(); got != "shop.test,evil.test" {
			t.Errorf("got host %q", got)
		}
	})
	t.Run("an absolute target replaces Host", func(t *testing.T) {
		e.client(t, "plain").send(t, request{target: "http://other.test/x", headers: []string{a.say(t, allow(nil))}})
		if h := http(t); h.GetHost() != "other.test" || h.GetPath() != "/x" {
			t.Errorf("got %q %q", h.GetHost(), h.GetPath())
		}
	})
	t.Run("the peer's address is that of the connection, not of x-forwarded-for", func(t *testing.T) {
		e.client(t, "plain").get(t, "/", "X-Forwarded-For: 6.6.6.6", a.say(t, allow(nil)))
		if got := a.question(t).GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(); got != "127.0.0.1" {
			t.Errorf("got %s", got)
		}
	})
	for _, c := range []struct {
		fact string
		request
		status int
	}{
		{"a fragment", request{target: "/a#b"}, 400},
		{"a space in the target", request{target: "/a b"}, 400},
		{"a raw 8-bit byte in the target", request{target: "/\xff"}, 400},
		{"a control byte in a header", request{target: "/", headers: []string{"X-E: a\x01b"}}, 400},
		{"NUL in a header", request{target: "/", headers: []string{"X-E: a\x00b"}}, 400},
		{"a space before the colon", request{target: "/", headers: []string{"Authorization : Bearer one"}}, 400},
		{"over 100 headers", request{target: "/", headers: slices.Repeat([]string{"X-E: 1"}, 101)}, 431},
		{"over 60 KiB of headers", request{target: "/", headers: []string{"X-E: " + strings.Repeat("x", 61<<10)}}, 431},
		{"OPTIONS *", request{method: "OPTIONS", target: "*"}, 404},
		{"CONNECT", request{method: "CONNECT", target: "shop.test:443", host: "shop.test:443"}, 404},
	} {
		t.Run("answered without a Check: "+c.fact, func(t *testing.T) {
			c.headers = append(c.headers, a.say(t, allow(nil)))
			before := u.requests.Load()
			if got := e.client(t, "plain").send(t, c.request); got.status != c.status {
				t.Errorf("got %d, want %d", got.status, c.status)
			}
			if n := len(a.questions(t)) + int(u.requests.Load()-before); n != 0 {
				t.Errorf("got %d Checks and requests", n)
			}
		})
	}
}

// The words that Credence's own Envoy configuration adds.
func TestContractNormalisation(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "tidy", Manager: `
use_remote_address: true
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}`}}})
	for _, c := range []struct{ fact, sent, want string }{
		{"dot segments and doubled slashes are tidied for both", "/a/../b//c", "/b/c"},
		{"escaped dots are dots", "/a/%2e%2E/b", "/b"},
		{"an escaped letter is decoded", "/%61dmin", "/admin"},
		{"a double escape stays", "/%2561dmin", "/%2561dmin"},
		{"path parameters are cut off before dots are judged", "/%61dmin;x=1/..;/y", "/y"},
		{"a backslash is a slash", `/a\b`, "/a/b"},
		{"the query isn't touched", "/a?b=/../c//d", "/a?b=/../c//d"},
	} {
		for version, client := range clients(e.at(t, "tidy")) {
			t.Run(c.fact+" in "+version, func(t *testing.T) {
				got := client.get(t, c.sent, a.say(t, allow(nil))).upstream(t)
				if asked := a.question(t).GetAttributes().GetRequest().GetHttp().GetPath(); asked != c.want || got.Target != c.want {
					t.Errorf("got %q in the Check and %q at the application, want %q", asked, got.Target, c.want)
				}
			})
		}
	}
	for _, c := range []struct {
		fact string
		request
	}{
		{"an escaped slash is refused", request{target: "/a%2Fb"}},
		{"an escaped backslash is refused", request{target: "/a%5cb"}},
		{"an escaped NUL is refused", request{target: "/a%00b"}},
		{"an underscore in a header's name is refused", request{target: "/", headers: []string{"X_User_Id: admin"}}},
	} {
		for version, client := range clients(e.at(t, "tidy")) {
			t.Run(c.fact+" in "+version, func(t *testing.T) {
				r := c.request
				r.headers = append(slices.Clone(r.headers), a.say(t, allow(nil)))
				got, err := client.exchange(t.Context(), r)
				refused := err == nil && got.status == 400 || err != nil && version == "HTTP/2" // by a reset of the stream
				if asked := len(a.questions(t)); !refused || asked != 0 {
					t.Errorf("got %d, %v and %d Checks; want 400 or a reset and none", got.status, err, asked)
				}
			})
		}
	}
	t.Run("a client's x-envoy-original-path is removed", func(t *testing.T) {
		e.client(t, "tidy").get(t, "/", "X-Envoy-Original-Path: /admin", a.say(t, allow(nil)))
		if got := checkHeader(a.question(t), "x-envoy-original-path"); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

// context_extensions are the words of the route, and so of the operator.
func TestContractContextExtensions(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain", Routes: `
- match: {path: /tenant}
  route: {cluster: application}
  typed_per_filter_config:
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      check_settings: {context_extensions: {tenant: blue}}
- match: {path: /disabled}
  route: {cluster: application}
  typed_per_filter_config:
    envoy.filters.http.ext_authz: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}`}}})
	for _, c := range []struct {
		fact, target string
		want         map[string]string
	}{
		{"the route's context extensions arrive", "/tenant", map[string]string{"tenant": "blue"}},
		{"a route without them sends none", "/", nil},
	} {
		t.Run(c.fact, func(t *testing.T) {
			e.client(t, "plain").get(t, c.target, a.say(t, allow(nil)))
			if got := a.question(t).GetAttributes().GetContextExtensions(); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	t.Run("a route that disables the filter isn't asked about", func(t *testing.T) {
		e.client(t, "plain").get(t, "/disabled", a.say(t, deny(401, ""))).upstream(t)
		if n := len(a.questions(t)); n != 0 {
			t.Errorf("got %d Checks", n)
		}
	})
}

// What is known of the client's certificate comes from the connection itself.
func TestContractPeer(t *testing.T) {
	t.Parallel()
	a, ca := startAuthorizer(t), newAuthority(t)
	server := ca.issue(t, "credence.test")
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{
		{Name: "plain", TLS: server}, {Name: "telling", TLS: server, Filter: "include_peer_certificate: true\ninclude_tls_session: true"},
	}})
	known := ca.issue(t, "spiffe://shop.test/client", "client.test")
	for _, c := range []struct {
		fact, ingress string
		shown         *credentials
		principal     string
		pem           bool
		sni           string
	}{
		{"without a certificate there is no principal", "telling", nil, "", false, "credence.test"},
		{"the principal is the first URI, and the certificate escaped PEM", "telling", known, "spiffe://shop.test/client", true, "credence.test"},
		{"certificate and server name are only sent where that is set", "plain", known, "spiffe://shop.test/client", false, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			client := &client{address: e.at(t, c.ingress), tls: ca.client(t, c.shown)}
			client.get(t, "/", a.say(t, allow(nil)), "X-Forwarded-Client-Cert: By=spiffe://shop.test/admin")
			asked := a.question(t).GetAttributes()
			if got := asked.GetSource().GetPrincipal(); got != c.principal {
				t.Errorf("got principal %q, want %q", got, c.principal)
			}
			if got := asked.GetSource().GetCertificate(); strings.HasPrefix(got, "-----BEGIN%20CERTIFICATE-----%0A") != c.pem || !c.pem && got != "" {
				t.Errorf("got certificate %.40q, want one: %v", got, c.pem)
			}
			if got := asked.GetTlsSession().GetSni(); got != c.sni {
				t.Errorf("got server name %q, want %q", got, c.sni)
			}
		})
	}
}

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Whatever else an Envoy is told to send along, the decision is the same.
func TestWhatEnvoySendsAlong(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := ca.issue(t, "credence.test")
	everything := `
include_peer_certificate: true
include_tls_session: true
with_request_body: {max_request_bytes: 1024, allow_partial_message: true}
metadata_context_namespaces: [envoy.filters.http.jwt_authn]
route_metadata_context_namespaces: [envoy.filters.http.ext_authz]`
	w := startWorld(t, orderRules,
		ingress{Name: "nothing"},
		ingress{Name: "everything", Filter: everything},
		ingress{Name: "everything, raw", Filter: everything + "\nencode_raw_headers: true"},
		ingress{Name: "everything, body as bytes", Filter: strings.Replace(everything, "allow_partial_message: true", "pack_as_bytes: true", 1)},
		ingress{Name: "everything over TLS", Filter: everything, TLS: server},
		ingress{Name: "everything over TLS, raw", Filter: everything + "\nencode_raw_headers: true", TLS: server},
	)
	token := bearer(w.provider, staff())
	for _, name := range slices.Sorted(maps.Keys(w.envoy.addresses)) {
		ways := clients(w.envoy.at(t, name))
		if strings.Contains(name, "TLS") {
			ways = map[string]*client{}
			for version, c := range clients(w.envoy.at(t, name)) {
				anonymous, known := *c, *c
				anonymous.tls = ca.client(t, nil)
				known.tls = ca.client(t, ca.issue(t, "spiffe://shop.test/client"))
				ways[version+" without a certificate"], ways[version+" with a certificate"] = &anonymous, &known
			}
		}
		for way, c := range ways {
			t.Run(name+" in "+way, func(t *testing.T) {
				for _, body := range []string{"", "hello", "\x00\xff\xfe", strings.Repeat("x", 1024)} {
					got := c.send(t, request{method: "POST", target: "/orders", body: body, headers: []string{token}})
					if s := got.upstream(t); string(s.Body) != body || s.get("x-user-id") != "alice" {
						t.Errorf("a body of %d bytes: got %v with %q", len(body), s.Header, s.Body)
					}
					if got := c.send(t, request{method: "POST", target: "/orders", body: body}); got.status != 401 || got.reason() != "no_credential" {
						t.Errorf("a body of %d bytes without a token: got %d %s", len(body), got.status, got.body)
					}
				}
			})
		}
	}
}

// A route's context extensions choose the rule: they are the operator's words, and
// a client can't say them.
func TestContextExtensionsChooseTheRule(t *testing.T) {
	t.Parallel()
	routes := `
- match: {prefix: /open}
  route: {cluster: application}
  typed_per_filter_config:
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      check_settings: {context_extensions: {policy: open}}
- match: {prefix: /tenant}
  route: {cluster: application}
  typed_per_filter_config:
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      check_settings: {context_extensions: {tenant: blue}}`
	w := startWorld(t, `
rules:
  - name: open
    match: {context_extensions: {policy: open}}
    public: true
  - name: tenant
    bearer: {providers: [corp]}
    require: claims.tenant == request.context_extensions["tenant"]
    headers: {x-tenant: 'request.context_extensions["tenant"]'}
`, ingress{Name: "headers", Routes: routes}, ingress{Name: "encode_raw_headers", Routes: routes, Filter: "encode_raw_headers: true"})
	blue := bearer(w.provider, staff(map[string]any{"tenant": "blue"}))
	red := bearer(w.provider, staff(map[string]any{"tenant": "red"}))
	w.envoy.eachWay(t, func(t *testing.T, c *client) {
		for _, row := range []struct {
			name, target string
			headers      []string
			status       int
		}{
			{"the open route", "/open", nil, 200},
			{"another route, with the words in headers", "/x", []string{"Policy: open", "X-Policy: open", "Context-Extensions: policy=open"}, 401},
			{"the tenant's own token", "/tenant", []string{blue}, 200},
			{"another tenant's token", "/tenant", []string{red}, 403},
			{"a route that says no tenant", "/x", []string{blue, "Tenant: blue"}, 403},
		} {
			if got := c.get(t, row.target, row.headers...); got.status != row.status {
				t.Errorf("%s: got %d %s, want %d", row.name, got.status, got.body, row.status)
			}
		}
		if got := c.get(t, "/tenant", blue, "X-Tenant: red").upstream(t).get("x-tenant"); got != "blue" {
			t.Errorf("got x-tenant %q, want blue", got)
		}
	})
}

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// Everything that an allow can change, through both encodings and versions.
func TestAllowedAnswer(t *testing.T) {
	t.Parallel()
	w := startWorld(t, `
rules:
  - name: everything
    match: {paths: [/everything]}
    bearer: {providers: [corp]}
    headers:
      x-user-id: claims.sub
      x-method: request.method
      x-absent: claims.absent
    response_headers: {x-app: '"overwritten"', x-served-for: claims.sub}
    query: {set: {user: claims.name, plain: '"1"'}, remove: [access_token, debug]}
  - name: metadata
    match: {paths: [/metadata]}
    bearer: {providers: [corp]}
    metadata: {subject: claims.sub, groups: claims.groups, level: 3 + 4, absent: claims.absent}
  - name: local
    match: {paths: [/down]}
    public: true
    response_headers: {x-app: '"credence"'}
`, append(slices.Clone(bothEncodings), ingress{Name: "down", Routes: "- {match: {path: /down}, route: {cluster: nowhere}}"})...)
	token := bearer(w.provider, staff(map[string]any{"name": "a&b=c d/ü?#%"}))
	const escaped = "user=a%26b%3Dc%20d%2F%C3%BC%3F%23%25"

	w.envoy.eachWay(t, func(t *testing.T, c *client) {
		a := c.get(t, "/everything?keep=1&debug&user=forged&us%65r=forged&access_token=x&access%5Ftoken=x&access_token", token)
		got := a.upstream(t)
		if got.get("x-user-id") != "alice" || got.get("x-method") != "GET" || got.values("x-absent") != nil {
			t.Errorf("request headers: got %v", got.Header)
		}
		if a.header.Get("X-Served-For") != "alice" || !slices.Equal(a.header.Values("X-App"), []string{"overwritten"}) {
			t.Errorf("response headers: got %v", a.header)
		}
		path, query, _ := strings.Cut(got.Target, "?")
		parameters := strings.Split(query, "&")
		slices.Sort(parameters)
		if want := []string{"keep=1", "plain=1", escaped}; path != "/everything" || !slices.Equal(parameters, want) {
			t.Errorf("query: got %s %q, want %q", path, parameters, want)
		}
	})
	t.Run("metadata in the access log", func(t *testing.T) {
		w.envoy.client(t, "headers").get(t, "/metadata", token)
		line := w.envoy.logged(t, "/metadata")
		for _, want := range []string{`"subject":"alice"`, `"groups":["staff"]`, `"level":7`} {
			if !strings.Contains(line, want) {
				t.Errorf("got %s, want %s in it", line, want)
			}
		}
	})
	t.Run("response headers while the application is down", func(t *testing.T) {
		if got := w.envoy.client(t, "down").get(t, "/down"); got.status != 503 || got.header.Get("X-App") != "credence" {
			t.Errorf("got %d %v, want them on Envoy's 503", got.status, got.header)
		}
	})
}

// The challenge tells a client what to come back with (RFC 6750, 3; RFC 9728, 5.1),
// and repeats nothing that it sent.
func TestChallenge(t *testing.T) {
	t.Parallel()
	w := startWorld(t, `
realm: orders of example.com
rules:
  - name: public
    match: {paths: [/public]}
    public: true
  - name: plain
    match: {paths: [/plain]}
    bearer: {providers: [corp]}
  - name: scoped
    match: {paths: [/scoped]}
    bearer: {providers: [corp], scopes: [orders.read, orders.write], resource_metadata: https://shop.test/.well-known/oauth-protected-resource}
    require: claims.sub == "alice"
  - name: forbidding
    match: {paths: [/forbidding]}
    bearer: {providers: [corp]}
    unauthenticated_status: 403
`, bothEncodings...)
	const (
		realm    = `Bearer realm="orders of example.com"`
		expired  = `, error="invalid_token", error_description="the token has expired"`
		twice    = `, error="invalid_request", error_description="the Authorization header can't be understood"`
		scope    = `, scope="orders.read orders.write"`
		metadata = `, resource_metadata="https://shop.test/.well-known/oauth-protected-resource"`
	)
	sign := func(token oidctest.Token) string { return bearer(w.provider, token) }
	all := sign(staff(map[string]any{"scope": "orders.read orders.write", "sub": "bob"}))
	for _, c := range []struct {
		name, target string
		headers      []string
		status       int
		want         string
	}{
		{"no credential", "/plain", nil, 401, realm},
		{"no credential, with what is wanted", "/scoped", nil, 401, realm + scope + metadata},
		{"a bad token", "/plain", []string{sign(oidctest.Token{TTL: -time.Hour})}, 401, realm + expired},
		{"a bad token, with what is wanted", "/scoped", []string{sign(oidctest.Token{TTL: -time.Hour})}, 401, realm + expired + scope + metadata},
		{"too little scope", "/scoped", []string{sign(staff())}, 403,
			realm + `, error="insufficient_scope", error_description="the token's scope isn't sufficient"` + scope + metadata},
		{"a malformed header", "/plain", []string{"Authorization: Bearer a b"}, 400, realm + twice},
		{"a malformed header where nothing is wanted", "/public", []string{"Authorization: Bearer a b"}, 400, realm + twice},
		{"not enough, and no token would be better", "/scoped", []string{all}, 403, ""},
		{"no rule", "/nowhere", nil, 403, ""},
		{"a path with two readings", "/plain/../scoped", nil, 400, ""},
		{"a rule that forbids: no credential", "/forbidding", nil, 403, ""},
		{"a rule that forbids: a bad token", "/forbidding", []string{sign(oidctest.Token{TTL: -time.Hour})}, 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.envoy.eachWay(t, func(t *testing.T, client *client) {
				got := client.get(t, c.target, c.headers...)
				challenge := strings.Join(got.header.Values("WWW-Authenticate"), " | ")
				if got.status != c.status || challenge != c.want {
					t.Errorf("got %d %s\nwant %d %s", got.status, challenge, c.status, c.want)
				}
			})
		})
	}
}

// A gRPC client gets a status of its own kind, made by Envoy of the denial, with
// one short sentence. A WebSocket client gets an ordinary answer.
func TestOtherCallers(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream := startProvider(t), startUpstream(t)
	credence := startCredence(t, listenFreely+corp(provider)+`
  - {name: away, issuer: 'https://away.test', audiences: [api], keys: {url: 'http://127.0.0.1:1/'}, optional: true}
rules:
  - name: calls
    match: {paths: [/shop.Orders/*]}
    bearer: {providers: [corp, away], scopes: [orders.read]}
  - name: socket
    match: {paths: [/ws]}
    bearer: {providers: [corp]}
    headers: {x-user-id: claims.sub}
`)
	credence.awaitReady(t)
	listeners := slices.Clone(bothEncodings)
	for i := range listeners {
		listeners[i].Manager = "upgrade_configs: [{upgrade_type: websocket}]"
	}
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: listeners})
	for _, c := range []struct {
		name, token, grpc, message string
	}{
		{"a good token", bearer(provider, staff()), "0", ""},
		{"no token", "X-E: 1", "16", "authentication is required"},
		{"a bad token", bearer(provider, oidctest.Token{TTL: -time.Hour}), "16", "the token has expired"},
		{"too little scope", bearer(provider, staff(map[string]any{"scope": "x"})), "7", "the token's scope isn't sufficient"},
		{"no decision", bearer(provider, staff(map[string]any{"iss": "https://away.test"})), "14", "the token can't be checked now"},
	} {
		t.Run("gRPC: "+c.name, func(t *testing.T) {
			for _, l := range listeners {
				client := &client{address: e.at(t, l.Name), http2: true}
				got := client.send(t, grpcCall(c.token))
				if got.status != 200 || got.header.Get("Grpc-Status") != c.grpc || got.header.Get("Grpc-Message") != c.message {
					t.Errorf("%s: got %d %v, want grpc-status %s %q", l.Name, got.status, got.header, c.grpc, c.message)
				}
			}
		})
	}
	for _, l := range listeners {
		t.Run("WebSocket, "+l.Name, func(t *testing.T) {
			conn, in := e.client(t, l.Name).upgrade(t, bearer(provider, staff()))
			if _, err := conn.Write([]byte("hello\n")); err != nil {
				t.Fatal(err)
			}
			if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
				t.Errorf("got %q, %v; want what was sent", line, err)
			}
			got := e.client(t, l.Name).get(t, "/ws", upgradeHeaders...)
			if got.status != 401 || got.reason() != "no_credential" || got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("without a token: got %d %v %s, want a plain 401", got.status, got.header, got.body)
			}
		})
	}
}

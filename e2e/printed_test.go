package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// startPrinted runs a world whose Envoy has the configuration that Credence
// prints, as it is. Listen are more listeners, each after a comma.
func startPrinted(t *testing.T, listen, rules string) (*world, *client) {
	t.Helper()
	envoyPath(t)
	w := &world{provider: startProvider(t), upstream: startUpstream(t)}
	w.credence = startCredence(t, "listen: {check: 'unix:"+socketPath(t)+"', probe: 127.0.0.1:0"+listen+"}\n"+corp(w.provider)+rules)
	w.credence.awaitReady(t)
	w.envoy = startEnvoy(t, output(t, binary, "envoy-config", "--config", w.credence.config,
		"--listen", "127.0.0.1:0", "--upstream", w.upstream.address, "--timeout", "10s"))
	return w, w.envoy.client(t, "ingress")
}

// What holds without a user's doing anything: with the configuration that
// `credence envoy-config` prints.
func TestPrintedEnvoyConfiguration(t *testing.T) {
	t.Parallel()
	w, http1 := startPrinted(t, "", pathRules+`
  - name: orders
    match: {hosts: [api.test]}
    bearer: {providers: [corp], scopes: [orders.read]}
    headers: {x-user-id: claims.sub}
    response_headers: {x-served-for: claims.sub}
  - name: socket
    match: {hosts: [shop.test], paths: [/ws]}
    bearer: {providers: [corp]}
`)
	token := bearer(w.provider, staff())
	for _, c := range []struct {
		name string
		request
		status int
		reason string
	}{
		{"public", request{target: "/healthz"}, 200, ""},
		{"a good token", request{host: "api.test", target: "/", headers: []string{token}}, 200, ""},
		{"no token", request{host: "api.test", target: "/"}, 401, "no_credential"},
		{"two tokens", request{host: "api.test", target: "/", headers: []string{token, token}}, 400, "malformed_authorization"},
		{"too little scope", request{host: "api.test", target: "/", headers: []string{bearer(w.provider, staff(map[string]any{"scope": "x"}))}}, 403, "insufficient_scope"},
		{"no rule", request{host: "other.test", target: "/"}, 403, "no_rule"},
		{"dot segments are judged by what is left", request{target: "/public/../admin"}, 401, "no_credential"},
		{"so are doubled slashes", request{target: "//admin"}, 401, "no_credential"},
		{"so are path parameters before dots", request{target: "/public/..;/admin"}, 401, "no_credential"},
		{"a double escape is left, and refused", request{target: "/public/%252e%252e/admin"}, 400, "ambiguous_path"},
		{"an escaped slash is refused by Envoy", request{target: "/public%2f..%2fadmin"}, 400, ""},
		{"X-Envoy-Original-Path", request{target: "/admin", headers: []string{"X-Envoy-Original-Path: /healthz"}}, 401, "no_credential"},
		{"a WebSocket without a token", request{target: "/ws", headers: []string{"Upgrade: websocket", "Connection: Upgrade"}}, 401, "no_credential"},
	} {
		for version, client := range clients(http1.address) {
			if client.http2 && strings.Contains(c.name, "WebSocket") {
				continue // such headers are forbidden there
			}
			t.Run(c.name+" in "+version, func(t *testing.T) {
				if got := client.send(t, c.request); got.status != c.status || got.reason() != c.reason {
					t.Errorf("got %d %s, want %d %s", got.status, got.body, c.status, c.reason)
				}
			})
		}
	}
	for version, client := range clients(http1.address) {
		t.Run("the application gets an identity that can be believed in "+version, func(t *testing.T) {
			got := client.send(t, request{host: "api.test", target: "/orders//1?x=1", headers: []string{token, "X-User-Id: admin", "x-user.id: admin"}})
			s := got.upstream(t)
			if s.get("x-user-id") != "alice" || s.get("x-user.id") != "" || s.get("authorization") != "" || s.Target != "/orders/1?x=1" {
				t.Errorf("application: got %v", s)
			}
			if got.header.Get("X-Served-For") != "alice" {
				t.Errorf("client: got %v", got.header)
			}
		})
		t.Run("an underscore in a name never gets through in "+version, func(t *testing.T) {
			before := w.upstream.requests.Load()
			got, err := client.exchange(t.Context(), request{target: "/healthz", headers: []string{"X_User_Id: admin"}})
			if err == nil && got.status != 400 || w.upstream.requests.Load() != before {
				t.Errorf("got %d, want 400 or a reset stream", got.status)
			}
		})
	}
	t.Run("a WebSocket with a token", func(t *testing.T) {
		conn, in := http1.upgrade(t, token)
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
			t.Errorf("got %q, %v; want what was sent", line, err)
		}
	})
	w.credence.kill(t)
	for version, client := range clients(http1.address) {
		if got := client.get(t, "/healthz"); got.status != 503 {
			t.Errorf("Credence killed, in %s: got %d, want 503", version, got.status)
		}
	}
}

// TestPrintedEnvoyForgedIdentity: what goes for Credence with an Envoy that sends it
// every header goes for the one that is printed, which sends those it was told to.
func TestPrintedEnvoyForgedIdentity(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	writeSecret(t, key, newSessionKey())
	w, http1 := startPrinted(t, ", login: 'unix:"+socketPath(t)+"'", identityRules+`
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: "https://app.test/.credence/callback"}]
session: {keys: [{file: `+key+`}]}
`)
	token := bearer(w.provider, staff())
	// Envoy refuses a request for a single underscore, so each is sent alone.
	var forged, underscored []string
	for _, line := range forgedIdentity() {
		if strings.Contains(line, "_") {
			underscored = append(underscored, line)
		} else {
			forged = append(forged, line)
		}
	}
	for version, client := range clients(http1.address) {
		for _, c := range identities {
			t.Run(c.name+" in "+version, func(t *testing.T) {
				got := client.get(t, c.target, append(slices.Clone(forged), token, "X-Other: mine",
					"Cookie: a=1; __Host-credence.web=x; __Host-credence-binding=y", "Cookie: __Host-credence.web.1=z; b=2")...).upstream(t)
				if identity := got.identity(); !slices.Equal(identity, c.want) {
					t.Errorf("got %q, want %q", identity, c.want)
				}
				if got.get("x-other") != "mine" {
					t.Errorf("got x-other %q: what isn't about identity passes", got.get("x-other"))
				}
				if cookies := strings.Join(got.values("cookie"), "; "); cookies != "a=1; b=2" {
					t.Errorf("got cookie %q: the application's own pass, and no others", cookies)
				}
				before := w.upstream.requests.Load()
				for _, line := range underscored {
					if got, err := client.exchange(t.Context(), request{target: c.target, headers: []string{token, line}}); err == nil && got.status != 400 {
						t.Errorf("%s: got %d, want 400 or a reset stream", line, got.status)
					}
				}
				if passed := w.upstream.requests.Load() - before; passed != 0 {
					t.Errorf("got %d requests at the application", passed)
				}
			})
		}
		t.Run("Authorization in "+version, func(t *testing.T) { checkForwarding(t, client, token) })
	}
	t.Run("named in Connection", func(t *testing.T) {
		got := http1.get(t, "/whole", token, "Connection: x-user-id, x-user-groups", "X-User-Id: admin").upstream(t)
		if identity, want := got.identity(), identities[1].want; !slices.Equal(identity, want) {
			t.Errorf("got %q, want %q", identity, want)
		}
	})
}

// What is there to be copied is a configuration to Envoy as well; cmd/credence has a test
// that it is the one that is printed.
func TestDeployedEnvoyConfiguration(t *testing.T) {
	t.Parallel()
	output(t, envoyPath(t), "--mode", "validate", "-c", "../deploy/envoy/envoy.yaml")
}

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// boundRules let in programs and tell the application which; %s is the claim that says.
const boundRules = `
rules: [{name: all, bearer: {providers: [corp]}, headers: {x-client: claims.%s}}]
audit: {allows: all, recheck: 1}
log: {level: debug}
`

// shop is where clients reach the application, as far as they know: TLS may end before
// Envoy.
const shop = "https://shop.test"

// boundWorld is a Credence that takes DPoP, behind the Envoy that it prints.
type boundWorld struct {
	credence *credence
	envoy    *envoy
	upstream *upstream
}

// startBound runs one with these providers, and more about DPoP. What is printed goes
// through each change before Envoy gets it.
func startBound(t *testing.T, providers, dpop, claim string, changes ...func(string) string) *boundWorld {
	t.Helper()
	w := &boundWorld{upstream: startUpstream(t)}
	w.credence = startCredence(t, "listen: {check: 'unix:"+socketPath(t)+"', probe: 127.0.0.1:0}\n"+providers+
		"dpop: {origins: ["+shop+"]"+dpop+"}\n"+fmt.Sprintf(boundRules, claim))
	w.credence.awaitReady(t)
	printed := output(t, binary, "envoy-config", "--config", w.credence.config, "--listen", "127.0.0.1:0", "--upstream", w.upstream.address, "--timeout", "10s")
	for _, change := range changes {
		printed = change(printed)
	}
	w.envoy = startEnvoy(t, printed)
	return w
}

// grantBound has a provider give a client an access token of this type, for a proof
// unless that is empty.
func grantBound(t *testing.T, via *http.Client, endpoint, kind, proof string, form url.Values) string {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Close = true // as in postForm
	if proof != "" {
		req.Header.Set("DPoP", proof)
	}
	resp, err := via.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var granted struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	if err := json.Unmarshal(text, &granted); err != nil || granted.Token == "" || granted.Type != kind {
		t.Fatalf("%s: got %s %s, %v; want a token of type %s", endpoint, resp.Status, text, err, kind)
	}
	return granted.Token
}

// boundMachine is a client of oidc-provider that gets tokens for itself.
func boundMachine(id string, more ...string) map[string]any {
	c := map[string]any{
		"client_id": id, "redirect_uris": []string{}, "response_types": []string{}, "grant_types": []string{"client_credentials"},
		"client_secret": "a-secret-of-a-machine", "token_endpoint_auth_method": "client_secret_post",
	}
	for _, name := range more {
		c[name] = true
	}
	return c
}

// Tokens of oidc-provider that are bound to a key, judged by their signature and by
// asking it.
func TestDPoPTokensOfNodeProvider(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	const plain, opaque = "https://api.test/plain", "https://api.test/opaque"
	p := startNodeProvider(t, nodeConfiguration{
		Clients:   []map[string]any{boundMachine("bound", "dpop_bound_access_tokens"), boundMachine("machine")},
		Resources: map[string]map[string]any{opaque: {"accessTokenFormat": "opaque"}},
	})
	secret := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, secret, "a-secret-of-a-machine")
	providers := fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [%s, %s]
    accept_missing_subject: true
    tokens: auto
    introspection: {client_id: machine, client_secret: {file: %s}, authentication: post}
`, p.issuer, plain, opaque, secret)
	for name, audience := range map[string]string{"JWT": plain, "opaque": opaque} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"resource": {audience}, "scope": {"orders.read"}, "client_secret": {"a-secret-of-a-machine"}}
			checkDPoP(t, providers, "client_id", func(key *proofKey) string {
				if key == nil {
					form.Set("client_id", "machine")
					return grantBound(t, http.DefaultClient, p.issuer+"/token", "Bearer", "", form)
				}
				form.Set("client_id", "bound")
				return grantBound(t, http.DefaultClient, p.issuer+"/token", "DPoP", key.proof(t, "POST", p.issuer+"/token", ""), form)
			})
		})
	}
}

// Keycloak binds a token to a key where the client proves one.
func TestDPoPTokensOfKeycloak(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	r := startRealm(t, realm{Name: "bound", Clients: []realmClient{{ID: "machine", Secret: "a-secret-of-a-machine", RedirectURIs: []string{}, Audiences: []string{"api"}}}})
	endpoint := r.issuer() + "/protocol/openid-connect/token"
	checkDPoP(t, fmt.Sprintf("providers:\n  - {name: corp, issuer: %s, audiences: [api]}\n", r.issuer()), "azp", func(key *proofKey) string {
		form := url.Values{"client_id": {"machine"}, "client_secret": {"a-secret-of-a-machine"}}
		if key == nil {
			return grantBound(t, http.DefaultClient, endpoint, "Bearer", "", form)
		}
		return grantBound(t, http.DefaultClient, endpoint, "DPoP", key.proof(t, "POST", endpoint, ""), form)
	})
}

// checkDPoP holds what is true of tokens that are bound to a key, and of one for no key.
func checkDPoP(t *testing.T, providers, claim string, issue func(*proofKey) string) {
	t.Helper()
	key, other := proofKey{newKey(t)}, proofKey{newKey(t)}
	bound, another, ordinary := issue(&key), issue(&key), issue(nil)
	with := func(scheme, token string, proofs ...string) []string {
		lines := []string{"Authorization: " + scheme + " " + token}
		for _, p := range proofs {
			lines = append(lines, "DPoP: "+p)
		}
		return lines
	}

	t.Run("proofs", func(t *testing.T) {
		w := startBound(t, providers, "", claim)
		for version, c := range clients(w.envoy.at(t, "ingress")) {
			t.Run(version, func(t *testing.T) {
				fresh := func(more ...map[string]any) string { return key.proof(t, "GET", shop+"/orders", bound, more...) }
				var used string
				for range 3 { // from memory too
					used = fresh()
					got := c.get(t, "/orders?id=1", with("DPoP", bound, used)...)
					if s := got.upstream(t); s.get("x-client") == "" || s.get("authorization") != "" || got.header.Get("DPoP-Nonce") != "" {
						t.Errorf("got %v, and %v", s.Header, got.header)
					}
				}
				if got := c.send(t, request{method: "POST", target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"htm": "POST"})), body: "x"}); got.status != 200 {
					t.Errorf("POST: got %d %s", got.status, got.body)
				}
				for range 2 {
					if got := c.get(t, "/orders", with("Bearer", ordinary)...); got.status != 200 || got.header.Get("DPoP-Nonce") != "" {
						t.Errorf("a token that is bound to nothing: got %d %s %v", got.status, got.body, got.header)
					}
				}

				passed := w.upstream.requests.Load()
				for _, row := range []struct {
					name string
					request
					reason string
				}{
					{"replayed", request{target: "/orders", headers: with("DPoP", bound, used)}, "dpop_proof_invalid"},
					{"for another path", request{target: "/orders/1", headers: with("DPoP", bound, fresh())}, "dpop_proof_invalid"},
					{"for another method", request{method: "DELETE", target: "/orders", headers: with("DPoP", bound, fresh())}, "dpop_proof_invalid"},
					{"for another origin", request{target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"htu": "https://evil.test/orders"}))}, "dpop_proof_invalid"},
					{"for another scheme", request{target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"htu": "http://shop.test/orders"}))}, "dpop_proof_invalid"},
					{"at a host that isn't listed", request{host: "evil.test", target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"htu": "https://evil.test/orders"}))}, "dpop_proof_invalid"},
					{"for another token of the key", request{target: "/orders", headers: with("DPoP", another, fresh())}, "dpop_proof_invalid"},
					{"for no token", request{target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"ath": nil}))}, "dpop_proof_invalid"},
					{"by another key", request{target: "/orders", headers: with("DPoP", bound, other.proof(t, "GET", shop+"/orders", bound))}, "dpop_proof_invalid"},
					{"of an hour ago", request{target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"iat": time.Now().Add(-time.Hour).Unix()}))}, "dpop_proof_invalid"},
					{"of tomorrow", request{target: "/orders", headers: with("DPoP", bound, fresh(map[string]any{"iat": time.Now().Add(24 * time.Hour).Unix()}))}, "dpop_proof_invalid"},
					{"two", request{target: "/orders", headers: with("DPoP", bound, fresh(), fresh())}, "dpop_proof_invalid"},
					{"none", request{target: "/orders", headers: with("DPoP", bound)}, "dpop_proof_missing"},
					{"none, under the scheme Bearer", request{target: "/orders", headers: with("Bearer", bound)}, "dpop_proof_missing"},
					{"good, under the scheme Bearer", request{target: "/orders", headers: with("Bearer", bound, fresh())}, "dpop_proof_missing"},
					{"for a token that is bound to nothing", request{target: "/orders", headers: with("DPoP", ordinary, key.proof(t, "GET", shop+"/orders", ordinary))}, "dpop_proof_invalid"},
				} {
					got := c.send(t, row.request)
					if got.status != 401 || got.reason() != row.reason {
						t.Errorf("%s: got %d %s, want %s", row.name, got.status, got.body, row.reason)
					}
					if says := strings.Join(got.header["Www-Authenticate"], ", "); !strings.Contains(says, `DPoP realm="credence", algs="ES256 `) || !strings.Contains(says, `error="invalid_`) || got.header.Get("DPoP-Nonce") != "" {
						t.Errorf("%s: got %v", row.name, got.header)
					}
				}
				if got := w.upstream.requests.Load(); got != passed {
					t.Errorf("%d refused requests came to the application", got-passed)
				}

				// Many at once have one proof, and one of them gets in.
				one := with("DPoP", bound, fresh())
				var in atomic.Int32
				var asking sync.WaitGroup
				for range 20 {
					asking.Go(func() {
						got, err := c.exchange(t.Context(), request{target: "/orders", headers: one})
						if err != nil || got.status != 200 && got.status != 401 {
							t.Errorf("got %d %s, %v", got.status, got.body, err)
						}
						if got.status == 200 {
							in.Add(1)
						}
					})
				}
				if asking.Wait(); in.Load() != 1 {
					t.Errorf("%d got in by one proof, want 1", in.Load())
				}
			})
		}
		checkFalseAllows(t, w.credence)
	})

	t.Run("nonces", func(t *testing.T) {
		keys := filepath.Join(t.TempDir(), "nonces")
		writeSecret(t, keys, newSessionKey())
		w := startBound(t, providers, ", nonce_keys: [{file: "+keys+"}]", claim)
		c := w.envoy.client(t, "ingress")
		ask := func(nonce any) answer {
			t.Helper()
			return c.get(t, "/orders", with("DPoP", bound, key.proof(t, "GET", shop+"/orders", bound, map[string]any{"nonce": nonce}))...)
		}
		asked := func(name string, nonce any) string {
			t.Helper()
			got := ask(nonce)
			next := got.header.Get("DPoP-Nonce")
			if got.status != 401 || got.reason() != "dpop_nonce_required" || next == "" || !strings.Contains(strings.Join(got.header["Www-Authenticate"], ", "), `error="use_dpop_nonce"`) {
				t.Errorf("%s: got %d %s %v", name, got.status, got.body, got.header)
			}
			return next
		}
		nonce := asked("no nonce", nil)
		for range 3 { // an allow brings the next
			got := ask(nonce)
			if got.upstream(t); len(got.header.Values("DPoP-Nonce")) != 1 {
				t.Fatalf("got %v", got.header)
			}
			nonce = got.header.Get("DPoP-Nonce")
		}
		asked("somebody's own nonce", "a-nonce-of-somebody")
		asked("an altered nonce", map[bool]string{true: "B", false: "A"}[nonce[0] == 'A']+nonce[1:])
		asked("no text", 1)
		if got := c.get(t, "/orders", with("Bearer", ordinary)...); got.status != 200 || got.header.Get("DPoP-Nonce") != "" {
			t.Errorf("a token that is bound to nothing: got %d %s %v", got.status, got.body, got.header)
		}

		// A Credence that starts anew knows its nonces, as another replica does.
		w.credence.signal(t, syscall.SIGTERM)
		w.credence.wait(t)
		restartCredence(t, w.credence.config).awaitReady(t)
		await(t, "Envoy is connected again", func() bool { return c.get(t, "/orders", with("Bearer", ordinary)...).status == 200 })
		if got := ask(nonce); got.status != 200 {
			t.Errorf("the nonce of before: got %d %s", got.status, got.body)
		}
	})
}

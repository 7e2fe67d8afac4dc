package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// resourceRules guard an MCP server, with its metadata; %s is its provider's issuer.
const resourceRules = `providers:
  - {name: corp, issuer: %s, audiences: [api, "https://shop.test/mcp"]}
resources:
  - {name: mcp, resource: "https://shop.test/mcp", providers: [corp], scopes: [orders.read]}
rules:
  - {name: mcp, match: {paths: [/mcp]}, bearer: {providers: [corp], audiences: ["https://shop.test/mcp"], scopes: [orders.read], resource: mcp}}
  - {name: rest, bearer: {providers: [corp]}}
`

var metadataParameter = regexp.MustCompile(`^Bearer realm="credence", .*resource_metadata="([^"]*)"$`)

// TestSEC_P3_FromABare401ToAnswers holds that a program which knows no more than an
// address gets in, by what it is told on the way, with the Envoy that is printed.
func TestSEC_P3_FromABare401ToAnswers(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, app := startProvider(t), startUpstream(t)
	provider.AddClient("robot", "robots-secret", oidctest.Token{Claims: map[string]any{"aud": "https://shop.test/mcp"}})
	credence := startCredence(t, "listen: {check: 'unix:"+socketPath(t)+"', login: 'unix:"+socketPath(t)+"', probe: 127.0.0.1:0}\n"+
		fmt.Sprintf(resourceRules, provider.Issuer()))
	credence.awaitReady(t)
	envoy := startEnvoy(t, output(t, binary, "envoy-config", "--config", credence.config,
		"--listen", "127.0.0.1:0", "--upstream", app.address, "--timeout", "10s"))
	for version, client := range clients(envoy.at(t, "ingress")) {
		t.Run(version, func(t *testing.T) {
			denied := client.get(t, "/mcp")
			told := metadataParameter.FindStringSubmatch(denied.header.Get("WWW-Authenticate"))
			if denied.status != 401 || told == nil {
				t.Fatalf("got %d %q, want a 401 with resource_metadata", denied.status, denied.header["Www-Authenticate"])
			}
			at, err := url.Parse(told[1])
			if err != nil || at.Scheme != "https" {
				t.Fatalf("got %q, %v", told[1], err)
			}
			before := app.requests.Load()
			got := client.send(t, request{host: at.Host, target: at.Path})
			var metadata struct {
				Resource string
				Issuers  []string `json:"authorization_servers"`
				Scopes   []string `json:"scopes_supported"`
				Methods  []string `json:"bearer_methods_supported"`
			}
			if err := json.Unmarshal([]byte(got.body), &metadata); got.status != 200 || err != nil || got.header.Get("Content-Type") != "application/json" {
				t.Fatalf("got %d %s, %v", got.status, got.body, err)
			}
			if metadata.Resource != "https://shop.test/mcp" || !slices.Equal(metadata.Methods, []string{"header"}) || len(metadata.Issuers) != 1 {
				t.Errorf("got %+v", metadata)
			}
			if app.requests.Load() != before {
				t.Error("the application was asked for the metadata")
			}
			token := tokenFrom(t, metadata.Issuers[0], metadata.Resource, strings.Join(metadata.Scopes, " "))
			allowed := client.get(t, "/mcp", "Authorization: Bearer "+token)
			if allowed.status != 200 || allowed.upstream(t).Target != "/mcp" {
				t.Errorf("got %d %s", allowed.status, allowed.body)
			}
		})
		t.Run("what isn't metadata in "+version, func(t *testing.T) {
			const at = "/.well-known/oauth-protected-resource"
			for _, c := range []struct {
				name string
				request
				status int
			}{
				{"another host", request{host: "evil.test", target: at + "/mcp"}, 404},
				{"another path", request{target: at}, 404},
				{"writing it", request{method: "POST", target: at + "/mcp"}, 405},
				{"a path that only begins alike", request{target: at + "s/mcp"}, 401},
				{"a preflight", request{method: "OPTIONS", target: at + "/mcp", headers: []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}}, 204},
			} {
				if got := client.send(t, c.request); got.status != c.status || strings.Contains(got.body, "evil.test") {
					t.Errorf("%s: got %d %s, want %d", c.name, got.status, got.body, c.status)
				}
			}
		})
	}
}

// tokenFrom finds the token endpoint of an issuer and gets a token by client
// credentials, for a resource (RFC 8707).
func tokenFrom(t *testing.T, issuer, resource, scope string) string {
	t.Helper()
	var discovered struct {
		Issuer string
		Token  string `json:"token_endpoint"`
	}
	status, text := fetch(t, issuer+"/.well-known/openid-configuration")
	if err := json.Unmarshal([]byte(text), &discovered); status != 200 || err != nil || discovered.Issuer != issuer {
		t.Fatalf("discovery: got %d %s, %v", status, text, err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {scope}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, discovered.Token, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("robot", "robots-secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var issued struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &issued); err != nil || issued.Token == "" {
		t.Fatalf("the token endpoint: got %d %s, %v", resp.StatusCode, answer, err)
	}
	return issued.Token
}

// Where a proxy asks Credence about the metadata too, as a mesh may, exactly its
// address passes without a token.
func TestMetadataPassesWhereTheProxyAsks(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, app := startProvider(t), startUpstream(t)
	credence := startCredence(t, "listen: {check: 127.0.0.1:0, login: 127.0.0.1:0, probe: 127.0.0.1:0}\n"+fmt.Sprintf(resourceRules, provider.Issuer()))
	credence.awaitReady(t)
	// All goes to one application, in whose place a mesh would have Credence for this path.
	envoy := startProxy(t, proxy{Authorizer: credence.check, Application: app.address, Ingresses: bothEncodings})
	envoy.eachWay(t, func(t *testing.T, client *client) {
		const at = "/.well-known/oauth-protected-resource"
		for _, c := range []struct {
			name string
			request
			status int
			reason string
		}{
			{"the metadata", request{target: at + "/mcp"}, 200, ""},
			{"a preflight", request{method: "OPTIONS", target: at + "/mcp"}, 200, ""},
			{"another host", request{host: "other.test", target: at + "/mcp"}, 401, "no_credential"},
			{"another path", request{target: at}, 401, "no_credential"},
			{"another spelling", request{target: at + "/%6dcp/.."}, 400, "ambiguous_path"},
		} {
			if got := client.send(t, c.request); got.status != c.status || got.reason() != c.reason {
				t.Errorf("%s: got %d %s, want %d %s", c.name, got.status, got.body, c.status, c.reason)
			}
		}
	})
	status, text := fetch(t, "http://"+credence.login+"/.well-known/oauth-protected-resource/mcp")
	if status != 404 {
		t.Errorf("asked by its address: got %d %s, want 404", status, text)
	}
}

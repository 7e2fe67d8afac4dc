package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// Tokens of programs: of a cluster's service accounts, and by client credentials.

const clusterIssuer = "https://kubernetes.default.svc.cluster.local"

// cluster is an API server: it shows its discovery document and its keys to those who
// bring a token that it takes just now. It is at another address than its issuer.
type cluster struct {
	*oidctest.Provider
	server *httptest.Server
	takes  atomic.Value // string
	caFile string
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Provider: oidctest.New(oidctest.Options{Issuer: clusterIssuer})}
	c.takes.Store("first")
	ca, caFile, _ := issue(t, "cluster", nil)
	own, _, _ := issue(t, "apiserver", &ca)
	c.caFile = caFile
	c.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch token := r.Header.Get("Authorization"); {
		case token != "Bearer "+c.takes.Load().(string):
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
		case r.URL.Path == "/.well-known/openid-configuration":
			_, _ = io.WriteString(w, `{"issuer":"`+clusterIssuer+`","jwks_uri":"`+c.server.URL+`/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}`)
		case r.URL.Path == "/openid/v1/jwks":
			w.Header().Set("Content-Type", "application/jwk-set+json")
			r.URL.Path = "/jwks"
			c.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	c.server.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	c.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	c.server.StartTLS()
	t.Cleanup(func() {
		c.server.Close()
		c.Close()
	})
	return c
}

// account is a token as the kubelet puts it into a pod, signed with the key of this kid.
func (c *cluster) account(kid, namespace, name string, audiences ...string) string {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"aud": audiences, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "iss": clusterIssuer, "jti": "6b1f1f3e-0c5b-4a53-9d4c-1f3b1f0e7a11", "nbf": now.Unix(),
		"kubernetes.io": map[string]any{
			"namespace": namespace, "node": map[string]any{"name": "node-1", "uid": "1"}, "pod": map[string]any{"name": name + "-0", "uid": "2"},
			"serviceaccount": map[string]any{"name": name, "uid": "3"}, "warnafter": now.Add(50 * time.Minute).Unix(),
		},
		"kubernetes.io/serviceaccount/namespace": namespace, // as the old kind has it
		"sub":                                    "system:serviceaccount:" + namespace + ":" + name,
	})
	if err != nil {
		panic(err)
	}
	return c.Sign(oidctest.Token{KeyID: kid, Header: map[string]any{"typ": nil}, RawClaims: string(claims)})
}

// config is the example of the manual, at this cluster's address and with this
// file for its token.
func (c *cluster) config(t *testing.T, tokenFile string) string {
	t.Helper()
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	for _, text := range blocks(t, "../../docs/providers.md", "yaml") {
		if strings.Contains(text, account) {
			return strings.NewReplacer("https://kubernetes.default.svc/", c.server.URL+"/", account+"ca.crt", c.caFile, account+"token", tokenFile).Replace(text)
		}
	}
	t.Fatal("docs/providers.md has no example for Kubernetes")
	return ""
}

// TestT14_ServiceAccounts lets in what the manual's example says, and tells who it is.
func TestT14_ServiceAccounts(t *testing.T) {
	c := startCluster(t)
	tokenFile := writeFile(t, "token", []byte("first"))
	example := c.config(t, tokenFile)
	discovered := strings.Replace(example, "keys: {url: "+c.server.URL+"/openid/v1/jwks}", "discovery_url: "+c.server.URL+"/.well-known/openid-configuration", 1)
	if discovered == example {
		t.Fatalf("the example has no keys.url:\n%s", example)
	}
	slash := strings.Replace(example, `headers:`, "headers:\n      x-slash: claims[\"kubernetes.io/serviceaccount/namespace\"]", 1)
	for name, text := range map[string]string{"the keys' address is known": example, "it is discovered": discovered, "a claim with slashes": slash} {
		t.Run(name, func(t *testing.T) {
			a := start(t, text)
			asks := func(token string) authz.Decision {
				return a.engine.Decide(t.Context(), &authz.Request{
					Method: "GET", Scheme: "http", Host: "orders.shop.svc", Target: "/", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}, {Name: "x-caller-account", Value: "root"}},
				})
			}
			for _, row := range []struct {
				name, token string
				want        audit.Reason
			}{
				{"an account of the list", c.account("rsa-1", "shop", "checkout", "orders"), audit.Allowed},
				{"another, for several audiences", c.account("rsa-1", "shop", "refunds", "vault", "orders"), audit.Allowed},
				{"another account", c.account("rsa-1", "shop", "default", "orders"), audit.RequirementFalse},
				{"the same name elsewhere", c.account("rsa-1", "other", "checkout", "orders"), audit.RequirementFalse},
				{"for the API server", c.account("rsa-1", "shop", "checkout", clusterIssuer), audit.AudienceMismatch},
				{"the old kind", c.Sign(oidctest.Token{Header: map[string]any{"typ": nil}, RawClaims: `{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:shop:checkout"}`}), audit.IssuerUnknown},
				{"nobody's account", c.Sign(oidctest.Token{Claims: map[string]any{"aud": "orders"}}), audit.ClaimMissing},
			} {
				for range 2 { // from memory too
					d := asks(row.token)
					if d.Reason != row.want {
						t.Errorf("%s: got %v %s, want %v", row.name, d.Reason, d.Detail, row.want)
					}
					if !d.Allow {
						continue
					}
					told := map[string]string{}
					for _, h := range d.Set {
						told[h.Name] = h.Value
					}
					account := strings.TrimPrefix(told["x-caller"], "system:serviceaccount:shop:")
					if told["x-caller-namespace"] != "shop" || account == "" || told["x-caller-account"] != account || strings.Contains(text, "x-slash") != (told["x-slash"] == "shop") {
						t.Errorf("%s: got %v", row.name, told)
					}
				}
			}
		})
	}
}

// TestT14_TokensAndKeysChange: what the cluster knows of us changes in a file, and its
// keys meanwhile; nothing is restarted.
func TestT14_TokensAndKeysChange(t *testing.T) {
	c := startCluster(t)
	tokenFile := writeFile(t, "token", []byte("first"))
	a := start(t, c.config(t, tokenFile))
	asks := func(token string) audit.Reason {
		return a.engine.Decide(t.Context(), &authz.Request{
			Method: "GET", Scheme: "http", Host: "orders.shop.svc", Target: "/", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}},
		}).Reason
	}
	c.takes.Store("second")
	c.AddKey("RS256", "rsa-2")
	keys := a.providers[0].keys
	if err := keys.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "first") {
		t.Errorf("with the token of before: got %v", err)
	}
	if got := asks(c.account("rsa-1", "shop", "checkout", "orders")); got != audit.Allowed {
		t.Errorf("the keys of before: got %v", got)
	}
	if err := os.WriteFile(tokenFile, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keys.Refresh(t.Context()); err != nil {
		t.Errorf("with the new token: %v", err)
	}
	if got := asks(c.account("rsa-2", "shop", "checkout", "orders")); got != audit.Allowed {
		t.Errorf("the new key: got %v", got)
	}
}

// TestT10_Scopes: providers write scopes in four ways.
func TestT10_Scopes(t *testing.T) {
	provider := startProvider(t)
	a := start(t, "providers: [{name: corp, issuer: "+provider.Issuer()+", audiences: [api], accept_missing_subject: true}]\n"+
		"rules: [{name: all, bearer: {providers: [corp], scopes: [orders.read, orders.write]}}]\n")
	both, one := []string{"openid", "orders.write", "orders.read"}, []string{"orders.read", "orders.write.all"}
	for _, row := range []struct {
		name   string
		claims map[string]any
		want   audit.Reason
	}{
		{"scope as text", map[string]any{"scope": strings.Join(both, " ")}, audit.Allowed},
		{"scope as a list", map[string]any{"scope": both}, audit.Allowed},
		{"scp as text, as of Entra ID", map[string]any{"scope": nil, "scp": strings.Join(both, " ")}, audit.Allowed},
		{"scp as a list, as of Okta", map[string]any{"scope": nil, "scp": both}, audit.Allowed},
		{"some in each", map[string]any{"scope": "orders.read", "scp": []string{"orders.write"}}, audit.Allowed},
		{"one of two as text", map[string]any{"scope": strings.Join(one, " ")}, audit.InsufficientScope},
		{"one of two as a list", map[string]any{"scope": nil, "scp": one}, audit.InsufficientScope},
		{"two in one entry", map[string]any{"scope": []string{"orders.read orders.write"}}, audit.InsufficientScope},
		{"none", map[string]any{"scope": nil}, audit.InsufficientScope},
		{"roles aren't scopes", map[string]any{"scope": nil, "roles": both}, audit.InsufficientScope},
	} {
		if d := a.asks(t, provider.Sign(oidctest.Token{Claims: row.claims})); d.Reason != row.want {
			t.Errorf("%s: got %v %s, want %v", row.name, d.Reason, d.Detail, row.want)
		}
	}

	// Programs get theirs by client credentials (RFC 6749, 4.4): with themselves for a
	// subject, or with none.
	for name, sub := range map[string]any{"itself": "robot", "nobody": nil} {
		provider.AddClient("robot", "secret", oidctest.Token{Claims: map[string]any{"sub": sub, "client_id": "robot", "scope": strings.Join(both, " "), "email": nil, "groups": nil}})
		for asked, want := range map[string]audit.Reason{"": audit.Allowed, "orders.read orders.write": audit.Allowed, "orders.read": audit.InsufficientScope} {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {"secret"}}
			if asked != "" {
				form.Set("scope", asked)
			}
			if d := a.asks(t, granted(t, provider, form)); d.Reason != want || d.ClientID != "robot" {
				t.Errorf("a program for %s, scope %q: got %v of %q, want %v", name, asked, d.Reason, d.ClientID, want)
			}
		}
	}
}

// granted is the access token that a provider gives for a form.
func granted(t *testing.T, p *oidctest.Provider, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&granted); err != nil || granted.Token == "" {
		t.Fatalf("got %s, %v", answer.Status, err)
	}
	return granted.Token
}

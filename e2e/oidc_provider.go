package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nodeProvider is a running oidc-provider, the certified one for Node.
type nodeProvider struct {
	*process
	issuer string
}

// nodeConfiguration is what a test says to it. oidcprovider/provider.mjs adds what
// all tests want.
type nodeConfiguration struct {
	Users   []map[string]any // sub and other claims; any password is right
	Clients []map[string]any // metadata of RFC 7591
	TTL     map[string]int   // seconds, by kind of token
	TLS     *credentials     // nil: cleartext

	// Resources are the access tokens of an audience, as the package's resource
	// indicators have them; left out: JWTs.
	Resources map[string]map[string]any
}

// startNodeProvider runs an oidc-provider and waits until it listens.
func startNodeProvider(t *testing.T, c nodeConfiguration) *nodeProvider {
	t.Helper()
	part := filepath.Join(partPath(t, "oidc-provider", "CREDENCE_OIDC_PROVIDER"), "node_modules", "oidc-provider")
	node := programPath(t, "oidc-provider", "node")
	all := map[string]any{"users": c.Users, "clients": append([]map[string]any{}, c.Clients...), "ttl": c.TTL, "resources": c.Resources}
	if c.TLS != nil {
		all["tls"] = map[string]string{"cert": c.TLS.CertFile, "key": c.TLS.KeyFile, "ca": c.TLS.CAFile}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "provider.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &nodeProvider{process: startProcess(t, "oidc-provider", node, filepath.Join("oidcprovider", "provider.mjs"), part, file)}
	p.await(t, "says where it listens", func() bool {
		line, whole := strings.CutSuffix(p.stdout.String(), "\n")
		p.issuer = line
		return whole
	})
	return p
}

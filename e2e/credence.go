package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// binary is the path of the credence that is tested. TestMain builds it.
var binary string

// credence is a running `credence serve`.
type credence struct {
	*process
	config       string // path
	check, probe string // addresses
	login        string // empty without clients
}

// startCredence runs Credence with a configuration and waits until it listens.
func startCredence(t *testing.T, config string, flags ...string) *credence {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credence.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return restartCredence(t, path, flags...)
}

// restartCredence runs Credence with a configuration file that is there already.
func restartCredence(t *testing.T, path string, flags ...string) *credence {
	t.Helper()
	args := append([]string{"serve", "--config", path, "--drain-delay", "0s"}, flags...)
	c := &credence{process: startProcess(t, "credence", binary, args...), config: path}
	c.await(t, "listens", func() bool {
		for line := range strings.Lines(c.stderr.String()) {
			var said struct{ Msg, Check, Probe, Login string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving" {
				c.check, c.probe, c.login = said.Check, said.Probe, said.Login
				return true
			}
		}
		return false
	})
	t.Cleanup(func() {
		<-c.ended
		for _, never := range []string{"panic", "DATA RACE"} {
			if strings.Contains(c.stderr.String(), never) {
				t.Errorf("credence wrote of a %s", never)
			}
		}
	})
	return c
}

// probed asks the probe listener; status 0 means no answer.
func (c *credence) probed(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return fetch(t, "http://"+c.probe+path)
}

// awaitReady waits until Credence says that it is ready.
func (c *credence) awaitReady(t *testing.T) {
	t.Helper()
	c.await(t, "is ready", func() bool {
		status, _ := c.probed(t, "/readyz")
		return status == http.StatusOK
	})
}

// health asks for the gRPC health of a service, once.
func (c *credence) health(t *testing.T, service string) string {
	t.Helper()
	conn, err := grpc.NewClient(c.check, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		return err.Error()
	}
	return answer.GetStatus().String()
}

// listenFreely is the part of a configuration that listens on free ports.
const listenFreely = "listen: {check: 127.0.0.1:0, probe: 127.0.0.1:0}\n"

// corp is the part of a configuration that believes a provider. Its keys are fetched
// at the start, and once more for a key that isn't known: the times of the defaults may
// be over in the middle of a test.
func corp(p *oidctest.Provider) string {
	return fmt.Sprintf("providers:\n  - {name: corp, issuer: %s, audiences: [api], keys: {refresh: 24h, cooldown: 1h}}\n", p.Issuer())
}

// startProvider runs a provider.
func startProvider(t *testing.T) *oidctest.Provider {
	t.Helper()
	p := oidctest.New(oidctest.Options{})
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// bearer is a header line with a token.
func bearer(p *oidctest.Provider, token oidctest.Token) string {
	return "Authorization: Bearer " + p.Sign(token)
}

// socketPath is a place for a Unix socket. The folder of a test would do but for
// its name: the path of a socket may have 103 bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "check.sock")
}

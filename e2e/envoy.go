package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// proxy is what a test wants of an Envoy: the programs around it, and as many
// listeners as it has settings to try.
type proxy struct {
	Authorizer    string // address of the Check service
	AuthorizerTLS *credentials
	Application   string
	Ingresses     []ingress

	AccessLog string // filled in by startProxy
}

// ingress is a listener that speaks both versions of HTTP. The texts are lines of
// YAML, named after the message that they are fields of.
type ingress struct {
	Name    string
	Manager string       // HttpConnectionManager
	Filter  string       // ExtAuthz
	Timeout string       // of a Check; empty means 10s
	Routes  string       // before the one that takes all paths to the application
	TLS     *credentials // nil: cleartext
}

// credentials are the files of one end of a TLS connection.
type credentials struct{ CertFile, KeyFile, CAFile string }

// envoy is a running one.
type envoy struct {
	*process
	admin     string
	accessLog string
	addresses map[string]string
}

//go:embed envoy.yaml.tmpl
var bootstrapText string

var bootstrap = template.Must(template.New("envoy.yaml").Funcs(template.FuncMap{
	"indent": indentLines, "address": envoyAddress,
}).Parse(bootstrapText))

func indentLines(n int, lines string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		b.WriteString(strings.Repeat(" ", n) + line)
	}
	return b.String()
}

// envoyAddress writes "host:port" or "unix:/path" as Envoy wants it.
func envoyAddress(s string) (string, error) {
	if path, unix := strings.CutPrefix(s, "unix:"); unix {
		return fmt.Sprintf("{pipe: {path: %q}}", path), nil
	}
	host, port, err := net.SplitHostPort(s)
	return fmt.Sprintf("{socket_address: {address: %q, port_value: %s}}", host, port), err
}

// startProxy runs an Envoy as a test wants it.
func startProxy(t *testing.T, p proxy) *envoy {
	t.Helper()
	p.AccessLog = filepath.Join(t.TempDir(), "access.log")
	var config strings.Builder
	if err := bootstrap.Execute(&config, p); err != nil {
		t.Fatal(err)
	}
	e := startEnvoy(t, config.String())
	e.accessLog = p.AccessLog
	return e
}

// startEnvoy runs an Envoy with a whole configuration but for the admin address,
// and waits until it takes requests.
func startEnvoy(t *testing.T, config string) *envoy {
	t.Helper()
	path := envoyPath(t)
	dir := t.TempDir()
	file, admin := filepath.Join(dir, "envoy.yaml"), filepath.Join(dir, "admin")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &envoy{addresses: map[string]string{}}
	e.process = startProcess(t, "envoy", path, "-c", file, "--admin-address-path", admin,
		"--config-yaml", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}",
		"--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "10")
	e.await(t, "says where its admin page is", func() bool {
		text, err := os.ReadFile(admin)
		e.admin = string(text)
		return err == nil && e.admin != ""
	})
	e.await(t, "is live", func() bool {
		status, _ := e.ask(t, "/ready")
		return status == http.StatusOK
	})
	e.findListeners(t)
	return e
}

// ask asks the admin page; status 0 means no answer.
func (e *envoy) ask(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return fetch(t, "http://"+e.admin+path)
}

func (e *envoy) findListeners(t *testing.T) {
	t.Helper()
	var found struct {
		Statuses []struct {
			Name    string
			Address struct {
				Socket struct {
					Address string
					Port    int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	_, text := e.ask(t, "/listeners?format=json")
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatalf("envoy's listeners: %v in %s", err, text)
	}
	for _, l := range found.Statuses {
		e.addresses[l.Name] = fmt.Sprintf("%s:%d", l.Address.Socket.Address, l.Address.Socket.Port)
	}
}

// at is the address of a listener.
func (e *envoy) at(t *testing.T, name string) string {
	t.Helper()
	address := e.addresses[name]
	if address == "" {
		t.Fatalf("envoy has no listener %q", name)
	}
	return address
}

// client speaks HTTP/1.1 in cleartext to a listener.
func (e *envoy) client(t *testing.T, name string) *client {
	t.Helper()
	return &client{address: e.at(t, name)}
}

// logged waits for an access log line about the path, and gives it.
func (e *envoy) logged(t *testing.T, path string) (line string) {
	t.Helper()
	e.await(t, "logs "+path, func() bool {
		text, err := os.ReadFile(e.accessLog)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			if strings.Contains(l, " "+path+" ") {
				line = l
			}
		}
		return line != ""
	})
	return line
}

// envoyPath is the Envoy to test with. Without one the test is skipped.
func envoyPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CREDENCE_ENVOY"), filepath.Join("..", ".tools", "envoy", "bin", "envoy"), "envoy"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "Envoy isn't installed: run tools/install envoy, or name one in CREDENCE_ENVOY"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// overTLS has the listener of the printed configuration speak TLS and ask for client
// certificates, which aren't required.
func overTLS(t *testing.T, c *credentials) func(string) string {
	return func(printed string) string {
		const chain = "    - filters:\n"
		if strings.Count(printed, chain) != 1 {
			t.Fatalf("the printed configuration has not one %q:\n%s", chain, printed)
		}
		return strings.Replace(printed, chain, fmt.Sprintf(`    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: false
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]
            validation_context: {trusted_ca: {filename: %s}}
      filters:
`, c.CertFile, c.KeyFile, c.CAFile), 1)
	}
}

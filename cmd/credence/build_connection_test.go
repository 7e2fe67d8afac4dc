package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// issue makes a certificate for 127.0.0.1, signed by a parent or by itself, and gives it
// with its PEM files.
func issue(t *testing.T, name string, parent *tls.Certificate) (pair tls.Certificate, certificateFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: parent == nil, BasicConstraintsValid: true,
	}
	signer, by := template, any(key)
	if parent != nil {
		signer, by = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if pair, err = tls.X509KeyPair(certificatePEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return pair, writeFile(t, name+".crt", certificatePEM), writeFile(t, name+".key", keyPEM)
}

// tunnels is a proxy that opens them (CONNECT), and counts.
type tunnels struct {
	*httptest.Server
	opened atomic.Int32
	open   sync.WaitGroup
	done   chan struct{}
}

func startTunnels(t *testing.T) *tunnels {
	t.Helper()
	p := &tunnels{done: make(chan struct{})}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.done)
		p.Close()
		p.open.Wait()
	})
	return p
}

func (p *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only tunnels", http.StatusMethodNotAllowed)
		return
	}
	there, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, "nobody is there", http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	p.opened.Add(1)
	ended := make(chan struct{}, 2)
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	for to, from := range map[net.Conn]net.Conn{here: there, there: here} {
		p.open.Go(func() {
			_, _ = io.Copy(to, from) // ends with either connection
			ended <- struct{}{}
		})
	}
	p.open.Go(func() {
		select {
		case <-ended:
		case <-p.done:
		}
		here.Close()
		there.Close()
	})
}

// guarded is a provider that answers nobody without a certificate, and shows its
// discovery document and keys to nobody without a token.
type guarded struct {
	*oidctest.Provider
	connections atomic.Int32
	caFile      string
	ca          tls.Certificate
}

const shown = "canary-of-the-service-account"

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{}
	var own tls.Certificate
	g.ca, g.caFile, _ = issue(t, "authority", nil)
	own, _, _ = issue(t, "provider", &g.ca)
	callers := x509.NewCertPool()
	callers.AddCert(g.ca.Leaf)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("Authorization"); (token == "Bearer "+shown) != (r.Method == http.MethodGet) {
			http.Error(w, "who is it?", http.StatusUnauthorized)
			return
		}
		g.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: callers}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			g.connections.Add(1)
		}
	}
	g.Provider = oidctest.New(oidctest.Options{Issuer: "https://" + server.Listener.Addr().String()})
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	return g
}

// TestT14_T17_Connection reaches a provider behind a proxy, with a certificate and a
// token. Without either of them its keys can't be had, and it is said why.
func TestT14_T17_Connection(t *testing.T) {
	provider, proxy := startGuarded(t), startTunnels(t)
	provider.AddClient("credence", "secret", oidctest.Token{})
	secret, token := writeFile(t, "secret", []byte("secret")), writeFile(t, "token", []byte(shown+"\n"))
	_, certificate, key := issue(t, "credence", &provider.ca)
	_, stranger, strangerKey := issue(t, "stranger", nil)
	begin := func(t *testing.T, connection string) *authorizer {
		return start(t, fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [api]
    tokens: auto
    introspection: {client_id: credence, client_secret: {file: %s}}
    ca_file: %s
    connection: {%s}
rules: [{name: all, bearer: {providers: [corp]}}]
`, provider.Issuer(), secret, provider.caFile, connection))
	}
	shows := func(certificate, key string) string {
		return fmt.Sprintf("client_certificate_file: %s, client_key_file: %s", certificate, key)
	}
	by, bearer := fmt.Sprintf(", proxy: %q", proxy.URL), ", bearer_token_file: "+token

	a := begin(t, shows(certificate, key)+by+bearer)
	for name, token := range map[string]string{"a JWT": provider.Sign(oidctest.Token{}), "an opaque token": provider.IssueOpaque(oidctest.Token{})} {
		if d := a.asks(t, token); !d.Allow {
			t.Errorf("%s: got %v %s", name, d.Reason, d.Detail)
		}
	}
	// Each end counts when it notices, and one that isn't needed any more may still be opened.
	eventually(t, "as many connections at the provider as through the proxy", func() bool {
		through, all := proxy.opened.Load(), provider.connections.Load()
		return through == all && all > 0
	})

	for _, row := range []struct{ name, connection, says string }{
		{"no certificate", strings.TrimPrefix(by+bearer, ", "), "certificate required"},
		{"another's certificate", shows(stranger, strangerKey) + bearer, "certificate"},
		{"no token", shows(certificate, key) + by, "401 Unauthorized"},
		{"another token", shows(certificate, key) + ", bearer_token_file: " + secret, "401 Unauthorized"},
		{"no such token", shows(certificate, key) + ", bearer_token_file: " + token + "x", "bearer token"},
		{"a proxy that isn't there", shows(certificate, key) + bearer + `, proxy: "http://127.0.0.1:1"`, "proxyconnect"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := begin(t, row.connection)
			if said := a.providers[0].keys.Stats().LastError; a.ready(true) || !strings.Contains(said, row.says) || strings.Contains(said, shown) {
				t.Errorf("ready %t, got %q, want %q", a.ready(true), said, row.says)
			}
		})
	}
}

// TestConnectionThatCantBe is an error at start.
func TestConnectionThatCantBe(t *testing.T) {
	_, certificate, _ := issue(t, "one", nil)
	_, _, key := issue(t, "another", nil)
	file := readConfig(t, fmt.Sprintf(`
providers: [{name: corp, issuer: https://login.example.com, audiences: [api], connection: {client_certificate_file: %s, client_key_file: %s}}]
rules: [{name: all, bearer: {providers: [corp]}}]
`, certificate, key))
	if _, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler)); err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("got %v", err)
	}
}

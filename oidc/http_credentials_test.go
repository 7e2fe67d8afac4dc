package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// certificateFiles writes a certificate of this name, and its key.
func certificateFiles(t *testing.T, name, certificate, key string) {
	t.Helper()
	private := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := mustMake(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))
	write(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: mustMake(x509.MarshalPKCS8PrivateKey(private))}))
}

// TestT17_ClientCertificate shows a certificate to a provider that asks for one, and
// another one after the files have changed.
func TestT17_ClientCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()

	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certificateFiles(t, "first", certificate, key)
	c := newClient(t, ClientOptions{CAFile: authority(t, server), CertificateFile: certificate, KeyFile: key})
	if got, err := fetchBody(t, c, server.URL); got != "first" {
		t.Errorf("it shows %q, %v", got, err)
	}
	certificateFiles(t, "second", certificate, key)
	if got, err := fetchBody(t, c, server.URL); got != "first" {
		t.Errorf("on the connection it has it shows %q, %v", got, err)
	}
	c.CloseIdleConnections()
	if got, err := fetchBody(t, c, server.URL); got != "second" {
		t.Errorf("after a change it shows %q, %v", got, err)
	}
	write(t, key, []byte("-----BEGIN PRIVATE KEY-----\n"+canary))
	c.CloseIdleConnections()
	if _, err := fetchBody(t, c, server.URL); err == nil || !strings.Contains(err.Error(), "tls.key") || strings.Contains(err.Error(), canary) {
		t.Errorf("with a broken key: %v", err)
	}
	_, err := fetchBody(t, newClient(t, ClientOptions{CAFile: authority(t, server)}), server.URL)
	wantError(t, err, "certificate required")

	for _, row := range []struct {
		name string
		o    ClientOptions
	}{
		{"no key", ClientOptions{CertificateFile: certificate}},
		{"no certificate", ClientOptions{KeyFile: key}},
		{"no such file", ClientOptions{CertificateFile: certificate + "x", KeyFile: key}},
		{"a broken key", ClientOptions{CertificateFile: certificate, KeyFile: key}},
	} {
		if _, err := NewClient(row.o); err == nil || !strings.Contains(err.Error(), "client certificate") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestT17_Proxy sends requests through a proxy that is configured, whatever the
// environment says.
func TestT17_Proxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "by proxy to "+r.URL.String())
	}))
	defer proxy.Close()
	t.Setenv("NO_PROXY", "*")
	c := newClient(t, ClientOptions{Proxy: proxy.URL})
	if got, err := fetchBody(t, c, "http://127.0.0.1:1/keys"); got != "by proxy to http://127.0.0.1:1/keys" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, row := range []struct{ name, proxy, says string }{
		{"no scheme", "proxy.test", "isn't an absolute URL"},
		{"not a URL", "http://[", "isn't an absolute URL"},
		{"another scheme", "ftp://proxy.test", "isn't http, https or socks5"},
		{"a password", "http://u:" + canary + "@proxy.test", "a user or password is refused"},
	} {
		_, err := NewClient(ClientOptions{Proxy: row.proxy})
		if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error that says %q", row.name, err, row.says)
		}
	}
}

// TestT14_BearerFile sends the token of a file with requests that only read, and
// with no others.
func TestT14_BearerFile(t *testing.T) {
	var closed atomic.Int32
	sent := func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(r.Header.Get("Authorization"))), Request: r}, nil
	}
	path := filepath.Join(t.TempDir(), "token")
	c := newClient(t, ClientOptions{BearerFile: path, Transport: &closingTripper{sent, &closed}})
	ask := func(method, address, authorization string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := c.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if after := req.Header.Get("Authorization"); after != authorization {
			t.Errorf("the caller's request was changed: %q", after)
		}
		return string(b), err
	}
	for _, row := range []struct{ name, file, method, address, authorization, want string }{
		{"keys", "one\n", "GET", "https://issuer.test/keys", "", "Bearer one"},
		{"keys, after a change", " two ", "GET", "https://10.0.0.1:6443/keys", "", "Bearer two"},
		{"keys on this machine", "three", "GET", "http://127.0.0.1/keys", "", "Bearer three"},
		{"plain http", "three", "GET", "http://issuer.test/keys", "", ""},
		{"introspection", "three", "POST", "https://issuer.test/introspect", "", ""},
		{"userinfo, by a token of its own", "three", "GET", "https://issuer.test/userinfo", "Bearer user", "Bearer user"},
	} {
		write(t, path, []byte(row.file))
		if got, err := ask(row.method, row.address, row.authorization); got != row.want || err != nil {
			t.Errorf("%s: sent %q, %v, want %q", row.name, got, err, row.want)
		}
	}
	for _, row := range []struct{ name, file, says string }{
		{"an empty file", " \n", "doesn't hold one token"},
		{"two lines", canary + "\r\nx: y", "doesn't hold one token"},
		{"other characters", canary + "é", "doesn't hold one token"},
		{"a large file", strings.Repeat("a", maxBearer+1), "over 16384 bytes"},
	} {
		write(t, path, []byte(row.file))
		_, err := ask("GET", "https://issuer.test/keys", "")
		if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error that says %q", row.name, err, row.says)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := ask("GET", "https://issuer.test/keys", "")
	wantError(t, err, "bearer token")
	if c.CloseIdleConnections(); closed.Load() != 1 {
		t.Error("idle connections aren't closed")
	}
}

// TestT14_KubernetesTokens verifies a service account's token by keys that the API
// server shows to its own accounts only.
func TestT14_KubernetesTokens(t *testing.T) {
	idp := oidctest.New(oidctest.Options{})
	defer idp.Close()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, []byte("ours"))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer ours" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		idp.ServeHTTP(w, r)
	}))
	defer server.Close()
	idp.DiscoveryMember("issuer", server.URL)
	idp.DiscoveryMember("jwks_uri", server.URL+"/jwks")

	ctx, cancel := context.WithCancel(t.Context())
	keys := NewKeySet(KeySetOptions{Issuer: Issuer(server.URL), Client: newClient(t, ClientOptions{CAFile: authority(t, server), BearerFile: path})})
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if err := keys.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	p := mustMake(NewProvider(ProviderOptions{Name: "cluster", Issuer: Issuer(server.URL), Audiences: []string{"https://kubernetes.default.svc"}, Keys: keys}))
	token := idp.Sign(oidctest.Token{Header: members{"typ": nil}, Claims: members{
		"iss": server.URL, "aud": []string{"https://kubernetes.default.svc"}, "sub": "system:serviceaccount:shop:orders", "client_id": nil, "scope": nil, "email": nil, "groups": nil,
		"nbf": time.Now().Unix(), "kubernetes.io": members{"namespace": "shop", "serviceaccount": members{"name": "orders", "uid": "1"}},
	}})
	result := NewVerifier([]*Provider{p}, 16<<10).Verify(ctx, RawToken(token), time.Now(), nobody)
	if name, _ := result.Claims.Path("kubernetes.io", "serviceaccount", "name").Text(); !result.Good() || name != "orders" {
		t.Errorf("got %s of %q", verdict(result), name)
	}
}

// closingTripper counts how often its idle connections were to be closed.
type closingTripper struct {
	roundTripper
	closed *atomic.Int32
}

func (c *closingTripper) CloseIdleConnections() { c.closed.Add(1) }

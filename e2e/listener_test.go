package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"
)

// Over TLS, and with listed callers only.
func TestCheckListenerTLS(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream := startProvider(t), startUpstream(t)
	ca, foreign := newAuthority(t), newAuthority(t)
	server := ca.issue(t, "credence.test")
	listen := func(rest string) string {
		return fmt.Sprintf("listen:\n  probe: 127.0.0.1:0\n  check:\n    address: 127.0.0.1:0\n    tls: {certificate_file: %s, key_file: %s%s\n",
			server.CertFile, server.KeyFile, rest)
	}
	oneWay := startCredence(t, listen("}")+corp(provider)+orderRules)
	mutual := startCredence(t, listen(", client_ca_file: "+ca.file+"}\n    callers: ['spiffe://shop.test/envoy', envoy.test]")+corp(provider)+orderRules)
	oneWay.awaitReady(t)
	mutual.awaitReady(t)
	token := bearer(provider, staff())

	trusting := func(c *credentials) *credentials {
		return &credentials{CertFile: c.CertFile, KeyFile: c.KeyFile, CAFile: ca.file}
	}
	for _, c := range []struct {
		name  string
		to    *credence
		shown *credentials
		want  int
	}{
		{"TLS alone", oneWay, &credentials{CAFile: ca.file}, 200},
		{"TLS to a server that Envoy doesn't trust", oneWay, &credentials{CAFile: foreign.file}, 503},
		{"no TLS where it is spoken", oneWay, nil, 503},
		{"a listed URI", mutual, trusting(ca.issue(t, "spiffe://shop.test/envoy")), 200},
		{"a listed name", mutual, trusting(ca.issue(t, "other.test", "envoy.test")), 200},
		{"a URI that isn't listed", mutual, trusting(ca.issue(t, "spiffe://shop.test/envoy/other")), 503},
		{"a name that isn't listed", mutual, trusting(ca.issue(t, "sub.envoy.test")), 503},
		{"a listed URI of another authority", mutual, trusting(foreign.issue(t, "spiffe://shop.test/envoy")), 503},
		{"no certificate", mutual, &credentials{CAFile: ca.file}, 503},
		{"no TLS where certificates are wanted", mutual, nil, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := startProxy(t, proxy{Authorizer: c.to.check, AuthorizerTLS: c.shown, Application: upstream.address, Ingresses: []ingress{
				{Name: "raw", Filter: "encode_raw_headers: true\nstatus_on_error: {code: ServiceUnavailable}"},
			}})
			got := e.client(t, "raw").get(t, "/orders", token)
			if got.status != c.want {
				t.Errorf("got %d %s, want %d", got.status, got.body, c.want)
			}
		})
	}
}

// A certificate that is renewed is taken up without a restart; half of a pair
// isn't.
func TestCertificateRenewal(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := ca.issue(t, "credence.test")
	credence := startCredence(t, fmt.Sprintf("listen:\n  check: 127.0.0.1:0\n  probe: {address: 127.0.0.1:0, tls: {certificate_file: %s, key_file: %s}}\n",
		server.CertFile, server.KeyFile)+corp(startProvider(t))+orderRules)
	dial := func(config *tls.Config) (*x509.Certificate, error) {
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", credence.probe)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
	}
	shown := func() *x509.Certificate {
		c, err := dial(ca.client(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := shown()
	if _, err := dial(&tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		t.Error("TLS 1.1 was spoken, want 1.2 at least")
	}

	key, err := os.ReadFile(server.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	writeFile := func(text []byte) {
		if err := os.WriteFile(server.KeyFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(key[:len(key)/2])
	time.Sleep(1100 * time.Millisecond) // files are looked at once a second
	if !shown().Equal(first) {
		t.Error("half a pair was taken up")
	}
	writeFile(key)
	ca.issue(t, "credence.test")
	await(t, "the new certificate", func() bool { return !shown().Equal(first) })
}

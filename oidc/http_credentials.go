package oidc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What a client shows of itself on the way to a provider, beside what
// [ClientAuth] proves in a request: a certificate, a bearer token.

// showCertificate has a TLS configuration show our certificate. It is read here
// once, so that a wrong file is found when the client is made.
func (o *ClientOptions) showCertificate(c *tls.Config) error {
	if o.CertificateFile == "" && o.KeyFile == "" {
		return nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertificateFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate %q with key %q: %w", o.CertificateFile, o.KeyFile, err)
		}
		return &pair, nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	_, err := load()
	return err
}

// proxy says which proxy a request goes through.
func (o *ClientOptions) proxy() (func(*http.Request) (*url.URL, error), error) {
	if o.Proxy == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(o.Proxy)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("proxy %s isn't an absolute URL", quote(o.Proxy))
	case u.User != nil:
		return nil, errors.New("a proxy with a user or password is refused, as it would end in logs: set HTTPS_PROXY instead")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, fmt.Errorf("proxy %s isn't http, https or socks5", quote(o.Proxy))
	}
	return http.ProxyURL(u), nil
}

// bearerTransport adds a bearer token to requests that only read, and that say by
// nothing else who asks: those for discovery and keys.
type bearerTransport struct {
	base http.RoundTripper
	path string
}

const maxBearer = 16 << 10 // bytes of a token in a file

func (t *bearerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || req.Header.Get("Authorization") != "" || req.URL.Scheme != "https" && !isLoopback(req.URL) {
		return t.base.RoundTrip(req)
	}
	data, err := readFile(t.path, maxBearer)
	if err != nil {
		return nil, fmt.Errorf("bearer token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return nil, fmt.Errorf("bearer token: %q doesn't hold one token", t.path)
	}
	req = req.Clone(req.Context()) // a RoundTripper may not change the caller's
	req.Header.Set("Authorization", "Bearer "+token)
	return t.base.RoundTrip(req)
}

// CloseIdleConnections makes http.Client's method of that name work.
func (t *bearerTransport) CloseIdleConnections() { closeIdle(t.base) }

func closeIdle(t http.RoundTripper) {
	if c, ok := t.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

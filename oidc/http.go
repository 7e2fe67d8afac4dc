package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// ClientOptions describe the way to one provider. The zero value is right for a
// provider with a certificate that the system trusts.
type ClientOptions struct {
	// CAFile is a PEM file of the authorities that sign the provider's
	// certificate; no others are believed. Empty means the system's.
	CAFile string

	// CertificateFile and KeyFile are PEM files of the certificate that we show to the
	// provider (RFC 8705, 2), and of its private key. They are read again for each new
	// connection. Empty means that we show none.
	CertificateFile, KeyFile string

	// Proxy is the address of an HTTP, HTTPS or SOCKS5 proxy that all requests go
	// through. Empty means what HTTPS_PROXY, NO_PROXY and their kin say.
	Proxy string

	// BearerFile holds a token that is sent with discovery and key requests, for
	// providers that show their keys to nobody else, such as a Kubernetes API server.
	// It is read again for each. It goes where those requests go: wherever the
	// provider's discovery document says that its keys are. Empty means none.
	BearerFile string

	// MaxBody is the longest body of an answer, in bytes, after decompression.
	// Zero means 1 MiB.
	MaxBody int64

	// Transport carries the requests in place of the network. Nil means the
	// network; then CAFile, CertificateFile and Proxy have no part in it.
	Transport http.RoundTripper
}

const (
	defaultMaxBody = 1 << 20
	maxRedirects   = 3
)

// NewClient makes the HTTP client for everything that is asked of one provider.
// Connections are kept. What comes back isn't
// trusted: a body over MaxBody is an error to whoever reads it, redirects lead
// nowhere but to the same scheme, host and port, link-local addresses and others where
// clouds keep their metadata are never dialled, and TLS is 1.2 or newer.
//
// There is a time-out for each step, but none for the whole: that is the context's.
func NewClient(o ClientOptions) (*http.Client, error) {
	base := o.Transport
	if base == nil {
		t, err := newTransport(&o)
		if err != nil {
			return nil, err
		}
		base = t
	}
	if o.BearerFile != "" {
		base = &bearerTransport{base: base, path: o.BearerFile}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	return &http.Client{
		Transport:     &boundedTransport{base: base, maxBody: o.MaxBody},
		CheckRedirect: checkRedirect,
	}, nil
}

// longestIdle is how long a connection may wait for its next request: less than the
// five seconds after which the servers of Node and Apache close it. A POST that crosses
// with that fails, and isn't safe to send again: a code or a refresh token is good once.
const longestIdle = 4 * time.Second

func newTransport(o *ClientOptions) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities: %q holds no PEM certificate", o.CAFile)
		}
	}
	if err := o.showCertificate(tlsConfig); err != nil {
		return nil, err
	}
	proxy, err := o.proxy()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, ControlContext: refuseLinkLocal}
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout:        longestIdle,
		MaxIdleConnsPerHost:    4,
		ForceAttemptHTTP2:      true, // or a TLSClientConfig would turn it off
		// A connection that a firewall dropped in silence is found by pings, not by
		// requests that time out on it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}, nil
}

// refuseLinkLocal sees the address after its name was resolved.
func refuseLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if isMetadata(a.Addr()) {
		return errors.New("link-local addresses are refused, and those of clouds' metadata")
	}
	return nil
}

// isMetadata says whether a cloud may keep its metadata there: at a link-local address,
// at one of those that are only in their own documents, or at an IPv6 address that a
// gateway makes an IPv4 one of (RFC 6052, 2.1; RFC 8215; RFC 3056, 2).
func isMetadata(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case translated.Contains(a), locallyTranslated.Contains(a), compatible.Contains(a):
			a = netip.AddrFrom4([4]byte(b[12:]))
		case sixToFour.Contains(a):
			a = netip.AddrFrom4([4]byte(b[2:6]))
		}
	}
	return a.IsLinkLocalUnicast() || amazon.Contains(a) || slices.Contains(metadataAddresses[:], a)
}

var (
	translated        = netip.MustParsePrefix("64:ff9b::/96")
	locallyTranslated = netip.MustParsePrefix("64:ff9b:1::/48")
	compatible        = netip.MustParsePrefix("::/96")
	sixToFour         = netip.MustParsePrefix("2002::/16")

	amazon = netip.MustParsePrefix("fd00:ec2::/32") // metadata, and credentials of EKS pods

	metadataAddresses = [...]netip.Addr{
		netip.MustParseAddr("fd20:ce::254"),       // Google
		netip.MustParseAddr("168.63.129.16"),      // Azure, whose wire server has a machine's certificates
		netip.MustParseAddr("100.100.100.200"),    // Alibaba
		netip.MustParseAddr("fd00:100::100:200"),  // the same
		netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // Oracle
		netip.MustParseAddr("192.0.0.192"),        // Oracle, classic
		netip.MustParseAddr("fd00:42::42"),        // Scaleway
		netip.MustParseAddr("fd00:a9fe:a9fe::1"),  // Akamai
	}
)

// checkRedirect keeps redirects on the server that was asked: its certificate is
// what makes the answer believable, and another host could be inside the network.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if from, to := origin(via[0].URL), origin(next.URL); from != to {
		return fmt.Errorf("redirect from %s to %s refused: configure the address it leads to", quote(from), quote(to))
	}
	return nil
}

// withoutRedirects is the client that follows none: wherever one leads, tokens and
// secrets stay here (RFC 9700, 4.12).
func withoutRedirects(c *http.Client) *http.Client {
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &still
}

// longestRetryAfter bounds for how long a provider may send us away.
const longestRetryAfter = time.Minute

// retryAfter is when asking again may help, where the answer doesn't say: soon. A
// date (RFC 9110, 10.2.3) counts as not saying.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return retryAfterFailure
	}
	return min(max(time.Duration(s)*time.Second, time.Second), longestRetryAfter)
}

// origin is scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(lower(u.Hostname()), port)
}

// boundedTransport says who is asking and bounds what is answered.
type boundedTransport struct {
	base    http.RoundTripper
	maxBody int64
}

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context()) // a RoundTripper may not change the caller's
		req.Header.Set("User-Agent", "credence")
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, max: t.maxBody, left: t.maxBody}
	return resp, nil
}

// CloseIdleConnections makes http.Client's method of that name work.
func (t *boundedTransport) CloseIdleConnections() { closeIdle(t.base) }

// errBodySize is the error of an answer that is longer than so many bytes.
type errBodySize int64

func (e errBodySize) Error() string {
	return "the answer is over " + strconv.FormatInt(int64(e), 10) + " bytes"
}

// boundedBody ends in an error, not in an end of file, where the body is too
// long: half a document may well be a valid one.
type boundedBody struct {
	io.ReadCloser
	max, left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errBodySize(b.max)
	}
	// One byte more than is left tells a body that fits from one that doesn't.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n + int(b.left), errBodySize(b.max)
	}
	return n, err
}

// excerpt quotes the beginning of foreign text for an error.
func excerpt(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// plain is an error's text for logs and status pages: bounded, and without what
// would move a terminal's cursor. A transport's errors hold foreign text, such as
// the address of a redirect or the names of a certificate.
func plain(err error) string {
	const most = 400
	s := err.Error()
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
}

// checkURL says whether a provider may be asked at this address: https, or plain
// http where that is allowed and leads to this machine's loopback.
func checkURL(address string, plainHTTP bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("%s isn't an absolute URL", quote(address))
	case u.User != nil:
		return errors.New("a URL with a user or password is refused: it would end in logs")
	case u.Scheme == "https", plainHTTP && isLoopback(u):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("%s is plain http: only https is safe, or http between loopback addresses", quote(address))
	}
	return fmt.Errorf("%s isn't an https URL", quote(address))
}

// isLoopback says whether u is plain http to this machine.
func isLoopback(u *url.URL) bool {
	if u.Scheme != "http" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback() || u.Hostname() == "localhost"
}

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// request is one as it goes over the wire: nothing in it is tidied up.
type request struct {
	method  string   // GET where empty
	target  string   // path and query
	host    string   // shop.test where empty
	headers []string // "name: value", in order
	body    string
}

// answer is what the client got.
type answer struct {
	status int
	header http.Header
	body   string
	lines  string // HTTP/1.1: status line and header, as they came
}

// client sends requests to one address, in one version of HTTP.
type client struct {
	address string
	http2   bool
	tls     *tls.Config // nil: cleartext
}

// clients are one for each version of HTTP.
func clients(address string) map[string]*client {
	return map[string]*client{"HTTP/1.1": {address: address}, "HTTP/2": {address: address, http2: true}}
}

// exchangeLimit is longer than any exchange in these tests takes, on however busy a
// machine.
const exchangeLimit = time.Minute

// send sends one request on a connection of its own.
func (c *client) send(t *testing.T, r request) answer {
	t.Helper()
	a, err := c.exchange(t.Context(), r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	return a
}

// get sends a GET with these header lines.
func (c *client) get(t *testing.T, target string, headers ...string) answer {
	t.Helper()
	return c.send(t, request{target: target, headers: headers})
}

func (c *client) exchange(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.host == "" {
		r.host = "shop.test"
	}
	if c.http2 {
		transport := c.transport()
		defer transport.CloseIdleConnections()
		return roundTrip(ctx, transport, c.address, r)
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, r.wire()); err != nil {
		return answer{}, err
	}
	return readAnswer(conn, r.method)
}

// wire is the request in HTTP/1.1.
func (r request) wire() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.target, r.host)
	for _, line := range r.headers {
		b.WriteString(line + "\r\n")
	}
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	return b.String()
}

func (c *client) dial(ctx context.Context) (net.Conn, error) {
	var conn net.Conn
	var err error
	if c.tls != nil {
		conn, err = (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", c.address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", c.address)
	}
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(exchangeLimit))
}

// readAnswer reads what comes up to the final answer, with the lines of all.
func readAnswer(conn net.Conn, method string) (answer, error) {
	var lines strings.Builder
	in := bufio.NewReader(conn)
	for {
		head, err := readHead(in)
		if err != nil {
			return answer{}, err
		}
		lines.WriteString(head)
		rest := bufio.NewReader(io.MultiReader(strings.NewReader(head), in))
		resp, err := http.ReadResponse(rest, &http.Request{Method: method})
		if err != nil {
			return answer{}, fmt.Errorf("%w in %q", err, head)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		a, err := newAnswer(resp)
		a.lines = lines.String()
		return a, err
	}
}

// readHead reads a status line and header, with the empty line after them.
func readHead(in *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := in.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return "", fmt.Errorf("%w after %q", err, head.String())
		}
		if line == "\r\n" {
			return head.String(), nil
		}
	}
}

// transport speaks HTTP/2 and nothing else.
func (c *client) transport() *http.Transport {
	t := &http.Transport{TLSClientConfig: c.tls.Clone(), Protocols: new(http.Protocols), DisableCompression: true}
	t.Protocols.SetHTTP2(c.tls != nil)
	t.Protocols.SetUnencryptedHTTP2(c.tls == nil)
	return t
}

func roundTrip(ctx context.Context, transport *http.Transport, address string, r request) (answer, error) {
	scheme := "http"
	if transport.TLSClientConfig != nil {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, r.method, scheme+"://"+address, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	if r.body == "" {
		req.Body = nil
	}
	req.Host = r.host
	// Opaque is written as it is, once scheme and host are cut off.
	req.URL = &url.URL{Scheme: scheme, Host: address, Opaque: "//" + r.host + r.target}
	req.Header.Set("User-Agent", "")
	for _, line := range r.headers {
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(name)
		req.Header[name] = append(req.Header[name], strings.TrimSpace(value))
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	if resp.ProtoMajor != 2 {
		resp.Body.Close()
		return answer{}, fmt.Errorf("got an answer in %s, want HTTP/2", resp.Proto)
	}
	return newAnswer(resp)
}

func newAnswer(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a, nil
	}
	body, err := io.ReadAll(resp.Body)
	a.body = string(body)
	for name, values := range resp.Trailer {
		a.header[name] = append(a.header[name], values...)
	}
	return a, err
}

// upstream gives what the application received, and fails the test where the
// request didn't get there.
func (a answer) upstream(t *testing.T) seen {
	t.Helper()
	var s seen
	if a.header.Get("X-App") == "" || json.Unmarshal([]byte(a.body), &s) != nil {
		t.Fatalf("the application didn't answer: %d %s", a.status, a.body)
	}
	return s
}

// reason gives the reason in one of Credence's denials.
func (a answer) reason() string {
	var denial struct{ Reason string }
	if json.Unmarshal([]byte(a.body), &denial) != nil {
		return ""
	}
	return denial.Reason
}

// fetch asks for a page with GET; status 0 means no answer, or not a whole one.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(text)
}

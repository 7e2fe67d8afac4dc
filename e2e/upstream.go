package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// upstream is the application: it answers 200 to everything, with what it
// received as JSON. It speaks HTTP/1.1 and cleartext HTTP/2, upgrades to a
// WebSocket-like echo, and takes gRPC calls.
type upstream struct {
	address  string
	requests atomic.Int64
}

// seen is a request as the application received it. Envoy writes names in lower
// case, so that nothing is lost by keeping them so.
type seen struct {
	Method, Target, Host string
	Header               map[string][]string // lower case
	Body                 []byte
}

// values are the lines of a header.
func (s seen) values(name string) []string { return s.Header[name] }

// get is the header's one line; lines are joined by " | " where there are more,
// which equals nothing that a test expects.
func (s seen) get(name string) string { return strings.Join(s.Header[name], " | ") }

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	server := httptest.NewUnstartedServer(u)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	u.address = server.Listener.Addr().String()
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	w.Header().Set("X-App", "app")
	w.Header().Set("Set-Cookie", "app=1")
	switch {
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		serveGRPC(w)
	case r.Header.Get("Upgrade") != "":
		serveUpgrade(w)
	default:
		serveEcho(w, r)
	}
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := seen{Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: body, Header: map[string][]string{}}
	for name, values := range r.Header {
		s.Header[strings.ToLower(name)] = values
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // an error is a client that went away
}

// serveGRPC answers OK to any call, with an empty message.
func serveGRPC(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(make([]byte, 5)) // not compressed, no bytes
	w.Header().Set("Grpc-Status", "0")
}

// serveUpgrade switches protocols and sends back each line that comes.
func serveUpgrade(w http.ResponseWriter) {
	conn, lines, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
	echoLines(conn, lines.Reader)
}

func echoLines(conn net.Conn, lines *bufio.Reader) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

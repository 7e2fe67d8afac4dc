package e2e

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// grpcCall is a gRPC call, as far as Envoy looks at it.
func grpcCall(headers ...string) request {
	return request{
		method: "POST", target: "/shop.Orders/List", body: "\x00\x00\x00\x00\x00",
		headers: append([]string{"Content-Type: application/grpc", "TE: trailers"}, headers...),
	}
}

// A denial becomes a gRPC status where the caller speaks gRPC: Envoy does that,
// from the HTTP status.
func TestContractGRPCCaller(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})
	c := &client{address: e.at(t, "plain"), http2: true}
	for _, row := range []struct {
		fact   string
		status int32
		grpc   string
	}{
		{"400 is INTERNAL", 400, "13"},
		{"401 is UNAUTHENTICATED", 401, "16"},
		{"403 is PERMISSION_DENIED", 403, "7"},
		{"500 is UNKNOWN", 500, "2"},
		{"503 is UNAVAILABLE", 503, "14"},
	} {
		t.Run(row.fact, func(t *testing.T) {
			got := c.send(t, grpcCall(a.say(t, deny(row.status, "in short"))))
			if got.status != 200 || got.header.Get("Grpc-Status") != row.grpc {
				t.Errorf("got %d with grpc-status %s, want 200 with %s", got.status, got.header.Get("Grpc-Status"), row.grpc)
			}
			if message := got.header.Get("Grpc-Message"); message != "in short" || got.body != "" {
				t.Errorf("got grpc-message %q and body %q, want the denial's body as message", message, got.body)
			}
		})
	}
	t.Run("an allowed call reaches the application", func(t *testing.T) {
		if got := c.send(t, grpcCall(a.say(t, allow(nil)))); got.header.Get("Grpc-Status") != "0" {
			t.Errorf("got grpc-status %q", got.header.Get("Grpc-Status"))
		}
	})
}

var upgradeHeaders = []string{
	"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
}

func TestContractUpgrade(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{
		{Name: "enabled", Manager: "upgrade_configs: [{upgrade_type: websocket}]"}, {Name: "plain"},
	}})
	t.Run("a WebSocket has one Check, at the upgrade", func(t *testing.T) {
		header := a.say(t, allow(nil))
		conn, in := e.client(t, "enabled").upgrade(t, header)
		for i := range 3 {
			fmt.Fprintf(conn, "line %d\n", i)
			if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("line %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
		}
		if got := checkHeader(a.question(t), "upgrade"); got != "websocket" {
			t.Errorf("got upgrade %q in the Check", got)
		}
	})
	t.Run("a denied upgrade is a plain answer", func(t *testing.T) {
		got := e.client(t, "enabled").get(t, "/ws", append(upgradeHeaders, a.say(t, deny(401, "no")))...)
		if got.status != 401 || got.body != "no" || got.header.Get("Upgrade") != "" {
			t.Errorf("got %d %q %v", got.status, got.body, got.header)
		}
	})
	t.Run("an upgrade that isn't enabled is 403 without a Check", func(t *testing.T) {
		got := e.client(t, "plain").get(t, "/ws", append(upgradeHeaders, a.say(t, allow(nil)))...)
		if got.status != 403 || len(a.questions(t)) != 0 {
			t.Errorf("got %d after %d Checks", got.status, len(a.questions(t)))
		}
	})
}

// upgrade opens a WebSocket, as far as the handshake goes.
func (c *client) upgrade(t *testing.T, headers ...string) (io.ReadWriteCloser, *bufio.Reader) {
	t.Helper()
	conn, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := request{method: "GET", target: "/ws", host: "shop.test", headers: append(headers, upgradeHeaders...)}
	if _, err := io.WriteString(conn, r.wire()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if head, err := readHead(in); err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("got %q, %v; want 101", head, err)
	}
	return conn, in
}

func TestContractBody(t *testing.T) {
	t.Parallel()
	a, u := startAuthorizer(t), startUpstream(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: u.address, Ingresses: []ingress{
		{Name: "plain"}, {Name: "buffering", Filter: "with_request_body: {max_request_bytes: 16, pack_as_bytes: true}"},
		{Name: "partial", Filter: "with_request_body: {max_request_bytes: 16, allow_partial_message: true}"},
	}})
	send := func(t *testing.T, name, body string, response *authv3.CheckResponse) answer {
		return e.client(t, name).send(t, request{method: "POST", target: "/", body: body, headers: []string{a.say(t, response)}})
	}
	t.Run("a body isn't sent along unless buffered", func(t *testing.T) {
		got := send(t, "plain", "hello", allow(nil)).upstream(t)
		if http := a.question(t).GetAttributes().GetRequest().GetHttp(); http.GetBody() != "" || http.GetSize() > 0 || string(got.Body) != "hello" {
			t.Errorf("got %q of %d bytes in the Check and %q at the application", http.GetBody(), http.GetSize(), got.Body)
		}
	})
	t.Run("a buffered body arrives in the Check and at the application", func(t *testing.T) {
		got := send(t, "buffering", "hello", allow(nil)).upstream(t)
		if http := a.question(t).GetAttributes().GetRequest().GetHttp(); string(http.GetRawBody()) != "hello" || http.GetSize() != 5 || string(got.Body) != "hello" {
			t.Errorf("got %q of %d bytes in the Check and %q at the application", http.GetRawBody(), http.GetSize(), got.Body)
		}
	})
	t.Run("a body over the limit is 413 without a Check", func(t *testing.T) {
		got := send(t, "buffering", strings.Repeat("x", 17), allow(nil))
		if n := len(a.questions(t)); got.status != 413 || n != 0 {
			t.Errorf("got %d after %d Checks", got.status, n)
		}
	})
	t.Run("a partial body is marked in a header", func(t *testing.T) {
		send(t, "partial", strings.Repeat("x", 17), allow(nil)).upstream(t)
		if got := checkHeader(a.question(t), "x-envoy-auth-partial-body"); got != "true" {
			t.Errorf("got x-envoy-auth-partial-body %q", got)
		}
	})
	t.Run("Expect: 100-continue is answered before the verdict", func(t *testing.T) {
		got := e.client(t, "plain").send(t, request{method: "POST", target: "/", body: "hello", headers: []string{"Expect: 100-continue", a.say(t, deny(401, ""))}})
		if !strings.HasPrefix(got.lines, "HTTP/1.1 100 ") || got.status != 401 {
			t.Errorf("got %q", got.lines)
		}
	})
}

func TestContractMetadata(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})
	subject, err := structpb.NewStruct(map[string]any{"subject": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fact, target string
		response     *authv3.CheckResponse
		status       int
	}{
		{"dynamic_metadata of an allow is in the access log", "/allowed", allow(nil), 200},
		{"dynamic_metadata of a denial is in the access log", "/denied", deny(401, ""), 401},
	} {
		t.Run(c.fact, func(t *testing.T) {
			c.response.DynamicMetadata = subject
			e.client(t, "plain").get(t, c.target, a.say(t, c.response))
			if line := e.logged(t, c.target); !strings.HasPrefix(line, fmt.Sprint(c.status)) || !strings.Contains(line, `"subject":"alice"`) {
				t.Errorf("got %s", line)
			}
		})
	}
}

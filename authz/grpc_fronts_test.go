package authz

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// serve serves what register registers, in memory, and connects to it.
func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	server, listener := grpc.NewServer(options...), bufconn.Listen(1<<20)
	register(server)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:check", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		serving.Wait()
	})
	return conn
}

// serveWalk serves an engine by the walk over the bytes.
func serveWalk(t *testing.T, e *Engine) *grpc.ClientConn {
	t.Helper()
	return serve(t, func(s *grpc.Server) { RegisterCheck(s, func() *Engine { return e }) }, ServerCodec()...)
}

// toCheckRequest is the question that Envoy puts for a request, with its headers as
// lines or, where no name is there twice, as a map.
func toCheckRequest(r *Request, raw bool) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{Method: r.Method, Scheme: r.Scheme, Host: r.Host, Path: r.Target}
	if raw {
		http.HeaderMap = &corev3.HeaderMap{}
	} else {
		http.Headers = map[string]string{}
	}
	for _, h := range r.Headers {
		if raw {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)})
		} else {
			http.Headers[h.Name] = h.Value
		}
	}
	in := checkRequest(http)
	in.Attributes.ContextExtensions = map[string]string{}
	for _, c := range r.ContextExtensions {
		in.Attributes.ContextExtensions[c.Name] = c.Value
	}
	return in
}

// TestBothFrontsAnswerAlike: for each reason, over a real connection.
func TestBothFrontsAnswerAlike(t *testing.T) {
	s := newScene(t, Options{})
	walk := authv3.NewAuthorizationClient(serveWalk(t, s.Engine))
	generated := authv3.NewAuthorizationClient(serve(t, func(g *grpc.Server) { authv3.RegisterAuthorizationServer(g, plainFront{s.Engine}) }))
	for _, row := range reasonRows {
		switch row.reason {
		case audit.KeyUnknown, audit.KeyRefreshPending: // the second who asks is told something else
			continue
		}
		t.Run(row.reason.String(), func(t *testing.T) {
			_, r := row.ask(s, t.Context())
			for _, raw := range []bool{true, false, true, false} { // the last from a template
				in := toCheckRequest(r, raw)
				got, err := walk.Check(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				want, err := generated.Check(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(got, want) {
					t.Errorf("raw %t: got %v, want %v", raw, got, want)
				}
			}
		})
	}
}

// TestRequestsDontMix: the walk hands views into its messages on, and many callers
// share the memory that those lie in. Everybody is told about themselves, also where
// one gives up while its token is verified, and so says the audit log.
func TestRequestsDontMix(t *testing.T) {
	corp := newIssuer(t, "corp")
	var written lines
	log := audit.NewLog(&written, audit.AllowsAll)
	e := newEngine(t, Options{
		Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})), Audit: log,
		Rules: []Rule{{Name: "orders", Bearer: orders.Bearer, Headers: map[string]string{"x-user": "claims.sub", "x-path": "request.path", "x-sent": `request.headers["x-sent"]`}}},
	})
	client := authv3.NewAuthorizationClient(serveWalk(t, e))
	const people, rounds = 8, 60
	var calling sync.WaitGroup
	for i := range people {
		name := "user-" + strings.Repeat(strconv.Itoa(i), 5*i+1)
		known := corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: map[string]any{"sub": name}})
		calling.Go(func() {
			for n := range rounds {
				token := known
				if n%3 == 0 { // a token that isn't remembered, which its caller may not wait for
					token = corp.Sign(oidctest.Token{KeyID: "ed-1", Claims: map[string]any{"sub": name}})
				}
				r := get("/of/"+name, bearer(token), Header{"x-sent", name}, Header{"x-request-id", name},
					Header{"cookie", strings.Repeat("c", 2000)}) // grpc uses memory again for messages over a kilobyte only
				r.Host = name + ".example.com"
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if n%6 == 0 {
					go cancel()
				}
				response, err := client.Check(ctx, toCheckRequest(r, n%2 == 0))
				cancel()
				if err != nil {
					continue // gave up
				}
				if code := response.GetStatus().GetCode(); code != 0 && response.GetStatus().GetMessage() != "cancelled" {
					t.Errorf("got %v", response)
				}
				for _, h := range response.GetOkResponse().GetHeaders() {
					want := name
					if h.GetHeader().GetKey() == "x-path" {
						want = "/of/" + name
					}
					if got := h.GetHeader().GetValue(); got != want {
						t.Errorf("%s: got %q, want %q", h.GetHeader().GetKey(), got, want)
					}
				}
			}
		})
	}
	calling.Wait()
	log.Close()
	for line := range strings.Lines(written.String()) {
		var name, path, host, id string
		for key, into := range map[string]*string{"subject": &name, "path": &path, "host": &host, "request_id": &id} {
			_, rest, _ := strings.Cut(line, `"`+key+`":"`)
			*into, _, _ = strings.Cut(rest, `"`)
		}
		if name == "" {
			name = id // it was cancelled before it was known
		}
		if want := fmt.Sprint("/of/", name, " ", name, ".example.com ", name); path+" "+host+" "+id != want {
			t.Errorf("got line %s, want %s", line, want)
		}
	}
}

// TestOtherServicesOfTheServer: its codec leaves every other message as it is.
func TestOtherServicesOfTheServer(t *testing.T) {
	e := newEngine(t, Options{})
	conn := serve(t, func(s *grpc.Server) { authv3.RegisterAuthorizationServer(s, plainFront{e}) }, ServerCodec()...)
	response, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), toCheckRequest(get("/"), false))
	if err != nil || response.GetStatus().GetMessage() != "no_rule" {
		t.Errorf("got %v, %v", response, err)
	}
}

// TestSEC_5_27_UndecodableMessageIsDenied: not answered with an error, which a proxy may be
// set to take for a permission.
func TestSEC_5_27_UndecodableMessageIsDenied(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{{Name: "everything", Public: true}}})
	conn := serveWalk(t, e)
	for _, message := range []string{"", "\xff", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", strings.Repeat("\x0a\x02\x0a\x00", 1000)} {
		var answer []byte
		if err := conn.Invoke(t.Context(), "/envoy.service.auth.v3.Authorization/Check", []byte(message), &answer, grpc.ForceCodec(rawCodec{})); err != nil {
			t.Fatal(err)
		}
		var response authv3.CheckResponse
		if err := proto.Unmarshal(answer, &response); err != nil {
			t.Fatal(err)
		}
		wantDeny(t, &response, 400)
	}
}

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	return nil, io.ErrUnexpectedEOF
}

func (rawCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}

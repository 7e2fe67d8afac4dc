package e2e

import (
	"context"
	"net"
	"sync"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// authorizer is an ext_authz server without a mind of its own: a test says what
// it answers. It is for what has to be known about Envoy.
type authorizer struct {
	authv3.UnimplementedAuthorizationServer

	address string

	mu      sync.Mutex
	answers map[string]script
	asked   map[string][]*authv3.CheckRequest
}

// script is an answer to a Check.
type script func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)

// caseHeader is the request header that says which script answers.
const caseHeader = "x-case"

func startAuthorizer(t *testing.T) *authorizer {
	t.Helper()
	a := &authorizer{answers: map[string]script{}, asked: map[string][]*authv3.CheckRequest{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.address = l.Addr().String()
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, a)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // until Stop
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return a
}

// Check answers with the script that the request names.
func (a *authorizer) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	name := checkHeader(in, caseHeader)
	a.mu.Lock()
	a.asked[name] = append(a.asked[name], in)
	answer := a.answers[name]
	a.mu.Unlock()
	if answer == nil {
		return nil, status.Errorf(codes.NotFound, "no script %q", name)
	}
	return answer(ctx, in)
}

// answer has requests of the running test answered by a script, and gives the
// header line that they need.
func (a *authorizer) answer(t *testing.T, s script) (header string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[t.Name()] = s
	return caseHeader + ": " + t.Name()
}

// say has requests of the running test get this answer.
func (a *authorizer) say(t *testing.T, response *authv3.CheckResponse) (header string) {
	t.Helper()
	return a.answer(t, func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) { return response, nil })
}

// questions are the Checks that the running test has caused.
func (a *authorizer) questions(t *testing.T) []*authv3.CheckRequest {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[t.Name()]
}

// question is the one Check that the running test has caused.
func (a *authorizer) question(t *testing.T) *authv3.CheckRequest {
	t.Helper()
	all := a.questions(t)
	if len(all) != 1 {
		t.Fatalf("got %d Checks, want one", len(all))
	}
	return all[0]
}

// checkHeader is a header of the checked request, in either encoding.
func checkHeader(in *authv3.CheckRequest, name string) string {
	http := in.GetAttributes().GetRequest().GetHttp()
	for _, h := range http.GetHeaderMap().GetHeaders() {
		if h.GetKey() == name {
			return string(h.GetRawValue())
		}
	}
	return http.GetHeaders()[name]
}

// rawHeader are the values of a header of the checked request, with
// encode_raw_headers.
func rawHeader(in *authv3.CheckRequest, name string) (values []string) {
	for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == name {
			values = append(values, string(h.GetRawValue()))
		}
	}
	return values
}

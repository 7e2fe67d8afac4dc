// Command floor is what every ratio is measured against: a stock grpc-go
// ext_authz server that decodes the request with the generated types, looks at
// nothing, and allows everything with three header mutations.
//
//	floor [-listen HOST:PORT]
package main

import (
	"context"
	"flag"
	"log"
	"net"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// server gives the same answer to every request.
type server struct {
	authv3.UnimplementedAuthorizationServer
	answer *authv3.CheckResponse
}

func (s *server) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return s.answer, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9100", "`address` to listen on")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, &server{answer: allow(
		"x-user-id", "f3b0c442-98fc-1c14-9afb-f4c8996fb924",
		"x-user-email", "alice@example.test",
		"x-user-groups", "users,admin,billing",
	)})
	log.Fatal(s.Serve(l))
}

// allow is an allow that sets the headers, given as name and value in turn.
func allow(headers ...string) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{}
	for i := 0; i < len(headers); i += 2 {
		ok.Headers = append(ok.Headers, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: headers[i], Value: headers[i+1]},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{}, // code 0 is OK
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

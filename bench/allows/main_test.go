package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// server gives one answer, whatever is asked.
type server struct {
	authv3.UnimplementedAuthorizationServer
	answer *authv3.CheckResponse
}

func (s *server) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return s.answer, nil
}

// serve gives the address of a server with that answer.
func serve(t *testing.T, answer *authv3.CheckResponse) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, &server{answer: answer})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestOnlyAnAllowWithHeadersCounts(t *testing.T) {
	frame := filepath.Join(t.TempDir(), "frame.bin")
	if err := os.WriteFile(frame, make([]byte, 5), 0o600); err != nil {
		t.Fatal(err)
	}
	ok := &authv3.OkHttpResponse{Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-user-id", Value: "alice"}}}}
	allow := &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}
	deny := &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.PermissionDenied)}}
	for _, tc := range []struct {
		name   string
		answer *authv3.CheckResponse
		want   int
	}{
		{"an allow with headers has its size", allow, 5 + proto.Size(allow)},
		{"an empty answer is an allow without headers", &authv3.CheckResponse{}, 0},
		{"a denial is none", deny, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ask(serve(t, tc.answer), frame, false)
			if got != tc.want || (err == nil) != (tc.want > 0) {
				t.Errorf("ask: %d, %v, want %d", got, err, tc.want)
			}
		})
	}
}

func TestADenialIsAskedFor(t *testing.T) {
	frame := filepath.Join(t.TempDir(), "frame.bin")
	if err := os.WriteFile(frame, make([]byte, 5), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(serve(t, &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.PermissionDenied)}}), frame, true); err != nil {
		t.Error(err)
	}
	if _, err := ask(serve(t, &authv3.CheckResponse{Status: &status.Status{}}), frame, true); err == nil {
		t.Error("an allow passes for a denial")
	}
}

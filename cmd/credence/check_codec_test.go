package main

import (
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func dialCheck(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// question is whether /healthz may pass, with a header of so many bytes.
func question(size int) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
		Method: "GET", Host: "api.example.com", Path: "/healthz", Headers: map[string]string{"x-long": strings.Repeat("x", size)},
	}}}}
}

// TestOtherServicesGoTheOrdinaryWay: the codec of Check is the whole server's, and health,
// reflection and what nobody knows are answered beside it as by any other server.
func TestOtherServicesGoTheOrdinaryWay(t *testing.T) {
	conn := dialCheck(t, startCheckServer(t, &configv1.CheckListener{Reflection: true}))
	if got, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), question(1)); err != nil || got.GetOkResponse() == nil {
		t.Errorf("Check: got %v, %v", got, err)
	}
	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health is watched: got %v, %v", got, err)
	}
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("health of another service: got %v, want NotFound", err)
	}
	for _, method := range []string{authv3.Authorization_Check_FullMethodName + "s", "/other.Service/Check"} {
		if err := conn.Invoke(t.Context(), method, question(1), new(authv3.CheckResponse)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v, want Unimplemented", method, err)
		}
	}

	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	const check = "envoy.service.auth.v3.Authorization"
	listed := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService()
	if !slices.ContainsFunc(listed, func(s *reflectionv1.ServiceResponse) bool { return s.GetName() == check }) {
		t.Errorf("reflection lists %v, want %s among them", listed, check)
	}
	described := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: check}}).GetFileDescriptorResponse().GetFileDescriptorProto()
	if len(described) == 0 {
		t.Fatalf("reflection doesn't know %s", check)
	}
	var file descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(described[0], &file); err != nil {
		t.Fatal(err)
	}
	if method := file.GetService()[0].GetMethod()[0]; method.GetName() != "Check" || method.GetServerStreaming() || method.GetClientStreaming() {
		t.Errorf("reflection describes %v, want Check, which doesn't stream", method)
	}
}

// TestSizeOfAQuestion: one above a megabyte isn't read.
func TestSizeOfAQuestion(t *testing.T) {
	client := authv3.NewAuthorizationClient(dialCheck(t, startCheckServer(t, nil)))
	for size, want := range map[int]codes.Code{1: codes.OK, 1<<20 - 200: codes.OK, 1 << 20: codes.ResourceExhausted, 3 << 20: codes.ResourceExhausted} {
		if _, err := client.Check(t.Context(), question(size)); status.Code(err) != want {
			t.Errorf("%d bytes of headers: got %v, want %v", size, err, want)
		}
	}
}

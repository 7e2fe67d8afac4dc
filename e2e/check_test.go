package e2e

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// dialCheck opens a connection to the Check listener.
func dialCheck(t *testing.T, c *credence, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(c.check, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// about is a Check of a request.
func about(http *authv3.AttributeContext_HttpRequest) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}}
}

// Whatever is asked is answered, and what isn't wholly understood is denied: an
// error would be an outage to Envoy, and an answer with nothing in it an allow.
func TestOddQuestions(t *testing.T) {
	t.Parallel()
	provider := startProvider(t)
	credence := startCredence(t, listenFreely+corp(provider)+orderRules)
	credence.awaitReady(t)
	client := authv3.NewAuthorizationClient(dialCheck(t, credence))
	token := "Bearer " + provider.Sign(staff())
	ask := func(method, path string, headers map[string]string, lines ...*corev3.HeaderValue) *authv3.CheckRequest {
		r := &authv3.AttributeContext_HttpRequest{Method: method, Host: "shop.test", Path: path, Headers: headers}
		if lines != nil {
			r.HeaderMap = &corev3.HeaderMap{Headers: lines}
		}
		return about(r)
	}
	line := func(value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: "authorization", RawValue: []byte(value)}
	}
	for _, c := range []struct {
		name     string
		question *authv3.CheckRequest
		want     int32 // HTTP status
	}{
		{"nothing", &authv3.CheckRequest{}, 400},
		{"no request", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}, 400},
		{"no HTTP", about(nil), 400},
		{"an empty request", about(&authv3.AttributeContext_HttpRequest{}), 400},
		{"no method", ask("", "/orders", nil), 400},
		{"a method of two words", ask("GET /healthz", "/orders", nil), 400},
		{"no path, as CONNECT has none", ask("CONNECT", "", nil), 400},
		{"no slash before the path", ask("GET", "healthz", nil), 400},
		{"a path that is no path", ask("OPTIONS", "*", nil), 400},
		{"control bytes in the path", ask("GET", "/healthz\r\n", nil), 400},
		{"no host", about(&authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/healthz"}), 400},
		{"another host after a comma", about(&authv3.AttributeContext_HttpRequest{Method: "GET", Host: "shop.test,evil.test", Path: "/healthz"}), 400},
		{"a name in the wrong case", ask("GET", "/orders", map[string]string{"Authorization": token}), 200},
		{"a token in both encodings", ask("GET", "/orders", map[string]string{"authorization": token}, line(token)), 400},
		{"two tokens, raw", ask("GET", "/orders", nil, line(token), line(token)), 400},
		{"two tokens, joined", ask("GET", "/orders", map[string]string{"authorization": token + "," + token}), 400},
		{"control bytes in the token", ask("GET", "/orders", nil, line(token+"\x00")), 400},
		{"a good token", ask("GET", "/orders", map[string]string{"authorization": token}), 200},
		{"a good token, raw", ask("GET", "/orders", nil, line(token)), 200},
		{"a good token, as text", ask("GET", "/orders", nil, &corev3.HeaderValue{Key: "authorization", Value: token}), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := client.Check(t.Context(), c.question)
			if err != nil {
				t.Fatalf("got error %v, want an answer", err)
			}
			checkAnswer(t, got, c.want)
		})
	}
	for name, bytes := range map[string]string{"no protobuf": "\xff\xff\xff", "cut off": "\x0a\x7f\x22", "wrong type": "\x0a\x02\x08\x01"} {
		t.Run(name, func(t *testing.T) {
			got := &authv3.CheckResponse{}
			err := dialCheck(t, credence, grpc.WithDefaultCallOptions(grpc.ForceCodec(verbatim{}))).
				Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, bytes, got)
			if err == nil {
				checkAnswer(t, got, 400)
			}
		})
	}
	if status, _ := credence.probed(t, "/livez"); status != 200 {
		t.Errorf("/livez: got %d, want 200", status)
	}
}

// checkAnswer checks that an answer leaves nothing to Envoy's defaults. Status 200
// stands for an allow.
func checkAnswer(t *testing.T, got *authv3.CheckResponse, want int32) {
	t.Helper()
	allowed, denied := got.GetOkResponse(), got.GetDeniedResponse()
	switch {
	case got.GetStatus() == nil || (got.GetStatus().GetCode() == 0) != (want == 200):
		t.Errorf("got code %v, want an allow: %v", got.GetStatus(), want == 200)
	case want != 200 && int32(denied.GetStatus().GetCode()) != want:
		t.Errorf("got %v, want %d", got, want)
	case want == 200 && allowed == nil:
		t.Errorf("got %v, want an ok_response", got)
	}
	for _, h := range allowed.GetHeaders() {
		add := h.GetAppend() //nolint:staticcheck // deprecated, and wins over append_action all the same
		if add == nil || add.GetValue() || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("got %v, want append: false and OVERWRITE_IF_EXISTS_OR_ADD", h)
		}
	}
	for _, h := range denied.GetHeaders() {
		if h.GetAppend().GetValue() { //nolint:staticcheck // as above
			t.Errorf("got %v, which Envoy drops", h)
		}
	}
}

// verbatim sends bytes as they are.
type verbatim struct{}

func (verbatim) Marshal(v any) ([]byte, error)      { return []byte(v.(string)), nil }
func (verbatim) Unmarshal(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }
func (verbatim) Name() string                       { return "proto" }

// The Check listener serves nothing but what is asked for, and takes a method's
// name as it stands.
func TestSEC_5_44_CheckListenerServesNothingElse(t *testing.T) {
	t.Parallel()
	conn := dialCheck(t, startCredence(t, listenFreely+corp(startProvider(t))+orderRules))
	for _, method := range []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/envoy.service.auth.v2.Authorization/Check",
		"/envoy.service.auth.v3.Authorization/check", "/envoy.service.auth.v3.Authorization/",
	} {
		err := conn.Invoke(t.Context(), method, &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v, want Unimplemented", method, err)
		}
	}
}

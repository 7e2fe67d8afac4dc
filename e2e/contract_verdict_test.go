package e2e

import (
	"context"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// allow is an answer that lets a request through with these changes.
func allow(ok *authv3.OkHttpResponse) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// deny is an answer that denies with this HTTP status.
func deny(httpStatus int32, body string, headers ...*corev3.HeaderValueOption) *authv3.CheckResponse {
	return answerWith(codes.PermissionDenied, &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(httpStatus)}, Headers: headers, Body: body,
	})
}

// answerWith is an answer of this code and a denied_response, which may be nil.
func answerWith(code codes.Code, denied *authv3.DeniedHttpResponse) *authv3.CheckResponse {
	r := &authv3.CheckResponse{Status: &rpcstatus.Status{Code: int32(code)}}
	if denied != nil {
		r.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied}
	}
	return r
}

// errorResponse is an answer of this code that calls itself an error.
func errorResponse(code codes.Code) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(code)}, HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{}},
	}
}

// Envoy reads the verdict from status.code alone. Nothing that could be sent by
// mistake is a denial by itself, which is why Credence makes answers in two places
// only.
func TestContractVerdict(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})
	of := func(httpStatus int32) *authv3.DeniedHttpResponse { return deny(httpStatus, "").GetDeniedResponse() }
	for _, c := range []struct {
		fact     string
		response *authv3.CheckResponse
		status   int
		allowed  bool
	}{
		{"an empty CheckResponse is an allow", &authv3.CheckResponse{}, 200, true},
		{"a denied_response without a status is an allow", &authv3.CheckResponse{HttpResponse: deny(401, "").HttpResponse}, 200, true},
		{"a denied_response beside code 0 is an allow", answerWith(codes.OK, of(401)), 200, true},
		{"an error_response beside code 0 is an allow", errorResponse(codes.OK), 200, true},
		{"an ok_response beside another code is a denial", &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 7}, HttpResponse: allow(&authv3.OkHttpResponse{}).HttpResponse}, 403, false},
		{"a code without a denied status answers 403", answerWith(codes.PermissionDenied, nil), 403, false},
		{"UNAUTHENTICATED without a denied status answers 403", answerWith(codes.Unauthenticated, nil), 403, false},
		{"a denied_response without a status answers 403", answerWith(codes.Unauthenticated, &authv3.DeniedHttpResponse{}), 403, false},
		{"a denied status is taken over whatever the code", answerWith(codes.Internal, of(401)), 401, false},
		{"a denied status of 503 is taken over", answerWith(codes.Unavailable, of(503)), 503, false},
		{"a denied status of 200 is a 200 to the client", answerWith(codes.PermissionDenied, of(200)), 200, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := e.client(t, "plain").get(t, "/", a.say(t, c.response))
			if allowed := got.header.Get("X-App") != ""; got.status != c.status || allowed != c.allowed {
				t.Errorf("got %d, reached the application %v; want %d, %v", got.status, allowed, c.status, c.allowed)
			}
		})
	}
}

// A broken or late call is an outage to Envoy, not a denial, and an operator may
// have let those pass. So Credence denies with an answer, never with an error.
func TestContractOutage(t *testing.T) {
	t.Parallel()
	a, u := startAuthorizer(t), startUpstream(t)
	ingresses := []ingress{
		{Name: "default"},
		{Name: "503", Filter: "status_on_error: {code: ServiceUnavailable}"},
		{Name: "open", Filter: "failure_mode_allow: true"},
	}
	e := startProxy(t, proxy{Authorizer: a.address, Application: u.address, Ingresses: ingresses})
	alone := startProxy(t, proxy{Authorizer: "unix:" + socketPath(t), Application: u.address, Ingresses: ingresses})
	for i := range ingresses {
		ingresses[i].Timeout = "0.1s"
	}
	hasty := startProxy(t, proxy{Authorizer: a.address, Application: u.address, Ingresses: ingresses})

	fail := func(code codes.Code) script {
		return func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			return nil, status.Error(code, "told to")
		}
	}
	tooLate := func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	say := func(r *authv3.CheckResponse) script {
		return func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) { return r, nil }
	}
	for _, c := range []struct {
		fact  string
		envoy *envoy
		script
		onDefault, on503, onOpen int
	}{
		{"a gRPC error is 403 by default, status_on_error where set, an allow under failure_mode_allow", e, fail(codes.Unavailable), 403, 503, 200},
		{"so is the gRPC error PERMISSION_DENIED", e, fail(codes.PermissionDenied), 403, 503, 200},
		{"so is the gRPC error UNAUTHENTICATED", e, fail(codes.Unauthenticated), 403, 503, 200},
		{"so is a late answer", hasty, tooLate, 403, 503, 200},
		{"so is an authorizer that isn't there", alone, fail(codes.OK), 403, 503, 200},
		{"so is an error_response", e, say(errorResponse(codes.Internal)), 403, 503, 200},
		{"a denial stays a denial in all of them", e, say(deny(401, "")), 401, 401, 401},
	} {
		t.Run(c.fact, func(t *testing.T) {
			header := a.answer(t, c.script)
			for name, want := range map[string]int{"default": c.onDefault, "503": c.on503, "open": c.onOpen} {
				if got := c.envoy.client(t, name).get(t, "/", header).status; got != want {
					t.Errorf("%s: got %d, want %d", name, got, want)
				}
			}
		})
	}
}

// What bounds a wait inside a Check is Envoy's own time-out.
func TestContractDeadline(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain", Timeout: "30s"}, {Name: "hasty", Timeout: "2s"}}})

	t.Run("the time-out arrives as the call's deadline", func(t *testing.T) {
		left := make(chan time.Duration, 1)
		header := a.answer(t, func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return allow(nil), nil
		})
		e.client(t, "plain").get(t, "/", header)
		if got := <-left; got <= 0 || got > 30*time.Second {
			t.Errorf("got %s until the deadline, want up to 30 s", got)
		}
	})
	// The connection is there by now: a time-out before that would be one without a call.
	t.Run("the call is cancelled when Envoy gives up", func(t *testing.T) {
		ended := make(chan error, 1)
		header := a.answer(t, func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		e.client(t, "hasty").get(t, "/", header)
		if err := <-ended; err == nil {
			t.Error("got no end of the call")
		}
	})
	t.Run("the call is cancelled when the client goes away", func(t *testing.T) {
		began, ended := make(chan bool), make(chan bool)
		header := a.answer(t, func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		go func() { <-began; leave() }()
		c := &client{address: e.at(t, "plain"), http2: true}
		if _, err := c.exchange(ctx, request{target: "/", headers: []string{header}}); err == nil {
			t.Error("got an answer, want none")
		}
		<-ended
	})
}

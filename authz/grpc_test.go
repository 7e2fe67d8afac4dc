package authz

import (
	"context"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func checkRequest(http *authv3.AttributeContext_HttpRequest) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}}
}

func TestFromCheckRequest(t *testing.T) {
	in := checkRequest(&authv3.AttributeContext_HttpRequest{
		Id: "stream", Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/v1?x=1", Query: "not=this", Fragment: "nor-this", Protocol: "HTTP/2",
		Headers: map[string]string{":path": "/v1?x=1", "X-Request-Id": "abc", "accept": "*/*"},
	})
	in.Attributes.ContextExtensions = map[string]string{"policy": "orders"}
	r := FromCheckRequest(in)
	if r.Method != "GET" || r.Scheme != "https" || r.Host != "api.example.com" || r.Target != "/v1?x=1" || r.ID != "abc" || !r.Time.IsZero() {
		t.Errorf("got %+v", r)
	}
	if r.First("accept") != "*/*" || r.First("x-request-id") != "abc" || r.First(":path") != "/v1?x=1" || len(r.Headers) != 3 {
		t.Errorf("got headers %q", r.Headers)
	}
	if !slices.Equal(r.ContextExtensions, []Header{{"policy", "orders"}}) {
		t.Errorf("got context extensions %q", r.ContextExtensions)
	}
}

// TestHeaderMapKeepsLines: with encode_raw_headers Envoy sends each line on its own.
func TestHeaderMapKeepsLines(t *testing.T) {
	r := FromCheckRequest(checkRequest(&authv3.AttributeContext_HttpRequest{HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "X-A", RawValue: []byte("1")}, {Key: "x-a", Value: "2"}, {Key: "x-b", Value: "text", RawValue: []byte("raw\xff")}, nil, {},
	}}}))
	if want := []Header{{"x-a", "1"}, {"x-a", "2"}, {"x-b", "raw\xff"}, {}, {}}; !slices.Equal(r.Headers, want) {
		t.Errorf("got %q, want %q", r.Headers, want)
	}
}

// TestTwoSetsOfHeadersAreOne: what stands in headers doesn't hide what stands in
// header_map, nor the other way round.
func TestTwoSetsOfHeadersAreOne(t *testing.T) {
	corp, e := newCorp(t, orders)
	server := plainFront{e}
	token := "Bearer " + corp.Sign(oidctest.Token{})
	in := checkRequest(&authv3.AttributeContext_HttpRequest{
		Method: "GET", Host: "h", Path: "/", Headers: map[string]string{"authorization": token},
		HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "Authorization", RawValue: []byte("Bearer x")}}},
	})
	response, err := server.Check(t.Context(), in)
	if err != nil || response.GetStatus().GetMessage() != "malformed_authorization" {
		t.Errorf("got %v, %v", response, err)
	}
	in.Attributes.Request.Http.HeaderMap = nil
	if response, err = server.Check(t.Context(), in); err != nil || response.GetStatus().GetCode() != 0 {
		t.Errorf("got %v, %v", response, err)
	}
	in.Attributes.Request.Http.Headers["Authorization"] = token
	if response, err = server.Check(t.Context(), in); err != nil || response.GetStatus().GetMessage() != "malformed_authorization" {
		t.Errorf("got %v, %v", response, err)
	}
}

// TestNothingIsMalformed: to Envoy an empty answer is an allow, and a crash an
// outage. What isn't there is a bad request, whichever message is nil.
func TestNothingIsMalformed(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{{Name: "everything", Public: true}}})
	server := plainFront{e}
	for name, in := range map[string]*authv3.CheckRequest{
		"nil":           nil,
		"no attributes": {},
		"no request":    {Attributes: &authv3.AttributeContext{}},
		"no http":       {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}},
		"empty http":    checkRequest(&authv3.AttributeContext_HttpRequest{}),
		"no host":       checkRequest(&authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/"}),
		"no method":     checkRequest(&authv3.AttributeContext_HttpRequest{Host: "h", Path: "/"}),
		"no path":       checkRequest(&authv3.AttributeContext_HttpRequest{Method: "CONNECT", Host: "h"}), // CVE-2026-73547
		"nil headers":   checkRequest(&authv3.AttributeContext_HttpRequest{Method: "GET", Host: "h", HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{nil}}}),
	} {
		t.Run(name, func(t *testing.T) {
			response, err := server.Check(t.Context(), in)
			if err != nil || response.GetStatus().GetCode() != int32(codes.InvalidArgument) || response.GetDeniedResponse().GetStatus().GetCode() != 400 {
				t.Errorf("got %v, %v", response, err)
			}
		})
	}
}

// TestAllowResponse (what Envoy 1.40 makes of each field): request headers have
// append false and an action, response headers an action alone.
func TestAllowResponse(t *testing.T) {
	d := Decision{
		Allow: true, Reason: audit.Allowed,
		Set: []Header{{"x-user", "alice"}, {"x-bad", "a\r\nset-cookie: b"}}, Remove: []string{"authorization", "x_user"},
		ResponseHeaders: []Header{{"x-limit", "5"}}, SetQuery: []Header{{"a b", "x y&z=%+#\u00e9"}}, RemoveQuery: []string{"token", "t%6fken"},
		Metadata: map[string]any{"sub": "alice", "n": 1.5, "list": []any{"a", nil, map[string]any{"b": true}}},
	}
	response := allowResponse(&d)
	if response.GetStatus() == nil || response.GetStatus().GetCode() != 0 {
		t.Errorf("got status %v", response.GetStatus())
	}
	ok := response.GetOkResponse()
	for i, want := range []string{"alice", ""} {
		h := ok.GetHeaders()[i]
		if h.GetAppend() == nil || h.GetAppend().GetValue() || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || h.GetKeepEmptyValue() || h.GetHeader().GetValue() != want { //nolint:staticcheck // the only field that Envoy 1.40 heeds
			t.Errorf("got header %v, want %q", h, want)
		}
	}
	h := ok.GetResponseHeadersToAdd()[0]
	if h.GetAppend() != nil || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || h.GetHeader().GetKey() != "x-limit" || h.GetHeader().GetValue() != "5" { //nolint:staticcheck // as above
		t.Errorf("got response header %v", h)
	}
	if q := ok.GetQueryParametersToSet()[0]; q.GetKey() != "a%20b" || q.GetValue() != "x%20y%26z%3D%25%2B%23%C3%A9" {
		t.Errorf("got parameter %v", q)
	}
	if !slices.Equal(ok.GetHeadersToRemove(), d.Remove) || !slices.Equal(ok.GetQueryParametersToRemove(), d.RemoveQuery) {
		t.Errorf("removed %q, %q", ok.GetHeadersToRemove(), ok.GetQueryParametersToRemove())
	}
	if got := response.GetDynamicMetadata().AsMap(); !reflect.DeepEqual(got, d.Metadata) {
		t.Errorf("got metadata %v", got)
	}
	if ok.GetDynamicMetadata() != nil { //nolint:staticcheck // deprecated, and it would win
		t.Error("the metadata stands in two places")
	}
}

func TestMetadataThatCantBeSentDenies(t *testing.T) {
	for _, m := range []map[string]any{{"a": struct{}{}}, {"a": "\xff"}, {"\xff": 1.0}} {
		wantDeny(t, allowResponse(&Decision{Allow: true, Reason: audit.Allowed, Metadata: m}), 500)
	}
}

func TestDenyResponse(t *testing.T) {
	d := Decision{Reason: audit.TokenExpired, Denial: &Denial{Status: 401, Headers: []Header{{"www-authenticate", "Bearer"}}, Body: "{}"}}
	response := denyResponse(&d)
	wantDeny(t, response, 401)
	denied := response.GetDeniedResponse()
	h := denied.GetHeaders()[0]
	if h.GetHeader().GetKey() != "www-authenticate" || h.GetHeader().GetValue() != "Bearer" || h.GetAppend() != nil || h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD { //nolint:staticcheck // append drops a header that isn't there
		t.Errorf("got header %v", h)
	}
	if denied.GetBody() != "{}" || response.GetStatus().GetMessage() != "token_expired" {
		t.Errorf("got %v", response)
	}
}

func TestWhatIsNoDenialDeniesAllTheSame(t *testing.T) {
	for name, d := range map[string]Decision{
		"the zero Decision":            {},
		"no denial":                    {Reason: audit.NoRule},
		"status 0":                     {Reason: audit.NoRule, Denial: &Denial{Body: "x"}},
		"a denial that says 200":       {Reason: audit.NoRule, Denial: &Denial{Status: 200}},
		"a denial that redirects":      {Reason: audit.NoRule, Denial: &Denial{Status: 302, Headers: []Header{{"location", "/"}}}},
		"a redirect to nowhere":        {Reason: audit.NoCredential, Denial: &Denial{Status: 302}},
		"a status that there isn't":    {Reason: audit.NoRule, Denial: &Denial{Status: 600}},
		"an allow without a reason":    {Allow: true},
		"an allow for another reason":  {Allow: true, Reason: audit.NoRule, Denial: &Denial{Status: 100}},
		"a reason that allows, denied": {Reason: audit.Allowed},
	} {
		t.Run(name, func(t *testing.T) { wantDeny(t, denyResponse(&d), 500) })
	}
}

func wantDeny(t *testing.T, response *authv3.CheckResponse, status int) {
	t.Helper()
	if response.GetStatus().GetCode() == 0 || response.GetOkResponse() != nil || int(response.GetDeniedResponse().GetStatus().GetCode()) != status {
		t.Errorf("got %v, want a denial with status %d", response, status)
	}
}

// TestEveryDecisionIsSafe: whatever a Decision holds, its answer allows if and only
// if it says so twice; a denial is none that a client takes for the application's
// answer; and no value breaks a header line.
func TestEveryDecisionIsSafe(t *testing.T) {
	check := func(d Decision) bool {
		response := allowResponse(&d)
		allow := d.Allow && d.Reason.Class() == audit.ClassAllow
		if !allow {
			response = denyResponse(&d)
		}
		var encoded authv3.CheckResponse
		if err := proto.Unmarshal(encodeAnswer(&d).ReadOnlyData(), &encoded); err != nil {
			t.Log(err)
			return false
		}
		for _, response := range []*authv3.CheckResponse{response, &encoded} {
			status := response.GetDeniedResponse().GetStatus().GetCode()
			if allow != (response.GetStatus().GetCode() == 0) || allow != (response.GetOkResponse() != nil) || !allow && (status < 400 || status > 599) {
				t.Logf("got %v", response)
				return false
			}
			ok := response.GetOkResponse()
			for _, h := range slices.Concat(ok.GetHeaders(), ok.GetResponseHeadersToAdd(), response.GetDeniedResponse().GetHeaders()) {
				if strings.ContainsAny(h.GetHeader().GetValue(), "\r\n\x00") {
					t.Logf("got %v", h)
					return false
				}
			}
		}
		return true
	}
	generate := func(values []reflect.Value, random *rand.Rand) { values[0] = reflect.ValueOf(anyDecision(random)) }
	if err := quick.Check(check, &quick.Config{MaxCount: 2000, Rand: rand.New(rand.NewSource(1)), Values: generate}); err != nil {
		t.Error(err)
	}
}

// anyDecision is one with anything in any field.
func anyDecision(random *rand.Rand) Decision {
	texts := []string{"", "a", "x-user", "a\r\nb: c", "\x00", "\u00e9", "a b&c"}
	text := func() string { return texts[random.Intn(len(texts))] }
	headers := func() (list []Header) {
		for range random.Intn(3) {
			list = append(list, Header{text(), text()})
		}
		return list
	}
	d := Decision{
		Allow: random.Intn(2) == 0, Reason: audit.Reason(random.Intn(audit.NumReasons + 3)), Detail: text(), Rule: text(),
		Set: headers(), SetQuery: headers(), ResponseHeaders: headers(), Remove: []string{text()}, RemoveQuery: []string{text()},
	}
	if random.Intn(2) == 0 {
		d.Reason = audit.Allowed
	}
	if random.Intn(3) > 0 {
		d.Denial = &Denial{Status: random.Intn(700) - 50, Headers: headers(), Body: text()}
	}
	if random.Intn(3) == 0 {
		d.Metadata = map[string]any{text(): text(), "n": float64(random.Intn(9))}
	}
	return d
}

func TestDenyCodeIsNeverOK(t *testing.T) {
	want := map[int]codes.Code{400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 503: codes.Unavailable, 500: codes.Internal}
	for status := range 700 {
		got := denyCode(status)
		if got == codes.OK || want[status] != 0 && got != want[status] {
			t.Errorf("%d: got %v", status, got)
		}
	}
}

func TestHeaderTextIsTheLastGuard(t *testing.T) {
	for s, want := range map[string]string{"": "", "a b": "a b", "a\tb": "a\tb", "a\nb": "", "a\rb": "", "\x00": "", "\x7f": "", "\u00e9": "\u00e9"} {
		if got := headerText(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// plainFront is the front of the generated types as a server.
type plainFront struct{ engine *Engine }

func (f plainFront) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	d := f.engine.Decide(ctx, FromCheckRequest(in))
	if d.Allow && d.Reason.Class() == audit.ClassAllow {
		return allowResponse(&d), nil
	}
	return denyResponse(&d), nil
}

package authz

import (
	"net/url"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The plain front: Envoy's question and answer by way of the generated types. It
// translates and decides nothing. wire.go is the fast front, which serves; this is
// the reference that tests hold it to, reads requests for explain, and renders
// answers that have metadata.
//
// To Envoy an empty CheckResponse is an allow, as is any with status code 0
// whatever else stands in it, and a gRPC error is an outage, which an operator may
// have set to let requests pass. So an answer is made in two places only in each
// front, one for an allow and one for everything else, and Check never ends in an
// error once there is a request.

// FromCheckRequest reads what the proxy sent. A nil message anywhere reads as empty, and
// ends as a malformed request.
func FromCheckRequest(in *authv3.CheckRequest) *Request {
	http := in.GetAttributes().GetRequest().GetHttp()
	r := &Request{
		Method: http.GetMethod(), Scheme: http.GetScheme(), Host: http.GetHost(), Target: http.GetPath(),
		Certificate: in.GetAttributes().GetSource().GetCertificate(),
	}
	// With encode_raw_headers each line arrives on its own in header_map, and
	// headers is empty. Were both there, a request would have two sets of headers
	// to choose from; every line counts then.
	lines := http.GetHeaderMap().GetHeaders()
	r.Headers = make([]Header, 0, len(http.GetHeaders())+len(lines))
	for name, value := range http.GetHeaders() {
		r.Headers = append(r.Headers, Header{lower(name), value})
	}
	for _, line := range lines {
		value := line.GetValue()
		if raw := line.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		r.Headers = append(r.Headers, Header{lower(line.GetKey()), value})
	}
	for name, value := range in.GetAttributes().GetContextExtensions() {
		r.ContextExtensions = append(r.ContextExtensions, Header{name, value})
	}
	r.ID = r.First("x-request-id")
	return r
}

// allowResponse renders an allowed decision. What Envoy makes of each field was
// measured on 1.40 and is tested in e2e.
func allowResponse(d *Decision) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{HeadersToRemove: d.Remove, QueryParametersToRemove: d.RemoveQuery}
	for _, h := range d.Set {
		ok.Headers = append(ok.Headers, overwrite(h))
	}
	for _, h := range d.ResponseHeaders {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, replace(h))
	}
	for _, cookie := range d.SetCookies {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, add(Header{"set-cookie", cookie}))
	}
	if len(d.SetCookies) > 0 {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, replace(uncached))
	}
	for _, q := range d.SetQuery {
		// Envoy writes the value into the path as it is.
		ok.QueryParametersToSet = append(ok.QueryParametersToSet,
			&corev3.QueryParameter{Key: escapeQuery(q.Name), Value: escapeQuery(q.Value)})
	}
	response := &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
	if d.Metadata != nil {
		metadata, err := structpb.NewStruct(d.Metadata)
		if err != nil {
			// Every claim is valid UTF-8 and every value JSON-like: a fault of ours.
			return denyResponse(&Decision{})
		}
		response.DynamicMetadata = metadata
	}
	return response
}

// overwrite sets a request header in place of whatever the client sent. Both
// fields are always sent: Envoy 1.40 ignores append_action on request headers,
// versions before and after it don't, and where neither is set the next one would
// append ours to the client's own.
func overwrite(h Header) *corev3.HeaderValueOption {
	o := replace(h)
	o.Append = appendFalse //nolint:staticcheck // deprecated, and the only field that Envoy 1.40 heeds
	return o
}

var appendFalse = wrapperspb.Bool(false)

// replace sets a response header; append unset and append_action decides.
func replace(h Header) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: h.Name, Value: headerText(h.Value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// add sets a response header beside others of its name: the application's cookies
// stay, and so do ours.
func add(h Header) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: h.Name, Value: headerText(h.Value)},
		AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}
}

// uncached goes with every cookie of ours: an answer that a cache gave to others
// would put them into this session.
var uncached = Header{"cache-control", "private, no-store"}

// denyResponse renders anything that isn't an allow, the zero Decision included.
// The HTTP status is always given: without it Envoy answers 403 to everything.
func denyResponse(d *Decision) *authv3.CheckResponse {
	denial := deniable(d)
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(denial.Status)},
		Body:   denial.Body,
	}
	for _, h := range denial.Headers {
		denied.Headers = append(denied.Headers, replace(h))
	}
	for _, cookie := range d.SetCookies {
		denied.Headers = append(denied.Headers, add(Header{"set-cookie", cookie}))
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(denyCode(denial.Status)), Message: d.Reason.String()},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

// deniable is the decision's denial, or where that is none, or no denial to a
// proxy, that of a fault of ours.
func deniable(d *Decision) *Denial {
	switch {
	case d.Denial == nil:
	case d.Denial.Status >= 400 && d.Denial.Status <= 599, d.Denial.Status == 302 && wantsLogin(d.Reason) && d.Denial.redirects():
		return d.Denial
	}
	return &Denial{Status: 500}
}

// denyCode is the gRPC status beside the HTTP one; never OK.
func denyCode(httpStatus int) codes.Code {
	switch httpStatus {
	case 400:
		return codes.InvalidArgument
	case 302, 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 503:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}

// headerText is the last guard of a header's value: with its validation off, as
// it is by default, Envoy writes a line break into the response as it comes; and an
// answer with a string that isn't UTF-8 it can't read at all, which is an outage to
// it, and may let the request pass. Values are made fit where they are made, so
// nothing is ever changed here.
func headerText(s string) string {
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' && c != '\t' || c == 0x7f {
			return ""
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return ""
	}
	return s
}

// escapeQuery percent-encodes everything that could end a parameter. A space
// becomes %20: not every application reads + as one.
func escapeQuery(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

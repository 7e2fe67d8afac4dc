package authz

import (
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// FuzzWireVerdict: whatever the proxy sends, the walk and the generated code end in one
// answer, by rules that read all that a rule can read, and from memory too.
func FuzzWireVerdict(f *testing.F) {
	corp := newIssuer(f, "corp")
	rules := []Rule{
		{Name: "open", Match: Match{Methods: []string{"GET"}, Paths: []string{"/open/**"}}, Public: true, Headers: map[string]string{"x-path": "request.path"}},
		{Name: "policy", Match: Match{ContextExtensions: map[string]string{"policy": "orders"}}, Bearer: orders.Bearer, Require: `request.host == "api.example.com" && !("x" in request.headers)`},
		{Name: "sent", Match: Match{Headers: map[string]string{"x-sent": "yes"}}, Bearer: orders.Bearer, Headers: map[string]string{"x-user": "claims.sub", "x-sent": `request.headers["x-sent"]`}},
		{Name: "orders", Match: Match{Hosts: []string{"api.example.com"}}, Bearer: orders.Bearer, Headers: map[string]string{"x-user": "claims.sub"}},
	}
	e := newEngine(f, Options{Rules: rules, Verifier: newVerifier(corp.provider(f, "corp", oidc.ProviderOptions{}))})
	for _, message := range wireSamples(f) {
		f.Add(message)
	}
	token := bearer(corp.Sign(oidctest.Token{KeyID: "ed-1"}))
	for _, r := range []*Request{
		get("/orders", token), get("/orders", token, Header{"x_user", "root"}), get("/orders", token, Header{"x-sent", "yes"}), get("/open/a"), get("/open/../orders", token),
		{Method: "POST", Scheme: "https", Host: "api.example.com", Target: "/", Headers: []Header{token}, ContextExtensions: []Header{{"policy", "orders"}}},
	} {
		for _, raw := range []bool{true, false} {
			message, err := proto.Marshal(toCheckRequest(r, raw))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(message)
		}
	}

	codec := wireCodec{encoding.GetCodecV2("proto")}
	walked := func(t *testing.T, message []byte) (_ *authv3.CheckResponse, tooLong bool) {
		in := wireRequests.Get().(*wireRequest)
		defer in.release()
		if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, in); err != nil {
			t.Fatal(err)
		}
		j := e.decide(t.Context(), &in.Request)
		defer j.release()
		answer := encodeAnswer(&j.Decision)
		defer answer.Free()
		var response authv3.CheckResponse
		if err := proto.Unmarshal(answer.ReadOnlyData(), &response); err != nil {
			t.Fatal(err)
		}
		return &response, in.lines > maxLines
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		got, tooLong := walked(t, message)
		if tooLong { // doubles count, of which the generated code knows nothing
			wantDeny(t, got, 400)
			return
		}
		var in authv3.CheckRequest
		if proto.Unmarshal(message, &in) != nil {
			return // the fault may be in a field that the walk doesn't read
		}
		for range 2 {
			want, err := plainFront{e}.Check(t.Context(), &in)
			if err != nil || !proto.Equal(got, want) {
				t.Errorf("the walk answers\n%v\nthe generated code\n%v, %v", got, want, err)
			}
			got, _ = walked(t, message)
		}
	})
}

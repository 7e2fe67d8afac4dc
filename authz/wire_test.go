package authz

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
)

// wireSamples are CheckRequests in the shapes that Envoy and an attacker send.
func wireSamples(t testing.TB) map[string][]byte {
	full := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Principal: "spiffe://a/b", Certificate: "pem"},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: "GET", Path: "/v1/orders?x=1", Host: "API.example.com:8443", Scheme: "https", Size: 42, Body: "body",
			Headers: map[string]string{":path": "/v1", "authorization": "Bearer a.b.c", "X-Request-Id": "id", "cookie": "a=1,b=2"},
		}},
		ContextExtensions: map[string]string{"policy": "orders", "realm": "main"},
	}}
	raw := proto.Clone(full).(*authv3.CheckRequest)
	raw.Attributes.Request.Http.Headers = nil
	raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "cookie", RawValue: []byte("a=1")}, {Key: "cookie", RawValue: []byte("b=\xff")}, {Key: "x", Value: "text"}, {Key: "y", Value: "text", RawValue: []byte("raw")}, {},
	}}
	both := proto.Clone(raw).(*authv3.CheckRequest)
	both.Attributes.Request.Http.Headers = map[string]string{"cookie": "c=3"}

	samples := map[string][]byte{"empty": {}, "no attributes": protowire.AppendVarint(nil, 0)}
	for name, m := range map[string]*authv3.CheckRequest{"headers": full, "header_map": raw, "both": both} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		samples[name] = b
	}
	samples["twice, merged"] = append(slices.Clone(samples["headers"]), samples["header_map"]...)
	samples["cut short"] = samples["headers"][:len(samples["headers"])-3]
	samples["unknown fields"] = protowire.AppendString(protowire.AppendTag(slices.Clone(samples["headers"]), 99, protowire.BytesType), "?")
	samples["attributes of another wire type"] = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)

	entry := func(fields ...string) (b []byte) {
		for i := 0; i < len(fields); i += 2 {
			b = append(b, field(protowire.Number(fields[i][0]-'0'), []byte(fields[i+1]))...)
		}
		return b
	}
	http := func(headers ...[]byte) []byte {
		var b []byte
		for _, h := range headers {
			b = append(b, field(3, h)...)
		}
		return field(1, field(4, field(2, b)))
	}
	samples["a map key twice, the last wins"] = http(entry("1", "a", "2", "1"), entry("1", "b", "2", "2"), entry("1", "a", "2", "3"))
	samples["a map value twice, the last wins"] = http(entry("1", "a", "2", "1", "2", "2", "1", "c"))
	samples["an empty map entry"] = http(nil, entry("1", "a"), entry("2", "v"))
	samples["a key that isn't UTF-8"] = http(entry("1", "a\xff", "2", "1"))
	return samples
}

// sameRequest compares what the rules can read; maps have no order.
func sameRequest(t *testing.T, got, want *Request) {
	t.Helper()
	sorted := func(h []Header) []Header {
		return slices.SortedFunc(slices.Values(h), func(a, b Header) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
		})
	}
	if got.ID != want.ID && len(slices.Collect(want.Values("x-request-id"))) < 2 ||
		got.Method != want.Method || got.Scheme != want.Scheme || got.Host != want.Host || got.Target != want.Target || got.Certificate != want.Certificate ||
		!slices.Equal(sorted(got.Headers), sorted(want.Headers)) || !slices.Equal(sorted(got.ContextExtensions), sorted(want.ContextExtensions)) {
		t.Errorf("the walk reads\n%+v\nthe generated code\n%+v", got, want)
	}
}

func compareWithGenerated(t *testing.T, message []byte) {
	t.Helper()
	codec := wireCodec{encoding.GetCodecV2("proto")}
	in := wireRequests.Get().(*wireRequest)
	defer in.release()
	if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, in); err != nil {
		t.Fatalf("the walk failed: %v", err)
	}
	var generated authv3.CheckRequest
	if err := proto.Unmarshal(message, &generated); err != nil {
		// The walk may be content where the fault is in a field that it doesn't read.
		return
	}
	want := FromCheckRequest(&generated)
	if in.lines > maxLines {
		want = &Request{} // the walk ends where they begin to be too many
	}
	sameRequest(t, &in.Request, want)
}

func TestWireWalkReadsWhatTheGeneratedCodeReads(t *testing.T) {
	for name, message := range wireSamples(t) {
		t.Run(name, func(t *testing.T) { compareWithGenerated(t, message) })
	}
}

func TestWireWalkTakesWhatCantBeDecodedForAnEmptyRequest(t *testing.T) {
	for _, name := range []string{"cut short", "a key that isn't UTF-8"} {
		var w wireRequest
		w.read(wireSamples(t)[name])
		if w.Method != "" || len(w.Headers) > 0 {
			t.Errorf("%s: the walk kept %+v", name, w.Request)
		}
	}
}

// Whichever of the strings that it reads isn't UTF-8, or stands in a message that ends too
// early, there is no request: neither a later field nor one before makes up for it.
func TestWireWalkLetsNoBrokenStringPass(t *testing.T) {
	good := wireSamples(t)["headers"]
	cut := protowire.AppendVarint(protowire.AppendTag(nil, 15, protowire.BytesType), 9)
	for name, path := range map[string][]protowire.Number{
		"the certificate": {1, 1, 5}, "the method": {1, 4, 2, 2}, "the path": {1, 4, 2, 4}, "the host": {1, 4, 2, 5}, "the scheme": {1, 4, 2, 6},
		"a header's name": {1, 4, 2, 3, 1}, "a header's value": {1, 4, 2, 3, 2}, "a line's name": {1, 4, 2, 13, 1, 1}, "a line's value": {1, 4, 2, 13, 1, 2},
		"an extension's name": {1, 10, 1}, "an extension's value": {1, 10, 2},
	} {
		last := len(path) - 1
		bad, fine := field(path[last], []byte("\xff")), field(path[last], []byte("a"))
		within := func(inner []byte, ends int) []byte { // a message of that depth ends early
			for at := last - 1; at >= 0; at-- {
				if at == ends {
					inner = append(inner, cut...)
				}
				inner = field(path[at], inner)
			}
			return inner
		}
		broken := map[string][]byte{
			"isn't UTF-8": within(bad, -1), "isn't UTF-8, then is": within(slices.Concat(bad, fine), -1), "is UTF-8, then isn't": within(slices.Concat(fine, bad), -1),
		}
		for ends := range last {
			broken[fmt.Sprintf("is in a message of depth %d that ends early", ends+1)] = within(slices.Clone(fine), ends)
		}
		for kind, inner := range broken {
			for order, message := range map[string][]byte{"after": slices.Concat(good, inner), "before": slices.Concat(inner, good)} {
				if proto.Unmarshal(message, new(authv3.CheckRequest)) == nil {
					t.Fatalf("%s %s: the generated code reads it", name, kind)
				}
				var w wireRequest
				w.read(message)
				if r := w.Request; r.Method != "" || r.Host != "" || r.Certificate != "" || len(r.Headers)+len(r.ContextExtensions) > 0 {
					t.Errorf("%s %s, %s a good message: the walk kept %+v", name, kind, order, r)
				}
			}
		}
	}
}

func TestWireRequestIsCleanForTheNextCall(t *testing.T) {
	var w wireRequest
	w.read(wireSamples(t)["both"])
	w.release()
	if w.Method != "" || w.Headers != nil || len(w.mapped)+len(w.raw)+len(w.ContextExtensions)+w.lines != 0 || w.seen != 0 {
		t.Errorf("left behind: %+v", w)
	}
	for _, left := range [][]Header{w.mapped[:cap(w.mapped)], w.raw[:cap(w.raw)], w.ContextExtensions[:cap(w.ContextExtensions)]} {
		if slices.ContainsFunc(left, func(h Header) bool { return h != Header{} }) {
			t.Errorf("a header of the last call is left behind: %q", left)
		}
	}
}

func FuzzWireAgainstGenerated(f *testing.F) {
	for _, message := range wireSamples(f) {
		f.Add(message)
	}
	f.Fuzz(compareWithGenerated)
}

func TestEncodedAnswerIsTheGeneratedOne(t *testing.T) {
	headers := []Header{{"x-user-id", "alice"}, {"x-empty", ""}, {"x-bad", "a\r\nb"}}
	for name, d := range map[string]Decision{
		"the zero Decision":        {},
		"an allow with nothing":    {Allow: true, Reason: audit.PublicRule},
		"an allow with everything": {Allow: true, Reason: audit.Allowed, Set: headers, Remove: []string{"authorization", "x_user"}, ResponseHeaders: headers, SetQuery: []Header{{"a b", "x y&z"}}, RemoveQuery: []string{"token"}},
		"an allow with metadata":   {Allow: true, Reason: audit.Allowed, Metadata: map[string]any{"sub": "alice", "groups": []any{"a", 1.5, true, nil}}},
		"bad metadata":             {Allow: true, Reason: audit.Allowed, Metadata: map[string]any{"sub": struct{}{}}},
		"allow without a reason":   {Allow: true},
		"a denial":                 {Reason: audit.TokenExpired, Denial: &Denial{Status: 401, Headers: headers, Body: "{}"}},
		"a denial without body":    {Reason: audit.NoRule, Denial: &Denial{Status: 403}},
		"a denial that isn't one":  {Reason: audit.NoRule, Denial: &Denial{Status: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			want := allowResponse(&d)
			if !d.Allow || d.Reason.Class() != audit.ClassAllow {
				want = denyResponse(&d)
			}
			var got authv3.CheckResponse
			if err := proto.Unmarshal(encodeAnswer(&d).ReadOnlyData(), &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(&got, want) {
				t.Errorf("got %v, want %v", &got, want)
			}
		})
	}
}

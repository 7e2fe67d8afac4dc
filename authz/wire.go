package authz

import (
	"context"
	"sync"
	"unicode/utf8"
	"unsafe"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the ordinary codec, for every other message
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fast front. Decoding a CheckRequest into the generated types costs several
// times what the decision does: some 170 allocations for twenty headers in maps.
// Here the message is walked once where grpc has put it, and what the rules may
// need is taken as views into those bytes. grpc.go is the slow front beside it,
// and the reference: a fuzz test holds both equal, request by request and answer
// by answer.
//
// What the walk takes over from protobuf: the last value of a field wins, a
// message that comes in parts is merged, a later map entry replaces an earlier one
// of the same key, unknown fields and known ones of another wire type are skipped,
// strings have to be UTF-8. It differs in two ways. Fields that it doesn't read it
// doesn't validate. And what can't be decoded, or has too many lines, is answered as
// a malformed request, where the generated code would have grpc answer with an
// error, which a proxy may be set to take for a permission.

// RegisterCheck serves Envoy's external authorization on a server that was made
// with [ServerCodec]; engine gives the one in force and must not give nil.
func RegisterCheck(s *grpc.Server, engine func() *Engine) {
	s.RegisterService(&checkService, &wireServer{engine})
}

// ServerCodec is the codec that RegisterCheck needs. It holds for the whole
// server: messages other than those of Check go the ordinary way.
func ServerCodec() grpc.ServerOption {
	return grpc.ForceServerCodecV2(wireCodec{encoding.GetCodecV2("proto")})
}

type wireServer struct{ engine func() *Engine }

var checkService = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: handleCheck}},
	Metadata:    authv3.Authorization_ServiceDesc.Metadata,
}

func handleCheck(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := wireRequests.Get().(*wireRequest)
	defer in.release()
	if err := decode(in); err != nil {
		return nil, err // the transport's: there is no request to answer
	}
	d := srv.(*wireServer).engine().Decide(ctx, &in.Request)
	return encodeAnswer(&d), nil
}

// wireCodec walks CheckRequests and leaves the rest to the ordinary codec.
type wireCodec struct{ encoding.CodecV2 }

// Unmarshal reads a message. It never fails for a CheckRequest.
func (c wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*wireRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	in.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	in.read(in.buffer.ReadOnlyData())
	return nil
}

// Marshal writes a message.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ok := v.(wireAnswer); ok {
		return mem.BufferSlice{mem.SliceBuffer(answer)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// wireRequest is a Request whose strings are views into the message. It is used
// for one call, and nothing that outlives the call may keep one of its strings.
type wireRequest struct {
	Request
	buffer mem.Buffer

	mapped, raw []Header // of headers and of header_map
	seen        uint64   // bits of the names in mapped, to spare the search for doubles
}

var wireRequests = sync.Pool{New: func() any { return new(wireRequest) }}

// release gives back the bytes and makes w ready for the next call.
func (w *wireRequest) release() {
	if w.buffer != nil {
		w.buffer.Free()
	}
	for _, lines := range [...][]Header{w.mapped, w.raw, w.ContextExtensions, w.set} {
		clear(lines)
	}
	clear(w.remove)
	*w = wireRequest{mapped: w.mapped[:0], raw: w.raw[:0], Request: Request{
		ContextExtensions: w.ContextExtensions[:0], set: w.set[:0], remove: w.remove[:0],
	}}
	wireRequests.Put(w)
}

// read walks a CheckRequest. One that can't be decoded leaves an empty Request,
// which is a malformed one.
func (w *wireRequest) read(message []byte) {
	if !eachField(message, w.checkRequest) {
		w.Request = Request{}
		return
	}
	// Folded only now: to protobuf, X and x are two keys of a map.
	for i := range w.mapped {
		w.mapped[i].Name = lower(w.mapped[i].Name)
	}
	switch {
	case len(w.raw) == 0:
		w.Headers = w.mapped
	case len(w.mapped) == 0:
		w.Headers = w.raw
	default:
		w.mapped = append(w.mapped, w.raw...)
		w.Headers = w.mapped
	}
	w.ID = w.First("x-request-id")
}

// eachField visits the length-delimited fields of a message in order. False means
// that the message or a visit is no good.
func eachField(message []byte, visit func(protowire.Number, []byte) bool) bool {
	for len(message) > 0 {
		if number, value, rest, ok := shortField(message); ok {
			if !visit(number, value) {
				return false
			}
			message = rest
			continue
		}
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return false
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 || !visit(number, value) {
			return false
		}
		message = message[n:]
	}
	return true
}

// shortField reads what nearly every field is: a tag of one byte, length-delimited,
// and a length of one or two bytes. It is eachField's first guess.
func shortField(b []byte) (number protowire.Number, value, rest []byte, ok bool) {
	if len(b) < 3 || b[0] >= 0x80 || b[0]&7 != byte(protowire.BytesType) || b[0]>>3 == 0 {
		return 0, nil, nil, false
	}
	n, from := int(b[1]), 2
	if n >= 0x80 {
		if b[2] == 0 || b[2] >= 0x80 {
			return 0, nil, nil, false
		}
		n, from = n&0x7f|int(b[2])<<7, 3
	}
	if len(b)-from < n {
		return 0, nil, nil, false
	}
	return protowire.Number(b[0] >> 3), b[from : from+n], b[from+n:], true
}

func (w *wireRequest) checkRequest(number protowire.Number, value []byte) bool {
	return number != 1 || eachField(value, w.attributes)
}

func (w *wireRequest) attributes(number protowire.Number, value []byte) bool {
	switch number {
	case 4:
		return eachField(value, w.request)
	case 10:
		var e mapEntry
		if !eachField(value, e.field) {
			return false
		}
		w.ContextExtensions = put(w.ContextExtensions, Header(e))
		return w.bounded()
	}
	return true
}

func (w *wireRequest) request(number protowire.Number, value []byte) bool {
	return number != 2 || eachField(value, w.http)
}

func (w *wireRequest) http(number protowire.Number, value []byte) bool {
	switch number {
	case 2:
		return readString(&w.Method, value)
	case 3:
		var e mapEntry
		if !eachField(value, e.field) {
			return false
		}
		w.header(Header(e))
		return w.bounded()
	case 4:
		return readString(&w.Target, value)
	case 5:
		return readString(&w.Host, value)
	case 6:
		return readString(&w.Scheme, value)
	case 13:
		return eachField(value, w.headerMap)
	}
	return true
}

// header adds an entry of the headers map. Envoy sends each name once; that it
// does is looked up only where a bit says that it might not have.
func (w *wireRequest) header(h Header) {
	bit := uint64(1) << (len(h.Name) & 63)
	if len(h.Name) > 0 {
		bit = 1 << ((len(h.Name) + 7*int(h.Name[0]) + 13*int(h.Name[len(h.Name)-1])) & 63)
	}
	if w.seen&bit != 0 {
		w.mapped = put(w.mapped, h)
		return
	}
	w.seen |= bit
	w.mapped = append(w.mapped, h)
}

// put replaces the entry of that name, or adds it.
func put(entries []Header, h Header) []Header {
	for i := range entries {
		if entries[i].Name == h.Name {
			entries[i].Value = h.Value
			return entries
		}
	}
	return append(entries, h)
}

func (w *wireRequest) headerMap(number protowire.Number, value []byte) bool {
	if number != 1 {
		return true
	}
	var line headerLine
	if !eachField(value, line.field) {
		return false
	}
	if line.raw != "" {
		line.value = line.raw
	}
	w.raw = append(w.raw, Header{lower(line.key), line.value})
	return w.bounded()
}

// bounded ends the walk where there are too many lines: looking for doubles among
// them would take a time that grows with their square.
func (w *wireRequest) bounded() bool {
	return len(w.mapped)+len(w.raw)+len(w.ContextExtensions) <= maxLines
}

// headerLine is a HeaderValue: text, or bytes where the proxy sends them raw.
type headerLine struct{ key, value, raw string }

func (l *headerLine) field(number protowire.Number, value []byte) bool {
	switch number {
	case 1:
		return readString(&l.key, value)
	case 2:
		return readString(&l.value, value)
	case 3:
		l.raw = view(value)
	}
	return true
}

// mapEntry is an entry of a map from string to string.
type mapEntry Header

func (e *mapEntry) field(number protowire.Number, value []byte) bool {
	switch number {
	case 1:
		return readString(&e.Name, value)
	case 2:
		return readString(&e.Value, value)
	}
	return true
}

func readString(into *string, value []byte) bool {
	*into = view(value)
	return utf8.Valid(value)
}

// view makes a string of bytes without copying them. Nobody may write to them while
// the string is used; those of a message are held until release.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

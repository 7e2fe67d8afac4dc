package authz

import (
	"sync"
	"unicode/utf8"
	"unsafe"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the ordinary codec, for every other message
	"google.golang.org/grpc/experimental"
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

// ServerCodec is the codec that RegisterCheck needs, and memory to its measure. It
// holds for the whole server: messages other than those of Check go the ordinary way.
func ServerCodec() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ForceServerCodecV2(wireCodec{encoding.GetCodecV2("proto")}), experimental.BufferPool(buffers)}
}

// buffers is memory for questions and answers. What a pool hands out it clears, up to
// the size that it keeps: grpc's own keeps 4 and then 16 KiB, so that it clears four
// times what a question with a session's cookie takes.
var buffers = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(8, 10, 11, 12, 13, 14, 15, 17, 20) // in powers of two
	if err != nil {
		panic("authz: " + err.Error())
	}
	return pool
}()

type wireServer struct{ engine func() *Engine }

var checkService = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	// A stream that streams neither way is what grpc makes of a unary method too, by a
	// closure for each call.
	Streams:  []grpc.StreamDesc{{StreamName: "Check", Handler: handleCheck}},
	Metadata: authv3.Authorization_ServiceDesc.Metadata,
}

func handleCheck(srv any, call grpc.ServerStream) error {
	in := wireRequests.Get().(*wireRequest)
	defer in.release()
	if err := call.RecvMsg(in); err != nil {
		return err // the transport's: there is no request to answer
	}
	j := srv.(*wireServer).engine().decide(call.Context(), &in.Request)
	defer j.release()
	return call.SendMsg(encodeAnswer(&j.Decision))
}

// wireCodec walks CheckRequests and leaves the rest to the ordinary codec.
type wireCodec struct{ encoding.CodecV2 }

// Unmarshal reads a message. It never fails for a CheckRequest.
func (c wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*wireRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	in.buffer = data.MaterializeToBuffer(buffers)
	in.read(in.buffer.ReadOnlyData())
	return nil
}

// Marshal writes a message.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ok := v.(mem.Buffer); ok {
		return mem.BufferSlice{answer}, nil
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
	lines       int      // in the message so far, those included that another replaced
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
		ContextExtensions: w.ContextExtensions[:0], set: w.set[:0], text: w.text[:0], remove: w.remove[:0],
	}}
	wireRequests.Put(w)
}

// read walks a CheckRequest. One that can't be decoded leaves an empty Request,
// which is a malformed one.
func (w *wireRequest) read(message []byte) {
	if !w.checkRequest(message) {
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

// fields goes over the length-delimited fields of a message in order.
type fields struct {
	rest   []byte
	broken bool

	// The field that next found.
	number protowire.Number
	value  []byte
}

// next finds the next field; false is the end of the message, or of what can be
// decoded of it.
func (f *fields) next() bool {
	for len(f.rest) > 0 {
		// Nearly every field has a tag of one byte and a length of one or two.
		if b := f.rest; len(b) >= 3 && b[0] < 0x80 && b[0]&7 == byte(protowire.BytesType) && b[0]>>3 != 0 {
			n, from := int(b[1]), 2
			if n >= 0x80 {
				n, from = n&0x7f|int(b[2])<<7, 3
			}
			if (from == 2 || b[2] != 0 && b[2] < 0x80) && n <= len(b)-from {
				f.number, f.value, f.rest = protowire.Number(b[0]>>3), b[from:from+n], b[from+n:]
				return true
			}
		}
		number, kind, n := protowire.ConsumeTag(f.rest)
		if n < 0 {
			return f.fail()
		}
		value := f.rest[n:]
		if kind == protowire.BytesType {
			f.number = number
			if f.value, n = protowire.ConsumeBytes(value); n < 0 {
				return f.fail()
			}
			f.rest = value[n:]
			return true
		}
		if n = protowire.ConsumeFieldValue(number, kind, value); n < 0 {
			return f.fail()
		}
		f.rest = value[n:]
	}
	return false
}

func (f *fields) fail() bool {
	f.broken = true
	return false
}

func (w *wireRequest) checkRequest(message []byte) bool {
	f := fields{rest: message}
	for f.next() {
		if f.number == 1 && !w.attributes(f.value) {
			return false
		}
	}
	return !f.broken
}

func (w *wireRequest) attributes(message []byte) bool {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case 1:
			if !w.source(f.value) {
				return false
			}
		case 4:
			if !w.request(f.value) {
				return false
			}
		case 10:
			e, ok := mapEntry(f.value)
			if !ok {
				return false
			}
			w.ContextExtensions = put(w.ContextExtensions, e)
			if !w.countLine() {
				return false
			}
		}
	}
	return !f.broken
}

func (w *wireRequest) source(message []byte) bool {
	f, ok := fields{rest: message}, true
	for ok && f.next() {
		if f.number == 5 {
			w.Certificate, ok = readString(f.value)
		}
	}
	return ok && !f.broken
}

func (w *wireRequest) request(message []byte) bool {
	f := fields{rest: message}
	for f.next() {
		if f.number == 2 && !w.http(f.value) {
			return false
		}
	}
	return !f.broken
}

func (w *wireRequest) http(message []byte) bool {
	f, ok := fields{rest: message}, true
	for ok && f.next() {
		switch f.number {
		case 2:
			w.Method, ok = readString(f.value)
		case 3:
			var e Header
			if e, ok = mapEntry(f.value); ok {
				w.header(e)
				ok = w.countLine()
			}
		case 4:
			w.Target, ok = readString(f.value)
		case 5:
			w.Host, ok = readString(f.value)
		case 6:
			w.Scheme, ok = readString(f.value)
		case 13:
			ok = w.headerMap(f.value)
		}
	}
	return ok && !f.broken
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

// headerMap adds lines: their text, or bytes where the proxy sends them raw.
func (w *wireRequest) headerMap(message []byte) bool {
	f := fields{rest: message}
	for f.next() {
		if f.number != 1 {
			continue
		}
		var key, value, raw string
		line, ok := fields{rest: f.value}, true
		for ok && line.next() {
			switch line.number {
			case 1:
				key, ok = readString(line.value)
			case 2:
				value, ok = readString(line.value)
			case 3:
				raw = view(line.value)
			}
		}
		if raw != "" {
			value = raw
		}
		w.raw = append(w.raw, Header{lower(key), value})
		if !ok || line.broken || !w.countLine() {
			return false
		}
	}
	return !f.broken
}

// countLine ends the walk where there are too many lines: looking for doubles among
// them would take a time that grows with their square. Doubles count as well, which no
// proxy sends, since each is a search.
func (w *wireRequest) countLine() bool {
	w.lines++
	return w.lines <= maxLines
}

// mapEntry is an entry of a map from string to string.
func mapEntry(message []byte) (e Header, ok bool) {
	// Nearly every entry is a key and a value, each once, with lengths of one byte.
	if m := message; len(m) >= 4 && m[0] == 1<<3|byte(protowire.BytesType) && int(m[1]) <= len(m)-4 {
		key, value := m[2:2+int(m[1])], m[2+int(m[1]):]
		// A length of two bytes isn't ASCII.
		if value[0] == 2<<3|byte(protowire.BytesType) && int(value[1]) == len(value)-2 && isASCII(m) {
			return Header{view(key), view(value[2:])}, true
		}
	}
	f, ok := fields{rest: message}, true
	for ok && f.next() {
		switch f.number {
		case 1:
			e.Name, ok = readString(f.value)
		case 2:
			e.Value, ok = readString(f.value)
		}
	}
	return e, ok && !f.broken
}

// readString gives a string, which has to be UTF-8.
func readString(value []byte) (string, bool) {
	return view(value), isASCII(value) || utf8.Valid(value)
}

// view makes a string of bytes without copying them. Nobody may write to them while
// the string is used; those of a message are held until release.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

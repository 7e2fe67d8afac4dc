package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// startCheckServer serves Check as serve does, with a rule that lets /healthz pass.
func startCheckServer(t *testing.T, c *configv1.CheckListener) (address string) {
	t.Helper()
	a, err := buildAuthorizer(readConfig(t, "rules: [{name: health, match: {paths: [/healthz]}, public: true}]"), io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newCheckServer(c, nil, a.engine, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
		a.close()
	})
	return listener.Addr().String()
}

// healthz is the question whether /healthz may pass, as a gRPC message.
func healthz(t *testing.T) []byte {
	t.Helper()
	message, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "api.example.com", Path: "/healthz"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// wire is a connection of HTTP/2, written frame by frame.
type wire struct {
	*http2.Framer
	t      *testing.T
	conn   net.Conn
	out    bytes.Buffer // HPACK's
	hpack  *hpack.Encoder
	stream uint32
}

func dialWire(t *testing.T, address string) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w := &wire{Framer: http2.NewFramer(conn, conn), t: t, conn: conn, stream: 1}
	w.hpack = hpack.NewEncoder(&w.out)
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err = errors.Join(err, w.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return w
}

// headers are those of a call, in HPACK.
func (w *wire) headers(path string, more ...string) []byte {
	w.out.Reset()
	fields := append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "check", "content-type", "application/grpc", "te", "trailers"}, more...)
	for pair := range slices.Chunk(fields, 2) {
		if err := w.hpack.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]}); err != nil {
			w.t.Fatal(err)
		}
	}
	return slices.Clone(w.out.Bytes())
}

// call makes a call, and gives its grpc-status, or how it was refused.
func (w *wire) call(path string, message []byte, headers ...string) string {
	w.t.Helper()
	const frame = 16 << 10
	id, block := w.stream, w.headers(path, headers...)
	w.stream += 2
	first := block[:min(len(block), frame)]
	err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: len(first) == len(block)})
	for rest := block[len(first):]; len(rest) > 0; {
		next := rest[:min(len(rest), frame)]
		rest = rest[len(next):]
		err = errors.Join(err, w.WriteContinuation(id, len(rest) == 0, next))
	}
	if err = errors.Join(err, w.WriteData(id, true, message)); err != nil {
		return "closed"
	}
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			status := ""
			for _, field := range f.Fields {
				if field.Name == "grpc-status" {
					status = field.Value
				}
			}
			if f.StreamID == id && f.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset"
			}
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// wantServing holds that a caller that comes now is answered.
func wantServing(t *testing.T, address string) {
	t.Helper()
	if got := dialWire(t, address).call(checkPath, healthz(t)); got != "0" {
		t.Errorf("another caller gets %q, want an answer", got)
	}
}

// TestSEC_5_44_OnlyTheExactPath: a method's name that isn't spelled as it is
// registered, without its slash above all (CVE-2026-33186), is no method.
func TestSEC_5_44_OnlyTheExactPath(t *testing.T) {
	address := startCheckServer(t, nil)
	wantServing(t, address)
	for _, path := range []string{
		checkPath[1:], "/" + checkPath, "//" + checkPath[1:], checkPath + "/", checkPath + "?", checkPath + "?a=b", checkPath + "#", checkPath + " ", " " + checkPath, strings.ToLower(checkPath), strings.ToUpper(checkPath),
		"/envoy.service.auth.v3.Authorization", "/envoy.service.auth.v3.Authorization//Check", "/envoy.service.auth.v3.Authorization/./Check", "/envoy.service.auth.v3.Authorization/../envoy.service.auth.v3.Authorization/Check", "/envoy.service.auth.v3.Authorization%2fCheck", "/envoy.service.auth.v3.Authorization/%43heck",
		"/envoy.service.auth.v2.Authorization/Check", "Authorization/Check", "Check", "/Check", "/", "", "*", "http://check" + checkPath, "\\envoy.service.auth.v3.Authorization\\Check", ".", "..", "/\x00",
		"grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
		switch got := dialWire(t, address).call(path, healthz(t)); got {
		case "12", "13", "reset", "closed", "": // Unimplemented, Internal, or not even that
			if got == "13" && strings.HasPrefix(path, "/") {
				t.Errorf("%q: got Internal, want Unimplemented", path)
			}
		default:
			t.Errorf("%q: got grpc-status %q, want %v", path, got, codes.Unimplemented)
		}
	}
	wantServing(t, address)
}

// TestSEC_5_45_FloodOfResets: calls that are begun and given up as fast as they can
// be written (CVE-2023-44487) run no more at once than may, and take nothing from
// other callers.
func TestSEC_5_45_FloodOfResets(t *testing.T) {
	address := startCheckServer(t, nil)
	before := runtime.NumGoroutine()
	w := dialWire(t, address)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, err := w.ReadFrame(); err != nil {
				return
			}
		}
	})
	const resets = 20_000
	message, sent, most := healthz(t), 0, 0
	for i := range resets {
		id := w.stream
		w.stream += 2
		err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.headers(checkPath), EndHeaders: true})
		if i%2 == 0 { // a whole call, or only the beginning of one
			err = errors.Join(err, w.WriteData(id, i%4 == 0, message))
		}
		if err = errors.Join(err, w.WriteRSTStream(id, http2.ErrCodeCancel)); err != nil {
			break // it has had enough
		}
		sent++
		if i%100 == 0 {
			most = max(most, runtime.NumGoroutine()-before)
		}
		if i == resets/2 {
			wantServing(t, address)
		}
	}
	t.Logf("%d resets were sent; at most %d goroutines ran for them", sent, most)
	if most > 4096+200 {
		t.Errorf("%d goroutines", most)
	}
	wantServing(t, address)
	w.conn.Close()
	reading.Wait()
	eventually(t, "what was given up has ended", func() bool { return runtime.NumGoroutine() < before+150 })
}

// TestSEC_5_45_EndlessHeaders: header blocks that don't end (CVE-2023-45288) end with
// their connection, before a megabyte is read of them.
func TestSEC_5_45_EndlessHeaders(t *testing.T) {
	address := startCheckServer(t, nil)
	for name, more := range map[string][]string{"long values": {"x-long", strings.Repeat("x", 8<<10)}, "many fields": slices.Repeat([]string{"x", "y"}, 2000)} {
		w := dialWire(t, address)
		err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.headers(checkPath)})
		written := 0
		for err == nil && written < 16<<20 {
			w.out.Reset()
			for pair := range slices.Chunk(more, 2) { // never indexed, so that each takes its room
				if err := w.hpack.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1], Sensitive: true}); err != nil {
					t.Fatal(err)
				}
			}
			written += w.out.Len()
			err = w.WriteContinuation(1, false, w.out.Bytes())
		}
		t.Logf("%s: %d bytes were written", name, written)
		if err == nil || written > 8<<20 { // what a socket holds besides
			t.Errorf("%s: %d bytes of headers, and the connection is there", name, written)
		}
	}
	wantServing(t, address)
}

// TestSEC_5_45_HeadersOfACall: what a call's own header may hold is far less than a
// message, and more than any proxy sends.
func TestSEC_5_45_HeadersOfACall(t *testing.T) {
	address := startCheckServer(t, nil)
	for size, want := range map[int]bool{1 << 10: true, 32 << 10: true, 128 << 10: false, 1 << 20: false} {
		if got := dialWire(t, address).call(checkPath, healthz(t), "x-long", strings.Repeat("x", size)); (got == "0") != want {
			t.Errorf("%d bytes: got %q, want an answer: %t", size, got, want)
		}
	}
	wantServing(t, address)
}

// TestSEC_5_45_LimitsAreTold: the server says how many calls it takes at
// once on a connection, and which size of header.
func TestSEC_5_45_LimitsAreTold(t *testing.T) {
	w := dialWire(t, startCheckServer(t, nil))
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		settings, ok := frame.(*http2.SettingsFrame)
		if !ok || settings.IsAck() {
			continue
		}
		for id, want := range map[http2.SettingID]uint32{http2.SettingMaxConcurrentStreams: 4096, http2.SettingMaxHeaderListSize: callHeader} {
			if got, ok := settings.Value(id); !ok || got != want {
				t.Errorf("%v: got %d, want %d", id, got, want)
			}
		}
		return
	}
}

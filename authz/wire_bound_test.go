package authz

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// field is a length-delimited field that holds parts one after the other.
func field(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(parts, nil))
}

// wireMessage is a CheckRequest with these fields of its HTTP request, and of its attributes.
func wireMessage(http, attributes []byte) []byte {
	http = append(field(2, []byte("GET")), http...)
	return field(1, field(4, field(2, http)), attributes)
}

// TestWireWalkEndsWhereThereAreTooManyLines, of whichever kind, and whether they are held
// or replace another: looking for doubles would else take a time that grows with their
// square, 0.4 s for a message of a megabyte.
func TestWireWalkEndsWhereThereAreTooManyLines(t *testing.T) {
	numbered := func(i int) []byte { return field(1, fmt.Appendf(nil, "name-%d", i)) }
	same := func(int) []byte { return field(1, []byte("name")) }
	lines := func(number protowire.Number, of func(int) []byte, n int) (all []byte) {
		for i := range n {
			all = append(all, field(number, of(i))...)
		}
		return all
	}
	for name, of := range map[string]func(n int) []byte{
		"headers":          func(n int) []byte { return wireMessage(lines(3, numbered, n), nil) },
		"one header again": func(n int) []byte { return wireMessage(lines(3, same, n), nil) },
		"raw headers":      func(n int) []byte { return wireMessage(field(13, lines(1, numbered, n)), nil) },
		"extensions":       func(n int) []byte { return wireMessage(nil, lines(10, numbered, n)) },
		"one extension":    func(n int) []byte { return wireMessage(nil, lines(10, same, n)) },
		"some of each": func(n int) []byte {
			return wireMessage(slices.Concat(lines(3, same, 400), field(13, lines(1, same, 400))), lines(10, same, n-800))
		},
		"in repeated fields": func(n int) []byte {
			return append(wireMessage(lines(3, same, 400), nil), wireMessage(lines(3, same, n-400), nil)...)
		},
	} {
		for n, want := range map[int]string{maxLines: "GET", maxLines + 1: "", 8 * maxLines: ""} {
			message := of(n)
			var w wireRequest
			w.read(message)
			if w.Method != want || w.lines > maxLines+1 {
				t.Errorf("%d of %s: got method %q after %d lines, want %q", n, name, w.Method, w.lines, want)
			}
			compareWithGenerated(t, message)
		}
	}
}

// TestWireWalkIsNoDeeperThanTheGeneratedCode: what it reads has five messages in each
// other; only groups, which it skips, can be deeper, and end where protobuf's do.
func TestWireWalkIsNoDeeperThanTheGeneratedCode(t *testing.T) {
	groups := func(n int) []byte {
		start, end := protowire.AppendTag(nil, 99, protowire.StartGroupType), protowire.AppendTag(nil, 99, protowire.EndGroupType)
		return append(bytes.Repeat(start, n), bytes.Repeat(end, n)...)
	}
	for _, row := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"none", wireMessage(nil, nil), "GET"},
		{"a few beside the attributes", append(wireMessage(nil, nil), groups(10)...), "GET"},
		{"a few in the HTTP request", wireMessage(groups(10), nil), "GET"},
		{"very deep ones beside the attributes", append(wireMessage(nil, nil), groups(200_000)...), ""},
		{"very deep ones in them", wireMessage(nil, groups(200_000)), ""},
		{"very deep ones in the HTTP request", wireMessage(groups(200_000), nil), ""},
		{"very deep ones in a header", wireMessage(field(3, groups(200_000)), nil), ""},
		{"very deep ones in a raw header", wireMessage(field(13, field(1, groups(200_000))), nil), ""},
		{"one that doesn't end", append(wireMessage(nil, nil), groups(1)[:2]...), ""},
	} {
		var w wireRequest
		w.read(row.message)
		if w.Method != row.want {
			t.Errorf("%s: got method %q, want %q", row.name, w.Method, row.want)
		}
		if err := proto.Unmarshal(row.message, new(authv3.CheckRequest)); (err == nil) != (row.want != "") {
			t.Errorf("%s: the generated code ends in %v", row.name, err)
		}
	}
}

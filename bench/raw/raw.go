// Package raw asks an ext_authz server with messages as they are on the wire, so that
// what is measured is the server's work and not a client's.
package raw

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

// prefix is the flag byte and the four bytes of length before a gRPC message.
const prefix = 5

// Messages cuts frames, as mkframe writes them one behind the other, into messages
// without the prefix. They share the memory of frames.
func Messages(frames []byte) ([][]byte, error) {
	var list [][]byte
	for len(frames) > 0 {
		if len(frames) < prefix {
			return nil, fmt.Errorf("%d bytes behind message %d are none", len(frames), len(list))
		}
		end := prefix + int(binary.BigEndian.Uint32(frames[1:]))
		if end > len(frames) {
			return nil, fmt.Errorf("message %d is cut short", len(list)+1)
		}
		list = append(list, frames[prefix:end])
		frames = frames[end:]
	}
	return list, nil
}

// Check asks with a CheckRequest and gives the CheckResponse, both encoded.
func Check(ctx context.Context, c *grpc.ClientConn, message []byte) (answer []byte, err error) {
	err = c.Invoke(ctx, authv3.Authorization_Check_FullMethodName, message, &answer, grpc.ForceCodec(verbatim{}))
	return answer, err
}

// Size is how long an answer is on the wire, prefix included.
func Size(answer []byte) int { return prefix + len(answer) }

// verbatim is a codec that leaves messages as they are.
type verbatim struct{}

func (verbatim) Name() string                  { return "proto" }
func (verbatim) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (verbatim) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

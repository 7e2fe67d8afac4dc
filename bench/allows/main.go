// Command allows posts one frame of mkframe's to an ext_authz server, prints how
// many bytes the answer has on the wire, and fails unless it is an allow. A
// measurement asks it first, so that a fast denial never passes for speed.
//
//	allows HOST:PORT FRAME
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// prefix is the flag byte and the four bytes of length before a gRPC message.
const prefix = 5

func main() {
	log.SetFlags(0)
	log.SetPrefix("allows: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: allows HOST:PORT FRAME")
	}
	size, err := ask(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size)
}

// ask gives the size in bytes of the answer to the frame in file.
func ask(address, file string) (int, error) {
	frame, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if len(frame) < prefix {
		return 0, fmt.Errorf("%s: not a gRPC message", file)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var message []byte
	if err := conn.Invoke(ctx, authv3.Authorization_Check_FullMethodName, frame[prefix:], &message, grpc.ForceCodec(verbatim{})); err != nil {
		return 0, err
	}
	answer := &authv3.CheckResponse{}
	if err := proto.Unmarshal(message, answer); err != nil {
		return 0, err
	}
	if code := answer.GetStatus().GetCode(); code != 0 {
		return 0, fmt.Errorf("denied: code %d, %v", code, answer.GetDeniedResponse())
	}
	if len(answer.GetOkResponse().GetHeaders()) == 0 {
		return 0, errors.New("allowed, but without the identity headers that the rule sets")
	}
	return prefix + len(message), nil
}

// verbatim is a codec that leaves messages as they are on the wire: the size of
// the answer is the server's doing, not that of a second encoding.
type verbatim struct{}

func (verbatim) Name() string                  { return "proto" }
func (verbatim) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (verbatim) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

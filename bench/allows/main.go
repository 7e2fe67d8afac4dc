// Command allows posts one frame of mkframe's to an ext_authz server, prints how
// many bytes the answer has on the wire, and fails unless it is an allow with identity
// headers, or with -deny a denial. A measurement asks it first, so that a fast denial
// never passes for speed.
//
//	allows [-deny] HOST:PORT FRAME
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/bench/raw"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("allows: ")
	deny := flag.Bool("deny", false, "it has to be a denial")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: allows [-deny] HOST:PORT FRAME")
	}
	size, err := ask(flag.Arg(0), flag.Arg(1), *deny)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size)
}

// ask gives the size in bytes of the answer to the first frame in file.
func ask(address, file string, deny bool) (int, error) {
	frames, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	messages, err := raw.Messages(frames)
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("%s: not gRPC messages (%w)", file, err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message, err := raw.Check(ctx, conn, messages[0])
	if err != nil {
		return 0, err
	}
	answer := &authv3.CheckResponse{}
	if err := proto.Unmarshal(message, answer); err != nil {
		return 0, err
	}
	code := answer.GetStatus().GetCode()
	switch {
	case deny && code == 0:
		return 0, errors.New("allowed, where a denial was wanted")
	case deny:
		return raw.Size(message), nil
	case code != 0:
		return 0, fmt.Errorf("denied: code %d, %v", code, answer.GetDeniedResponse())
	case len(answer.GetOkResponse().GetHeaders()) == 0:
		return 0, errors.New("allowed, but without the identity headers that the rule sets")
	}
	return raw.Size(message), nil
}

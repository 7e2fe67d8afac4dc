// Command flood asks an ext_authz server about so many different good tokens, and
// prints how much memory the server had resident, in MiB: before, after the first
// 10,000, and at most.
//
//	flood [-n TOKENS] [-pid PID] [-key ed.pem] HOST:PORT
//
// The tokens are signed as they are sent, by EdDSA with the key of mkframe. Every
// answer has to be an allow.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// callers ask at the same time.
const callers = 64

func main() {
	log.SetFlags(0)
	log.SetPrefix("flood: ")
	n := flag.Int("n", 1_000_000, "how many `tokens`")
	pid := flag.Int("pid", 0, "the server's process `id`")
	key := flag.String("key", "fixtures/ed.pem", "`file` of the signing key")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: flood [-n TOKENS] [-pid PID] [-key FILE] HOST:PORT")
	}
	if err := run(flag.Arg(0), *key, *n, *pid); err != nil {
		log.Fatal(err)
	}
}

func run(address, keyFile string, n, pid int) error {
	key, err := load(keyFile)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	idle, _, err := resident(pid)
	if err != nil {
		return err
	}
	some := min(n, 10_000)
	if err := ask(authv3.NewAuthorizationClient(conn), key, 0, some); err != nil {
		return err
	}
	after, _, err := resident(pid)
	if err != nil {
		return err
	}
	if err := ask(authv3.NewAuthorizationClient(conn), key, some, n); err != nil {
		return err
	}
	_, most, err := resident(pid)
	if err != nil {
		return err
	}
	fmt.Printf("resident: idle %d MiB, with %d tokens %d MiB, at most %d MiB over %d tokens\n", idle, some, after, most, n)
	return nil
}

func load(file string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s isn't PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s isn't an Ed25519 key", file)
	}
	return private, nil
}

// ask asks about the tokens of these numbers.
func ask(client authv3.AuthorizationClient, key ed25519.PrivateKey, from, to int) error {
	var next atomic.Int64
	next.Store(int64(from))
	errs := make(chan error, callers)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(to); i = next.Add(1) - 1 {
				answer, err := client.Check(context.Background(), request(token(key, i)))
				if err == nil && answer.GetOkResponse() == nil {
					err = fmt.Errorf("denied: %s", answer.GetDeniedResponse().GetBody())
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func request(token string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: "shop.example.test", Path: "/api/v1/orders/4711",
			Headers: map[string]string{"authorization": "Bearer " + token},
		},
	}}}
}

// token is one of 800 bytes or so, as common providers make them.
func token(key ed25519.PrivateKey, i int64) string {
	b64 := base64.RawURLEncoding.EncodeToString
	exp := time.Now().Add(time.Hour).Unix()
	input := b64([]byte(`{"alg":"EdDSA","kid":"ed1","typ":"at+jwt"}`)) + "." + b64(fmt.Appendf(nil,
		`{"iss":"https://idp.example.test/realms/main","aud":["api"],"sub":"user-%d","client_id":"web-frontend","iat":%d,"exp":%d,"jti":"a1b2c3d4-e5f6-4711-8899-%012d","email":"user-%d@example.test","scope":"openid profile email orders.read","groups":["users","admin","billing"],"name":"A User of the Shop","session":"f3b0c442-98fc-1c14-9afb-f4c8996fb924"}`,
		i, exp-3600, exp, i, i))
	return input + "." + b64(ed25519.Sign(key, []byte(input)))
}

var sizes = regexp.MustCompile(`Vm(HWM|RSS):\s+(\d+) kB`)

// resident reads how many MiB a process has resident, and had at most.
func resident(pid int) (now, most int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, m := range sizes.FindAllStringSubmatch(string(text), -1) {
		kib, err := strconv.Atoi(m[2])
		if err != nil {
			return 0, 0, err
		}
		if m[1] == "HWM" {
			most = kib >> 10
		} else {
			now = kib >> 10
		}
	}
	return now, most, nil
}

// Command load posts frames of mkframe's to an ext_authz server, so many at a time,
// and prints how it went as JSON: answers a second, their size in bytes, and how long
// they took in microseconds.
//
//	load [-n REQUESTS] [-skip FRAMES] [-c CONNECTIONS] [-m STREAMS] HOST:PORT FRAMES
//
// The frames are posted in turn, from the one behind those that are skipped. Where
// they end it begins anew. Answers of different sizes are an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/credence-authz/credence/bench/raw"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("load: ")
	var l load
	flag.IntVar(&l.requests, "n", 1000, "how many `requests`")
	flag.IntVar(&l.skip, "skip", 0, "how many `frames` to leave out")
	flag.IntVar(&l.connections, "c", 4, "`connections`")
	flag.IntVar(&l.streams, "m", 32, "requests in flight on each connection")
	flag.Parse()
	if flag.NArg() != 2 || min(l.requests, l.connections, l.streams) < 1 || l.skip < 0 {
		log.Fatal("usage: load [-n REQUESTS] [-skip FRAMES] [-c CONNECTIONS] [-m STREAMS] HOST:PORT FRAMES")
	}
	got, err := l.run(flag.Arg(0), flag.Arg(1))
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		log.Fatal(err)
	}
}

type load struct{ requests, skip, connections, streams int }

// result is what is printed.
type result struct {
	Rate   float64            `json:"rate"`
	Size   int                `json:"size"`
	Micros map[string]float64 `json:"micros"` // by percentile
}

func (l *load) run(address, file string) (result, error) {
	frames, err := os.ReadFile(file)
	if err != nil {
		return result{}, err
	}
	messages, err := raw.Messages(frames)
	if err != nil || len(messages) == 0 {
		return result{}, fmt.Errorf("%s: not gRPC messages (%w)", file, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var next, size atomic.Int64
	took := make([]time.Duration, l.requests)
	failed := make(chan error, l.connections*l.streams)
	var running sync.WaitGroup
	began := time.Now()
	for range l.connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return result{}, err
		}
		defer conn.Close()
		for range l.streams {
			running.Go(func() {
				for i := int(next.Add(1)) - 1; i < l.requests; i = int(next.Add(1)) - 1 {
					asked := time.Now()
					answer, err := raw.Check(ctx, conn, messages[(l.skip+i)%len(messages)])
					took[i] = time.Since(asked)
					n := int64(raw.Size(answer))
					if err == nil && !size.CompareAndSwap(0, n) && size.Load() != n {
						err = fmt.Errorf("an answer of %d bytes, and one of %d", size.Load(), n)
					}
					if err != nil {
						failed <- err
						return
					}
				}
			})
		}
	}
	running.Wait()
	whole := time.Since(began)
	close(failed)
	var all []error
	for err := range failed {
		all = append(all, err)
	}
	slices.Sort(took)
	micros := map[string]float64{}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99} {
		micros[name] = float64(took[int(share*float64(len(took)-1))].Nanoseconds()) / 1000
	}
	return result{float64(l.requests) / whole.Seconds(), int(size.Load()), micros}, errors.Join(all...)
}

//go:build !race

// The race detector makes pools drop what they are given.

package authz

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestAllocationsOfTheFastFront bounds what a call costs beside grpc: neither reading it
// nor writing the answer takes anything, the slice apart that grpc wants the answer in.
func TestAllocationsOfTheFastFront(t *testing.T) {
	corp := newIssuer(t, "corp")
	engine := newEngine(t, Options{Rules: hundredRules(), Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))})
	r := browserRequest(corp.Sign(oidctest.Token{}))
	message, err := proto.Marshal(toCheckRequest(r, false))
	if err != nil {
		t.Fatal(err)
	}
	var last Decision
	bytes := 0
	call := func(answer func(*wireRequest)) float64 {
		return testing.AllocsPerRun(200, func() {
			w := wireRequests.Get().(*wireRequest)
			w.read(message)
			answer(w)
			w.release()
		})
	}
	if got := call(func(*wireRequest) {}); got != 0 {
		t.Errorf("reading: got %v allocations, want none", got)
	}
	decide := call(func(w *wireRequest) { last = engine.Decide(context.Background(), &w.Request) })
	whole := call(func(w *wireRequest) {
		last = engine.Decide(context.Background(), &w.Request)
		answer := encodeAnswer(&last)
		bytes = answer.Len()
		answer.Free()
	})
	wantReason(t, last, audit.Allowed)
	if whole > decide {
		t.Errorf("the answer: got %v allocations, want none", whole-decide)
	}
	if bytes > 200 {
		t.Errorf("the answer has %d bytes, want at most 200", bytes)
	}
}

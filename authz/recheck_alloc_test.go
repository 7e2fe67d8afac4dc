//go:build !race

// The race detector makes pools drop what they are given.

package authz

import (
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestO13_WatchIsFree of allocations, where it doesn't choose.
func TestO13_WatchIsFree(t *testing.T) {
	w := newWatched(t)
	r := browserRequest(w.corp.Sign(oidctest.Token{}))
	count := func() float64 {
		return testing.AllocsPerRun(100, func() { w.Decide(t.Context(), r) })
	}
	w.bearer.tokens.Recheck = nil
	without := count()
	w.bearer.tokens.Recheck = NewRecheck(1<<31, nil)
	if with := count(); with != without {
		t.Errorf("%v allocations, and %v without", with, without)
	}
}

//go:build !race

// The race detector makes pools drop what they are given.

package authz

import (
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestO13_WatchIsFree of allocations, where it doesn't choose.
func TestO13_WatchIsFree(t *testing.T) {
	w := newWatched(t)
	token, now := oidc.RawToken(w.corp.Sign(oidctest.Token{})), time.Now()
	count := func() float64 {
		return testing.AllocsPerRun(100, func() { w.bearer.authenticate(t.Context(), token, &Request{Time: now}) })
	}
	w.bearer.tokens.Recheck = nil
	without := count()
	w.bearer.tokens.Recheck = NewRecheck(1<<31, nil)
	if with := count(); with != without {
		t.Errorf("%v allocations, and %v without", with, without)
	}
}

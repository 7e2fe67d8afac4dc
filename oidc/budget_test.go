package oidc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestBudget: so many at once, so many in a second.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(3, 10)
		take := func() (n int) {
			for b.take() {
				n++
			}
			return n
		}
		if got := take(); got != 3 {
			t.Errorf("%d at once", got)
		}
		for range 3 {
			b.give()
		}
		inAll := 3
		for range 100 { // ten seconds
			time.Sleep(100 * time.Millisecond)
			for b.take() {
				inAll++
				b.give()
			}
		}
		if inAll < 109 || inAll > 110 {
			t.Errorf("%d in ten seconds and a second's worth", inAll)
		}
		time.Sleep(time.Hour)
		saved := 0
		for b.take() {
			saved++
			b.give()
		}
		if saved != 10 || b.refused() == 0 {
			t.Errorf("%d after an hour", saved)
		}
	})
}

func TestBusy(t *testing.T) {
	d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) { o.MaxPerSecond = 1 })
	d.Introspector().budget.saved = 0
	d.Introspector().budget.since = time.Now().Add(time.Hour) // nothing is saved up meanwhile
	got := d.ask(t, "x")
	if got.Refusal.Reason != audit.IntrospectionBusy || got.Refusal.RetryAfter != time.Second || got.Introspected || !got.Undecided() {
		t.Errorf("got %s", verdict(got))
	}
	if d.idp.Requests(oidctest.Introspection) != 0 || d.Introspector().Stats() != (IntrospectorStats{Busy: 1}) {
		t.Errorf("%d requests, %+v", d.idp.Requests(oidctest.Introspection), d.Introspector().Stats())
	}
}

package oidc

import (
	"encoding/binary"
	"net/netip"
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
			for b.take(netip.Addr{}) {
				n++
			}
			return n
		}
		if got := take(); got != 3 {
			t.Errorf("%d at once", got)
		}
		for range 3 {
			b.give(netip.Addr{})
		}
		inAll := 3
		for range 100 { // ten seconds
			time.Sleep(100 * time.Millisecond)
			inAll += spend(b, netip.Addr{})
		}
		if inAll < 109 || inAll > 110 {
			t.Errorf("%d in ten seconds and a second's worth", inAll)
		}
		time.Sleep(time.Hour)
		if saved := spend(b, netip.Addr{}); saved != 10 || b.refused() == 0 {
			t.Errorf("%d after an hour", saved)
		}
	})
}

// spend takes what can be had one after the other.
func spend(b *budget, from netip.Addr) (n int) {
	for b.take(from) {
		n++
		b.give(from)
	}
	return n
}

// TestBudgetIsShared: a quarter for one address, in whatever spelling.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The table's seed is random: two of these addresses may fall into one place.
		for _, row := range []struct {
			name        string
			first, then string
			same        bool
		}{
			{"one IPv4 address", "192.0.2.1", "192.0.2.1", true},
			{"one IPv4 address, mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
			{"one IPv6 network", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
			{"one IPv6 network, in a zone", "fe80::1%eth0", "fe80::2", true},
			{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
			{"two IPv6 networks", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
			{"an address and nobody known", "192.0.2.1", "", false},
		} {
			b, first, then := newBudget(40, 40), netip.MustParseAddr(row.first), netip.Addr{}
			if row.then != "" {
				then = netip.MustParseAddr(row.then)
			}
			if !row.same && b.share(first) == b.share(then) {
				continue
			}
			if got := spend(b, first); got != 10 {
				t.Errorf("%s: %d for the first", row.name, got)
			}
			want := 10
			switch {
			case row.same:
				want = 0
			case row.then == "":
				want = 30
			}
			if got := spend(b, then); got != want {
				t.Errorf("%s: %d for the second, want %d", row.name, got, want)
			}
			time.Sleep(100 * time.Millisecond) // a share grows by one
			if got := spend(b, first); got != 1 {
				t.Errorf("%s: %d a tenth of a second later", row.name, got)
			}
		}
	})
}

// TestBudgetAtOnceIsShared: a slow provider leaves three quarters to others.
func TestBudgetAtOnceIsShared(t *testing.T) {
	for _, row := range []struct{ atOnce, each int }{{40, 10}, {3, 1}, {1, 1}} {
		b, from := newBudget(row.atOnce, 1000), netip.MustParseAddr("192.0.2.1")
		n := 0
		for b.take(from) {
			n++
		}
		if n != row.each || b.refused() != 1 {
			t.Errorf("%d at once for one of %d, want %d", n, row.atOnce, row.each)
		}
		for range n {
			b.give(from)
		}
		if b.all.busy != 0 || b.share(from).busy != 0 {
			t.Errorf("%d and %d are busy in the end", b.all.busy, b.share(from).busy)
		}
	}
}

// TestSEC_5_66_BudgetIsBounded: a flood of addresses gets no more than the whole, and
// costs no memory.
func TestSEC_5_66_BudgetIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 100)
		from := func(i int) netip.Addr {
			var a [16]byte
			binary.BigEndian.PutUint64(a[:], 0x20010db8<<32+uint64(i))
			return netip.AddrFrom16(a)
		}
		granted := 0
		for i := range 10_000 {
			if b.take(from(i)) {
				granted++
				b.give(from(i))
			}
		}
		if granted != 100 {
			t.Errorf("%d of a second's 100", granted)
		}
		time.Sleep(time.Second)
		i := 0
		if allocs := testing.AllocsPerRun(1000, func() {
			if b.take(from(i)) {
				b.give(from(i))
			}
			i++
		}); allocs != 0 {
			t.Errorf("%v allocations for an address", allocs)
		}
	})
}

func TestBusy(t *testing.T) {
	d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) { o.MaxPerSecond = 1 })
	d.Introspector().budget.all.saved = 0
	d.Introspector().budget.all.since = time.Now().Add(time.Hour) // nothing is saved up meanwhile
	got := d.ask(t, "x")
	if got.Refusal.Reason != audit.IntrospectionBusy || got.Refusal.RetryAfter != time.Second || got.Introspected || !got.Undecided() {
		t.Errorf("got %s", verdict(got))
	}
	if d.idp.Requests(oidctest.Introspection) != 0 || d.Introspector().Stats() != (IntrospectorStats{Busy: 1}) {
		t.Errorf("%d requests, %+v", d.idp.Requests(oidctest.Introspection), d.Introspector().Stats())
	}
}

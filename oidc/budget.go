package oidc

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
)

// budget bounds what strangers can make us ask of a provider: so many requests at
// once, and so many in a second on average. A second's worth may come in one go.
// What is over is refused, not queued: a queue of guesses would make everybody
// wait.
//
// One client address gets at most a quarter of both, so that it takes four to use
// up all of it. Addresses are kept in a table of fixed size, by a hash that nobody
// outside can foresee: floods of them cost no memory, and two that fall into one
// place share its quarter.
type budget struct {
	seed        maphash.Seed
	whole, part limit // of all, and of one address

	mu     sync.Mutex
	all    use
	shares [512]use
	denied uint64
}

// limit is how much may be used, at once and in a second; burst is what may be
// saved up.
type limit struct {
	atOnce           int
	perSecond, burst float64
}

// use is how much of a limit is.
type use struct {
	busy  int       // under way
	saved float64   // requests that may begin, as of since
	since time.Time // zero: nothing was used yet
}

func newBudget(atOnce, perSecond int) *budget {
	const quarter = 4
	part := float64(perSecond) / quarter
	return &budget{
		seed:  maphash.MakeSeed(),
		whole: limit{atOnce: atOnce, perSecond: float64(perSecond), burst: float64(perSecond)},
		part:  limit{atOnce: max(1, atOnce/quarter), perSecond: part, burst: max(1, part)},
	}
}

// take says whether one more request may begin for the caller at this address. If
// so, give ends it. The zero Addr is for callers that aren't told apart: they are
// bounded together, by the whole.
func (b *budget) take(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	share := b.share(from)
	if !b.all.leaves(&b.whole, now) || share != nil && !share.leaves(&b.part, now) {
		b.denied++
		return false
	}
	b.all.begin()
	if share != nil {
		share.begin()
	}
	return true
}

// give ends a request that take let begin for the same address.
func (b *budget) give(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all.busy--
	if share := b.share(from); share != nil {
		share.busy--
	}
}

// exceeded is what a request gets that take let not begin.
func (b *budget) exceeded(reason audit.Reason) *audit.Refusal {
	return &audit.Refusal{
		Reason: reason, RetryAfter: time.Second,
		Detail: fmt.Sprintf("more than %d at once or %g in a second, or a quarter of that from one address", b.whole.atOnce, b.whole.perSecond),
	}
}

// share is the place of an address; nil for none. All of an IPv6 network of 64 bits
// is one address: whoever has one has them all.
func (b *budget) share(from netip.Addr) *use {
	if !from.IsValid() {
		return nil
	}
	from = from.Unmap().WithZone("")
	if from.Is6() {
		network, _ := from.Prefix(64) // fits every IPv6 address
		from = network.Addr()
	}
	return &b.shares[maphash.Comparable(b.seed, from)%uint64(len(b.shares))]
}

// refused is how often take said no.
func (b *budget) refused() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.denied
}

// leaves counts what was saved up to now, and says whether the limit leaves room for
// one more request.
func (u *use) leaves(l *limit, now time.Time) bool {
	if u.since.IsZero() {
		u.saved = l.burst
	} else {
		u.saved = min(l.burst, u.saved+now.Sub(u.since).Seconds()*l.perSecond)
	}
	u.since = now
	return u.busy < l.atOnce && u.saved >= 1
}

func (u *use) begin() {
	u.busy++
	u.saved--
}

package oidc

import (
	"sync"
	"time"
)

// budget bounds what strangers can make us ask of a provider: so many requests at
// once, and so many in a second on average. A second's worth may come in one go.
// What is over is refused, not queued: a queue of guesses would make everybody
// wait. It isn't shared out by client yet, so one client can use up all of it.
type budget struct {
	perSecond float64

	mu     sync.Mutex
	free   int       // of those at once
	saved  float64   // requests that may begin, as of since
	since  time.Time // zero: nothing was used yet
	denied uint64
}

func newBudget(atOnce, perSecond int) *budget {
	return &budget{perSecond: float64(perSecond), free: atOnce, saved: float64(perSecond)}
}

// take says whether one more request may begin. If so, give ends it.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.since.IsZero() {
		b.saved = min(b.perSecond, b.saved+now.Sub(b.since).Seconds()*b.perSecond)
	}
	b.since = now
	if b.free == 0 || b.saved < 1 {
		b.denied++
		return false
	}
	b.free--
	b.saved--
	return true
}

func (b *budget) give() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free++
}

// refused is how often take said no.
func (b *budget) refused() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.denied
}

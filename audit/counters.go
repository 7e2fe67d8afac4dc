package audit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counters count decisions by rule and reason. They outlive a configuration: a
// rule of the same name goes on where it was. Counting takes no lock and looks
// nothing up; a rule's counters are fetched once, when it is compiled.
type Counters struct {
	latency histogram

	mu    sync.Mutex
	rules map[string]*RuleCounters
}

// RuleCounters count the decisions of one rule.
type RuleCounters struct {
	reasons [NumReasons]atomic.Uint64
}

// NoRuleName stands for the rule where none matched.
const NoRuleName = "-"

// NewCounters makes counters at zero.
func NewCounters() *Counters { return &Counters{rules: map[string]*RuleCounters{}} }

// Rule gives the counters of the rule of that name. The names come from the
// configuration, never from a request, so there are only so many.
func (c *Counters) Rule(name string) *RuleCounters {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rules[name]
	if r == nil {
		r = new(RuleCounters)
		c.rules[name] = r
	}
	return r
}

// Count adds a decision that took so long.
func (c *Counters) Count(r *RuleCounters, reason Reason, took time.Duration) {
	if reason >= reasonCount {
		reason = InternalError
	}
	r.reasons[reason].Add(1)
	c.latency.observe(took)
}

// Each gives every count that isn't zero.
func (c *Counters) Each(give func(rule string, reason Reason, count uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range c.rules {
		for i := range r.reasons {
			if n := r.reasons[i].Load(); n > 0 {
				give(name, Reason(i), n)
			}
		}
	}
}

// Latency is how long decisions took: how many took up to each bound, all of
// them, and their sum.
func (c *Counters) Latency() (upTo map[time.Duration]uint64, count uint64, sum time.Duration) {
	return c.latency.read()
}

// latencyBounds go from a remembered token to a proxy's patience.
var latencyBounds = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond,
	time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second,
}

type histogram struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read() (upTo map[time.Duration]uint64, count uint64, sum time.Duration) {
	upTo = make(map[time.Duration]uint64, len(latencyBounds))
	for i := range h.buckets {
		count += h.buckets[i].Load()
		if i < len(latencyBounds) {
			upTo[latencyBounds[i]] = count
		}
	}
	return upTo, count, time.Duration(h.sum.Load())
}

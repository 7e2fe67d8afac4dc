package audit

import (
	"maps"
	"sync"
	"testing"
	"time"
)

func TestCounters(t *testing.T) {
	c := NewCounters()
	orders := c.Rule("orders")
	c.Count(orders, Allowed, time.Microsecond)
	c.Count(orders, Allowed, time.Microsecond)
	c.Count(orders, NoCredential, time.Microsecond)
	c.Count(c.Rule(NoRuleName), NoRule, time.Microsecond)
	c.Count(c.Rule("orders"), TokenExpired, time.Microsecond) // after a reload
	c.Count(orders, reasonCount, time.Microsecond)
	c.Count(orders, 255, time.Microsecond)
	c.Rule("unused")
	type cell struct {
		rule   string
		reason Reason
	}
	got := map[cell]uint64{}
	c.Each(func(rule string, reason Reason, n uint64) { got[cell{rule, reason}] += n })
	want := map[cell]uint64{
		{"orders", Allowed}: 2, {"orders", NoCredential}: 1, {"orders", TokenExpired}: 1, {NoRuleName, NoRule}: 1,
		{"orders", InternalError}: 2, // reasons that there aren't
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLatency(t *testing.T) {
	c := NewCounters()
	r := c.Rule("r")
	for _, took := range []time.Duration{0, 10 * time.Microsecond, 11 * time.Microsecond, time.Millisecond, 2 * time.Second, time.Minute} {
		c.Count(r, Allowed, took)
	}
	upTo, count, sum := c.Latency()
	if count != 6 || sum != 62*time.Second+1021*time.Microsecond {
		t.Errorf("got %d in %v", count, sum)
	}
	want := map[time.Duration]uint64{10 * time.Microsecond: 2, 25 * time.Microsecond: 3, 250 * time.Microsecond: 3, time.Millisecond: 4, 500 * time.Millisecond: 4, 2 * time.Second: 5}
	for bound, n := range want {
		if upTo[bound] != n {
			t.Errorf("up to %v: got %d, want %d", bound, upTo[bound], n)
		}
	}
	if len(upTo) != len(latencyBounds) {
		t.Errorf("got %d bounds, want %d", len(upTo), len(latencyBounds))
	}
}

func TestCountersAtOnce(t *testing.T) {
	c := NewCounters()
	var wg sync.WaitGroup
	const goroutines, each = 8, 500
	for range goroutines {
		wg.Go(func() {
			for range each {
				c.Count(c.Rule("r"), Allowed, time.Microsecond)
				c.Each(func(string, Reason, uint64) {})
				c.Latency()
			}
		})
	}
	wg.Wait()
	c.Each(func(_ string, _ Reason, n uint64) {
		if n != goroutines*each {
			t.Errorf("got %d, want %d", n, goroutines*each)
		}
	})
}

package audit

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSampler(t *testing.T) {
	asks := []struct {
		name                    string
		after                   time.Duration
		provider, rule, subject string
		leftOut                 uint64
		first                   bool
	}{
		{"the first is written", 0, "corp", "orders", "alice", 0, true},
		{"the second isn't", 0, "corp", "orders", "alice", 0, false},
		{"nor is the third, in the same minute", 59 * time.Second, "corp", "orders", "alice", 0, false},
		{"another subject", 0, "corp", "orders", "bob", 0, true},
		{"another rule", 0, "corp", "invoices", "alice", 0, true},
		{"another provider", 0, "other", "orders", "alice", 0, true},
		{"names that change places", 0, "corp", "alice", "orders", 0, true},
		{"no subject", 0, "", "orders", "", 0, true},
		{"the next minute, with a count", time.Minute, "corp", "orders", "alice", 2, true},
		{"from nought again", 119 * time.Second, "corp", "orders", "alice", 0, false},
		{"an hour later", time.Hour, "corp", "orders", "alice", 1, true},
		{"the clock was set back", 30 * time.Minute, "corp", "orders", "alice", 0, true},
		{"and goes on from there", 30 * time.Minute, "corp", "orders", "alice", 0, false},
	}
	// One seed in a thousand has two of these in one slot, where they push each other out.
	var s *sampler
	for held := map[*slot]uint64{}; len(held) == 0; {
		s = newSampler()
		for _, a := range asks {
			pair, slot := s.slot(&Record{Provider: a.provider, Rule: a.rule, Subject: a.subject})
			if other, taken := held[slot]; taken && other != pair {
				clear(held)
				break
			}
			held[slot] = pair
		}
	}
	for _, a := range asks {
		leftOut, first := s.first(&Record{Time: noon.Add(a.after), Provider: a.provider, Rule: a.rule, Subject: a.subject})
		if leftOut != a.leftOut || first != a.first {
			t.Errorf("%s: got %d, %t, want %d, %t", a.name, leftOut, first, a.leftOut, a.first)
		}
	}
}

// TestSamplerNeverForgetsASubject: in a table that is far too small for them, each
// subject is written at least once.
func TestSamplerNeverForgetsASubject(t *testing.T) {
	s := newSampler()
	for round := range 2 {
		for i := range 3 * len(s.slots) {
			r := &Record{Time: noon.Add(time.Duration(round) * time.Minute), Subject: strconv.Itoa(i)}
			if _, first := s.first(r); !first {
				t.Fatalf("round %d: subject %d isn't written", round, i)
			}
		}
	}
}

// TestSamplerAtOnce: nothing is lost between those written and those counted.
func TestSamplerAtOnce(t *testing.T) {
	s := newSampler()
	s.first(&Record{Time: noon, Subject: "alice"})
	var written, counted atomic.Uint64
	var wg sync.WaitGroup
	const goroutines, each = 8, 1000
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				leftOut, first := s.first(&Record{Time: noon.Add(time.Duration(i/100) * time.Minute), Subject: "alice"})
				counted.Add(leftOut)
				if first {
					written.Add(1)
				}
			}
		})
	}
	wg.Wait()
	leftOut, first := s.first(&Record{Time: noon.Add(time.Hour), Subject: "alice"})
	if !first || written.Load() < each/100-1 {
		t.Errorf("got %t, %d written", first, written.Load())
	}
	if got := written.Load() + counted.Load() + leftOut; got != goroutines*each {
		t.Errorf("%d written, %d counted, want %d in all", written.Load(), counted.Load()+leftOut, goroutines*each)
	}
}

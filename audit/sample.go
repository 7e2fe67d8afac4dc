package audit

import (
	"hash/maphash"
	"sync/atomic"
)

// sampler tells the first allowed request of a subject and rule in a minute from
// the others. It is a fixed table without locks: two pairs that share a slot
// push each other out, which writes a line too many; at the turn of a minute, two
// requests at the same moment may write one too few.
type sampler struct {
	seed  maphash.Seed
	slots [4096]slot
}

type slot struct {
	pair  atomic.Uint64 // hash of subject and rule
	state atomic.Uint64 // minute since 1970 << 32 | left out since the last line
}

func newSampler() *sampler { return &sampler{seed: maphash.MakeSeed()} }

// slot is the place for the subject and rule of r, and what tells them from others there.
func (s *sampler) slot(r *Record) (pair uint64, _ *slot) {
	pair = maphash.String(s.seed, r.Subject) ^ maphash.String(s.seed, r.Rule)*31 ^ maphash.String(s.seed, r.Provider)*37
	return pair, &s.slots[pair%uint64(len(s.slots))]
}

// first says whether r is to be written, and how many before it weren't.
func (s *sampler) first(r *Record) (leftOut uint64, first bool) {
	pair, slot := s.slot(r)
	minute := uint64(r.Time.Unix()/60) & 0xffffffff
	if slot.pair.Load() != pair {
		slot.pair.Store(pair)
		slot.state.Store(minute << 32)
		return 0, true
	}
	for {
		state := slot.state.Load()
		if state>>32 == minute {
			// The count wraps into nothing: 2³² requests of one subject in a minute
			// are more than a server answers.
			if slot.state.CompareAndSwap(state, state+1) {
				return 0, false
			}
			continue
		}
		if slot.state.CompareAndSwap(state, minute<<32) {
			return state & 0xffffffff, true
		}
	}
}

package session

import (
	"hash/maphash"
	"sync/atomic"
)

// filter knows of nearly all names that nobody revoked them. Every request asks about
// four or five, and to look them up among ten thousand others would be a large part
// of the decision. It is a Bloom filter with one bit for a name, of whichever kind, and
// one bit in a hundred is set at ten thousand; when far more are revoked, it says of
// more and more names that they have to be looked up.
type filter struct {
	seed  maphash.Seed
	words [filterBits / 64]atomic.Uint64
}

const filterBits = 1 << 20

func newFilter() *filter { return &filter{seed: maphash.MakeSeed()} }

// add has maybe say true of name from now on.
func (f *filter) add(name string) {
	word, bit := f.place(name)
	word.Or(bit)
}

// maybe is false where name was never added; there may be no filter.
func (f *filter) maybe(name string) bool {
	if f == nil {
		return false
	}
	word, bit := f.place(name)
	return word.Load()&bit != 0
}

func (f *filter) place(name string) (*atomic.Uint64, uint64) {
	h := maphash.String(f.seed, name)
	return &f.words[h>>6%uint64(len(f.words))], 1 << (h & 63)
}

package cache

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math"
	"math/bits"
	"time"

	"github.com/allegro/bigcache/v3"
)

const (
	// maxShards is enough for cores not to meet; each shard costs about 1 KiB.
	maxShards = 256

	// A shard has room for valuesPerShard of the longest values and is never
	// smaller than minShardBytes. Under that the ring couldn't promise that an
	// entry always fits: it won't grow if its present size and the entry together
	// reach its share, so an entry has to be shorter than half of that.
	valuesPerShard = 8
	minShardBytes  = 64 << 10

	// A ring starts at 1/64 of its share, which the store wants told as a number
	// of entries, here of 1/startDivisor of the share each. An idle cache is cheap
	// that way, and doubling ends exactly at the share.
	startEntries = 16
	startDivisor = 1024

	cleanEvery  = 10 * time.Second
	longestLife = 365 * 24 * time.Hour
)

// complete fills in what was left out and refuses what can't work.
func (o *Options) complete() error {
	o.MiB = cmp.Or(o.MiB, 1) // the store takes zero for unlimited
	o.MaxValue = cmp.Or(o.MaxValue, 16<<10)
	o.MaxLife = cmp.Or(o.MaxLife, time.Minute)
	switch {
	case o.MiB < 0 || o.MiB > math.MaxInt>>20:
		return fmt.Errorf("cache: a size of %d MiB is out of range", o.MiB)
	case o.MaxValue < 0 || o.MaxValue > o.MiB<<20/valuesPerShard:
		return fmt.Errorf("cache: values of %d bytes don't go into a cache of %d MiB: the longest may have an eighth of it", o.MaxValue, o.MiB)
	case o.MaxLife < 0 || o.MaxLife > longestLife:
		return fmt.Errorf("cache: a life of %v is out of range: a year is the longest", o.MaxLife)
	}
	return nil
}

// shards is how many parts the store has, a power of two.
func (o *Options) shards() int {
	n := min(o.MiB<<20/max(minShardBytes, valuesPerShard*o.MaxValue), maxShards)
	return 1 << (bits.Len(uint(n)) - 1)
}

func (o *Options) storeConfig(onEvict func(string, []byte, bigcache.RemoveReason)) bigcache.Config {
	shards := o.shards()
	return bigcache.Config{
		Shards:           shards,
		HardMaxCacheSize: o.MiB,

		// The product of these two, over the shards, is where the rings start.
		MaxEntriesInWindow: startEntries * shards,
		MaxEntrySize:       o.MiB << 20 / shards / startDivisor,

		// Two seconds more than MaxLife, because the store cuts both of its times
		// to whole seconds: it never drops what hasn't expired.
		LifeWindow:  o.MaxLife.Truncate(time.Second) + 2*time.Second,
		CleanWindow: cleanEvery,

		Hasher:             keyHash{},
		OnRemoveWithReason: onEvict,
		Logger:             log.New(io.Discard, "", 0), // left out, each shard makes one that writes to standard output
	}.OnRemoveFilterSet(bigcache.NoSpace) // the store copies an entry to tell of it, so let it tell of few
}

// keyHash gives the store a part of the Key, which is a keyed hash as a whole.
type keyHash struct{}

// Sum64 is never zero, which the store takes to mean that an entry was deleted:
// it would drop the entry and leave its place in the index.
func (keyHash) Sum64(key string) uint64 {
	return max(binary.LittleEndian.Uint64([]byte(key[:8])), 1)
}

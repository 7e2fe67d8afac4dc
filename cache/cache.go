package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/allegro/bigcache/v3"
)

// Options bound a Cache. The zero Options make a small one.
type Options struct {
	// MiB bounds the bytes of all entries, in units of 1,048,576 bytes; the
	// package comment says what comes on top. Zero means 1.
	MiB int

	// MaxValue is the length in bytes of the longest value that is kept; a longer
	// one is rejected and counted. At most an eighth of MiB. Zero means 16 KiB.
	MaxValue int

	// MaxLife is the longest time that an entry is kept, however late its own
	// expiry. At most a year. Zero means one minute.
	MaxLife time.Duration
}

// Cache keeps bytes under Keys until they expire or until there is no room. It
// must come from [New]. All its methods may be called at the same time.
type Cache struct {
	lookups           [64]lookups // first, so that each lies in one cache line
	evicted, rejected atomic.Uint64

	store    *bigcache.BigCache
	stop     context.CancelFunc // ends the store's cleaner
	maxValue int
	maxLife  time.Duration
	scratch  sync.Pool // of *scratch
}

// lookups counts for a part of the keys. It is as long as a cache line, so that
// cores that look up different tokens don't wait for each other in order to count.
type lookups struct {
	hits, misses, expired atomic.Uint64
	_                     [40]byte
}

// scratch is memory that the store reads while it is called and doesn't keep:
// through its interfaces everything would escape to the heap.
type scratch struct {
	key   Key
	entry []byte
}

const (
	// expirySize is how many bytes of an entry stand before its value: the expiry
	// in nanoseconds since 1970, little endian.
	expirySize = 8

	// clockSlack is how much earlier than the Put a Get's now may be. Requests
	// read the clock once, at their start.
	clockSlack = time.Minute
)

// New makes an empty Cache. Close ends it.
func New(o Options) (*Cache, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Cache{maxValue: o.MaxValue, maxLife: o.MaxLife}
	c.scratch.New = func() any { return new(scratch) }

	ctx, stop := context.WithCancel(context.Background())
	store, err := bigcache.New(ctx, o.storeConfig(c.onEvict))
	if err != nil {
		stop()
		return nil, fmt.Errorf("cache: setting up a store of %d MiB: %w", o.MiB, err)
	}
	c.store, c.stop = store, stop
	return c, nil
}

// Get gives a copy of the value under key, if there is one that hasn't expired
// at now. An entry ends at its expiry, not after it. One that has longer to live
// than MaxLife allows was put before the clock was set back, and is over too.
func (c *Cache) Get(key Key, now time.Time) (value []byte, ok bool) {
	count := &c.lookups[key[0]%byte(len(c.lookups))]
	s := c.hold(key)
	entry, err := c.store.Get(s.keyString())
	c.scratch.Put(s)
	if err != nil || len(entry) < expirySize {
		count.misses.Add(1)
		return nil, false
	}
	if left := expiryOf(entry).Sub(now); left <= 0 || left > c.maxLife+clockSlack {
		count.misses.Add(1)
		count.expired.Add(1)
		return nil, false
	}
	count.hits.Add(1)
	return entry[expirySize:], true
}

// Put keeps a copy of value under key until expires, or until MaxLife after now
// where that is sooner. Whatever was under key is gone afterwards, also when
// value isn't kept because it is too long or has expired already.
func (c *Cache) Put(key Key, value []byte, now, expires time.Time) {
	switch {
	case len(value) > c.maxValue:
		// The store would empty a whole shard before it found that it can't fit.
		c.rejected.Add(1)
		c.Delete(key)
		return
	case !expires.After(now):
		c.Delete(key)
		return
	}
	if latest := now.Add(c.maxLife); expires.After(latest) {
		expires = latest
	}
	s := c.hold(key)
	s.entry = binary.LittleEndian.AppendUint64(s.entry[:0], uint64(expires.UnixNano()))
	s.entry = append(s.entry, value...)
	if err := c.store.Set(s.keyString(), s.entry); err != nil {
		c.rejected.Add(1)
	}
	c.scratch.Put(s)
}

// Delete removes what is under key, if anything is.
func (c *Cache) Delete(key Key) {
	s := c.hold(key)
	_ = c.store.Delete(s.keyString()) // its only error says that there was nothing
	c.scratch.Put(s)
}

// Close ends the cleaner that drops expired entries. It may be called again. A
// closed Cache still answers and stays within its bound.
func (c *Cache) Close() { c.stop() }

// Stats is what a Cache did so far, and what it holds now.
type Stats struct {
	Hits     uint64 // lookups that gave a value
	Misses   uint64 // lookups that gave none
	Expired  uint64 // those of Misses that found an entry past its expiry
	Evicted  uint64 // entries that were pushed out before their expiry: the cache is too small
	Rejected uint64 // values that were too long to be kept
	Entries  int    // entries held, expired ones that the cleaner hasn't reached included
	Bytes    int    // bytes set aside for entries, at most MiB; without the index
}

// Stats looks into every shard: it is for a scrape, not for a request. The
// counters never go down.
func (c *Cache) Stats() Stats {
	s := Stats{
		Evicted:  c.evicted.Load(),
		Rejected: c.rejected.Load(),
		Entries:  c.store.Len(),
		Bytes:    c.store.Capacity(),
	}
	for i := range c.lookups {
		s.Hits += c.lookups[i].hits.Load()
		s.Misses += c.lookups[i].misses.Load()
		s.Expired += c.lookups[i].expired.Load()
	}
	return s
}

// onEvict counts an entry that the store drops for want of room. It runs with the
// shard locked. One that has expired is no loss to anybody.
func (c *Cache) onEvict(_ string, entry []byte, _ bigcache.RemoveReason) {
	if len(entry) >= expirySize && time.Now().Before(expiryOf(entry)) {
		c.evicted.Add(1)
	}
}

// hold puts key where the store may read it. Hand the scratch back to the pool
// once the store has returned.
func (c *Cache) hold(key Key) *scratch {
	s := c.scratch.Get().(*scratch)
	s.key = key
	return s
}

// keyString is the key as the store wants it, without a copy: valid until the
// scratch goes back to the pool. The store copies the keys that it keeps.
func (s *scratch) keyString() string { return unsafe.String(&s.key[0], len(s.key)) }

func expiryOf(entry []byte) time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(entry)))
}

package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// noon is the clock of tests in which no time passes.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func numbered(k *Keyer, i int) Key { return k.Key("token", strconv.Itoa(i)) }

// spread gives distinct keys for distinct i, which fall on the shards evenly and
// on the same ones in each run.
func spread(i int) (key Key) {
	binary.LittleEndian.PutUint64(key[:], uint64(i+1)*0x9e3779b97f4a7c15)
	return key
}

// wantHit and wantMiss look a key up at noon.
func wantHit(t *testing.T, c *Cache, key Key, want string) {
	t.Helper()
	if got, ok := c.Get(key, noon); !ok || string(got) != want {
		t.Errorf("got %.40q, %t; want %.40q", got, ok, want)
	}
}

func wantMiss(t *testing.T, c *Cache, key Key) {
	t.Helper()
	if got, ok := c.Get(key, noon); ok || got != nil {
		t.Errorf("got %.40q, %t; want a miss", got, ok)
	}
}

func TestOptions(t *testing.T) {
	rows := []struct {
		name   string
		o      Options
		shards int    // where it is legal
		err    string // where it isn't
	}{
		{"zero is a small cache", Options{}, 8, ""},
		{"the size of the tokens' cache", Options{MiB: 64, MaxLife: 15 * time.Minute}, 256, ""},
		{"long values take few shards", Options{MiB: 64, MaxValue: 1 << 20}, 8, ""},
		{"a size that is no power of two", Options{MiB: 5}, 32, ""},
		{"the longest value of all", Options{MiB: 1, MaxValue: 128 << 10}, 1, ""},
		{"short values don't make tiny shards", Options{MiB: 1, MaxValue: 1}, 16, ""},
		{"a life under a second", Options{MaxLife: time.Millisecond}, 8, ""},
		{"a negative size", Options{MiB: -1}, 0, "a size of -1 MiB is out of range"},
		{"a size that bytes can't count", Options{MiB: math.MaxInt>>20 + 1}, 0, "MiB is out of range"},
		{"a value longer than an eighth", Options{MiB: 1, MaxValue: 128<<10 + 1}, 0, "values of 131073 bytes don't go into a cache of 1 MiB"},
		{"a negative value length", Options{MaxValue: -1}, 0, "values of -1 bytes"},
		{"a negative life", Options{MaxLife: -time.Second}, 0, "a life of -1s is out of range"},
		{"a life over a year", Options{MaxLife: 366 * 24 * time.Hour}, 0, "a year is the longest"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			c, err := New(r.o)
			if r.err != "" {
				if err == nil || !strings.Contains(err.Error(), r.err) {
					t.Fatalf("got error %v, want one with %q", err, r.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := r.o.complete(); err != nil {
				t.Fatal(err)
			}
			if got := r.o.shards(); got != r.shards {
				t.Errorf("got %d shards, want %d", got, r.shards)
			}
			c.Put(Key{1}, make([]byte, r.o.MaxValue), noon, noon.Add(time.Hour))
			if value, ok := c.Get(Key{1}, noon); !ok || len(value) != r.o.MaxValue {
				t.Errorf("the longest value isn't kept: got %d bytes, %t", len(value), ok)
			}
		})
	}
}

func TestValuesAreCopied(t *testing.T) {
	c := newCache(t, Options{})
	value := []byte("value")
	c.Put(Key{1}, value, noon, noon.Add(time.Hour))
	value[0] = 'X'
	wantHit(t, c, Key{1}, "value")
	got, _ := c.Get(Key{1}, noon)
	got[0] = 'X'
	wantHit(t, c, Key{1}, "value")
}

func TestLastPutCounts(t *testing.T) {
	hour := noon.Add(time.Hour)
	rows := []struct {
		name string
		do   func(c *Cache, key Key)
		want string // empty: nothing
	}{
		{"nothing happened", func(c *Cache, key Key) {}, "old"},
		{"another value", func(c *Cache, key Key) { c.Put(key, []byte("new"), noon, hour) }, "new"},
		{"a longer value", func(c *Cache, key Key) { c.Put(key, bytes.Repeat([]byte("n"), 5000), noon, hour) }, strings.Repeat("n", 5000)},
		{"twice", func(c *Cache, key Key) { c.Put(key, []byte("2"), noon, hour); c.Put(key, []byte("3"), noon, hour) }, "3"},
		{"a value that is too long", func(c *Cache, key Key) { c.Put(key, make([]byte, 16<<10+1), noon, hour) }, ""},
		{"a value that ends now", func(c *Cache, key Key) { c.Put(key, []byte("new"), noon, noon) }, ""},
		{"a value without an expiry", func(c *Cache, key Key) { c.Put(key, []byte("new"), noon, time.Time{}) }, ""},
		{"deleted", func(c *Cache, key Key) { c.Delete(key) }, ""},
		{"deleted twice", func(c *Cache, key Key) { c.Delete(key); c.Delete(key) }, ""},
		{"deleted and put again", func(c *Cache, key Key) { c.Delete(key); c.Put(key, []byte("new"), noon, hour) }, "new"},
		{"another key deleted", func(c *Cache, key Key) { key[15]++; key[0]++; c.Delete(key) }, "old"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			c := newCache(t, Options{})
			key := NewKeyer().Key("token")
			c.Put(key, []byte("old"), noon, hour)
			r.do(c, key)
			if r.want == "" {
				wantMiss(t, c, key)
			} else {
				wantHit(t, c, key, r.want)
			}
		})
	}
}

func TestEmptyValueIsAHit(t *testing.T) {
	c := newCache(t, Options{})
	c.Put(Key{1}, nil, noon, noon.Add(time.Hour))
	wantHit(t, c, Key{1}, "")
}

func TestExpiry(t *testing.T) {
	rows := []struct {
		name    string
		expires time.Duration // after the Put, which is at noon
		at      time.Duration // when it is looked up
		want    bool
	}{
		{"at once", time.Minute, 0, true},
		{"a nanosecond before its expiry", time.Minute, time.Minute - 1, true},
		{"at its expiry", time.Minute, time.Minute, false},
		{"after its expiry", time.Minute, time.Hour, false},
		{"a nanosecond before MaxLife", time.Hour, 10*time.Minute - 1, true},
		{"at MaxLife", time.Hour, 10 * time.Minute, false},
		{"an expiry beyond the year 2262, before MaxLife", 1 << 62, time.Minute, true},
		{"an expiry beyond the year 2262, at MaxLife", 1 << 62, 10 * time.Minute, false},
		{"a request that read its clock before the Put", time.Hour, -time.Minute, true},
		{"a clock that was set back", time.Hour, -time.Minute - 1, false},
		{"a clock set back within what is left", time.Minute, -9 * time.Minute, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			c := newCache(t, Options{MaxLife: 10 * time.Minute})
			c.Put(Key{1}, []byte("value"), noon, noon.Add(r.expires))
			if _, got := c.Get(Key{1}, noon.Add(r.at)); got != r.want {
				t.Errorf("got %t, want %t", got, r.want)
			}
			s := c.Stats()
			if got, want := s.Expired, 1-s.Hits; got != want || s.Misses != want {
				t.Errorf("got %d misses and %d expired, want %d", s.Misses, got, want)
			}
		})
	}
	t.Run("a caller without a clock", func(t *testing.T) {
		c := newCache(t, Options{})
		c.Put(Key{1}, []byte("value"), noon, noon.Add(time.Hour))
		if _, ok := c.Get(Key{1}, time.Time{}); ok {
			t.Error("hit")
		}
	})
}

// The store counts in whole seconds, cut off at both ends. None of it may show:
// not for any fraction of a second at which an entry begins or ends.
func TestCleanerWaitsForExpiry(t *testing.T) {
	for _, life := range []time.Duration{time.Millisecond, time.Second, 1900 * time.Millisecond, 10 * time.Second, 15 * time.Minute} {
		for offset := time.Duration(0); offset < time.Second; offset += 90 * time.Millisecond {
			t.Run(fmt.Sprintf("%v at %v", life, offset), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCache(t, Options{MaxLife: life})
					// Make the cleaner come round just before the entry's end.
					time.Sleep((cleanEvery-life%cleanEvery)%cleanEvery + offset)
					now := time.Now()
					c.Put(Key{1}, []byte("value"), now, now.Add(life))
					time.Sleep(life - 1)
					synctest.Wait()
					if _, ok := c.Get(Key{1}, time.Now()); !ok {
						t.Error("gone before its expiry")
					}
					time.Sleep(time.Nanosecond)
					if _, ok := c.Get(Key{1}, time.Now()); ok {
						t.Error("still there at its expiry")
					}
				})
			})
		}
	}
}

func TestCleanerDropsExpiredEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{MaxLife: time.Minute})
		keyer := NewKeyer()
		for i := range 100 {
			c.Put(numbered(keyer, i), []byte("value"), time.Now(), time.Now().Add(time.Second))
		}
		if got := c.Stats().Entries; got != 100 {
			t.Errorf("got %d entries, want 100", got)
		}
		time.Sleep(time.Minute + cleanEvery + 3*time.Second)
		synctest.Wait()
		if got := c.Stats(); got.Entries != 0 || got.Evicted != 0 {
			t.Errorf("got %d entries and %d evicted, want none", got.Entries, got.Evicted)
		}
	})
}

// A bubble that still has a goroutine at its end is an error.
func TestCloseEndsTheCleaner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.Close()
		now := time.Now()
		c.Put(Key{1}, []byte("value"), now, now.Add(time.Minute))
		if _, ok := c.Get(Key{1}, now); !ok {
			t.Error("a closed cache doesn't answer")
		}
	})
}

func TestStats(t *testing.T) {
	c := newCache(t, Options{})
	if got := c.Stats(); got.Entries != 0 || got.Bytes > 1<<14 {
		t.Errorf("got %d entries and %d bytes in an empty cache", got.Entries, got.Bytes)
	}
	keyer := NewKeyer()
	for i := range 10 {
		c.Put(numbered(keyer, i), []byte("value"), noon, noon.Add(time.Minute))
	}
	for i := range 15 { // five misses
		c.Get(numbered(keyer, i), noon)
	}
	for i := range 3 {
		c.Get(numbered(keyer, i), noon.Add(time.Minute))
	}
	for range 2 {
		c.Put(Key{1}, make([]byte, 16<<10+1), noon, noon.Add(time.Minute))
	}
	got := c.Stats()
	want := Stats{Hits: 10, Misses: 8, Expired: 3, Rejected: 2, Entries: 10, Bytes: got.Bytes}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Bytes == 0 || got.Bytes > 1<<20 {
		t.Errorf("got %d bytes, want some, and at most 1 MiB", got.Bytes)
	}
}

func TestOldestAreEvicted(t *testing.T) {
	c := newCache(t, Options{MaxValue: 1 << 10})
	const n = 4000
	now := time.Now() // what is live is judged by the clock
	for i := range n {
		c.Put(spread(i), bytes.Repeat([]byte{byte(i)}, 1000), now, now.Add(time.Minute))
	}
	s := c.Stats()
	if got := s.Entries + int(s.Evicted); got != n {
		t.Errorf("got %d entries and %d evicted, want %d together", s.Entries, s.Evicted, n)
	}
	if s.Entries < 800 {
		t.Errorf("got %d entries of 1,060 bytes in 1 MiB", s.Entries)
	}
	for i := range 500 {
		if _, ok := c.Get(spread(i), now); ok {
			t.Errorf("entry %d of %d is still there", i, n)
		}
		if _, ok := c.Get(spread(n-1-i), now); !ok {
			t.Errorf("entry %d of %d is gone", n-1-i, n)
		}
	}
}

func TestPushingOutExpiredEntriesIsNoEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options{MaxLife: time.Hour})
		fill := func(from int) {
			for i := range 700 {
				c.Put(spread(from+i), make([]byte, 1000), time.Now(), time.Now().Add(time.Minute))
			}
		}
		fill(0)
		time.Sleep(time.Minute)
		fill(1000)
		if got := c.Stats().Evicted; got != 0 {
			t.Errorf("got %d evicted, want none", got)
		}
	})
}

// Every value begins with its key, so that a mix-up would show.
func TestManyAtTheSameTime(t *testing.T) {
	c := newCache(t, Options{MaxValue: 8 << 10})
	keyer := NewKeyer()
	keys := make([]Key, 2000)
	for i := range keys {
		keys[i] = numbered(keyer, i)
	}
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 3))
			value := make([]byte, 8<<10)
			for range 10_000 {
				key := keys[r.IntN(len(keys))]
				switch n := r.IntN(100); {
				case n == 0:
					c.Delete(key)
				case n == 1:
					c.Stats()
				case n < 30:
					copy(value, key[:])
					now := time.Now()
					c.Put(key, value[:len(key)+r.IntN(2000)], now, now.Add(time.Minute))
				default:
					if got, ok := c.Get(key, time.Now()); ok && !bytes.HasPrefix(got, key[:]) {
						t.Error("got the value of another key")
						return
					}
				}
			}
		})
	}
	wg.Wait()
	s := c.Stats()
	if s.Hits == 0 || s.Misses == 0 || s.Evicted == 0 || s.Rejected != 0 {
		t.Errorf("got %+v, want hits, misses and evictions, and nothing rejected", s)
	}
}

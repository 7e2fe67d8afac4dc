package cache

import (
	"runtime"
	"testing"
	"time"
)

// heapAfter says by how many bytes the heap is larger after fill, without garbage.
func heapAfter(fill func() *Cache) int {
	live := func() int {
		runtime.GC()
		runtime.GC() // what pools held goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse)
	}
	before := live()
	c := fill()
	after := live()
	c.Close()
	return after - before
}

func TestIdleCacheIsSmall(t *testing.T) {
	got := heapAfter(func() *Cache { return newCache(t, Options{MiB: 64, MaxLife: 15 * time.Minute}) })
	t.Logf("%d bytes", got)
	if limit := 2 << 20; got > limit {
		t.Errorf("got %d bytes for an idle cache of 64 MiB, want at most %d", got, limit)
	}
}

// The figures of the package comment, under a flood of distinct tokens.
func TestMemoryIsBounded(t *testing.T) {
	rows := []struct {
		name    string
		value   int // bytes
		entries int
		factor  float64 // of Options.MiB
	}{
		{"values of 1 KiB", 1 << 10, 300_000, 1.10},
		{"values of 100 bytes", 100, 200_000, 1.40},
		{"values of 57 bytes", 57, 400_000, 1.45},
		{"no values", 0, 500_000, 2.50},
		{"the longest values", 16 << 10, 5_000, 1.20},
	}
	const mib = 8
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			value := make([]byte, r.value)
			var c *Cache
			got := heapAfter(func() *Cache {
				c = newCache(t, Options{MiB: mib, MaxLife: time.Hour})
				for i := range r.entries {
					c.Put(spread(i), value, noon, noon.Add(time.Hour))
				}
				return c
			})
			const fixed = 512 << 10
			if limit := int(r.factor*(mib<<20)) + fixed; got > limit {
				t.Errorf("got %d bytes, want at most %d", got, limit)
			}
			s := c.Stats()
			if s.Bytes > mib<<20 || s.Rejected != 0 {
				t.Errorf("got %d bytes of entries and %d rejected, want at most %d and 0", s.Bytes, s.Rejected, mib<<20)
			}
			t.Logf("%d entries of %d: %.2f of the bound", s.Entries, r.entries, float64(got)/(mib<<20))
		})
	}
}

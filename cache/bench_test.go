package cache

import (
	"strings"
	"testing"
	"time"
)

var (
	keySink   Key
	valueSink []byte
)

func BenchmarkKey(b *testing.B) {
	keyer, token := NewKeyer(), strings.Repeat("t", 900)
	b.ReportAllocs()
	for b.Loop() {
		keySink = keyer.Key("corp", token)
	}
}

func BenchmarkGetHit(b *testing.B) {
	c := newCache(b, Options{MiB: 64, MaxLife: time.Hour})
	now := time.Now()
	key := NewKeyer().Key("token")
	c.Put(key, make([]byte, 900), now, now.Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		valueSink, _ = c.Get(key, now)
	}
}

func BenchmarkGetHitParallel(b *testing.B) {
	c := newCache(b, Options{MiB: 64, MaxLife: time.Hour})
	now := time.Now()
	keys := make([]Key, 10_000)
	for i := range keys {
		keys[i] = spread(i)
		c.Put(keys[i], make([]byte, 900), now, now.Add(time.Hour))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := c.Get(keys[i%len(keys)], now); !ok {
				b.Error("miss")
				return
			}
		}
	})
}

// BenchmarkPutEvicting fills a full cache: each Put pushes out an entry, and is
// told of it.
func BenchmarkPutEvicting(b *testing.B) {
	c := newCache(b, Options{MiB: 8, MaxLife: time.Hour})
	now := time.Now()
	value := make([]byte, 900)
	n := 0
	put := func() {
		n++
		c.Put(spread(n), value, now, now.Add(time.Hour))
	}
	for range 20_000 {
		put()
	}
	b.ReportAllocs()
	for b.Loop() {
		put()
	}
}

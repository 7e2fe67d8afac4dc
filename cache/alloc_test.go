//go:build !race

// The race detector makes pools drop what they are given.

package cache

import (
	"strings"
	"testing"
	"time"
)

func TestAllocations(t *testing.T) {
	c := newCache(t, Options{MiB: 4, MaxLife: time.Hour})
	keyer, token := NewKeyer(), strings.Repeat("t", 900)
	key, absent := keyer.Key(token), keyer.Key("absent")
	value := make([]byte, 900)
	c.Put(key, value, noon, noon.Add(time.Minute))
	rows := []struct {
		name string
		want float64
		do   func()
	}{
		{"a key of one part", 0, func() { keySink = keyer.Key(token) }},
		{"a key of three parts", 0, func() { keySink = keyer.Key("bearer", "corp", token) }},
		{"a hit: the value, and the key that the store copies to compare it", 2, func() { valueSink, _ = c.Get(key, noon) }},
		{"a miss", 0, func() { c.Get(absent, noon) }},
		{"a put", 0, func() { c.Put(key, value, noon, noon.Add(time.Minute)) }},
		{"a delete", 0, func() { c.Delete(absent) }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(1000, r.do); got > r.want {
				t.Errorf("got %v allocations, want %v", got, r.want)
			}
		})
	}
}

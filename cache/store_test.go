package cache

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The store gives up a whole shard to an entry that can't fit, and won't grow a
// ring unless there is more room than the entry needs: whatever the ring holds
// and however far it has grown, any legal value must find its place.
func TestEveryLegalValueFits(t *testing.T) {
	for _, o := range []Options{{MiB: 1, MaxValue: 128 << 10}, {MiB: 1}, {MiB: 3, MaxValue: 100_000}, {MiB: 1, MaxValue: 1}} {
		for seed := range uint64(2) {
			c := newCache(t, o)
			if err := o.complete(); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 0))
			for i := range 700 {
				var key Key
				binary.LittleEndian.PutUint64(key[:], r.Uint64())
				size := r.IntN(o.MaxValue + 1)
				switch i % 3 {
				case 0:
					size = o.MaxValue
				case 1:
					size = min(size, 500)
				}
				c.Put(key, make([]byte, size), noon, noon.Add(time.Minute))
				if got, ok := c.Get(key, noon); !ok || len(got) != size {
					t.Fatalf("%+v: value %d of %d bytes: got %d bytes, %t", o, i, size, len(got), ok)
				}
			}
			if got := c.Stats(); got.Rejected != 0 || got.Bytes > o.MiB<<20 {
				t.Errorf("%+v: got %d rejected, %d bytes", o, got.Rejected, got.Bytes)
			}
		}
	}
}

// Any run of calls gives what a map would give, or nothing.
func TestAgainstAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newCache(t, Options{MaxValue: 64 << 10, MaxLife: time.Hour})
		model := make(map[Key]string)
		hits := 0
		for i := range 3000 {
			key := Key{byte(r.UintN(4)), 15: byte(r.UintN(50))} // a few hashes, shared by many keys
			switch r.UintN(10) {
			case 0:
				c.Delete(key)
				delete(model, key)
			case 1, 2, 3, 4:
				value := strings.Repeat(string(rune('a'+i%26)), r.IntN(1<<r.UintN(17)))
				c.Put(key, []byte(value), noon, noon.Add(time.Minute))
				if model[key] = value; len(value) > 64<<10 {
					delete(model, key)
				}
			default:
				got, ok := c.Get(key, noon)
				want, known := model[key]
				if ok && (!known || string(got) != want) {
					t.Fatalf("seed %d, call %d: got %d bytes, want %d (%t)", seed, i, len(got), len(want), known)
				}
				if ok {
					hits++
				}
			}
		}
		if hits == 0 {
			t.Errorf("seed %d: no hit at all", seed)
		}
	}
}

// Keys that share what the store finds entries by must not share an answer.
func TestSEC_5_15_KeysWithTheSameHash(t *testing.T) {
	a, b := Key{0: 7, 15: 1}, Key{0: 7, 15: 2}
	c := newCache(t, Options{})
	c.Put(a, []byte("a"), noon, noon.Add(time.Hour))
	wantMiss(t, c, b)
	wantHit(t, c, a, "a")
	c.Put(b, []byte("b"), noon, noon.Add(time.Hour))
	wantMiss(t, c, a)
	wantHit(t, c, b, "b")
}

// The store marks deleted entries with a hash of zero. One that had such a hash
// from the start would leave the index pointing into bytes of other entries.
func TestHashOfZero(t *testing.T) {
	c := newCache(t, Options{MaxValue: 128 << 10}) // one shard
	zero := Key{15: 1}
	c.Put(zero, []byte("zero"), noon, noon.Add(time.Hour))
	wantHit(t, c, zero, "zero")
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var key Key
		binary.LittleEndian.PutUint64(key[:], r.Uint64())
		c.Put(key, bytes.Repeat([]byte{0xff}, 1000), noon, noon.Add(time.Hour))
		c.Get(zero, noon)
	}
	wantMiss(t, c, zero)
	if s := c.Stats(); s.Entries > 1<<20/1044 {
		t.Errorf("got %d entries, more than fit", s.Entries)
	}
}

// The store keeps a key's length in 16 bits. With tokens for keys, those of
// 65,518 to 65,535 bytes made its Get panic while it held a lock, and those of
// 65,536+n bytes were read back as tokens of n bytes.
func TestSEC_5_18_TokensAround64KiB(t *testing.T) {
	c := newCache(t, Options{MiB: 4})
	keyer := NewKeyer()
	text := strings.Repeat("t", 65536+100)
	var lengths []int
	for n := range 200 {
		lengths = append(lengths, 65536-100+n, n) // n is what is left of 65,536+n
	}
	for range 2 {
		for _, n := range lengths {
			key := keyer.Key(text[:n])
			if got, ok := c.Get(key, noon); ok && string(got) != strconv.Itoa(n) {
				t.Fatalf("a token of %d bytes got the value of one of %s", n, got)
			}
			c.Put(key, []byte(strconv.Itoa(n)), noon, noon.Add(time.Minute))
			wantHit(t, c, key, strconv.Itoa(n))
		}
	}
	for i := range 5000 { // no shard is locked for good
		key := numbered(keyer, i)
		c.Put(key, []byte("good"), noon, noon.Add(time.Minute))
		wantHit(t, c, key, "good")
	}
}

func TestTroubleInTheStoreIsAMiss(t *testing.T) {
	c := newCache(t, Options{})
	key := Key{5}
	if err := c.store.Set(string(key[:]), []byte("short")); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, c, key)

	c.Put(key, []byte("value"), noon, noon.Add(time.Minute))
	c.maxValue = 1 << 20 // what is too long for a shard reaches the store
	c.Put(key, make([]byte, 1<<20), noon, noon.Add(time.Minute))
	wantMiss(t, c, key)
	if got := c.Stats().Rejected; got != 1 {
		t.Errorf("got %d rejected, want 1", got)
	}
}

package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"
	"time"
)

func TestGarbagePercent(t *testing.T) {
	for _, row := range []struct {
		name          string
		live, scanned uint64
		want          int
	}{
		{"nothing lives yet", 0, 0, 600},
		{"an idle program", 7 * mebibyte, 5 * mebibyte, 371},
		{"10,000 tokens", 14 * mebibyte, 5 * mebibyte, 185},
		{"a full cache", 84 * mebibyte, 5 * mebibyte, 30},
		{"a cache beyond all measure", 8 << 30, 5 * mebibyte, 1},
		{"sessions in memory", 400 * mebibyte, 300 * mebibyte, 75},
	} {
		if got := garbagePercent(row.live, row.scanned); got != row.want {
			t.Errorf("%s: got %d percent, want %d", row.name, got, row.want)
		}
	}
}

// However the heap grows, what lies about beside it has the same room, or where there are
// pointers to look through, as much as they take.
func TestGarbageRoomIsKept(t *testing.T) {
	t.Setenv("GOGC", "") // or it would win
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	ctx, stop := context.WithCancel(t.Context())
	var room sync.WaitGroup
	room.Go(func() { keepGarbageRoom(ctx) })
	defer room.Wait()
	defer stop()
	sizes := []runtimemetrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var held [][]byte
	var pointers [][]*byte
	for i := range 12 {
		want := int64(garbageRoom)
		if i < 6 {
			held = append(held, make([]byte, 8*mebibyte))
		} else {
			pointers = append(pointers, make([]*byte, mebibyte))
			want = max(want, int64(len(pointers))*8*mebibyte)
		}
		guard := time.Now().Add(20 * time.Second)
		for {
			runtime.GC()
			runtimemetrics.Read(sizes)
			got := int64(sizes[0].Value.Uint64() - sizes[1].Value.Uint64())
			if got > want*3/4 && got <= want+want/4 {
				break
			}
			if time.Now().After(guard) {
				t.Fatalf("got room for %d bytes beside %d times 8 MiB, want about %d", got, i+1, want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	runtime.KeepAlive(held)
	runtime.KeepAlive(pointers)
}

// On machines of 32 bits two words are a small object, which goes when those beside it do.
func TestCollectionsAreToldBesideSmallObjects(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	collected := make(chan struct{}, 1)
	var held []*byte
	hold := func() {
		for range 100 {
			held = append(held, new(byte))
		}
	}
	hold()
	tellCollections(ctx, collected)
	hold()
	for range 1000 {
		runtime.GC()
		select {
		case <-collected:
			runtime.KeepAlive(held)
			return
		case <-time.After(time.Millisecond):
		}
	}
	t.Error("got no word of 1000 collections")
}

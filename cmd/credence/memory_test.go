package main

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"
	"time"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func TestGarbagePercent(t *testing.T) {
	for _, row := range []struct {
		name    string
		scanned uint64
		want    int
	}{
		{"nothing lives yet", 0, 600},
		{"an idle program", 7 * mebibyte, 350},
		{"10,000 tokens", 14 * mebibyte, 175},
		{"a full cache", 84 * mebibyte, 25},
		{"caches beyond all measure", 8 << 30, 25},
	} {
		if got := garbagePercent(row.scanned); got != row.want {
			t.Errorf("%s: got %d percent, want %d", row.name, got, row.want)
		}
	}
}

// However the heap grows, what lies about beside it has the same room.
func TestGarbageRoomIsKept(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	ctx, stop := context.WithCancel(t.Context())
	var room sync.WaitGroup
	room.Go(func() { keepGarbageRoom(ctx) })
	defer room.Wait()
	defer stop()
	sizes := []runtimemetrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var held [][]byte
	for range 8 {
		held = append(held, make([]byte, 8*mebibyte))
		guard := time.Now().Add(20 * time.Second)
		for {
			runtime.GC()
			runtimemetrics.Read(sizes)
			got := int64(sizes[0].Value.Uint64() - sizes[1].Value.Uint64())
			if got > garbageRoom/2 && got <= garbageRoom+garbageRoom/8 {
				break
			}
			if time.Now().After(guard) {
				t.Fatalf("got room for %d bytes beside %d, want about %d", got, len(held)*8*mebibyte, garbageRoom)
			}
			time.Sleep(time.Millisecond)
		}
	}
	runtime.KeepAlive(held)
}

func TestMemoryLimitHasRoomForAllThatIsHeld(t *testing.T) {
	cache := &configv1.Cache{TokenMib: 100, RefusalMib: 10}
	memory := &configv1.Session{Store: configv1.SessionStore_SESSION_STORE_MEMORY, MaxSessions: 100_000}
	for _, row := range []struct {
		name string
		c    *configv1.Config
		want int64
	}{
		{"tokens alone", &configv1.Config{Cache: cache}, (115 + 16 + 26) * mebibyte},
		{"sessions in cookies", &configv1.Config{Cache: cache, Clients: make([]*configv1.Client, 1)}, (115 + 16 + 26 + 64) * mebibyte},
		{"sessions in memory", &configv1.Config{Cache: cache, Clients: make([]*configv1.Client, 1), Session: memory}, (115+16+26+64)*mebibyte + 100_000*sessionBytes},
		{"proofs", &configv1.Config{Cache: cache, Dpop: &configv1.DPoP{}}, (115 + 16 + 26 + 40) * mebibyte},
	} {
		if got := memoryLimit(row.c); got != row.want {
			t.Errorf("%s: got %d, want %d", row.name, got, row.want)
		}
	}
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

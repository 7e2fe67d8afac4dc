package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

const mebibyte = 1 << 20

// garbageRoom is how much garbage may lie about before it is collected, in bytes.
// Each collection looks through all that lives, so with less room a request costs
// more, and with more room the program is larger.
const garbageRoom = 26 * mebibyte

// keepGarbageRoom has the collector wait for garbageRoom, until ctx ends; or for as much
// as it has to look through, where that is more, as with many sessions in memory. By
// itself it waits for as much as there is that lives: too little beside an empty cache,
// where nearly all of its work is the same each time, and more than anybody needs beside
// a full one, which it needn't look into. GOGC in the environment wins.
//
// So the program never has more than what lives and that room, and needs no limit: one
// that is below what lives would have the collector never rest.
func keepGarbageRoom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	collected := make(chan struct{}, 1)
	tellCollections(ctx, collected)
	debug.FreeOSMemory() // what reading the configuration took
	for set := 0; ; {
		if percent := garbagePercent(collectorsView()); differs(percent, set) {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
	}
}

// tellCollections tells of collections until ctx ends: what nobody holds is gone with
// one, and its cleanup leaves another. What is left while the next is under way outlives
// that, so where they follow at each other's heels one in two is told of.
func tellCollections(ctx context.Context, collected chan<- struct{}) {
	// Below 16 bytes it would share a block with others, and be gone with the last of them.
	runtime.AddCleanup(new([16]byte), func(ctx context.Context) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default: // the one before is still to be heard of
		}
		tellCollections(ctx, collected)
	}, ctx)
}

// collectorsView is what lived at the last collection, which the collector takes its
// percentage of, and the part of it that it looks through, in bytes; stacks and globals
// are in both.
func collectorsView() (live, scanned uint64) {
	of := []runtimemetrics.Sample{
		{Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"},
	}
	runtimemetrics.Read(of)
	roots := of[0].Value.Uint64() + of[1].Value.Uint64()
	return roots + of[2].Value.Uint64(), roots + of[3].Value.Uint64()
}

// garbagePercent is the room for garbage in percent of what lives. So many percent of
// 4 MiB are the least that a heap is let grow to, whatever lives.
func garbagePercent(live, scanned uint64) int {
	return int(min(max(max(garbageRoom, scanned)*100/max(live, 1), 1), 600))
}

// differs says whether another percentage is worth setting, which stops the program for
// a moment.
func differs(percent, set int) bool {
	return max(percent-set, set-percent)*16 > set
}

package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

const mebibyte = 1 << 20

// garbageRoom is how much garbage may lie about before it is collected, in bytes.
// Each collection looks through all that lives, so with less room a request costs
// more, and with more room the program is larger.
const garbageRoom = 26 * mebibyte

// limitMemory tells the collector what the program may have in all, so that a
// flood of tokens fills the caches and nothing beside them. GOMEMLIMIT in the
// environment wins.
func limitMemory(c *configv1.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(c))
	}
}

// memoryLimit lies above all that may be held on to, or the collector would never
// rest: the caches, which hold more than their size (see package cache), and where
// they are configured the sessions, the versions of those that were refreshed lately,
// and the proofs that were used. The rest, as there are keys and requests under way,
// takes a part of the room.
func memoryLimit(c *configv1.Config) int64 {
	limit := int64(c.GetCache().GetTokenMib())*mebibyte*115/100 + int64(c.GetCache().GetRefusalMib())*mebibyte*160/100 + garbageRoom
	if len(c.GetClients()) > 0 {
		limit += refreshedSessions
	}
	if c.GetSession().GetStore() == configv1.SessionStore_SESSION_STORE_MEMORY {
		limit += int64(c.GetSession().GetMaxSessions()) * sessionBytes
	}
	if c.GetDpop() != nil {
		limit += usedProofs
	}
	return limit
}

// What packages session and oidc may hold, in bytes.
const (
	refreshedSessions = 64 * mebibyte
	sessionBytes      = 4 << 10 // one in memory, with its tokens
	usedProofs        = 40 * mebibyte
)

// keepGarbageRoom has the collector wait for garbageRoom, until ctx ends. By itself
// it waits for as much garbage as there is that lives: too little beside an empty
// cache, where nearly all of its work is the same each time, and more than anybody
// needs beside a full one. GOGC in the environment wins.
func keepGarbageRoom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	collected := make(chan struct{}, 1)
	tellCollections(ctx, collected)
	debug.FreeOSMemory() // what reading the configuration took
	for set := 0; ; {
		if percent := garbagePercent(scanned()); percent != set {
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

// scanned is what the collector takes its percentage of, in bytes: what lived at the
// last collection, stacks and globals.
func scanned() (bytes uint64) {
	of := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	runtimemetrics.Read(of)
	for _, sample := range of {
		bytes += sample.Value.Uint64()
	}
	return bytes
}

// garbagePercent is garbageRoom in percent of what is scanned, in steps, since setting
// another stops the program for a moment.
func garbagePercent(scanned uint64) int {
	const step = 25
	percent := garbageRoom * 100 / max(scanned, 1)
	return int(min(max(percent/step*step, step), 600)) // so many percent of 4 MiB are the least that a heap is let grow to
}

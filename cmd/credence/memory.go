package main

import (
	"os"
	"runtime/debug"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// limitMemory tells the collector what the program may have in all, so that a
// flood of tokens fills the caches and nothing beside them: without it, the heap
// grows to twice what lives in it before it is collected. The limit lies above what
// full caches hold on to (see package cache), or the collector would never rest.
// GOMEMLIMIT in the environment wins.
func limitMemory(c *configv1.Cache) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const mib = 1 << 20
	caches := int64(c.GetTokenMib())*mib*115/100 + int64(c.GetRefusalMib())*mib*160/100
	const rest = 24 * mib // configuration, keys, requests under way, and room to collect
	debug.SetMemoryLimit(caches + rest)
}

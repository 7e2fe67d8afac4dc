package main

import (
	"testing"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func TestGarbagePercent(t *testing.T) {
	for _, row := range []struct {
		name string
		live uint64
		want int
	}{
		{"nothing lives yet", 0, 400},
		{"an idle program", 6 * mebibyte, 400},
		{"10,000 tokens", 14 * mebibyte, 150},
		{"a full cache", 84 * mebibyte, 25},
		{"caches beyond all measure", 8 << 30, 25},
	} {
		if got := garbagePercent(row.live); got != row.want {
			t.Errorf("%s: got %d percent, want %d", row.name, got, row.want)
		}
	}
}

func TestMemoryLimitHasRoomForAllThatIsHeld(t *testing.T) {
	cache := &configv1.Cache{TokenMib: 100, RefusalMib: 10}
	memory := &configv1.Session{Store: configv1.SessionStore_SESSION_STORE_MEMORY, MaxSessions: 100_000}
	for _, row := range []struct {
		name string
		c    *configv1.Config
		want int64
	}{
		{"tokens alone", &configv1.Config{Cache: cache}, (115 + 16 + 24) * mebibyte},
		{"sessions in cookies", &configv1.Config{Cache: cache, Clients: make([]*configv1.Client, 1)}, (115 + 16 + 24 + 64) * mebibyte},
		{"sessions in memory", &configv1.Config{Cache: cache, Clients: make([]*configv1.Client, 1), Session: memory}, (115+16+24+64)*mebibyte + 100_000*sessionBytes},
		{"proofs", &configv1.Config{Cache: cache, Dpop: &configv1.DPoP{}}, (115 + 16 + 24 + 40) * mebibyte},
	} {
		if got := memoryLimit(row.c); got != row.want {
			t.Errorf("%s: got %d, want %d", row.name, got, row.want)
		}
	}
}

package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
)

// Keys is a provider's key set at one moment. It never changes, so any number of
// goroutines may use it. [ParseKeys] makes it.
type Keys struct {
	// Skipped says why keys of the set aren't used, one error each, without key
	// material.
	Skipped []error

	all          []*Key
	byID         map[string][]*Key // a kid of unusable keys only is there, with none
	fingerprints map[[16]byte]struct{}
	content      [sha256.Size]byte // of all that Find, Known and Holds depend on
	version      uint64
}

// keysVersions gives out versions.
var keysVersions atomic.Uint64

// Find gives the keys that may verify a signature under alg: those with exactly
// this kid, or, where kid is empty, all. There are at most four of one kid.
func (k *Keys) Find(kid, alg string) []*Key {
	candidates := k.all
	if kid != "" {
		candidates = k.byID[kid]
	}
	fit := make([]*Key, 0, len(candidates))
	for _, key := range candidates {
		if key.Fits(alg) {
			fit = append(fit, key)
		}
	}
	return fit
}

// Known says whether a key with this kid is published, be it usable or not.
// Fetching again would tell nothing about such a kid.
func (k *Keys) Known(kid string) bool {
	_, known := k.byID[kid]
	return known
}

// Holds says whether a usable key has this fingerprint.
func (k *Keys) Holds(fingerprint [16]byte) bool {
	_, held := k.fingerprints[fingerprint]
	return held
}

// Version differs between any two Keys that ParseKeys made. A [KeySet] that
// fetches the same content again keeps the Keys it has, and so their version.
func (k *Keys) Version() uint64 { return k.version }

// Len is the number of usable keys.
func (k *Keys) Len() int { return len(k.all) }

// add takes a usable key in. The same key once more is neither kept nor an error.
func (k *Keys) add(key *Key) error {
	if k.Holds(key.Fingerprint) {
		return nil
	}
	if key.ID != "" {
		// A token is tried with every key of its kid.
		if len(k.byID[key.ID]) == maxCandidates {
			return errors.New("too many keys have this kid")
		}
		k.byID[key.ID] = append(k.byID[key.ID], key)
	}
	k.all = append(k.all, key)
	k.fingerprints[key.Fingerprint] = struct{}{}
	return nil
}

// skip notes a key that isn't used.
func (k *Keys) skip(id string, why error) {
	k.Skipped = append(k.Skipped, why)
	if _, there := k.byID[id]; !there && id != "" {
		k.byID[id] = nil // known, with no key
	}
}

// seal is called once, after the last key. The content doesn't depend on the
// order of the keys: some providers shuffle them at each answer.
func (k *Keys) seal() {
	prints := slices.SortedFunc(maps.Keys(k.fingerprints), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	var b []byte
	for _, p := range prints {
		b = append(b, p[:]...)
	}
	for _, id := range slices.Sorted(maps.Keys(k.byID)) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
		b = append(b, id...)
	}
	k.content = sha256.Sum256(binary.BigEndian.AppendUint32(b, uint32(len(k.Skipped))))
	k.version = keysVersions.Add(1)
}

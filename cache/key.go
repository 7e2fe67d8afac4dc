package cache

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"unsafe"
)

// Key stands for a token and what else a result depends on. It is as good as
// random to whoever lacks the Keyer's key, and as long for a token of 64 KiB as
// for an empty one.
type Key [sha256.Size]byte

// Keyer makes Keys: HMAC-SHA256 under a random key of its own, so the Keys of one
// Keyer mean nothing to another or to another process. It must come from
// [NewKeyer]. All its methods may be called at the same time.
type Keyer struct {
	states sync.Pool // of *keyState
}

// keyState is the hash with the memory it reads from and writes to, which would
// otherwise be allocated in each call because the hash is an interface.
type keyState struct {
	mac    hash.Hash
	length [8]byte
	sum    Key
}

// NewKeyer draws a key from the system's random source.
func NewKeyer() *Keyer {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: it ends the program where there is no randomness
	return &Keyer{states: sync.Pool{New: func() any {
		return &keyState{mac: hmac.New(sha256.New, secret)}
	}}}
}

// Key gives the Key of a list of parts, such as a provider's name and a token.
// Two lists have the same Key only if they are as long and equal part by part:
// each part is hashed behind its length, so ("ab", "c") isn't ("a", "bc").
func (k *Keyer) Key(parts ...string) Key {
	s := k.states.Get().(*keyState)
	s.mac.Reset()
	for _, part := range parts {
		binary.LittleEndian.PutUint64(s.length[:], uint64(len(part)))
		s.mac.Write(s.length[:])
		// The string's own bytes, without a copy. An io.Writer may neither change
		// what it is given nor keep it, which is all that a string needs.
		s.mac.Write(unsafe.Slice(unsafe.StringData(part), len(part)))
	}
	s.mac.Sum(s.sum[:0])
	key := s.sum
	k.states.Put(s)
	return key
}

package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"unsafe"
)

// Key stands for a token and what else a result depends on. It is as good as
// random to whoever lacks the Keyer's key, and as long for a token of 64 KiB as
// for an empty one.
type Key [aes.BlockSize]byte

// Keyer makes Keys under a random key of its own, so the Keys of one Keyer mean
// nothing to another or to another process. It must come from [NewKeyer]. All its
// methods may be called at the same time.
//
// It hashes with GHASH, the universal hash of AES-GCM, and encrypts the sum with AES
// under a second key: the way of Carter and Wegman, at a quarter of the time of
// HMAC-SHA256, or several times that time on a processor without instructions for
// AES. Two lists of up to n bytes, their lengths included, have the same Key
// with a chance of at most (n/16+2)/2^128, whoever chose them, and the encryption is
// there lest Keys, or which shard they fall in, tell anything of the hash.
type Keyer struct {
	hash   cipher.AEAD // its tag of data that is only authenticated
	finish cipher.Block
	states sync.Pool // of *keyState
}

// keyState is memory that the ciphers read and write, which would otherwise be
// allocated in each call because they are interfaces.
type keyState struct {
	nonce [12]byte
	list  []byte // empty between calls
	sum   Key
}

// NewKeyer draws its keys from the system's random source.
func NewKeyer() *Keyer {
	var gcm cipher.AEAD
	// GODEBUG=fips140=only refuses GCM with nonces of the caller's: for encryption, which
	// this isn't.
	fips140.WithoutEnforcement(func() {
		var err error
		if gcm, err = cipher.NewGCM(randomAES()); err != nil {
			panic("cache: " + err.Error()) // AES has the block size of GCM
		}
	})
	return &Keyer{hash: gcm, finish: randomAES(), states: sync.Pool{New: func() any { return new(keyState) }}}
}

func randomAES() cipher.Block {
	var key [16]byte
	rand.Read(key[:]) // never fails: it ends the program where there is no randomness
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("cache: " + err.Error()) // a key of 16 bytes is one
	}
	return block
}

// Key gives the Key of a list of parts, such as a token and a provider's settings.
// Two lists have the same Key only if they are as long and equal part by part: of
// several, each is hashed behind its length, so ("ab", "c") isn't ("a", "bc").
func (k *Keyer) Key(parts ...string) Key {
	s := k.states.Get().(*keyState)
	// A nonce may be used again where the tag is no tag of a message to anybody. Lists
	// of another length have another, so that one part isn't taken for several.
	binary.LittleEndian.PutUint64(s.nonce[:], uint64(len(parts)))
	var data []byte
	if len(parts) == 1 {
		// The string's own bytes, without a copy: they are only read.
		data = unsafe.Slice(unsafe.StringData(parts[0]), len(parts[0]))
	} else {
		for _, part := range parts {
			s.list = binary.LittleEndian.AppendUint64(s.list, uint64(len(part)))
			s.list = append(s.list, part...)
		}
		data = s.list
	}
	k.hash.Seal(s.sum[:0], s.nonce[:], nil, data)
	k.finish.Encrypt(s.sum[:], s.sum[:])
	key := s.sum
	clear(s.list) // it has a token in it
	s.list = s.list[:0]
	k.states.Put(s)
	return key
}

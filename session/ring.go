package session

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// Purpose keeps what is sealed for one use from being opened for another: every
// purpose has a key of its own.
type Purpose string

// The purposes. There are no others: Seal panics on them and Open opens nothing.
const (
	PurposeSession Purpose = "session" // a session in cookies
	PurposeState   Purpose = "state"   // a login's state parameter
	PurposeBinding Purpose = "binding" // the cookie that ties logins to a browser
	PurposeForm    Purpose = "form"    // the token of a page's form
)

var purposes = [...]Purpose{PurposeSession, PurposeState, PurposeBinding, PurposeForm}

// ErrSealed is the one error for all that can't be opened: not text of a ring,
// cut short or altered, sealed with a key that isn't there, for another purpose or
// under another name. Saying which would help only somebody who tries.
var ErrSealed = errors.New("session: what was sealed can't be opened")

// RingOptions are the keys of a [Ring].
type RingOptions struct {
	// Keys give 32 random bytes in base64 each. They are called about once a
	// second while the ring is used, so a file behind one is best read only when it
	// changed. None: one random key, which ends with the process.
	Keys []func() (string, error)

	// ActivationDelay is how long a new first key only opens, so that every replica
	// knows it before anything is sealed with it; also after a start, where it can't
	// be told from an old one. Zero: at once.
	ActivationDelay time.Duration

	// Log gets one line when the keys can't be read again, and one when a key is gone
	// that sealed. Nil: none.
	Log *slog.Logger
}

// Ring seals and opens with a list of keys that may change. All its methods may
// be called at the same time.
type Ring struct {
	sources []func() (string, error)
	delay   time.Duration
	log     *slog.Logger

	keys atomic.Pointer[[]*ringKey] // in the order of sources
	due  atomic.Int64               // when to read sources again, Unix nanoseconds

	mu      sync.Mutex // held by whoever reads sources
	failing bool
}

// ringKey is one key, as what is derived from it.
type ringKey struct {
	text   string // as it was read, to see whether it changed
	id     [keyIDSize]byte
	aeads  [len(purposes)]cipher.AEAD
	active time.Time // when it may seal
	sealed atomic.Bool
}

const (
	keySize   = 32
	keyIDSize = 8 // so long that two keys never have the same

	// overhead is how much longer what is sealed is than what was: the key's id,
	// the nonce and the tag.
	overhead = keyIDSize + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

	rereadEvery = time.Second
)

// NewRing reads the keys. It fails where one can't be had or isn't 32 random bytes.
func NewRing(o RingOptions) (*Ring, error) {
	r := &Ring{sources: slices.Clone(o.Keys), delay: o.ActivationDelay, log: o.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if len(r.sources) == 0 {
		var key [keySize]byte
		rand.Read(key[:])
		text := base64.StdEncoding.EncodeToString(key[:])
		r.sources = append(r.sources, func() (string, error) { return text, nil })
	}
	now := time.Now()
	keys, err := r.read(nil, now)
	if err != nil {
		return nil, err
	}
	// Of several keys the first is the one that may be new to other replicas, which
	// are restarted one after the other with the same list. The rest are older.
	for i, k := range keys {
		if i > 0 || len(keys) == 1 {
			k.active = now
		}
	}
	r.keys.Store(&keys)
	r.due.Store(now.Add(rereadEvery).UnixNano())
	return r, nil
}

// read makes keys of the sources, and keeps those of was that are still there.
func (r *Ring) read(was []*ringKey, now time.Time) ([]*ringKey, error) {
	keys := make([]*ringKey, 0, len(r.sources))
	for i, source := range r.sources {
		text, err := source()
		if err != nil {
			return nil, fmt.Errorf("session: reading session key %d: %w", i+1, err)
		}
		text = strings.TrimSpace(text)
		if at := slices.IndexFunc(was, func(k *ringKey) bool { return k.text == text }); at >= 0 {
			keys = append(keys, was[at])
			continue
		}
		k, err := newRingKey(text)
		if err != nil {
			return nil, fmt.Errorf("session: session key %d %w", i+1, err)
		}
		k.active = now.Add(r.delay)
		keys = append(keys, k)
	}
	return keys, nil
}

func newRingKey(text string) (*ringKey, error) {
	secret, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(secret) != keySize {
		return nil, errors.New("isn't 32 bytes in base64: make one with `openssl rand -base64 32`")
	}
	if !looksRandom(secret) {
		return nil, errors.New("isn't random: make one with `openssl rand -base64 32`")
	}
	k := &ringKey{text: text}
	copy(k.id[:], derive(secret, "key id", keyIDSize))
	for i, p := range purposes {
		k.aeads[i] = newAEAD(derive(secret, string(p), keySize))
	}
	return k, nil
}

// looksRandom says no to keys that somebody typed. That 32 random bytes have fewer
// than 16 different ones among them doesn't happen.
func looksRandom(secret []byte) bool {
	different := map[byte]bool{}
	for _, b := range secret {
		different[b] = true
	}
	return len(different) >= 16
}

// derive makes a key for one use (RFC 5869). Its errors are about lengths alone,
// which are constant here.
func derive(secret []byte, use string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "credence session v1: "+use, size)
	if err != nil {
		panic("session: " + err.Error())
	}
	return key
}

func newAEAD(key []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("session: " + err.Error())
	}
	return aead
}

// current gives the keys, after reading them again where that is due. One caller
// reads; the others go on with what there is.
func (r *Ring) current(now time.Time) []*ringKey {
	if now.UnixNano() >= r.due.Load() && r.mu.TryLock() {
		r.reread(now)
		r.mu.Unlock()
	}
	return *r.keys.Load()
}

// reread leaves the keys as they are where the new ones can't be read: a file that
// is half written must log nobody out.
func (r *Ring) reread(now time.Time) {
	r.due.Store(now.Add(rereadEvery).UnixNano())
	was := *r.keys.Load()
	keys, err := r.read(was, now)
	if err == nil && !slices.Equal(keys, was) {
		r.keys.Store(&keys)
		r.tellGone(was, keys, now)
	}
	if err != nil && !r.failing {
		r.log.Error("session keys can't be read again; the last good ones stay", slog.Any("error", err))
	}
	r.failing = err != nil
}

// tellGone says that a key which sealed is none of the keys any more. It may be meant,
// long after a new one was put before it; a file that was overwritten looks the same.
// What an earlier process sealed isn't known, but which key would seal now is.
func (r *Ring) tellGone(was, keys []*ringKey, now time.Time) {
	for _, k := range was {
		if (k.sealed.Load() || k == sealing(was, now)) && !slices.Contains(keys, k) {
			r.log.Warn("a sealing key is gone: sessions sealed with it are over")
			return
		}
	}
}

// sealing is the key that seals now: the first that may, or, if none may, the first.
func sealing(keys []*ringKey, now time.Time) *ringKey {
	return keys[max(0, slices.IndexFunc(keys, func(k *ringKey) bool { return !now.Before(k.active) }))]
}

// Seal encrypts plain so that only Open with the same purpose and name gives it
// back. The text is base64url, and has 48 bytes more than plain before that.
func (r *Ring) Seal(p Purpose, name string, plain []byte) string {
	return sealedText.EncodeToString(r.seal(p, []byte(name), plain))
}

func (r *Ring) seal(p Purpose, bound, plain []byte) []byte {
	i := slices.Index(purposes[:], p)
	if i < 0 {
		panic("session: sealing for a purpose that there isn't")
	}
	now := time.Now()
	key := sealing(r.current(now), now)
	if !key.sealed.Load() { // other processors keep their copy of the line
		key.sealed.Store(true)
	}
	b := make([]byte, keyIDSize+chacha20poly1305.NonceSizeX, overhead+len(plain))
	rand.Read(b[copy(b, key.id[:]):])
	return key.aeads[i].Seal(b, b[keyIDSize:], plain, bound)
}

// Open gives what was sealed, or [ErrSealed].
func (r *Ring) Open(p Purpose, name, sealed string) ([]byte, error) {
	b := make([]byte, sealedText.DecodedLen(len(sealed)))
	if !decodeText(b, sealed) {
		return nil, ErrSealed
	}
	return r.open(p, []byte(name), b)
}

// open decrypts b in place.
func (r *Ring) open(p Purpose, bound, b []byte) ([]byte, error) {
	i := slices.Index(purposes[:], p)
	if i < 0 || len(b) < overhead {
		return nil, ErrSealed
	}
	nonce, text := b[keyIDSize:keyIDSize+chacha20poly1305.NonceSizeX], b[keyIDSize+chacha20poly1305.NonceSizeX:]
	for _, k := range r.current(time.Now()) {
		if string(k.id[:]) != string(b[:keyIDSize]) {
			continue
		}
		plain, err := k.aeads[i].Open(text[:0], nonce, text, bound)
		if err != nil {
			return nil, ErrSealed
		}
		return plain, nil
	}
	return nil, ErrSealed
}

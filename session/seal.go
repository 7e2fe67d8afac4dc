package session

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/credence-authz/credence/audit"
)

// held is a session as a request brought it.
type held struct {
	record *Record

	// behind says that the browser, or the store, has an older version than record.
	behind bool

	// values are what the cookies of record hold, where that is known already.
	values []string

	// With a store: the session's own key, and what the store has.
	secret, stored []byte
}

// The first byte of what is sealed says how the record follows.
const (
	plainRecord    = 0
	deflatedRecord = 1
)

var errTooLarge = errors.New("session: the session doesn't fit into the cookies that it may have")

// seal gives the values of the cookies that hold r: the number of cookies in one
// digit, and the sealed record, all cut to what a cookie takes.
func (s *Sessions) seal(j *jar, r *Record) ([]string, error) {
	plain, err := r.appendBinary([]byte{plainRecord})
	if errors.Is(err, errSize) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	count := j.cookiesFor(len(plain))
	if count > 1 {
		plain = deflated(plain[1:])
		count = j.cookiesFor(len(plain))
	}
	if count > maxChunks {
		return nil, errTooLarge
	}
	b := append(make([]byte, 0, 1+sealedText.EncodedLen(overhead+len(plain))), byte('0'+count))
	text := stringOf(sealedText.AppendEncode(b, s.ring.seal(PurposeSession, j.bound[count], plain)))
	values := make([]string, count)
	for i := range values {
		n := min(len(text), j.room(i))
		values[i], text = text[:n], text[n:]
	}
	return values, nil
}

// cookiesFor is how many cookies a plain text of n bytes takes.
func (j *jar) cookiesFor(n int) int {
	left, count := 1+sealedText.EncodedLen(overhead+n), 0
	for ; left > 0 && count <= maxChunks; count++ {
		left -= j.room(min(count, maxChunks-1))
	}
	return count
}

// open opens one session that p has, the one that begins with base.
func (s *Sessions) open(ctx context.Context, p *presented, base string) (held, *audit.Refusal) {
	if base == "" || base[0] < '0' || base[0] > '0'+maxChunks {
		return held{}, unopenable()
	}
	count := int(base[0] - '0')
	if (count == 0) != (s.store != nil) {
		return held{}, unopenable()
	}
	if count == 0 {
		return s.fetch(ctx, p.jar, base[1:])
	}
	text := base[1:] + strings.Join(p.chunks[1:count], "") // of one cookie, without a copy
	b := make([]byte, sealedText.DecodedLen(len(text)))
	if !decodeText(b, text) {
		return held{}, unopenable()
	}
	plain, err := s.ring.open(PurposeSession, p.jar.bound[count], b)
	if err != nil {
		return held{}, unopenable()
	}
	return unpack(p.jar, plain)
}

// unpack reads the record out of plain and keeps views of it.
func unpack(j *jar, plain []byte) (held, *audit.Refusal) {
	var err error
	switch {
	case len(plain) > 0 && plain[0] == plainRecord:
		plain = plain[1:]
	case len(plain) > 0 && plain[0] == deflatedRecord:
		if plain, err = inflated(plain[1:]); err != nil {
			return held{}, unopenable()
		}
	default:
		return held{}, newer() // it is sealed by a key of ours, so it isn't forged
	}
	r, err := parseRecord(stringOf(plain))
	switch {
	case errors.Is(err, errNewer):
		return held{}, newer()
	case err != nil || r.Client != j.client:
		return held{}, unopenable()
	}
	return held{record: r}, nil
}

// unopenable is the one refusal for all that isn't a session of ours.
func unopenable() *audit.Refusal {
	return &audit.Refusal{Reason: audit.SessionInvalid, Detail: "the session's cookie can't be opened"}
}

func newer() *audit.Refusal { return &audit.Refusal{Reason: audit.SessionNewer} }

// A session in the store: the cookie has 0, the id and the session's own key.

const secretSize = len(ID{}) + chacha20poly1305.KeySize

// fetch opens the session of the store that text, the cookie's value without its
// first character, is for.
func (s *Sessions) fetch(ctx context.Context, j *jar, text string) (held, *audit.Refusal) {
	var b [secretSize]byte
	if !decodeText(b[:], text) {
		return held{}, unopenable()
	}
	id, secret := ID(b[:len(ID{})]), b[len(ID{}):]
	stored, err := s.store.Get(ctx, storeKey(id))
	switch {
	case err != nil:
		return held{}, storeUnavailable(ctx, err)
	case stored == nil:
		return held{}, &audit.Refusal{Reason: audit.SessionInvalid, Detail: "the store doesn't have the session: it ended, was pushed out, or never was"}
	case len(stored) < chacha20poly1305.NonceSizeX:
		return held{}, unopenable()
	}
	nonce, sealed := stored[:chacha20poly1305.NonceSizeX], stored[chacha20poly1305.NonceSizeX:]
	plain, err := newAEAD(secret).Open(nil, nonce, sealed, j.bound[0])
	if err != nil {
		return held{}, unopenable()
	}
	h, refusal := unpack(j, plain)
	if refusal == nil && h.record.ID != id {
		return held{}, unopenable()
	}
	h.secret, h.stored = secret, stored
	return h, refusal
}

// put brings what the store has of the session up to r; old is what it should have
// now, and nil makes a session. It says whether that was so.
func (s *Sessions) put(ctx context.Context, j *jar, r *Record, secret, old []byte) (ok bool, err error) {
	plain, err := r.appendBinary([]byte{plainRecord})
	if err != nil {
		return false, err
	}
	b := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(b)
	idle, end := s.Ends(r)
	return s.store.Swap(ctx, storeKey(r.ID), old, newAEAD(secret).Seal(b, b, plain, j.bound[0]), earlier(idle, end))
}

func storeKey(id ID) Key {
	return sha256.Sum256(append([]byte("credence session store v1\x00"), id[:]...))
}

func storeUnavailable(ctx context.Context, err error) *audit.Refusal {
	if ctx.Err() != nil {
		return &audit.Refusal{Reason: audit.Interruption(ctx.Err()), Detail: "asking the session store", Err: err}
	}
	return &audit.Refusal{Reason: audit.SessionStoreUnavailable, RetryAfter: retryAfter, Err: err}
}

// deflators and inflators are used again: each has tens of kilobytes.
var (
	deflators = sync.Pool{New: func() any {
		w, err := flate.NewWriter(nil, flate.BestSpeed)
		if err != nil {
			panic("session: " + err.Error()) // it is about the level alone
		}
		return w
	}}
	inflators = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

func deflated(record []byte) []byte {
	w := deflators.Get().(*flate.Writer)
	defer deflators.Put(w)
	b := bytes.NewBuffer(append(make([]byte, 0, len(record)), deflatedRecord))
	w.Reset(b)
	// Writing into memory has no errors.
	_, _ = w.Write(record)
	_ = w.Close()
	return b.Bytes()
}

func inflated(b []byte) ([]byte, error) {
	r := inflators.Get().(io.ReadCloser)
	defer inflators.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), nil); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxRecord+1)) // one more byte, so that what is too long isn't cut to fit
}

// earlier is the first of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

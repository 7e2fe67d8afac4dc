package authz

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
)

// Tokens is what is remembered about tokens. It outlives an [Engine]: what one
// configuration verified, the next may use where it would judge alike.
type Tokens struct {
	keyer *cache.Keyer

	// Good tokens and refused ones apart, so that a flood of bad ones can't push
	// out the good.
	good, refused       *cache.Cache
	goodTTL, refusedTTL time.Duration

	// Recheck watches over the good ones; nil: nobody does. It is set before use.
	Recheck *Recheck

	// Templates are of answers to good ones; nil: there are none. It is set before use,
	// and keeps its entries as long as good ones are kept.
	Templates *cache.Cache
	epoch     atomic.Uint64 // counts what was found wrong: templates of another one don't count
}

// NewTokens makes a memory of good and of refused tokens, each kept no longer
// than its time to live.
func NewTokens(good, refused *cache.Cache, goodTTL, refusedTTL time.Duration) *Tokens {
	return &Tokens{keyer: cache.NewKeyer(), good: good, refused: refused, goodTTL: goodTTL, refusedTTL: refusedTTL}
}

// authenticator judges tokens and remembers the verdicts.
type authenticator struct {
	verifier  *oidc.Verifier
	providers []*oidc.Provider
	tokens    *Tokens
	hops      int // of X-Forwarded-For that are trusted
	flight    cache.Flight[oidc.Result]
}

func newAuthenticator(v *oidc.Verifier, t *Tokens, hops int) *authenticator {
	return &authenticator{verifier: v, providers: slices.Collect(v.Providers()), tokens: t, hops: hops}
}

// provider is that with the fingerprint; nil where it isn't believed any more. There are
// a hundred at most, and mostly one.
func (a *authenticator) provider(fingerprint [16]byte) *oidc.Provider {
	for _, p := range a.providers {
		if p.Fingerprint() == fingerprint {
			return p
		}
	}
	return nil
}

// verifyLimit bounds one verification, of which all but the wait for an unknown
// key, or for the provider's answers, is computation.
const verifyLimit = 10 * time.Second

// authenticate judges a token, from memory where the verdict still stands. It
// asks what the memory can't know on every hit: is the key still in the set, is
// the clock still within the time in which verifying would give the same.
func (a *authenticator) authenticate(ctx context.Context, raw oidc.RawToken, r *Request, m *memo) (result oidc.Result, remembered bool) {
	now, key := r.Time, m.key
	if len(raw) > a.verifier.MaxBytes() {
		return a.verifier.Verify(ctx, raw, now, netip.Addr{}), false // refused unread
	}
	if result, ok := a.recalled(a.tokens.good, key, now); ok {
		if !result.Introspected && m.watched {
			a.recheck(ctx, key, raw, result, now)
		}
		return result, true
	}
	if result, ok := a.recalled(a.tokens.refused, key, now); ok {
		return result, true
	}
	return a.judge(ctx, key, raw, r, nil), false
}

// recalled is what memory has under key, if it still stands.
func (a *authenticator) recalled(memory *cache.Cache, key cache.Key, now time.Time) (r oidc.Result, stands bool) {
	b, ok := memory.Get(key, now)
	if !ok {
		return r, false
	}
	return a.recall(b, now)
}

// judge verifies a token or, where there is one to ask, asks that provider about
// it, and remembers the verdict. Callers with the same key wait for the first.
// A question to the provider counts for the first one's address.
func (a *authenticator) judge(ctx context.Context, key cache.Key, raw oidc.RawToken, r *Request, ask *oidc.Provider) oidc.Result {
	now, from := r.Time, netip.Addr{}
	if a.hops > 0 { // else nobody is asked, or nothing is shared out
		from = oidc.ClientAddress(slices.Collect(r.Values("x-forwarded-for")), a.hops, "")
	}
	// The judgement outlives a caller that gives up, and the caller's strings may be
	// views into a message that is gone by then.
	raw = oidc.RawToken(strings.Clone(string(raw)))
	result, _, err := a.flight.Do(ctx, key, verifyLimit, func(ctx context.Context) (oidc.Result, error) {
		var result oidc.Result
		if ask != nil {
			result = ask.Introspect(ctx, raw, now, from)
		} else {
			result = a.verifier.Verify(ctx, raw, now, from)
		}
		a.remember(key, &result, now)
		return result, nil
	})
	if p, ok := errors.AsType[*cache.PanicError](err); ok {
		panic(p) // Decide answers it, and logs its stack
	}
	if err != nil {
		result = oidc.Result{Refusal: &audit.Refusal{Reason: audit.Interruption(err), Err: err}}
	}
	return result
}

// remember keeps a verdict that depends on nothing but the token, the provider,
// its keys or its answer, and the clock. An unknown key and an unreachable provider
// aren't such, and a token refused before its keys were looked at is as cheap to
// refuse again.
func (a *authenticator) remember(key cache.Key, r *oidc.Result, now time.Time) {
	if r.Provider == nil || r.KeysVersion == 0 && !r.Introspected {
		return
	}
	memory, ttl := a.tokens.good, a.tokens.goodTTL
	if r.Refusal != nil {
		if r.Refusal.Reason == audit.KeyUnknown || r.Refusal.Reason.Class() != audit.ClassUnauthenticated {
			return
		}
		memory, ttl = a.tokens.refused, a.tokens.refusedTTL
	}
	expires := now.Add(ttl)
	if r.Until < expires.UnixMilli() {
		expires = time.UnixMilli(r.Until)
	}
	r.Until = min(r.Until, expires.UnixMilli()) // for what is made of it
	memory.Put(key, flatten(r), now, expires)
}

// The flat form of a Result: fixed fields, then the claims of a good token or the
// detail of a refused one. It never leaves the process.
const (
	flatReason   = 0 // audit.Allowed for a good token
	flatProvider = 1
	flatKey      = flatProvider + 16
	flatVersion  = flatKey + 16 // zero where the provider was asked
	flatFrom     = flatVersion + 8
	flatUntil    = flatFrom + 8
	flatRest     = flatUntil + 8
)

func flatten(r *oidc.Result) []byte {
	reason, rest := audit.Allowed, r.Claims.Flat()
	if r.Refusal != nil {
		reason, rest = r.Refusal.Reason, r.Refusal.Detail
	}
	return append(appendFixed(make([]byte, 0, flatRest+len(rest)), r, reason), rest...)
}

// appendFixed writes the fixed fields.
func appendFixed(b []byte, r *oidc.Result, reason audit.Reason) []byte {
	b = append(b, byte(reason))
	provider := r.Provider.Fingerprint()
	b = append(b, provider[:]...)
	b = append(b, r.Key[:]...)
	for _, field := range [...]uint64{r.KeysVersion, uint64(r.From), uint64(r.Until)} {
		b = binary.LittleEndian.AppendUint64(b, field)
	}
	return b
}

// fixed reads the fixed fields, and says whether they let the rest stand at that time.
func (a *authenticator) fixed(b []byte, now time.Time) (r oidc.Result, stands bool) {
	if len(b) < flatRest {
		return r, false
	}
	r.From = int64(binary.LittleEndian.Uint64(b[flatFrom:]))
	r.Until = int64(binary.LittleEndian.Uint64(b[flatUntil:]))
	if ms := now.UnixMilli(); ms < r.From || ms >= r.Until {
		return r, false
	}
	if r.Provider = a.provider([16]byte(b[flatProvider:])); r.Provider == nil {
		return r, false
	}
	r.Key = [16]byte(b[flatKey:])
	r.KeysVersion = binary.LittleEndian.Uint64(b[flatVersion:])
	if r.Introspected = r.KeysVersion == 0; r.Introspected {
		return r, true
	}
	keys, unavailable := r.Provider.Keys().Current()
	if unavailable != nil {
		return r, false
	}
	if audit.Reason(b[flatReason]) != audit.Allowed {
		return r, keys.Version() == r.KeysVersion
	}
	return r, keys.Holds(r.Key)
}

// recall reads a flat Result and says whether it still stands.
func (a *authenticator) recall(b []byte, now time.Time) (r oidc.Result, stands bool) {
	if r, stands = a.fixed(b, now); !stands {
		return r, false
	}
	if reason := audit.Reason(b[flatReason]); reason != audit.Allowed {
		r.Refusal = &audit.Refusal{Reason: reason, Detail: string(b[flatRest:])}
	} else {
		// b is a copy of our own, which nobody writes to: the claims may be views into it.
		r.Claims = oidc.UnflattenClaims(view(b[flatRest:]))
	}
	return r, true
}

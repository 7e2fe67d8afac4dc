package oidc

import (
	"context"
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Verifier judges access tokens of several providers. It holds no state of its
// own: keys are the providers', results are the caller's to remember.
type Verifier struct {
	providers  map[Issuer]*Provider
	decryption []*DecryptionKey // of all providers
	maxBytes   int
}

// NewVerifier makes a verifier of providers whose issuers differ. A token longer
// than maxBytes is refused before anything else is looked at; zero refuses all.
func NewVerifier(providers []*Provider, maxBytes int) *Verifier {
	v := &Verifier{providers: make(map[Issuer]*Provider, len(providers)), maxBytes: maxBytes}
	for _, p := range providers {
		if v.providers[p.options.Issuer] != nil {
			panic("oidc: NewVerifier: two providers of one issuer")
		}
		v.providers[p.options.Issuer] = p
		for _, key := range p.options.DecryptionKeys {
			if !slices.ContainsFunc(v.decryption, key.same) {
				v.decryption = append(v.decryption, key)
			}
		}
	}
	return v
}

// Provider is the one of this issuer, or nil.
func (v *Verifier) Provider(i Issuer) *Provider { return v.providers[i] }

// Providers yields all of them, in no order.
func (v *Verifier) Providers() iter.Seq[*Provider] { return maps.Values(v.providers) }

// Judges says whether a token is one that Verify can judge by itself: a JWT or, where
// a provider has decryption keys, an encrypted one. A provider has to be asked about
// any other.
func (v *Verifier) Judges(raw RawToken) bool {
	return raw.IsJWT() || len(v.decryption) > 0 && raw.isJWE()
}

// MaxBytes is the length of the longest token that is looked at.
func (v *Verifier) MaxBytes() int { return v.maxBytes }

// Result is the verdict on one token, and all that is needed to know how long
// the verdict stands: the same provider, the same key or set of keys, and a
// clock in [From, Until). Within these, verifying again gives the same; a verdict
// that came by asking the provider is taken to stand as long.
type Result struct {
	// Refusal is nil for a good token. The zero Result isn't one: Good asks for a
	// provider too.
	Refusal *audit.Refusal

	Provider *Provider // whose token it claims to be; nil where iss named none
	Claims   Claims    // believed only where Good

	Key         [16]byte // fingerprint of the key that verified it; zero if none did
	KeysVersion uint64   // of the key set that was looked into; zero if none was

	// Introspected says that the provider was asked about the token, and answered.
	// The verdict then depends on no key, and asking again may give another.
	Introspected bool

	From, Until int64 // milliseconds since 1970
}

// Good says whether the token may be believed.
func (r *Result) Good() bool { return r.Refusal == nil && r.Provider != nil }

// Verify judges a token at the time now. It waits only for an unknown kid (see
// [KeySet.Await]) and for what a provider is asked, and no longer than ctx. A question
// counts for the address that the token came from; those of the zero Addr aren't shared
// out.
//
// The signature is verified before any claim is judged; until then iss does
// nothing but select the keys that the signature has to fit. Where that provider
// is to be asked about JWTs too, that is done in place of all that follows.
func (v *Verifier) Verify(ctx context.Context, raw RawToken, now time.Time, from netip.Addr) Result {
	t := v.begin(raw, now)
	t.from = from
	return t.verdict(ctx)
}

// Reverify verifies a JWT once more whose good verdict is remembered, and says whether it
// comes to the same: the same provider, and the same claims. Userinfo isn't asked
// again, since it may rightly say something else by now: where the provider has one,
// only those claims are compared that it can't have brought.
func (v *Verifier) Reverify(ctx context.Context, raw RawToken, now time.Time, remembered *Result) (again Result, same bool) {
	t := v.begin(raw, now)
	t.alone = true
	again = t.verdict(ctx)
	switch {
	case !again.Good() || again.Provider != remembered.Provider:
		return again, false
	case again.Provider.options.UserInfo == nil:
		return again, again.Claims == remembered.Claims
	}
	return again, !slices.ContainsFunc(tokenClaims, func(name string) bool {
		return again.Claims.Lookup(name) != remembered.Claims.Lookup(name)
	})
}

func (v *Verifier) begin(raw RawToken, now time.Time) *verification {
	t := newVerification(raw, now)
	t.verifier, t.checks = v, checks[:]
	return t
}

func newVerification(raw RawToken, now time.Time) *verification {
	return &verification{raw: raw, now: now.UnixMilli(), Result: Result{From: math.MinInt64, Until: math.MaxInt64}}
}

// verification is the judgement of one token, filled in by each check for those
// after it.
type verification struct {
	Result
	verifier *Verifier // nil where a provider is asked
	checks   []check   // that are left; a check may put others in their place
	raw      RawToken
	from     netip.Addr // of the client; may be zero
	now      int64      // milliseconds since 1970
	jws      *JWS
	jwe      *jwe     // nil: the token isn't encrypted
	keys     []*Key   // candidates that the signature may fit
	alone    bool     // userinfo isn't asked
	added    []string // names of claims that userinfo brought
}

// verdict is that of the first check that fails, or good.
func (t *verification) verdict(ctx context.Context) Result {
	for len(t.checks) > 0 && t.Refusal == nil {
		t.Refusal = t.next().judge(t, ctx)
	}
	return t.Result
}

// next takes the first of the checks that are left.
func (t *verification) next() *check {
	c := &t.checks[0]
	t.checks = t.checks[1:]
	return c
}

// check is one step. A step that ends the judgement leaves nothing for those
// after it to look at; the others can each be judged on their own, which is what
// [Verifier.Inspect] does to tell everything that is wrong at once.
type check struct {
	name  string
	judge func(*verification, context.Context) *audit.Refusal
	ends  bool
	found func(*verification) string // what a passed check found, for people
}

// checks is the order in which a token is judged, cheapest and most telling
// first; nothing costs more than one pass over the token before its form is
// known to be right.
var checks = [...]check{
	{"form", (*verification).form, true, (*verification).foundForm},
	{"claims", (*verification).claims, true, nil},
	{"issuer", (*verification).issuer, true, (*verification).foundIssuer},
	{"type", (*verification).tokenType, false, (*verification).foundType},
	{"algorithm", (*verification).algorithm, false, (*verification).foundAlgorithm},
	{"key", (*verification).key, false, (*verification).foundKey},
	{"signature", (*verification).signature, false, nil},
	{"kind", (*verification).kind, false, nil},
	{"audience", (*verification).audience, false, (*verification).foundAudience},
	{"expiry", (*verification).expiry, false, (*verification).foundExpiry},
	{"not before", (*verification).notBefore, false, nil},
	{"issued at", (*verification).issuedAt, false, (*verification).foundIssuedAt},
	{"subject", (*verification).subject, false, (*verification).foundSubject},
	{"required claims", (*verification).requiredClaims, false, nil},
	{"confirmation", (*verification).confirmation, false, nil},
}

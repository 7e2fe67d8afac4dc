package oidc

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// hostileTokens are as long as a token may be and make a verifier work: each of
// the hostile objects as claims, signed and not, and as header.
func hostileTokens(t testing.TB, r *realm) map[string]RawToken {
	t.Helper()
	const most = 16 << 10
	all := map[string]RawToken{
		"dots":             RawToken(strings.Repeat(".", most)),
		"a long signature": RawToken(segment(`{"alg":"RS256","kid":"rsa-1"}`) + "." + segment(r.good()) + "." + strings.Repeat("A", most-300)),
		"a long kid":       r.sign(oidctest.Token{Header: members{"kid": strings.Repeat("k", most/2)}}),
		"a long iss":       r.claiming(members{"iss": "https://issuer.test" + strings.Repeat("/", most/2)}),
		"a long aud":       r.claiming(members{"aud": strings.Repeat("\u0085", most/4)}),
		"many aud":         r.claiming(members{"aud": strings.Split(strings.Repeat("x", most/8), "")}),
	}
	for name, object := range hostileObjects(most*3/4 - 400) {
		inside := `{"iss":"https://issuer.test","x":` + object + `}`
		all["claims of "+name] = RawToken(compact(`{"alg":"ES256","kid":"ec-1"}`, inside))
		all["signed claims of "+name] = r.sign(oidctest.Token{RawClaims: inside})
		all["header of "+name] = RawToken(compact(object, r.good()))
	}
	for name, raw := range all {
		if len(raw) > most {
			t.Fatalf("%s has %d bytes", name, len(raw))
		}
	}
	return all
}

// No token costs more than 40 times the memory of its own length, and what isn't a
// token at all costs next to nothing.
func TestNoTokenCostsMuchMemory(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t)
	tokens := hostileTokens(t, r)
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		raw := tokens[name]
		got := bytesPerRun(func() {
			if got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody); got.Good() {
				t.Errorf("%s is good", name)
			}
		})
		if most := uint64(40*len(raw) + 8<<10); got > most {
			t.Errorf("%s: %d bytes allocated for %d of a token, want at most %d", name, got, len(raw), most)
		}
	}
}

// eachAlgorithm gives f what it takes to verify a token of each kind of key, and its
// signature alone.
func eachAlgorithm(tb testing.TB, f func(jws *JWS, verify func() Result, bare func() bool)) {
	r := newRealm(tb, "https://issuer.test")
	for _, kid := range []string{"rsa-1", "ec-1", "ed-1"} {
		raw := r.sign(oidctest.Token{KeyID: kid})
		v, now := r.verifier(tb), time.Unix(clock, 0)
		jws, refusal := ParseJWS(raw)
		if refusal != nil {
			tb.Fatal(refusal)
		}
		keys, _ := r.keys.Current()
		key := keys.Find(kid, jws.Algorithm)[0]
		f(jws,
			func() Result { return v.Verify(tb.Context(), raw, now, nobody) },
			func() bool { return verifySignature(key, jws.Algorithm, jws.SigningInput, jws.Signature) })
	}
}

// TestVerifyAllocates bounds what verifying a token allocates beside its signature: the
// claims, and what its two pieces of JSON and their base64 are decoded into.
func TestVerifyAllocates(t *testing.T) {
	eachAlgorithm(t, func(jws *JWS, verify func() Result, bare func() bool) {
		signature := testing.AllocsPerRun(50, func() { bare() })
		whole := testing.AllocsPerRun(50, func() {
			if got := verify(); !got.Good() {
				t.Fatal(verdict(got))
			}
		})
		t.Logf("%s: %v, of which %v are the signature's", jws.Algorithm, whole, signature)
		if got := whole - signature; got > 12 {
			t.Errorf("%s: got %v allocations beside the signature's, want at most 12", jws.Algorithm, got)
		}
	})
}

// BenchmarkVerify verifies a token for the first time, and beside it its bare
// signature, by the same library: what is above 1 in times-bare is ours.
func BenchmarkVerify(b *testing.B) {
	eachAlgorithm(b, func(jws *JWS, verify func() Result, bare func() bool) {
		b.Run(jws.Algorithm, func(b *testing.B) {
			b.ReportAllocs()
			var whole, signature time.Duration
			n := 0
			for b.Loop() {
				start := time.Now()
				result := verify()
				middle := time.Now()
				ok := bare()
				whole, signature = whole+middle.Sub(start), signature+time.Since(middle)
				if !result.Good() || !ok {
					b.Fatal(verdict(result))
				}
				n++
			}
			b.ReportMetric(float64(whole)/float64(n), "ns/op")
			b.ReportMetric(float64(signature)/float64(n), "bare-ns/op")
			b.ReportMetric(float64(whole)/float64(signature), "times-bare")
		})
	})
}

// BenchmarkRefuse refuses a plain token, for comparison, and the costliest.
func BenchmarkRefuse(b *testing.B) {
	r := newRealm(b, "https://issuer.test")
	v := r.verifier(b)
	tokens := hostileTokens(b, r)
	tokens[" plain, with a bad signature"] = resigned(r.sign(oidctest.Token{}), strings.Repeat("A", 86))
	tokens[" plain, expired"] = r.claiming(members{"exp": clock - 60})
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := v.Verify(b.Context(), tokens[name], time.Unix(clock, 0), nobody); got.Good() {
					b.Fatal("good")
				}
			}
		})
	}
}

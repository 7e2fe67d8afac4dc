package oidc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// dearest is how many times the work of a plain refusal, which is that of an
// ordinary token that has expired, any refusal may take: in bytes, in allocations
// and in operations with public or private keys.
const dearest = 100

// cost is the work of one refusal.
type cost struct {
	bytes, allocations uint64
	keys               int // operations with keys
}

func (c cost) String() string {
	return fmt.Sprintf("%d bytes in %d allocations, %d operations with keys", c.bytes, c.allocations, c.keys)
}

// measure refuses again and again.
func measure(refuse func()) cost {
	return cost{bytes: bytesPerRun(refuse), allocations: uint64(testing.AllocsPerRun(5, refuse))}
}

// refusalCost is the work of refusing a token.
func refusalCost(t *testing.T, v *Verifier, name string, raw RawToken) cost {
	t.Helper()
	keys := 0
	c := measure(func() {
		judged := v.begin(raw, time.Unix(clock, 0))
		if got := judged.verdict(t.Context()); got.Good() {
			t.Fatalf("%s is good", name)
		}
		if keys = len(judged.keys); strings.Count(string(raw), ".") == 4 {
			keys += maxDecryptions
		}
	})
	c.keys = keys
	return c
}

// TestSEC_5_1_NoRefusalCostsAHundredPlainOnes makes the verifier work as hard as tokens,
// proofs, certificates and answers at their largest can.
// Held as well: SEC-5.2, SEC-5.33.
func TestSEC_5_1_NoRefusalCostsAHundredPlainOnes(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for range maxCandidates - 1 {
		r.idp.AddKey("ES256", fmt.Sprintf("ec-%d", len(r.idp.KeySet())))
	}
	r.fetch(t)
	v := r.verifier(t, decrypting("rsa", "p-256", "old"), bindable)
	plain := refusalCost(t, v, "plain", r.claiming(members{"exp": clock - 60}))
	if plain.keys != 1 {
		t.Fatalf("a plain refusal: %v", plain)
	}

	const most = 16 << 10
	costs := map[string]cost{}
	tokens := hostileTokens(t, r)
	large := string(r.sign(oidctest.Token{RawClaims: `{"iss":"https://evil.test","x":"` + strings.Repeat("x", 8<<10) + `"}`}))
	sealed := string(envelope{}.seal(large))
	tokens["no kid, and as many keys as are tried"] = RawToken(compact(`{"alg":"ES256"}`, r.good()))
	tokens["encrypted to nobody"] = envelope{kid: "lost", header: members{"kid": nil}}.seal(large)
	tokens["encrypted, and unknown inside"] = RawToken(sealed)
	tokens["encrypted by RSA, and unknown inside"] = rsaEnvelope.seal(large)
	tokens["compressed"] = envelope{zip: true}.seal(strings.Repeat("a", 1<<20))
	tokens["PBES2"] = RawToken(segment(`{"alg":"PBES2-HS512+A256KW","enc":"A128GCM","cty":"JWT","p2s":"AA","p2c":2147483647}`) + sealed[strings.IndexByte(sealed, '.'):])
	for name, object := range hostileObjects(most*3/4 - 400) {
		tokens["encrypted header of "+name] = RawToken(segment(object) + "....")
		inside := `{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","epk":` + object + `}`
		tokens["encrypted by a key of "+name] = RawToken(segment(inside) + ".." + strings.SplitAfterN(sealed, ".", 3)[2])
		tokens["encrypted by a key of "+name] = tokens["encrypted by a key of "+name][:min(most, len(tokens["encrypted by a key of "+name]))]
	}
	for name, raw := range tokens {
		costs["token: "+name] = refusalCost(t, v, name, raw)
	}

	c := newDPoPClient(t, func(o *DPoPOptions) { o.NonceKeys = [][]byte{make([]byte, 32), make([]byte, 32)} })
	d, bound := c.service, c.bound("ec-1")
	jwk := `,"jwk":` + c.keys.JWK("ec-1") + `,"typ":"dpop+jwt"`
	presented := map[string]string{"letters": strings.Repeat("A", maxProof), "dots": strings.Repeat(".", maxProof), "no nonce": c.proof("ec-1", nil, nil)}
	for name, object := range hostileObjects(maxProof*3/4 - 700) {
		presented["header of "+name] = compact(object, `{}`)
		presented["key of "+name] = compact(`{"alg":"ES256","typ":"dpop+jwt","jwk":`+object+`}`, `{}`)
		presented["claims of "+name] = c.keys.Sign(oidctest.Token{KeyID: "ec-1", RawHeader: `{"alg":"ES256"` + jwk + `}`, RawClaims: `{"htm":` + object + `}`})
	}
	for path, length := range map[string]int{"a": 1, "/": 1, "%41": 3, "%": 1} {
		presented["htu of "+path] = c.proof("ec-1", nil, members{"htu": "https://api.example.com/" + strings.Repeat(path, maxProof/3/length)})
	}
	for name, proof := range presented {
		if len(proof) > maxProof {
			t.Fatalf("%s has %d bytes", name, len(proof))
		}
		p := presenting(proof)
		cost := measure(func() {
			if d.Check(bound, p, time.Unix(clock, 0)) == nil {
				t.Fatalf("%s is good", name)
			}
		})
		cost.keys = 1
		costs["proof: "+name] = cost
	}

	certificate := Constraint{byCertificate: true}
	for name, given := range map[string]string{
		"letters": strings.Repeat("A", maxCertificate), "escapes": strings.Repeat("%41", maxCertificate/3), "beginnings": strings.Repeat("-----BEGIN CERTIFICATE-----%0A", maxCertificate/30),
		"ends": "-----BEGIN CERTIFICATE-----%0A" + strings.Repeat("-----END CERTIFICATE-----%0A", maxCertificate/30), "headers": "-----BEGIN CERTIFICATE-----%0A" + strings.Repeat("a:b%0A", maxCertificate/7),
		"one": likeEnvoy(make([]byte, 20<<10)), "many": strings.Repeat(likeEnvoy([]byte("x")), 300), "line breaks": "-----BEGIN CERTIFICATE-----" + strings.Repeat("%0A", maxCertificate/3-20),
	} {
		costs["certificate: "+name] = measure(func() {
			if certificate.CheckCertificate(given) == nil {
				t.Fatalf("%s is good", name)
			}
		})
	}

	worst := cost{}
	for _, name := range slices.Sorted(maps.Keys(costs)) {
		got := costs[name]
		if got.bytes > dearest*plain.bytes || got.allocations > dearest*plain.allocations || got.keys > maxCandidates+maxDecryptions {
			t.Errorf("%s: %v, where a plain refusal takes %v", name, got, plain)
		}
		worst = cost{max(worst.bytes, got.bytes), max(worst.allocations, got.allocations), max(worst.keys, got.keys)}
	}
	t.Logf("a plain refusal takes %v, the dearest of each %v", plain, worst)
}

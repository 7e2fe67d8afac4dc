package oidc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestNumberOfKeysIsBounded(t *testing.T) {
	ed := goodKeys()[2]
	var many []string
	for i := range 150 {
		many = append(many, editJWK(t, ed, edits("kid", fmt.Sprint("k", i))))
	}
	keys, err := ParseKeys(jwks(many...))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys.Len(), 100; got != want || len(keys.Skipped) != 1 {
		t.Errorf("%d keys, %d skipped, want %d and 1", got, len(keys.Skipped), want)
	}
	if !keys.Known("k99") || keys.Known("k100") {
		t.Error("not the first 100 are known")
	}

	flood := []byte(`{"keys":[` + strings.Repeat("7,", 500_000) + `7]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = ParseKeys(flood)
	runtime.ReadMemStats(&after)
	wantError(t, err, "no usable key")
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(100*len(flood)); got > most {
		t.Errorf("half a million entries allocate %d bytes, want at most %d", got, most)
	}
}

func TestKeysOfOneKid(t *testing.T) {
	ed, ec := goodKeys()[2], goodKeys()[1]
	same := func(x byte) string {
		return editJWK(t, ed, edits("kid", "k", "x", base64url.EncodeToString(bytes.Repeat([]byte{x}, 32))))
	}
	keys, err := ParseKeys(jwks(same(1), editJWK(t, ec, edits("kid", "k")), same(1), same(2), same(3), same(4), editJWK(t, ed, edits("kid", nil))))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(keys.Find("k", "EdDSA")), 3; got != want {
		t.Errorf("%d keys for EdDSA, want %d", got, want)
	}
	if got, want := len(keys.Find("k", "ES256")), 1; got != want {
		t.Errorf("%d keys for ES256, want %d", got, want)
	}
	if got, want := len(keys.Find("", "EdDSA")), 4; got != want {
		t.Errorf("%d keys for EdDSA without kid, want %d", got, want)
	}
	if len(keys.Skipped) != 1 || !strings.Contains(keys.Skipped[0].Error(), "too many keys have this kid") {
		t.Errorf("skipped %q", keys.Skipped)
	}
	if keys.Known("") || keys.Known("K") || len(keys.Find("other", "EdDSA")) != 0 {
		t.Error("a kid that isn't there is known")
	}
	for _, k := range keys.Find("", "EdDSA") {
		if !keys.Holds(k.Fingerprint) {
			t.Errorf("key %q isn't held", k.ID)
		}
	}
	if keys.Holds([16]byte{}) {
		t.Error("the zero fingerprint is held")
	}
}

func TestFingerprintsAndVersions(t *testing.T) {
	a, b, ed := goodKeys()[0], goodKeys()[1], goodKeys()[2]
	parse := func(keys ...string) *Keys {
		t.Helper()
		k, err := ParseKeys(jwks(keys...))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := parse(a, b)
	for _, row := range []struct {
		name string
		keys *Keys
		same bool
	}{
		{"again", parse(a, b), true},
		{"in another order", parse(b, a), true},
		{"with a member that isn't used", parse(editJWK(t, a, edits("x5t", "AAAA")), b), true},
		{"one less", parse(a), false},
		{"one more", parse(a, b, ed), false},
		{"one more that is skipped", parse(a, b, `{"kid":"x"}`), false},
		{"another kid", parse(editJWK(t, a, edits("kid", "other")), b), false},
		{"without alg", parse(editJWK(t, a, edits("alg", nil)), b), false},
	} {
		if got, want := row.keys.content == base.content, row.same; got != want {
			t.Errorf("%s: same content %t, want %t", row.name, got, want)
		}
		if row.keys.Version() <= base.Version() {
			t.Errorf("%s: version %d isn't above %d", row.name, row.keys.Version(), base.Version())
		}
	}
	print := base.Find("a-rsa", "RS256")[0].Fingerprint
	if other := parse(editJWK(t, a, edits("kid", "other"))); other.Holds(print) {
		t.Error("a key under another kid has the same fingerprint")
	}
	if again := parse(editJWK(t, a, edits("e", "AAEAAQ"))); !again.Holds(print) {
		t.Error("the same key spelled otherwise has another fingerprint")
	}
}

func TestSEC_J2_KeysFitTheirOwnAlgorithmsOnly(t *testing.T) {
	ec := func(c elliptic.Curve) crypto.PublicKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	all := []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
		"", "none", "None", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K", "ES521", "RSA-OAEP", "Ed448",
	}
	var rsaPublic crypto.PublicKey = &rsa.PublicKey{N: big.NewInt(7), E: 3}
	p256, edPublic := ec(elliptic.P256()), ed25519.PublicKey(make([]byte, 32))
	for _, row := range []struct {
		name string
		key  Key
		want []string
	}{
		{"RSA", Key{Public: rsaPublic}, all[:6]},
		{"RSA with alg", Key{Public: rsaPublic, Algorithm: "PS384"}, []string{"PS384"}},
		{"P-256", Key{Public: p256}, []string{"ES256"}},
		{"P-256 with alg", Key{Public: p256, Algorithm: "ES256"}, []string{"ES256"}},
		{"P-384", Key{Public: ec(elliptic.P384())}, []string{"ES384"}},
		{"P-521", Key{Public: ec(elliptic.P521())}, []string{"ES512"}},
		{"P-224", Key{Public: ec(elliptic.P224())}, nil},
		{"Ed25519", Key{Public: edPublic}, []string{"EdDSA", "Ed25519"}},
		{"Ed25519 with the old alg", Key{Public: edPublic, Algorithm: "EdDSA"}, []string{"EdDSA", "Ed25519"}},
		{"Ed25519 with the new alg", Key{Public: edPublic, Algorithm: "Ed25519"}, []string{"EdDSA", "Ed25519"}},
		{"Ed25519 with a wrong alg", Key{Public: edPublic, Algorithm: "RS256"}, nil},
		{"RSA by value", Key{Public: rsa.PublicKey{}}, nil},
		{"a secret", Key{Public: []byte("secret")}, nil},
		{"the zero key", Key{}, nil},
	} {
		var got []string
		for _, alg := range all {
			if row.key.Fits(alg) {
				got = append(got, alg)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s fits %q, want %q", row.name, got, row.want)
		}
	}
}

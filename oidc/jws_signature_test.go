package oidc

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
)

// signers has a private key of each type and size, by name. RSA keys take long to
// make, so they are made once.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(s crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return s
	}
	generateRSA := func(bits int) (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
	generateEC := func(c elliptic.Curve) (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"RSA 2048": must(generateRSA(2048)),
		"RSA 3072": must(generateRSA(3072)),
		"P-256":    must(generateEC(elliptic.P256())),
		"P-384":    must(generateEC(elliptic.P384())),
		"P-521":    must(generateEC(elliptic.P521())),
		"Ed25519":  must(ed, err),
	}
})

var signatureAlgorithmNames = slices.Sorted(maps.Keys(signatureAlgorithms))

// scheme is how a key signs for alg, as far as it can: a P-256 key signs for ES512
// with SHA-512, and for EdDSA as for ES256.
type scheme struct {
	hash crypto.Hash
	pss  bool
	salt int
}

func schemeOf(s crypto.Signer, alg string) scheme {
	switch s.(type) {
	case ed25519.PrivateKey:
		return scheme{}
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return scheme{signatureAlgorithms[alg], true, rsa.PSSSaltLengthEqualsHash}
		}
	}
	return scheme{hash: cmp.Or(signatureAlgorithms[alg], crypto.SHA256)}
}

func signAs(t testing.TB, s crypto.Signer, alg, input string) []byte {
	t.Helper()
	return signWith(t, s, schemeOf(s, alg), input)
}

func signWith(t testing.TB, s crypto.Signer, how scheme, input string) []byte {
	t.Helper()
	digest := []byte(input)
	if how.hash != 0 {
		h := how.hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	var sig []byte
	var err error
	switch s := s.(type) {
	case *ecdsa.PrivateKey:
		var r, z *big.Int
		if r, z, err = ecdsa.Sign(rand.Reader, s, digest); err == nil {
			sig = sideBySide(r, z, fieldSize(s.Curve))
		}
	case *rsa.PrivateKey:
		if how.pss {
			sig, err = rsa.SignPSS(rand.Reader, s, how.hash, digest, &rsa.PSSOptions{SaltLength: how.salt})
		} else {
			sig, err = rsa.SignPKCS1v15(nil, s, how.hash, digest)
		}
	default:
		sig, err = s.Sign(rand.Reader, digest, how.hash)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func fieldSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// sideBySide writes R and S as a JWS does; a number too large takes the next size.
func sideBySide(r, s *big.Int, size int) []byte {
	size = max(size, (r.BitLen()+7)/8, (s.BitLen()+7)/8)
	sig := make([]byte, 2*size)
	r.FillBytes(sig[:size])
	s.FillBytes(sig[size:])
	return sig
}

// fitting are the algorithms that a key without alg may verify.
var fitting = map[string][]string{
	"RSA 2048": {"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"},
	"RSA 3072": {"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"},
	"P-256":    {"ES256"},
	"P-384":    {"ES384"},
	"P-521":    {"ES512"},
	"Ed25519":  {"Ed25519", "EdDSA"},
}

// Each key signs for each algorithm, as well as it can; the signature is then
// judged under each algorithm. Only the right pairs verify.
func TestSEC_J1_J2_EveryAlgorithmWithEveryKey(t *testing.T) {
	const input = "header.payload"
	verified := map[string]bool{}
	for name, s := range signers() {
		key := &Key{Public: s.Public()}
		for _, signed := range signatureAlgorithmNames {
			sig := signAs(t, s, signed, input)
			for _, claimed := range append([]string{"none", "HS256", "HS384", "HS512", "", "rs256", "RSA1_5", "ES256K"}, signatureAlgorithmNames...) {
				got := verifySignature(key, claimed, input, sig)
				want := slices.Contains(fitting[name], claimed) && schemeOf(s, signed) == schemeOf(s, claimed)
				if got != want {
					t.Errorf("%s signs as %s, verified as %s: %t", name, signed, claimed, got)
				}
				if got {
					verified[name] = true
				}
			}
		}
	}
	if len(verified) != len(fitting) {
		t.Errorf("only %v verify anything", verified)
	}
}

// One key, one algorithm: the JWK's alg leaves only itself (RFC 8725, 3.1), but
// for the two names of Ed25519 (RFC 9864).
func TestSEC_J2_J16_TheAlgorithmOfTheKey(t *testing.T) {
	const input = "header.payload"
	for name, s := range signers() {
		for _, own := range fitting[name] {
			for _, claimed := range signatureAlgorithmNames {
				got := verifySignature(&Key{Public: s.Public(), Algorithm: own}, claimed, input, signAs(t, s, claimed, input))
				if want := own == claimed || name == "Ed25519" && slices.Contains(fitting[name], claimed); got != want {
					t.Errorf("%s for %s verifies %s: %t", name, own, claimed, got)
				}
			}
		}
	}
}

// Nothing but the signature that was made verifies.
func TestSEC_J4_S6_AlteredSignatures(t *testing.T) {
	const input = "header.payload"
	for name, s := range signers() {
		for _, alg := range fitting[name] {
			key, sig := &Key{Public: s.Public()}, signAs(t, s, alg, input)
			refused := func(what, input string, sig []byte) {
				t.Helper()
				if verifySignature(key, alg, input, sig) {
					t.Errorf("%s, %s: %s verifies", name, alg, what)
				}
			}
			if !verifySignature(key, alg, input, sig) {
				t.Fatalf("%s, %s: the signature doesn't verify", name, alg)
			}
			refused("another input", "header.payloae", sig)
			refused("a longer input", input+".", sig)
			refused("no input", "", sig)
			refused("no signature", input, nil)
			refused("one byte", input, []byte{0})
			refused("a signature of zeros", input, make([]byte, len(sig)))
			refused("a signature of ones", input, slices.Repeat([]byte{0xff}, len(sig)))
			refused("a shorter signature", input, sig[:len(sig)-1])
			refused("a signature without its first byte", input, sig[1:])
			refused("a longer signature", input, append(slices.Clone(sig), 0))
			refused("a zero before it", input, append([]byte{0}, sig...))
			refused("a zero between its halves", input, slices.Concat(sig[:len(sig)/2], []byte{0}, sig[len(sig)/2:]))
			refused("zeros before each half", input, slices.Concat([]byte{0}, sig[:len(sig)/2], []byte{0}, sig[len(sig)/2:]))
			refused("twice", input, append(slices.Clone(sig), sig...))
			for _, i := range []int{0, len(sig) / 2, len(sig) - 1} {
				for _, bit := range []byte{1, 0x80} {
					altered := slices.Clone(sig)
					altered[i] ^= bit
					refused("a flipped bit", input, altered)
				}
			}
		}
	}
}

// An RSA signature is as long as the modulus: the same number with or without
// leading zeros, or with the modulus added, is another signature (RFC 8017, 8.2.2).
func TestSEC_S6_RSANumbers(t *testing.T) {
	const input = "header.payload"
	s := signers()["RSA 2048"].(*rsa.PrivateKey)
	key := &Key{Public: s.Public()}
	for _, alg := range []string{"RS256", "PS256"} {
		sig := signAs(t, s, alg, input)
		n := new(big.Int).SetBytes(sig)
		for _, row := range []struct {
			name   string
			number *big.Int
		}{
			{"zero", new(big.Int)}, {"one", big.NewInt(1)}, {"the modulus", s.N}, {"the modulus less one", new(big.Int).Sub(s.N, big.NewInt(1))},
			{"the modulus added", new(big.Int).Add(n, s.N)}, {"negated", new(big.Int).Sub(s.N, n)},
		} {
			bytes := make([]byte, max(len(sig), (row.number.BitLen()+7)/8))
			if verifySignature(key, alg, input, row.number.FillBytes(bytes)) {
				t.Errorf("%s: %s verifies", alg, row.name)
			}
		}
		if verifySignature(&Key{Public: signers()["RSA 3072"].Public()}, alg, input, sig) {
			t.Errorf("%s: verifies under a longer key", alg)
		}
	}
}

func TestSEC_S6_SaltIsAsLongAsTheHash(t *testing.T) {
	const input = "header.payload"
	s := signers()["RSA 2048"]
	for _, alg := range []string{"PS256", "PS384", "PS512"} {
		hash := signatureAlgorithms[alg]
		for _, salt := range []int{1, 8, 20, 31, 32, 33, 47, 48, 49, 63, 64, 65, 128} {
			got := verifySignature(&Key{Public: s.Public()}, alg, input, signWith(t, s, scheme{hash, true, salt}, input))
			if want := salt == hash.Size(); got != want {
				t.Errorf("%s with a salt of %d bytes: %t", alg, salt, got)
			}
		}
	}
}

// R and S at the edges of what they may be (CVE-2022-21449): the digest is chosen
// by the forger, who may pick a key that would make such a pair fit.
func TestSEC_5_12_EdgesOfRAndS(t *testing.T) {
	const input = "header.payload"
	for alg, name := range map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"} {
		s := signers()[name].(*ecdsa.PrivateKey)
		key, params := &Key{Public: s.Public()}, s.Params()
		good := signAs(t, s, alg, input)
		size := fieldSize(s.Curve)
		r, z := new(big.Int).SetBytes(good[:size]), new(big.Int).SetBytes(good[size:])
		one := big.NewInt(1)
		edges := map[string]*big.Int{
			"0": new(big.Int), "1": one, "n-1": new(big.Int).Sub(params.N, one), "n": params.N, "n+1": new(big.Int).Add(params.N, one),
			"p": params.P, "p+1": new(big.Int).Add(params.P, one), "r": r, "s": z,
			"r+n": new(big.Int).Add(r, params.N), "s+n": new(big.Int).Add(z, params.N),
			"all ones": new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one),
		}
		for first, a := range edges {
			for second, b := range edges {
				got := verifySignature(key, alg, input, sideBySide(a, b, size))
				if want := first == "r" && second == "s"; got != want {
					t.Errorf("%s: R %s and S %s: %t", alg, first, second, got)
				}
			}
		}
	}
}

// S below the order of the group is the only one of its kind (RFC 8032, 8.4).
func TestSEC_S6_Ed25519IsNotMalleable(t *testing.T) {
	const input = "header.payload"
	s := signers()["Ed25519"]
	sig := signAs(t, s, "EdDSA", input)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	bigEndian := slices.Clone(sig[32:])
	slices.Reverse(bigEndian)
	other := new(big.Int).Add(new(big.Int).SetBytes(bigEndian), order).FillBytes(make([]byte, 32))
	slices.Reverse(other)
	if verifySignature(&Key{Public: s.Public()}, "EdDSA", input, append(sig[:32:32], other...)) {
		t.Error("a second signature is as good as the first")
	}
}

// ASN.1 is how ECDSA signatures are written elsewhere, not in a JWS.
func TestSEC_S6_ASN1Signatures(t *testing.T) {
	const input = "header.payload"
	s := signers()["P-256"].(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte(input))
	for range 20 { // the length varies
		sig, err := ecdsa.SignASN1(rand.Reader, s, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if verifySignature(&Key{Public: s.Public()}, "ES256", input, sig) {
			t.Error("a signature in ASN.1 verifies")
		}
	}
}

// What can't be a key is nobody's.
func TestSEC_J2_WhatIsNoKey(t *testing.T) {
	s := signers()["P-256"].(*ecdsa.PrivateKey)
	for name, public := range map[string]crypto.PublicKey{
		"nil": nil, "a private key": s, "a secret": []byte("secret"), "an ECDSA key by value": s.PublicKey, "a pointer to an Ed25519 key": new(ed25519.PublicKey),
	} {
		for _, alg := range signatureAlgorithmNames {
			if verifySignature(&Key{Public: public}, alg, "header.payload", make([]byte, 64)) {
				t.Errorf("%s verifies %s", name, alg)
			}
		}
	}
}

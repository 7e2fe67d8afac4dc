package oidc

import (
	"crypto/rand"
	"encoding/json"
	"math/big"
	"os"
	"testing"
)

func TestROCA(t *testing.T) {
	// As the flawed generator makes primes: k*M + (65537^a mod M).
	m := big.NewInt(2)
	for _, p := range rocaPrimes {
		m.Mul(m, new(big.Int).SetUint64(p))
	}
	weak := func(k, a int64) *big.Int {
		x := new(big.Int).Exp(big.NewInt(65537), big.NewInt(a), m)
		return x.Add(x, new(big.Int).Mul(m, big.NewInt(k)))
	}
	if n := new(big.Int).Mul(weak(1234567, 4711), weak(7654321, 815)); !weakROCA(n) {
		t.Error("a weak modulus isn't found")
	}
	var vectors struct {
		TestGroups []struct {
			Comment string
			Public  json.RawMessage
		}
	}
	data, err := os.ReadFile("testdata/wycheproof/json_web_key_test.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, g := range vectors.TestGroups {
		if g.Comment == "jws_rsa_roca_key" {
			_, err := ParseKeys(g.Public)
			wantError(t, err, "ROCA")
			found = true
		}
	}
	if !found {
		t.Error("the vector of a weak key isn't there")
	}
	hits := 0
	for range 100_000 {
		n, _ := rand.Int(rand.Reader, m)
		if weakROCA(n) {
			hits++
		}
	}
	if hits > 0 {
		t.Errorf("%d of 100000 random numbers look weak", hits)
	}
}

package oidctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
)

// Making an RSA key takes longer than most tests, so a key is used again once its
// provider is closed. No two open providers share a key and no provider has one
// twice, or tests of rotation and of confused providers would succeed by accident.
// For the same reason a key rests until a few others have been given back: a
// provider that is closed and made anew has new keys.
var rsaPool struct {
	mu   sync.Mutex
	free []func() crypto.Signer // the longest free first
}

// resting is how many free keys are left alone.
const resting = 4

// leaseRSA gives an RSA-2048 key, made when first asked for, and the function
// that gives it back to the pool.
func leaseRSA() (private func() crypto.Signer, release func()) {
	rsaPool.mu.Lock()
	defer rsaPool.mu.Unlock()
	if len(rsaPool.free) > resting {
		private, rsaPool.free = rsaPool.free[0], rsaPool.free[1:]
	} else {
		private = sync.OnceValue(generateRSA)
	}
	return private, func() {
		rsaPool.mu.Lock()
		defer rsaPool.mu.Unlock()
		rsaPool.free = append(rsaPool.free, private)
	}
}

func generateRSA() crypto.Signer {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("oidctest: making an RSA key: %v", err))
	}
	return private
}

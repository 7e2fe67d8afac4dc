package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// nonces are those that DPoP proofs have to hold (RFC 9449, 9), so that proofs can't
// be made ahead of time. None is remembered: a nonce is the time at which it was
// made, in seconds and rounded down to life, with a truncated MAC over it. So any
// replica that has the key believes it, also after a restart.
type nonces struct {
	keys [][]byte // the first makes, all verify
	life time.Duration
	skew time.Duration // how far another replica's clock may be ahead
}

const nonceMAC = 16 // bytes: an attacker has one guess a request

// make gives the nonce of this time.
func (n *nonces) make(now time.Time) string {
	made := now.Unix()
	made -= made % int64(n.life/time.Second)
	return base64url.EncodeToString(appendNonce(nil, n.keys[0], made))
}

// verify says whether a nonce was made by one of the keys, and lately.
func (n *nonces) verify(nonce string, now time.Time) bool {
	if len(nonce) != base64url.EncodedLen(8+nonceMAC) {
		return false
	}
	given, err := base64url.DecodeString(nonce)
	if err != nil || len(given) != 8+nonceMAC {
		return false
	}
	made := int64(binary.BigEndian.Uint64(given))
	if age := now.Unix() - made; made < 0 || age < -int64(n.skew/time.Second) || age >= 2*int64(n.life/time.Second) {
		return false
	}
	for _, key := range n.keys {
		if hmac.Equal(appendNonce(nil, key, made), given) {
			return true
		}
	}
	return false
}

func appendNonce(b, key []byte, made int64) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(made))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("credence DPoP nonce\x00")) // the key may make other things too
	mac.Write(b)
	return append(b, mac.Sum(nil)[:nonceMAC]...)
}

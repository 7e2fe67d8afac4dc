package oidc

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestSEC_T3_Nonces(t *testing.T) {
	keys := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	with := func(keys ...[]byte) *dpopClient {
		return newDPoPClient(t, func(o *DPoPOptions) { o.NonceKeys, o.NonceLife = keys, time.Minute })
	}
	c, replica, before, stranger := with(keys...), with(keys...), with(keys[1]), with(bytes.Repeat([]byte{3}, 32))
	now := time.Unix(clock, 0)
	nonce := c.service.Nonce(now)
	altered := []byte(nonce)
	altered[len(altered)-1] ^= 1
	const wanted = "dpop_nonce_required: the proof's nonce isn't one of ours, or too old"
	for _, row := range []struct {
		name  string
		nonce any
		want  string
	}{
		{"this one's", nonce, "good"},
		{"a replica's", replica.service.Nonce(now), "good"},
		{"by the key before", before.service.Nonce(now), "good"},
		{"of the minute before", c.service.Nonce(now.Add(-time.Minute)), "good"},
		{"of a replica whose clock is ahead", c.service.Nonce(time.Unix(clock-clock%60+60, 0)), wanted},
		{"none", nil, wanted},
		{"empty", "", wanted},
		{"null", verbatim("null"), wanted},
		{"a number", 1, wanted},
		{"by another key", stranger.service.Nonce(now), wanted},
		{"altered", string(altered), wanted},
		{"cut short", nonce[:len(nonce)-1], wanted},
		{"with more behind", nonce + "A", wanted},
		{"not base64url", strings.Repeat("=", len(nonce)), wanted},
		{"with line breaks", "\n\n\n\n" + nonce[4:], wanted},
		{"too old", c.service.Nonce(now.Add(-3 * time.Minute)), wanted},
		{"far ahead", c.service.Nonce(now.Add(3 * time.Minute)), wanted},
		{"of a time that no clock shows", segment(appendNonce(nil, keys[0], -1)), wanted},
		{"of the end of time", segment(appendNonce(nil, keys[0], 1<<62)), wanted},
	} {
		if got := c.check(presenting(c.proof("ec-1", nil, members{"nonce": row.nonce}))); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if refused := len(c.service.used.young.proofs); refused != 4 {
		t.Errorf("%d proofs are remembered, want the 4 good ones: who has to repeat a request may use its jti again", refused)
	}
	n := nonces{keys: keys, life: time.Minute, skew: 30 * time.Second}
	ahead := time.Unix(clock-clock%60+60, 0)
	if made := n.make(ahead); !n.verify(made, ahead.Add(-30*time.Second)) || n.verify(made, ahead.Add(-31*time.Second)) || !n.verify(made, ahead.Add(119*time.Second)) || n.verify(made, ahead.Add(120*time.Second)) {
		t.Error("a nonce isn't good from the skew before it was made until two lives after")
	}
	if got := newDPoPClient(t, nil).service.Nonce(now) + (*DPoP)(nil).Nonce(now); got != "" {
		t.Errorf("nonce %q where none is asked for", got)
	}
}

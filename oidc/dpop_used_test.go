package oidc

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestSEC_T3_ProofsAreUsedOnce(t *testing.T) {
	c := newDPoPClient(t, nil)
	at := func(proof string, after time.Duration) string {
		return inWords(c.service.Check(c.bound("ec-1"), presenting(proof), time.Unix(clock, 0).Add(after)))
	}
	const again = "dpop_proof_invalid: the proof was used before (jti)"
	early := c.proof("ec-1", nil, members{"jti": "early", "iat": clock + 5})
	for _, row := range []struct {
		name  string
		proof string
		after time.Duration
		want  string
	}{
		{"first", early, 0, "good"},
		{"again", early, 0, again},
		{"signed again", c.proof("ec-1", nil, members{"jti": "early"}), 0, again},
		{"others later", c.proof("ec-1", nil, members{"iat": clock + 69}), 69 * time.Second, "good"},
		{"again, the clock having been set back", early, 0, again},
		{"again, as late as it could be used", early, 70 * time.Second, again},
		{"too late", early, 71 * time.Second, "dpop_proof_invalid: iat 1702389606 is 66 s behind this clock"},
		{"a new one by that name", c.proof("ec-1", nil, members{"jti": "early", "iat": clock + 300}), 300 * time.Second, "good"},
	} {
		if got := at(row.proof, row.after); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	same := c.proof("ed-1", nil, members{"jti": "early", "iat": clock + 300})
	if got := inWords(c.service.Check(c.bound("ed-1"), presenting(same), time.Unix(clock+300, 0))); got != "good" {
		t.Errorf("the jti of another key: %s", got)
	}
}

// A thousand requests bring one proof at the same time: one of them is let through.
func TestSEC_T3_OneOfManyAtOnce(t *testing.T) {
	used := newUsedProofs(1000, time.Minute)
	results := make(chan bool)
	const many = 1000
	for range many {
		go func() { results <- used.add([sha256.Size]byte{}, "one", time.Unix(clock, 0)) == nil }()
	}
	good := 0
	for range many {
		if <-results {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d times good, want once", good)
	}
}

// Memory is bounded: what can't be remembered is refused, until there is room.
func TestSEC_T3_FullMemoryRefuses(t *testing.T) {
	used := newUsedProofs(16, time.Minute)
	now := time.Unix(clock, 0)
	add := func(key byte, jti string) string { return inWords(used.add([sha256.Size]byte{key}, jti, now)) }
	for i := range 16 {
		if got := add(byte(i/2), fmt.Sprint(i)); got != "good" {
			t.Fatalf("proof %d: %s", i, got)
		}
		if i == 1 {
			const want = "dpop_busy: more than 2 proofs of this key were used lately; no more can be remembered"
			if got := add(0, "third"); got != want {
				t.Errorf("a key's third of 16: %s, want %s", got, want)
			}
		}
	}
	const want = "dpop_busy: more than 16 proofs were used lately; no more can be remembered"
	for range 1000 {
		refusal := used.add([sha256.Size]byte{99}, "more", now)
		if got := inWords(refusal); got != want || refusal.RetryAfter != time.Minute {
			t.Fatalf("a full memory: %s, want %s", got, want)
		}
	}
	if got := add(0, "0"); got != "dpop_proof_invalid: the proof was used before (jti)" {
		t.Errorf("a proof that a full memory has: %s", got)
	}
	now = now.Add(time.Minute)
	if got := add(99, "after one life"); got != want {
		t.Errorf("all were used within two lives: %s", got)
	}
	now = now.Add(time.Minute)
	if got := add(99, "after two lives"); got != "good" {
		t.Errorf("with room again: %s", got)
	}
	if kept := len(used.young.proofs) + len(used.old.proofs) + len(used.young.byKey) + len(used.old.byKey); kept != 2 {
		t.Errorf("%d things are remembered, want the one proof and its key", kept)
	}
}

// What can't be decided is no fault of the proof: its client may come again.
func TestFullMemoryIsBusy(t *testing.T) {
	c := newDPoPClient(t, func(o *DPoPOptions) { o.MaxProofs = shareOfKey })
	now := time.Unix(clock, 0)
	check := func(key, jti string) *audit.Refusal {
		return c.service.Check(c.bound(key), presenting(c.proof(key, nil, members{"jti": jti})), now)
	}
	if refusal := check("ec-1", "one"); refusal != nil {
		t.Fatal(refusal)
	}
	refusal := check("ec-1", "two")
	if refusal == nil || refusal.Reason != audit.DPoPBusy || refusal.Reason.Class().Status() != 503 || refusal.RetryAfter != c.service.used.life {
		t.Errorf("got %v", refusal)
	}
	if refusal := check("ed-1", "two"); refusal != nil {
		t.Errorf("another key: %v", refusal)
	}
	if refusal := check("ec-1", "one"); refusal == nil || refusal.Reason != audit.DPoPProofInvalid {
		t.Errorf("a proof that was used, got %v", refusal)
	}
}

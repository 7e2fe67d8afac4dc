package oidc

import (
	"crypto/sha256"
	"strconv"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
)

// usedProofs remembers the proofs that were used, by key and jti, for as long as
// they would be believed again. There are two generations: what is used goes into
// the young one, and when that has lasted for a proof's life, it becomes the old one
// and the old one is forgotten all at once. So a proof is remembered for one to two
// lives, and forgetting costs nothing.
//
// Its memory is bounded. Where it is full, what is new is refused: forgetting
// something early would let it be used twice. One key has no more than a part of it,
// so that one client can't turn the others away.
type usedProofs struct {
	most, mostByKey int
	life            time.Duration

	mu         sync.Mutex
	began      time.Time // of young
	young, old generation
}

type generation struct {
	proofs map[[16]byte]struct{} // by truncated hash of key and jti
	byKey  map[[sha256.Size]byte]int
}

// shareOfKey is what part of the memory one key may use up.
const shareOfKey = 8

func newUsedProofs(most int, life time.Duration) *usedProofs {
	return &usedProofs{most: most, mostByKey: max(1, most/shareOfKey), life: life, young: newGeneration(), old: newGeneration()}
}

func newGeneration() generation {
	return generation{map[[16]byte]struct{}{}, map[[sha256.Size]byte]int{}}
}

// add notes that a proof is used now, and refuses it if it was before, or if that
// can't be remembered (DPoPBusy): then nothing is wrong with the proof.
func (u *usedProofs) add(key [sha256.Size]byte, jti string, now time.Time) *audit.Refusal {
	sum := sha256.Sum256(append(key[:], jti...))
	proof := [16]byte(sum[:])

	u.mu.Lock()
	defer u.mu.Unlock()
	u.age(now)
	_, inOld := u.old.proofs[proof]
	_, inYoung := u.young.proofs[proof]
	switch {
	case inOld || inYoung:
		return badProof("the proof was used before (jti)")
	case len(u.young.proofs)+len(u.old.proofs) >= u.most:
		return u.full("", u.most)
	case u.young.byKey[key]+u.old.byKey[key] >= u.mostByKey:
		return u.full(" of this key", u.mostByKey)
	}
	u.young.proofs[proof] = struct{}{}
	u.young.byKey[key]++
	return nil
}

// age begins a new generation where it is time.
func (u *usedProofs) age(now time.Time) {
	switch age := now.Sub(u.began); {
	case age < u.life: // also where the clock was set back
		return
	case age < 2*u.life:
		u.old = u.young
	default:
		u.old = newGeneration()
	}
	u.young, u.began = newGeneration(), now
}

func (u *usedProofs) full(whose string, most int) *audit.Refusal {
	return &audit.Refusal{
		Reason: audit.DPoPBusy, RetryAfter: u.life,
		Detail: "more than " + strconv.Itoa(most) + " proofs" + whose + " were used lately; no more can be remembered",
	}
}

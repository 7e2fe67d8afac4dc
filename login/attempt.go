package login

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/credence-authz/credence/session"
)

const (
	attemptLife  = 15 * time.Minute // from the start of a login to its callback
	startsApart  = time.Minute      // between first tabs that began without a binding cookie
	attemptForm  = 1                // of the bytes that state seals
	maxState     = 4 << 10          // in characters, sealed
	flagRestart  = 1
	flagPrompt   = 2
	usedAtOnce   = 1 << 16 // attempts that one half of usedAttempts holds
	attemptFixed = 1 + len(attemptID{}) + 8 + len(digest{}) + len(session.ID{}) + 8 + 1 + 1
)

// attemptID tells one attempt to log in, or to log out at a provider, from all
// others. It is random.
type attemptID [16]byte

// digest ties an attempt to the browser that began it; see binding.digest.
type digest [16]byte

// attempt is what state holds, sealed, while somebody is at the provider. Nothing
// of it is kept here.
type attempt struct {
	id        attemptID
	made      time.Time // whole seconds
	digest    digest
	replaces  earlier // ends when this login does
	restarted bool    // it took the place of one that had come to nothing
	prompt    bool    // the person is to be asked again, in spite of a session
	client    string  // at most 255 bytes
	returnTo  string  // as returnAddress gives it
}

// earlier is a session that the browser had when an attempt began; the zero value is
// none. A callback by form_post can't see it: a browser sends no cookie with SameSite
// Lax to a POST from another site.
type earlier struct {
	id      session.ID
	expires time.Time // whole seconds
}

// earlierOf is what an attempt has to know of a session, which may be nil.
func earlierOf(r *session.Record) earlier {
	if r == nil {
		return earlier{}
	}
	return earlier{r.ID, r.Expires}
}

// appendTo appends the attempt in the form that parseAttempt reads: a version, the
// id, the time in seconds since 1970, the digest, the id and end of the session that
// it replaces, flags, the client's name after its length, and the return address up
// to the end.
func (a *attempt) appendTo(b []byte) []byte {
	b = append(b, attemptForm)
	b = append(b, a.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(a.made.Unix()))
	b = append(b, a.digest[:]...)
	b = append(b, a.replaces.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(a.replaces.expires.Unix()))
	flags := byte(0)
	if a.restarted {
		flags |= flagRestart
	}
	if a.prompt {
		flags |= flagPrompt
	}
	b = append(b, flags, byte(len(a.client)))
	b = append(b, a.client...)
	return append(b, a.returnTo...)
}

func parseAttempt(b []byte) (*attempt, bool) {
	if len(b) < attemptFixed || b[0] != attemptForm {
		return nil, false
	}
	a := new(attempt)
	b = b[1:]
	b = b[copy(a.id[:], b):]
	a.made = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	b = b[8:]
	b = b[copy(a.digest[:], b):]
	b = b[copy(a.replaces.id[:], b):]
	a.replaces.expires = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	b = b[8:]
	flags, n := b[0], int(b[1])
	if b = b[2:]; flags > flagRestart|flagPrompt || len(b) < n {
		return nil, false
	}
	a.restarted, a.prompt = flags&flagRestart != 0, flags&flagPrompt != 0
	a.client, a.returnTo = string(b[:n]), string(b[n:])
	return a, true
}

// young says whether the attempt may still come to its end. One from the future is
// that of a replica whose clock is a little ahead.
func (a *attempt) young(now time.Time) bool {
	age := now.Sub(a.made)
	return age < attemptLife && age > -time.Minute
}

// usedAttempts remembers attempts that came to their end, so that none does twice: the
// provider's code works once anyway, and this holds also where it doesn't. The zero
// value is ready.
//
// Its memory is bounded by two halves of 65,536 attempts. A half is given up when it
// is older than an attempt may get, or when the other is full; then what is left is
// the provider's promise. Filling it takes as many logins begun here.
type usedAttempts struct {
	mu       sync.Mutex
	current  map[attemptID]struct{}
	previous map[attemptID]struct{}
	turned   time.Time // when current was begun
}

// first says whether the attempt is used for the first time, and notes it.
func (u *usedAttempts) first(id attemptID, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current == nil || len(u.current) >= usedAtOnce || now.Sub(u.turned) >= attemptLife {
		u.previous, u.current, u.turned = u.current, map[attemptID]struct{}{}, now
	}
	if _, seen := u.current[id]; seen {
		return false
	}
	if _, seen := u.previous[id]; seen {
		return false
	}
	u.current[id] = struct{}{}
	return true
}

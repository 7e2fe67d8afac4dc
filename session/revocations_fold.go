package session

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// maxEndedSessions is how many sessions of one person are revoked one by one. Whoever
// logs in and out without end, with a program, would otherwise fill the memory of
// revocations by themselves, and with that end the sessions of everybody.
const maxEndedSessions = 1000

// person is a hash of issuer and subject.
type person [16]byte

// endedSessions are those of a person that are revoked one by one.
type endedSessions struct {
	ids             []ID  // some may not be held any more
	loggedIn, until int64 // of the latest, in Unix seconds
}

func personOf(r *Record) person {
	sum := sha256.Sum256([]byte(r.Issuer + "\x00" + r.Subject))
	return person(sum[:])
}

// session revokes r as Session does. Where its person has too many of them, one
// revocation of all that is theirs up to now takes the place of these.
func (v *Revocations) session(r *Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.hold(&v.sessions, r.ID, always, r.Expires) {
		return
	}
	if v.byPerson == nil {
		v.byPerson = map[person]*endedSessions{}
	}
	who := personOf(r)
	ended := v.byPerson[who]
	if ended == nil {
		ended = new(endedSessions)
		v.byPerson[who] = ended
	}
	ended.ids = append(ended.ids, r.ID)
	ended.loggedIn, ended.until = max(ended.loggedIn, r.LoggedIn.Unix()), max(ended.until, r.Expires.Unix())
	if len(ended.ids) <= maxEndedSessions {
		return
	}
	now := time.Now().Unix()
	ended.ids = slices.DeleteFunc(ended.ids, func(id ID) bool { return !v.sessions.holds(id, now) })
	if len(ended.ids) <= maxEndedSessions {
		return
	}
	// Some may have been begun by a clock that is ahead. The new one is there before
	// the others go, so that no reader finds neither.
	all := ofIssuer{strings.Clone(r.Issuer), strings.Clone(r.Subject)}
	v.hold(&v.subjects, all, max(now, ended.loggedIn), time.Unix(ended.until, 0))
	for _, id := range ended.ids {
		v.sessions.remove(id)
	}
	delete(v.byPerson, who)
}

// holds says whether the revocation of key is there and not over.
func (k *revoked) holds(key any, now int64) bool {
	r, ok := k.entries.Load(key)
	return ok && r.(revocation).until >= now
}

// forgetPersons drops those whose sessions were.
func (v *Revocations) forgetPersons() {
	for who, ended := range v.byPerson {
		ended.ids = slices.DeleteFunc(ended.ids, func(id ID) bool { return !v.sessions.holds(id, 0) })
		if len(ended.ids) == 0 {
			delete(v.byPerson, who)
		}
	}
}

package session

import (
	"cmp"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Identity is what can be revoked of a session or a bearer token. What isn't known
// is left zero; an identity whose time of issue isn't known counts as issued before
// any revocation.
type Identity struct {
	Issuer, Subject, SID, TokenID, ClientID string
	Issued                                  time.Time // of a session: when it was logged in
	Session                                 ID
}

// Revocations say who may not come in any more although what they present is good.
// They are in memory, and each ends when all that it is about has expired. Reading
// takes no lock, and next to no time while there are none. The zero Revocations are
// ready to use. All methods may be called at the same time.
type Revocations struct {
	sessions, tokens, subjects, sids, clients revoked

	floor  atomic.Int64           // all that was issued up to this Unix second is revoked
	filter atomic.Pointer[filter] // of all their names; nil while there are none

	mu       sync.Mutex // held by writers
	byPerson map[person]*endedSessions
	swept    time.Time
	most     int // how many may be held; zero means maxRevocations
}

// maxRevocations bounds all of them together, at some 250 bytes each.
const maxRevocations = 1 << 20

// revoked are the revocations of one kind.
type revoked struct {
	count   atomic.Int64
	entries sync.Map // of ID or ofIssuer → revocation
}

// ofIssuer is a subject, sid, token or client. The issuer is a part of the key, since
// all of them are names that only their issuer gives meaning to.
type ofIssuer struct{ issuer, name string }

type revocation struct {
	at    int64 // Unix second: revoked is what was issued up to it
	until int64 // Unix second after which nothing that it is about is left
}

// always is later than anything is issued.
const always = math.MaxInt64

// Session revokes one session, which would end at until.
func (v *Revocations) Session(id ID, until time.Time) { v.add(&v.sessions, id, always, until) }

// Token revokes one token of the issuer by its jti, which would expire at until.
func (v *Revocations) Token(issuer, jti string, until time.Time) {
	v.addNamed(&v.tokens, issuer, jti, always, until)
}

// Subject revokes all that the issuer issued for the subject up to the second at,
// sessions too. All of it has to have expired by until.
func (v *Revocations) Subject(issuer, subject string, at, until time.Time) {
	v.addNamed(&v.subjects, issuer, subject, at.Unix(), until)
}

// SID revokes all of the provider's session of that sid, as Subject does.
func (v *Revocations) SID(issuer, sid string, at, until time.Time) {
	v.addNamed(&v.sids, issuer, sid, at.Unix(), until)
}

// Client revokes all that the issuer issued to the client, as Subject does. Sessions
// don't know the client by the provider's name for it and go on.
func (v *Revocations) Client(issuer, clientID string, at, until time.Time) {
	v.addNamed(&v.clients, issuer, clientID, at.Unix(), until)
}

// Revoked says whether any revocation is about i.
func (v *Revocations) Revoked(i *Identity) bool {
	issued := int64(math.MinInt64)
	if !i.Issued.IsZero() {
		issued = i.Issued.Unix()
	}
	f := v.filter.Load()
	return f.maybe(string(i.Session[:])) && v.sessions.has(i.Session, issued) ||
		f.maybe(i.Subject) && v.subjects.hasNamed(i.Issuer, i.Subject, issued) ||
		f.maybe(i.SID) && v.sids.hasNamed(i.Issuer, i.SID, issued) ||
		f.maybe(i.TokenID) && v.tokens.hasNamed(i.Issuer, i.TokenID, issued) ||
		f.maybe(i.ClientID) && v.clients.hasNamed(i.Issuer, i.ClientID, issued) ||
		v.floor.Load() != 0 && issued <= v.floor.Load() // last: it is set before the others are dropped
}

func (k *revoked) hasNamed(issuer, name string, issued int64) bool {
	return k.count.Load() > 0 && name != "" && k.has(ofIssuer{issuer, name}, issued)
}

func (k *revoked) has(key any, issued int64) bool {
	r, ok := k.entries.Load(key)
	return ok && issued <= r.(revocation).at
}

func (v *Revocations) addNamed(kind *revoked, issuer, name string, at int64, until time.Time) {
	if name != "" { // whoever has no name isn't meant
		v.add(kind, ofIssuer{strings.Clone(issuer), strings.Clone(name)}, at, until)
	}
}

func (v *Revocations) add(kind *revoked, key any, at int64, until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hold(kind, key, at, until)
}

// hold adds a revocation, or widens the one there is, and says whether it is new.
// The caller has the lock.
func (v *Revocations) hold(kind *revoked, key any, at int64, until time.Time) (added bool) {
	now := time.Now()
	if !until.After(now) {
		return false
	}
	r := revocation{at, until.Unix()}
	was, there := kind.entries.Load(key)
	if there {
		r.at, r.until = max(r.at, was.(revocation).at), max(r.until, was.(revocation).until)
	} else {
		v.makeRoom(now)
		kind.count.Add(1)
	}
	v.addToFilter(key) // first: who asks between the two finds nothing, which is true yet
	kind.entries.Store(key, r)
	return !there
}

func (v *Revocations) addToFilter(key any) {
	f := v.filter.Load()
	if f == nil {
		f = newFilter()
		defer v.filter.Store(f)
	}
	switch key := key.(type) {
	case ID:
		f.add(string(key[:]))
	case ofIssuer:
		f.add(key.name)
	}
}

func (k *revoked) remove(key any) {
	if _, there := k.entries.LoadAndDelete(key); there {
		k.count.Add(-1)
	}
}

func (v *Revocations) kinds() [5]*revoked {
	return [...]*revoked{&v.sessions, &v.tokens, &v.subjects, &v.sids, &v.clients}
}

// Counts are how many revocations of each kind are held.
type Counts struct{ Sessions, Tokens, Subjects, SIDs, Clients int }

// Counts counts what is held.
func (v *Revocations) Counts() Counts {
	n := func(k *revoked) int { return int(k.count.Load()) }
	return Counts{n(&v.sessions), n(&v.tokens), n(&v.subjects), n(&v.sids), n(&v.clients)}
}

// held is how many revocations there are.
func (v *Revocations) held() int {
	n := 0
	for _, kind := range v.kinds() {
		n += int(kind.count.Load())
	}
	return n
}

// Empty says that nothing is revoked, so that nobody need gather what to ask with.
func (v *Revocations) Empty() bool { return v.held() == 0 && v.floor.Load() == 0 }

// makeRoom drops what is over, once a minute. Where that leaves too many, one
// revocation of everything takes the place of all: nobody revoked may come in again
// because somebody else was, though it logs everybody out.
func (v *Revocations) makeRoom(now time.Time) {
	most := cmp.Or(v.most, maxRevocations)
	full := v.held() >= most
	if !full && now.Sub(v.swept) < time.Minute {
		return
	}
	v.swept = now
	v.drop(func(r revocation) bool { return r.until < now.Unix() })
	// Not only a few may go, or the next ones would have to search all of them again.
	if full && v.held() > most/8*7 {
		v.floor.Store(now.Unix())
		v.drop(func(revocation) bool { return true })
	}
	if v.held() == 0 {
		v.filter.Store(nil)
	}
	v.forgetPersons()
}

func (v *Revocations) drop(over func(revocation) bool) {
	for _, kind := range v.kinds() {
		for key, r := range kind.entries.Range {
			if over(r.(revocation)) {
				kind.remove(key)
			}
		}
	}
}

package session

import (
	"fmt"
	"testing"
	"time"
)

// TestRevokedAmongMany: the filter hides nobody who is revoked, hardly ever has anybody
// else looked up, and asking takes no memory.
func TestRevokedAmongMany(t *testing.T) {
	const many = 10_000
	var v Revocations
	until := time.Now().Add(time.Hour)
	who := func(i int) Identity {
		return Identity{
			Issuer: "https://issuer.test", Subject: fmt.Sprint("subject-", i), SID: fmt.Sprint("sid-", i), TokenID: fmt.Sprint("token-", i), ClientID: fmt.Sprint("client-", i),
			Session: ID{byte(i), byte(i >> 8), 15: 1}, Issued: time.Now().Add(-time.Minute),
		}
	}
	for i := range many {
		switch one := who(i); i % 5 {
		case 0:
			v.Subject(one.Issuer, one.Subject, time.Now(), until)
		case 1:
			v.SID(one.Issuer, one.SID, time.Now(), until)
		case 2:
			v.Token(one.Issuer, one.TokenID, until)
		case 3:
			v.Client(one.Issuer, one.ClientID, time.Now(), until)
		case 4:
			v.Session(one.Session, until)
		}
	}
	maybe := 0
	for i := range 2 * many {
		one := who(i)
		if got, want := v.Revoked(&one), i < many; got != want {
			t.Fatalf("%d: got %t", i, got)
		}
		if i >= many && v.filter.Load().maybe(one.Subject) {
			maybe++
		}
	}
	if maybe > many/50 {
		t.Errorf("%d of %d others would be looked up", maybe, many)
	}
	other := who(2*many + 1)
	for v.filter.Load().maybe(other.Subject) || v.filter.Load().maybe(other.SID) || v.filter.Load().maybe(other.TokenID) || v.filter.Load().maybe(other.ClientID) || v.filter.Load().maybe(string(other.Session[:])) {
		other.Subject += "x"
		other.SID += "x"
		other.TokenID += "x"
		other.ClientID += "x"
		other.Session[7]++
	}
	if got := testing.AllocsPerRun(100, func() { v.Revoked(&other) }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// TestFilterGoesWithTheLast revocation, and comes with the next.
func TestFilterGoesWithTheLast(t *testing.T) {
	var v Revocations
	one := Identity{Issuer: "https://issuer.test", Subject: "alice", Issued: time.Now().Add(-time.Minute)}
	v.Subject(one.Issuer, "alice", time.Now(), time.Now().Add(time.Hour))
	v.mu.Lock()
	v.drop(func(revocation) bool { return true })
	v.swept = time.Time{}
	v.makeRoom(time.Now())
	v.mu.Unlock()
	if v.filter.Load() != nil || v.Revoked(&one) {
		t.Error("something is left")
	}
	v.Subject(one.Issuer, "alice", time.Now(), time.Now().Add(time.Hour))
	if !v.Revoked(&one) {
		t.Error("alice is let in")
	}
}

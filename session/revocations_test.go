package session

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestRevocations(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	later := now.Add(time.Hour)
	const issuer = "https://op.example"
	id := Identity{Issuer: issuer, Subject: "alice", SID: "s", TokenID: "j", ClientID: "c", Issued: now, Session: ID{1}}
	as := func(change func(i *Identity)) Identity { i := id; change(&i); return i }
	newer := as(func(i *Identity) { i.Issued = now.Add(time.Second) })
	tests := []struct {
		name   string
		revoke func(v *Revocations)
		id     Identity
		want   bool
	}{
		{"none", func(*Revocations) {}, id, false},
		{"session", func(v *Revocations) { v.Session(ID{1}, later) }, newer, true},
		{"other session", func(v *Revocations) { v.Session(ID{2}, later) }, id, false},
		{"token", func(v *Revocations) { v.Token(issuer, "j", later) }, newer, true},
		{"other token", func(v *Revocations) { v.Token(issuer, "k", later) }, id, false},
		{"token of another issuer", func(v *Revocations) { v.Token("https://b.example", "j", later) }, id, false},
		{"subject", func(v *Revocations) { v.Subject(issuer, "alice", now, later) }, id, true},
		{"subject, within the second", func(v *Revocations) { v.Subject(issuer, "alice", now.Add(time.Second-1), later) }, id, true},
		{"subject, issued later", func(v *Revocations) { v.Subject(issuer, "alice", now, later) }, newer, false},
		{"subject, issue not known", func(v *Revocations) { v.Subject(issuer, "alice", now, later) }, as(func(i *Identity) { i.Issued = time.Time{} }), true},
		{"other subject", func(v *Revocations) { v.Subject(issuer, "robert", now, later) }, id, false},
		{"subject, named as a sid", func(v *Revocations) { v.Subject(issuer, "s", now, later) }, id, false},
		{"sid", func(v *Revocations) { v.SID(issuer, "s", now, later) }, id, true},
		{"sid, none", func(v *Revocations) { v.SID(issuer, "", now, later) }, as(func(i *Identity) { i.SID = "" }), false},
		{"sid, issued later", func(v *Revocations) { v.SID(issuer, "s", now, later) }, newer, false},
		{"client", func(v *Revocations) { v.Client(issuer, "c", now, later) }, id, true},
		{"client, issued later", func(v *Revocations) { v.Client(issuer, "c", now, later) }, newer, false},
		{"over already", func(v *Revocations) { v.Session(ID{1}, now.Add(-time.Second)) }, id, false},
		{"twice, the later time counts", func(v *Revocations) {
			v.Subject(issuer, "alice", now.Add(time.Minute), later)
			v.Subject(issuer, "alice", now.Add(-time.Minute), later)
		}, newer, true},
	}
	for _, test := range tests {
		var v Revocations
		test.revoke(&v)
		if got := v.Revoked(&test.id); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if n := testing.AllocsPerRun(10, func() { v.Revoked(&test.id) }); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func TestRevocationsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Revocations
		for n := range byte(100) {
			v.Session(ID{n}, time.Now().Add(time.Hour))
			v.Session(ID{n}, time.Now().Add(time.Minute)) // doesn't shorten it
		}
		if v.held() != 100 {
			t.Errorf("%d revocations, want 100", v.held())
		}
		time.Sleep(time.Hour)
		if !v.Revoked(&Identity{Session: ID{1}}) {
			t.Error("ended too soon")
		}
		time.Sleep(time.Second)
		if v.Session(ID{200}, time.Now().Add(time.Hour)); v.held() != 1 {
			t.Errorf("%d revocations, want 1", v.held())
		}
	})
}

// TestRevocationsArentShortened: of two ends the later one counts.
func TestRevocationsArentShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Revocations
		who := Identity{Issuer: "i", Subject: "alice", Session: ID{1}}
		v.Session(ID{1}, time.Now().Add(time.Hour))
		v.Session(ID{1}, time.Now().Add(time.Minute))
		time.Sleep(30 * time.Minute)
		v.Session(ID{2}, time.Now().Add(time.Hour)) // drops what is over
		if v.held() != 2 || !v.Revoked(&who) {
			t.Errorf("%d revocations are held, want 2", v.held())
		}
	})
}

// TestSessionsOfOnePersonAreFolded: who logs in and out without end ends their own
// sessions, and nobody else's.
func TestSessionsOfOnePersonAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSessions(t, Options{})
		v := s.revocations
		bob, b := newBrowser(t), newBrowser(t)
		r := alice()
		r.Subject = "bob"
		bob.begin(s, r, time.Now())
		var copies []*browser
		for n := range 5*maxEndedSessions + 100 {
			now := time.Now()
			if n == 7 {
				now = now.Add(clockSlack) // at a replica whose clock is ahead
			}
			b.begin(s, alice(), now)
			if n < 10 || n%997 == 0 {
				copies = append(copies, b.copy())
			}
			_, deletions := s.End(t.Context(), "web", b.lines(), now)
			b.take(deletions)
			if n%10 == 9 {
				time.Sleep(time.Second)
			}
		}
		if got := v.Counts(); got.Sessions > maxEndedSessions || got.Subjects != 1 || len(v.byPerson) != 1 {
			t.Errorf("%+v are held, of %d", got, len(v.byPerson))
		}
		for _, b := range copies {
			b.wants(s, time.Now().Add(clockSlack), audit.SessionRevoked)
		}
		bob.wants(s, time.Now(), audit.Allowed)
		later := time.Now().Add(clockSlack)
		b.begin(s, alice(), later)
		b.wants(s, later, audit.Allowed)
		time.Sleep(13 * time.Hour)
		v.Session(ID{1}, time.Now().Add(time.Hour))
		if v.held() != 1 || len(v.byPerson) != 0 {
			t.Errorf("%d revocations and %d persons are left, want 1 and none", v.held(), len(v.byPerson))
		}
	})
}

// ends revokes sessions from..to of a person, which were begun now and live so long.
func ends(v *Revocations, subject string, from, to int, life time.Duration) {
	for n := from; n < to; n++ {
		r := alice()
		r.Subject, r.LoggedIn, r.Expires = subject, time.Now(), time.Now().Add(life)
		if n == 5 {
			r.LoggedIn = r.LoggedIn.Add(clockSlack) // at a replica whose clock is ahead
		}
		binary.LittleEndian.PutUint32(r.ID[:], uint32(n))
		v.session(&r)
	}
}

// TestFoldedSessionsStayRevoked until the last of them is over.
func TestFoldedSessionsStayRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Revocations
		who := Identity{Issuer: alice().Issuer, Subject: "alice", Issued: time.Now(), Session: ID{1}}
		ahead := who
		ahead.Issued, ahead.Session = time.Now().Add(clockSlack), ID{5}
		ends(&v, "alice", 0, maxEndedSessions, time.Hour)
		ends(&v, "alice", maxEndedSessions, maxEndedSessions+1, time.Minute)
		if got := v.Counts(); got != (Counts{Subjects: 1}) || len(v.byPerson) != 0 {
			t.Errorf("%+v are held, of %d persons", got, len(v.byPerson))
		}
		time.Sleep(59 * time.Minute)
		v.Token("i", "j", time.Now().Add(time.Hour)) // drops what is over
		if !v.Revoked(&who) || !v.Revoked(&ahead) {
			t.Error("a folded session is good again")
		}
		time.Sleep(2 * time.Minute)
		v.Token("i", "k", time.Now().Add(time.Hour))
		if v.Counts().Subjects != 0 {
			t.Error("what is over is held")
		}
	})
}

// TestSessionsThatAreOverArentFolded: only those count that could come back, each
// once, and for their own person.
func TestSessionsThatAreOverArentFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Revocations
		ends(&v, "alice", 0, maxEndedSessions, 10*time.Second)
		ends(&v, "alice", 0, maxEndedSessions, 10*time.Second)
		time.Sleep(20 * time.Second)
		ends(&v, "alice", maxEndedSessions, 2*maxEndedSessions, time.Hour)
		ends(&v, "bob", 2*maxEndedSessions, 3*maxEndedSessions, time.Hour)
		if got := v.Counts(); got.Subjects != 0 {
			t.Errorf("%+v are held", got)
		}
		ends(&v, "alice", 3*maxEndedSessions, 3*maxEndedSessions+1, time.Hour)
		if got := v.Counts(); got.Subjects != 1 || got.Sessions != 2*maxEndedSessions {
			t.Errorf("%+v are held; want the live ones folded", got)
		}
	})
}

// TestTooManyRevocations (S17): no revocation is forgotten for want of room.
func TestTooManyRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 800
		v := Revocations{most: most}
		id := func(n int) (id ID) { binary.LittleEndian.PutUint32(id[:], uint32(n)); return id }
		for n := range most {
			life := time.Hour
			if n%2 == 0 {
				life = time.Minute
			}
			v.Session(id(n), time.Now().Add(life))
		}
		time.Sleep(2 * time.Minute)
		v.Session(id(most), time.Now().Add(time.Hour))
		if v.held() != most/2+1 || v.Revoked(&Identity{Session: id(most + 5), Issued: time.Now().Add(-time.Hour)}) {
			t.Errorf("%d are left of those that are over by half, want %d", v.held(), most/2+1)
		}
		for n := range most {
			v.Session(id(n), time.Now().Add(time.Hour))
		}
		if v.held() > most/2+1 || v.Empty() {
			t.Errorf("%d revocations are left", v.held())
		}
		if !v.Revoked(&Identity{Session: id(1), Issued: time.Now().Add(-time.Minute)}) || !v.Revoked(&Identity{Session: id(most - 1), Issued: time.Now().Add(-time.Minute)}) {
			t.Error("a revocation was forgotten")
		}
		if !v.Revoked(&Identity{Session: id(most + 5), Issued: time.Now()}) {
			t.Error("what was issued before isn't revoked")
		}
		if v.Revoked(&Identity{Session: id(most + 5), Issued: time.Now().Add(time.Second)}) {
			t.Error("a later login doesn't work")
		}
	})
}

func TestRevocationsAreCounted(t *testing.T) {
	var v Revocations
	now, later := time.Now(), time.Now().Add(time.Hour)
	if !v.Empty() || v.Counts() != (Counts{}) {
		t.Errorf("none are %v", v.Counts())
	}
	v.Session(ID{1}, later)
	for _, name := range []string{"a", "b"} {
		v.Token("i", name, later)
		v.Subject("i", name, now, later)
		v.SID("i", name, now, later)
		v.Client("i", name, now, later)
	}
	if want := (Counts{1, 2, 2, 2, 2}); v.Counts() != want || v.Empty() || v.held() != 9 {
		t.Errorf("got %v, want %v", v.Counts(), want)
	}
}

func TestRevocationsAtOnce(t *testing.T) {
	var v Revocations
	until := time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	for g := range byte(4) {
		wg.Go(func() {
			for n := range byte(200) {
				v.Session(ID{n, g}, until)
				v.Subject("i", string(rune(n)), time.Now(), until)
				if !v.Revoked(&Identity{Session: ID{n, g}}) {
					t.Error("not revoked")
				}
			}
		})
	}
	wg.Wait()
	if v.held() != 4*200+200 {
		t.Errorf("%d revocations", v.held())
	}
}

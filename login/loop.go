package login

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

const (
	loopWindow = 20 * time.Second // a login so soon after the last one was for nothing
	loopTrips  = 3                // so many in a row are a loop
)

// loop counts logins that were for nothing: a browser that had just completed one
// for the same address is back for another, so it has no session. Its cookie isn't
// kept or isn't sent, and without a count it would go round for ever, quickly,
// where the provider asks nothing.
//
// Ten tabs that begin a login each are no loop, since nothing was completed in
// between; nor are logins for several addresses or clients in a row.
type loop struct {
	completed time.Time // the last one; whole seconds
	place     place     // what it was for
	trips     uint8
	seen      bool // a start came after it
}

// place is where a login leads, in short.
type place [4]byte

func placeOf(client, returnTo string) (p place) {
	sum := sha256.Sum256([]byte(client + "\x00" + returnTo))
	copy(p[:], sum[:])
	return p
}

// start notes that a login begins, and says whether the browser goes in circles; the
// count then begins again, so that the person may try.
func (l *loop) start(p place, now time.Time) (circles bool) {
	if now.Sub(l.completed) >= loopWindow {
		*l = loop{}
		return false
	}
	if l.seen || l.place != p {
		return false
	}
	l.seen = true
	if l.trips++; l.trips < loopTrips {
		return false
	}
	*l = loop{}
	return true
}

// complete notes that a login was completed.
func (l *loop) complete(p place, now time.Time) {
	if l.place != p {
		l.trips = 0
	}
	l.completed, l.place, l.seen = now, p, false
}

const loopSize = 8 + len(place{}) + 1 + 1

func (l *loop) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(l.completed.Unix()))
	b = append(b, l.place[:]...)
	seen := byte(0)
	if l.seen {
		seen = 1
	}
	return append(b, l.trips, seen)
}

// parseLoop reads loopSize bytes.
func parseLoop(b []byte) (l loop) {
	l.completed = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	copy(l.place[:], b[8:])
	l.trips, l.seen = b[12], b[13] == 1
	return l
}

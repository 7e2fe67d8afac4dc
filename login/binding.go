package login

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// binding is what makes a browser known again between the start of a login and its
// callback: the content of one cookie, of constant size, however many logins are
// under way. Each attempt's secrets are derived from its secret, so that none is in
// an address, and nothing has to be kept here.
type binding struct {
	secret [32]byte
	made   time.Time // whole seconds
	loop   loop
}

const (
	bindingForm = 1
	bindingSize = 1 + 32 + 8 + loopSize

	// bindingLife is how long a browser keeps the cookie after the last login began or
	// ended there. It outlives every attempt, and the memory of circles.
	bindingLife = time.Hour
)

func newBinding(now time.Time) *binding {
	b := &binding{made: now}
	rand.Read(b.secret[:]) // never fails
	return b
}

func (b *binding) bytes() []byte {
	out := append(make([]byte, 0, bindingSize), bindingForm)
	out = append(out, b.secret[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(b.made.Unix()))
	return b.loop.appendTo(out)
}

func parseBinding(p []byte) (*binding, bool) {
	if len(p) != bindingSize || p[0] != bindingForm {
		return nil, false
	}
	b := new(binding)
	p = p[1:]
	p = p[copy(b.secret[:], p):]
	b.made = time.Unix(int64(binary.BigEndian.Uint64(p)), 0)
	b.loop = parseLoop(p[8:])
	return b, true
}

// begin makes an attempt of this browser.
func (b *binding) begin(client, returnTo string, restarted bool, now time.Time) *attempt {
	a := &attempt{made: now, restarted: restarted, client: client, returnTo: returnTo}
	rand.Read(a.id[:]) // never fails
	a.digest = b.digest(a.id)
	return a
}

// began says whether the attempt is this browser's.
func (b *binding) began(a *attempt) bool {
	want := b.digest(a.id)
	return hmac.Equal(a.digest[:], want[:])
}

// madeWith says whether the attempt was begun at about the time when this browser
// got its cookie: several first tabs each get one, and the browser keeps the last.
func (b *binding) madeWith(a *attempt) bool {
	return a.made.Sub(b.made).Abs() <= startsApart
}

func (b *binding) digest(id attemptID) (d digest) {
	copy(d[:], b.derive(id, "login digest", len(d)))
	return d
}

// verifier is the attempt's PKCE code verifier: 43 characters, 256 bits (RFC 7636,
// 4.1).
func (b *binding) verifier(id attemptID) string {
	return base64.RawURLEncoding.EncodeToString(b.derive(id, "login verifier", 32))
}

// nonce is what the ID token has to repeat.
func (b *binding) nonce(id attemptID) string {
	return base64.RawURLEncoding.EncodeToString(b.derive(id, "login nonce", 32))
}

func (b *binding) derive(id attemptID, label string, size int) []byte {
	out, err := hkdf.Key(sha256.New, b.secret[:], id[:], "credence "+label, size)
	if err != nil {
		panic("login: " + err.Error()) // only a size that no hash allows
	}
	return out
}

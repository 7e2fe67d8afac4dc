package authz

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// Where a rule reads nothing but claims, what it makes of an identity is the same on
// each request: the policy's verdict, and the texts of the headers. Such an answer is
// remembered as a template, beside the identity that it was made of, and the next
// request with the token is spared all that.
//
// A template stands for no request. What differs by request is judged on each:
// whether it is well-formed and which rule it is for, revocation, headers that a
// client forged, our own cookies. It lives no longer than the verdict on the token: it
// has the same dates, and asks the key set for the same key. Tokens that are bound to a
// key of the client have none, since each request brings its own proof; nor has what
// was remembered before a recheck found memory to be wrong.
//
// It is found by the token's key and a random one of the rule. A rule of another
// configuration is another rule, so that nothing has to be thrown away for a reload.

// memo is what a judgement learned from memory, for the judgement's own later steps.
type memo struct {
	key      cache.Key // of the token
	watched  bool      // the verdict on the token is one to verify again
	template bool      // the answer may come from a template, or become one
	answered bool      // it came from one

	who   session.Identity // the token's, as revocations name it
	epoch uint64           // of Tokens, before anything was read from it
}

// steady says whether what a rule makes of a token's identity depends on nothing else,
// such as the request or the time.
func (r *rule) steady() bool {
	if r.Bearer == nil || r.Bearer.UserAuthentication.MaxAge > 0 || len(r.query)+len(r.RemoveQuery)+len(r.metadata) > 0 {
		return false
	}
	for x := range r.expressions() {
		if !x.steady {
			return false
		}
	}
	return true
}

// newSalt gives a steady rule its key for templates.
func (r *rule) newSalt() {
	if r.templates = r.steady(); r.templates {
		rand.Read(r.salt[:]) // never fails
	}
}

// templateKey is where the rule's template for a token is.
func (r *rule) templateKey(token cache.Key) cache.Key {
	for i := 0; i < len(token); i += 8 {
		word := binary.LittleEndian.Uint64(token[i:]) ^ binary.LittleEndian.Uint64(r.salt[i:])
		binary.LittleEndian.PutUint64(token[i:], word)
	}
	return token
}

// recallAnswer answers from a template, and says whether there was one. What it looked
// up it leaves in j.memo.
func (j *judgement) recallAnswer(presented credential) bool {
	a, r, m := j.engine.bearer, j.rule, &j.memo
	if presented.token == "" || r.Bearer == nil || j.inspect != nil || len(presented.token) > a.verifier.MaxBytes() {
		return false
	}
	m.epoch = a.tokens.epoch.Load()
	m.key = a.tokens.keyer.Key(string(presented.token))
	m.watched = a.tokens.Recheck.chooses()
	m.template = r.templates && !presented.dpop && a.tokens.Templates != nil && !m.watched
	if !m.template {
		return false
	}
	b, ok := a.tokens.Templates.Get(r.templateKey(m.key), j.request.Time)
	m.answered = ok && j.fill(b)
	return m.answered
}

// The flat form of a template: the fixed fields of a Result, then these, then texts,
// each behind its length in two bytes. It never leaves the process.
const (
	templateEpoch  = flatRest
	templateIssued = templateEpoch + 8
	templateTexts  = templateIssued + 8

	noText = math.MaxUint16 // the length of a text that isn't there
)

// keepAnswer makes a template of the answer to an identity that was itself remembered:
// most tokens of a flood never come a second time.
func (j *judgement) keepAnswer() {
	if !j.memo.template || !j.Cached {
		return
	}
	if bound, refusal := j.token.Claims.Constraint(); refusal != nil || bound.Bound() {
		return
	}
	who := j.identity()
	b := appendFixed(make([]byte, 0, 512), &j.token, audit.Allowed)
	b = binary.LittleEndian.AppendUint64(b, j.memo.epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(who.Issued.Unix()))
	for _, text := range [...]string{who.Subject, who.SID, who.TokenID, who.ClientID} {
		b = appendSized(b, text)
	}
	b = appendTexts(b, j.rule.headers, j.Set)
	b = appendTexts(b, j.rule.responseHeaders, j.ResponseHeaders)
	if len(b) > math.MaxUint16 {
		return // a text in it may be longer than its length can say
	}
	j.engine.bearer.tokens.Templates.Put(j.rule.templateKey(j.memo.key), b, j.request.Time, time.UnixMilli(j.token.Until))
}

func appendSized(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
}

// appendTexts writes the text of each expression that had one: those are in texts, in
// the same order.
func appendTexts(b []byte, from []namedExpression, texts []Header) []byte {
	for _, x := range from {
		if len(texts) == 0 || texts[0].Name != x.name {
			b = binary.LittleEndian.AppendUint16(b, noText)
			continue
		}
		b, texts = appendSized(b, texts[0].Value), texts[1:]
	}
	return b
}

// fill answers from a flat template, if it still stands. The answer's texts are views
// into b, which is a copy of our own.
func (j *judgement) fill(b []byte) bool {
	a := j.engine.bearer
	token, stands := a.fixed(b, j.request.Time)
	if !stands || len(b) < templateTexts || binary.LittleEndian.Uint64(b[templateEpoch:]) != a.tokens.epoch.Load() {
		return false
	}
	t := textReader{rest: view(b[templateTexts:])}
	j.memo.who = session.Identity{
		Issuer: string(token.Provider.Issuer()), Issued: time.Unix(int64(binary.LittleEndian.Uint64(b[templateIssued:])), 0),
	}
	for _, text := range [...]*string{&j.memo.who.Subject, &j.memo.who.SID, &j.memo.who.TokenID, &j.memo.who.ClientID} {
		*text, _ = t.next()
	}
	j.Provider, j.Subject, j.ClientID = token.Provider.Name(), oidc.Subject(j.memo.who.Subject), j.memo.who.ClientID
	j.Set = t.headers(j.request.set[:0], j.rule.headers)
	j.request.set = j.Set // its memory is used again
	j.ResponseHeaders = t.headers(nil, j.rule.responseHeaders)
	j.Cached = !t.broken
	return j.Cached
}

// textReader goes over the texts of a template.
type textReader struct {
	rest   string
	broken bool // memory isn't whole
}

func (t *textReader) next() (text string, ok bool) {
	if len(t.rest) < 2 {
		t.broken = true
		return "", false
	}
	n := int(t.rest[0]) | int(t.rest[1])<<8
	if t.rest = t.rest[2:]; n == noText {
		return "", false
	}
	if n > len(t.rest) {
		t.broken = true
		return "", false
	}
	text, t.rest = t.rest[:n], t.rest[n:]
	return text, true
}

func (t *textReader) headers(list []Header, of []namedExpression) []Header {
	for i := range of {
		if text, ok := t.next(); ok {
			list = append(list, Header{of[i].name, text})
		}
	}
	return list
}

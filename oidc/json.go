package oidc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The strict reader. encoding/json matches member names without regard to case
// (also U+017F and U+212A), keeps the last of repeated names and repairs bad
// UTF-8; in a token each of those lets two readers see two different tokens.
// This one refuses: repeated names, invalid UTF-8, lone surrogates, numbers that
// no float64 holds, anything after the value, and nesting beyond maxDepth.
//
// It reads JSON once and leaves it in a flat form (see [Value]) that needs no
// second parse: the same bytes are looked into, cached and handed to policy.

const (
	maxDepth        = 32  // arrays and objects inside each other
	maxNumberLength = 128 // bytes of one number
)

// parseObject reads data as exactly one JSON object (RFC 8259).
func parseObject(data []byte) (Claims, error) {
	// The flat form of most objects is a little longer than their text: a length
	// is four bytes where JSON has two quotes and a colon or comma.
	r := reader{in: data, out: make([]byte, 0, len(data)+len(data)/2+64)}
	r.space()
	if r.peek() != '{' {
		return Claims{}, errors.New("not a JSON object")
	}
	if err := r.value(0); err != nil {
		return Claims{}, err
	}
	r.space()
	if r.at != len(r.in) {
		return Claims{}, fmt.Errorf("byte %d: text after the object", r.at)
	}
	return Claims{Value{flat: string(r.out)}}, nil
}

type reader struct {
	in  []byte
	at  int
	out []byte
}

// peek is the next byte, or 0 at the end; JSON text has no 0.
func (r *reader) peek() byte {
	if r.at < len(r.in) {
		return r.in[r.at]
	}
	return 0
}

func (r *reader) space() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) fail(what string) error { return fmt.Errorf("byte %d: %s", r.at, what) }

func (r *reader) value(depth int) error {
	switch c := r.peek(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return r.fail("nested too deep")
		}
		if c == '{' {
			return r.object(depth + 1)
		}
		return r.array(depth + 1)
	case c == '"':
		r.out = append(r.out, byte(KindString))
		return r.str()
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	case c == 't':
		return r.word("true", KindTrue)
	case c == 'f':
		return r.word("false", KindFalse)
	case c == 'n':
		return r.word("null", KindNull)
	}
	return r.fail("no JSON value")
}

func (r *reader) word(w string, k Kind) error {
	if len(r.in)-r.at < len(w) || string(r.in[r.at:r.at+len(w)]) != w {
		return r.fail("no JSON value")
	}
	r.at += len(w)
	r.out = append(r.out, byte(k))
	return nil
}

// open writes a kind and room for its length, and says where the body begins.
func (r *reader) open(k Kind) int {
	r.out = append(r.out, byte(k), 0, 0, 0, 0)
	return len(r.out)
}

// shut fills in the length of the body that began at start.
func (r *reader) shut(start int) {
	binary.LittleEndian.PutUint32(r.out[start-4:], uint32(len(r.out)-start))
}

// ends reads the end of an array or object, if it comes next, and shuts the body
// that began at start.
func (r *reader) ends(end byte, start int) bool {
	r.space()
	if r.peek() != end {
		return false
	}
	r.at++
	r.shut(start)
	return true
}

func (r *reader) array(depth int) error {
	start := r.open(KindArray)
	r.at++
	if r.ends(']', start) {
		return nil
	}
	for {
		if err := r.value(depth); err != nil {
			return err
		}
		if r.ends(']', start) {
			return nil
		}
		if r.peek() != ',' {
			return r.fail("no comma or end of the array")
		}
		r.at++
		r.space()
	}
}

func (r *reader) object(depth int) error {
	start := r.open(KindObject)
	r.at++
	if r.ends('}', start) {
		return nil
	}
	var names names
	for {
		if r.peek() != '"' {
			return r.fail("no member name")
		}
		before := len(r.out)
		if err := r.str(); err != nil {
			return err
		}
		if name := r.out[before+4:]; !names.add(r.out[start:before], name) {
			return r.fail("repeated member " + quote(string(name)))
		}
		r.space()
		if r.peek() != ':' {
			return r.fail("no colon after a member name")
		}
		r.at++
		r.space()
		if err := r.value(depth); err != nil {
			return err
		}
		if r.ends('}', start) {
			return nil
		}
		if r.peek() != ',' {
			return r.fail("no comma or end of the object")
		}
		r.at++
		r.space()
	}
}

// names finds repeated member names: by comparing while there are few, as in
// every honest token, and by a map after that, so that thousands stay linear.
type names struct {
	count int
	seen  map[string]struct{}
}

const fewNames = 24

// add notes a name whose members before it are the body of an object that isn't
// shut yet. False means that it was there before.
func (n *names) add(before, name []byte) bool {
	n.count++
	if n.count <= fewNames {
		for len(before) > 0 {
			size := length(before)
			if string(before[4:4+size]) == string(name) {
				return false
			}
			before = before[4+size:]
			before = before[flatSize(before):]
		}
		return true
	}
	if n.seen == nil {
		n.seen = make(map[string]struct{}, 2*fewNames)
		for len(before) > 0 {
			size := length(before)
			n.seen[string(before[4:4+size])] = struct{}{}
			before = before[4+size:]
			before = before[flatSize(before):]
		}
	}
	if _, repeated := n.seen[string(name)]; repeated {
		return false
	}
	n.seen[string(name)] = struct{}{}
	return true
}

// str reads a string and writes its length and its unescaped bytes.
func (r *reader) str() error {
	r.out = append(r.out, 0, 0, 0, 0)
	start := len(r.out)
	r.at++
	for r.at < len(r.in) {
		switch c := r.in[r.at]; {
		case c == '"':
			r.at++
			r.shut(start)
			return nil
		case c == '\\':
			if err := r.escape(); err != nil {
				return err
			}
		case c < 0x20:
			return r.fail("control byte in a string")
		case c < utf8.RuneSelf:
			r.out = append(r.out, c)
			r.at++
		default:
			u, size := utf8.DecodeRune(r.in[r.at:])
			if u == utf8.RuneError && size == 1 {
				return r.fail("invalid UTF-8")
			}
			r.out = append(r.out, r.in[r.at:r.at+size]...)
			r.at += size
		}
	}
	return r.fail("string without an end")
}

func (r *reader) escape() error {
	if r.at+1 >= len(r.in) {
		return r.fail("string without an end")
	}
	c := r.in[r.at+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		u, ok := r.hex(r.at)
		if !ok {
			return r.fail("bad escape")
		}
		r.at += 6
		if utf16.IsSurrogate(u) {
			low, ok := r.hex(r.at)
			u = utf16.DecodeRune(u, low)
			if !ok || u == utf8.RuneError {
				return r.fail("lone surrogate")
			}
			r.at += 6
		}
		r.out = utf8.AppendRune(r.out, u)
		return nil
	default:
		return r.fail("bad escape")
	}
	r.out = append(r.out, c)
	r.at += 2
	return nil
}

// hex reads \uXXXX at offset i.
func (r *reader) hex(i int) (rune, bool) {
	if i+6 > len(r.in) || r.in[i] != '\\' || r.in[i+1] != 'u' {
		return 0, false
	}
	var u rune
	for _, c := range r.in[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// number checks the grammar of RFC 8259, 6, and keeps the text: a 20-digit
// account number reaches the application as the provider wrote it.
func (r *reader) number() error {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	switch c := r.peek(); {
	case c == '0':
		r.at++
	case '1' <= c && c <= '9':
		r.digits()
	default:
		return r.fail("bad number")
	}
	if r.peek() == '.' {
		r.at++
		if !r.digits() {
			return r.fail("bad number")
		}
	}
	exponent := false
	if c := r.peek(); c == 'e' || c == 'E' {
		exponent = true
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if !r.digits() {
			return r.fail("bad number")
		}
	}
	text := r.in[start:r.at]
	if len(text) > maxNumberLength {
		return r.fail("number too long")
	}
	if exponent { // without one, so few digits stay in range
		if _, err := strconv.ParseFloat(string(text), 64); err != nil {
			return r.fail("number out of range")
		}
	}
	body := r.open(KindNumber)
	r.out = append(r.out, text...)
	r.shut(body)
	return nil
}

func (r *reader) digits() bool {
	start := r.at
	for c := r.peek(); '0' <= c && c <= '9'; c = r.peek() {
		r.at++
	}
	return r.at > start
}

// clip shortens foreign text for an error, between two characters. More is an
// ellipsis if there was more.
func clip(s string) (start, more string) {
	n := 64
	if len(s) <= n {
		return s, ""
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], "…"
}

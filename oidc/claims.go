package oidc

import (
	"encoding/binary"
	"iter"
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Kind is the JSON type of a [Value], and the first byte of its flat form.
type Kind byte

// The kinds. KindAbsent is that of the zero Value.
const (
	KindAbsent Kind = 0
	KindNull   Kind = 'z'
	KindTrue   Kind = 't'
	KindFalse  Kind = 'f'
	KindNumber Kind = 'n'
	KindString Kind = 's'
	KindArray  Kind = 'a'
	KindObject Kind = 'o'
)

// Value is a JSON value in flat form: its kind, then for numbers (as text),
// strings, arrays and objects the length of the body in four little-endian
// bytes, then the body. An array's body is its values; an object's is a name
// (length and bytes) and a value for each member. Looking into it allocates
// nothing, and every string it gives is a part of it. The zero Value is an
// absent one, and everything inside an absent value is absent.
type Value struct{ flat string }

// Claims is a JSON object: the claims of a token, or its header.
type Claims struct{ Value }

// Kind is the JSON type.
func (v Value) Kind() Kind {
	if v.flat == "" {
		return KindAbsent
	}
	return Kind(v.flat[0])
}

// Exists says whether there is a value. A null exists.
func (v Value) Exists() bool { return v.flat != "" }

// Text is the text of a string value.
func (v Value) Text() (string, bool) {
	if v.Kind() != KindString {
		return "", false
	}
	return v.body(), true
}

// Number is the text of a number value as it was written.
func (v Value) Number() (string, bool) {
	if v.Kind() != KindNumber {
		return "", false
	}
	return v.body(), true
}

// Int is a number that is written as an integer and fits 64 bits.
func (v Value) Int() (int64, bool) {
	text, ok := v.Number()
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(text, 10, 64)
	return i, err == nil
}

// Float is a number, rounded to 64 bits. It is finite: the reader saw to that.
func (v Value) Float() (float64, bool) {
	text, ok := v.Number()
	if !ok {
		return 0, false
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f, true
}

// Bool is a true or false value.
func (v Value) Bool() (value, ok bool) {
	k := v.Kind()
	return k == KindTrue, k == KindTrue || k == KindFalse
}

// Lookup is the member of an object with exactly this name, else absent. It
// walks, which for the dozen members of a token is quicker than hashing.
func (v Value) Lookup(name string) Value {
	if v.Kind() != KindObject {
		return Value{}
	}
	for body := v.body(); body != ""; {
		n := length(body)
		found := body[4:4+n] == name
		body = body[4+n:]
		size := flatSize(body)
		if found {
			return Value{flat: body[:size]}
		}
		body = body[size:]
	}
	return Value{}
}

// Path looks up one name after the other.
func (v Value) Path(names ...string) Value {
	for _, name := range names {
		v = v.Lookup(name)
	}
	return v
}

// Members yields an object's members in the order of the text.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != KindObject {
			return
		}
		for body := v.body(); body != ""; {
			n := length(body)
			name := body[4 : 4+n]
			body = body[4+n:]
			size := flatSize(body)
			if !yield(name, Value{flat: body[:size]}) {
				return
			}
			body = body[size:]
		}
	}
}

// Elements yields an array's values.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != KindArray {
			return
		}
		for body := v.body(); body != ""; {
			size := flatSize(body)
			if !yield(Value{flat: body[:size]}) {
				return
			}
			body = body[size:]
		}
	}
}

// Len is the number of an array's values or of an object's members, else 0.
func (v Value) Len() int {
	n := 0
	for range v.Elements() {
		n++
	}
	for range v.Members() {
		n++
	}
	return n
}

// Has says whether the value is the text s, or an array that holds it.
func (v Value) Has(s string) bool {
	if text, ok := v.Text(); ok {
		return text == s
	}
	for e := range v.Elements() {
		if text, ok := e.Text(); ok && text == s {
			return true
		}
	}
	return false
}

func (v Value) body() string { return v.flat[5:] }

// length reads the four bytes before a name or a body.
func length[T string | []byte](s T) int {
	_ = s[3]
	return int(uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24)
}

// flatSize is the size of the value that s begins with.
func flatSize[T string | []byte](s T) int {
	switch Kind(s[0]) {
	case KindNull, KindTrue, KindFalse:
		return 1
	default:
		return 5 + length(s[1:])
	}
}

// latestDate is the last second of the year 9999, the end of RFC 3339; a date
// beyond it, either way, is refused rather than converted.
const latestDate = 253402300799

// date reads a NumericDate (RFC 7519, 2) as milliseconds since 1970, rounded
// down. A string isn't one.
func (v Value) date() (ms int64, ok bool) {
	seconds, ok := v.Float() // holds every whole second up to latestDate exactly
	if !ok || math.Abs(seconds) > latestDate {
		return 0, false
	}
	return int64(math.Floor(seconds * 1000)), true
}

// FlatLen is the length of the value's flat form, in bytes: a bound on that of its
// text.
func (v Value) FlatLen() int { return len(v.flat) }

// Flat is the flat form, for a cache. [UnflattenClaims] reads it again.
func (c Claims) Flat() string { return c.flat }

// UnflattenClaims takes what [Claims.Flat] gave. It trusts it: the caller keeps
// it where nobody else can write. What isn't a whole object is an absent one.
func UnflattenClaims(flat string) Claims {
	if len(flat) < 5 || Kind(flat[0]) != KindObject || flatSize(flat) != len(flat) {
		return Claims{}
	}
	return Claims{Value{flat: flat}}
}

// appendMember appends a member to an object's body.
func appendMember(body []byte, name string, v Value) []byte {
	body = binary.LittleEndian.AppendUint32(body, uint32(len(name)))
	return append(append(body, name...), v.flat...)
}

// objectOf is the object of members whose names differ.
func objectOf(body []byte) Claims {
	b := binary.LittleEndian.AppendUint32([]byte{byte(KindObject)}, uint32(len(body)))
	return Claims{Value{flat: string(append(b, body...))}}
}

// byName is an object's members, for whoever looks up many: to walk to each of
// thousands takes a time that grows with their square.
func (c Claims) byName() map[string]Value { return maps.Collect(c.Members()) }

// without is c without the members of these names.
func (c Claims) without(dropped func(name string) bool) Claims {
	var body []byte
	for name, v := range c.Members() {
		if !dropped(name) {
			body = appendMember(body, name, v)
		}
	}
	return objectOf(body)
}

// with is c with the members of other whose names are taken, which replace its own.
func (c Claims) with(other Claims, taken func(name string) bool) Claims {
	var body []byte
	theirs := other.byName()
	for name, v := range c.Members() {
		if !theirs[name].Exists() || !taken(name) {
			body = appendMember(body, name, v)
		}
	}
	for name, v := range other.Members() {
		if taken(name) {
			body = appendMember(body, name, v)
		}
	}
	return objectOf(body)
}

// Scopes says whether the token has each of these scopes, in scope or scp, as
// a space-separated string (RFC 9068, 2.2.3) or as an array.
func (c Claims) Scopes(all []string) (missing string, ok bool) {
	for _, s := range all {
		if !hasScope(c.Lookup("scope"), s) && !hasScope(c.Lookup("scp"), s) {
			return s, false
		}
	}
	return "", true
}

func hasScope(v Value, scope string) bool {
	if text, ok := v.Text(); ok {
		for s := range strings.SplitSeq(text, " ") {
			if s == scope {
				return true
			}
		}
		return false
	}
	return v.Has(scope)
}

// AppendJSON appends the value as JSON text, for people to read.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.Kind() {
	case KindTrue:
		return append(b, "true"...)
	case KindFalse:
		return append(b, "false"...)
	case KindNumber:
		return append(b, v.body()...)
	case KindString:
		return appendQuoted(b, v.body())
	case KindArray:
		b = append(b, '[')
		comma := ""
		for e := range v.Elements() {
			b = e.AppendJSON(append(b, comma...))
			comma = ","
		}
		return append(b, ']')
	case KindObject:
		b = append(b, '{')
		comma := ""
		for name, member := range v.Members() {
			b = appendQuoted(append(b, comma...), name)
			b = member.AppendJSON(append(b, ':'))
			comma = ","
		}
		return append(b, '}')
	default:
		return append(b, "null"...)
	}
}

// appendQuoted quotes s as JSON; s is valid UTF-8. Whatever doesn't show as
// itself is escaped, such as control characters, line separators and marks that
// change the direction of writing: the text may end in a terminal or a log.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, u := range s {
		switch {
		case u == '"' || u == '\\':
			b = append(b, '\\', byte(u))
		case !unicode.IsPrint(u):
			var pair [2]uint16
			for _, unit := range utf16.AppendRune(pair[:0], u) {
				const hex = "0123456789abcdef"
				b = append(b, '\\', 'u', hex[unit>>12], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15])
			}
		default:
			b = append(b, string(u)...)
		}
	}
	return append(b, '"')
}

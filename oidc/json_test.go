package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// nested is an object with so many containers inside each other, itself included.
func nested(depth int, open, shut string) string {
	return `{"a":` + strings.Repeat(open, depth-1) + "0" + strings.Repeat(shut, depth-1) + "}"
}

// TestSEC_S2_StrictObjects holds SEC-S4, SEC-J7, SEC-5.71 as well.
func TestSEC_S2_StrictObjects(t *testing.T) {
	number := func(digits int) string { return `{"a":` + strings.Repeat("9", digits) + "}" }
	for _, row := range []struct{ name, text, refused string }{
		{"empty object", `{}`, ""},
		{"space in every place", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", ""},
		{"each kind", `{"a":null,"b":true,"c":false,"d":-1.5e+3,"e":"x","f":[],"g":{}}`, ""},
		{"every escape", `{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9"}`, ""},
		{"surrogate pair", `{"a":"\ud83d\ude00"}`, ""},
		{"escapes in capitals", `{"a":"\u00E9\uD83D\uDE00\uABCD\uEF19"}`, ""},
		{"the highest code point", `{"a":"\udbff\udfff"}`, ""},
		{"escaped zero", `{"a":"\u0000"}`, ""},
		{"characters as they are", "{\"a\":\"é😀\u2028\x7f\ufffd\"}", ""},
		{"names that differ in case", `{"iss":1,"ISS":2,"i\u017fs":3}`, ""},
		{"empty name", `{"":0}`, ""},
		{"one name in two objects", `{"a":{"b":0},"c":{"b":0}}`, ""},
		{"32 levels of arrays", nested(32, "[", "]"), ""},
		{"32 levels of objects", nested(32, `{"a":`, "}"), ""},
		{"128 digits", number(128), ""},
		{"the largest float", `{"a":1.7976931348623157e308}`, ""},
		{"a number that rounds to zero", `{"a":1e-400}`, ""},
		{"minus zero", `{"a":-0}`, ""},

		{"nothing", "", "not a JSON object"},
		{"space", " ", "not a JSON object"},
		{"array", `[]`, "not a JSON object"},
		{"string", `"{}"`, "not a JSON object"},
		{"number", `1`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"byte order mark", "\ufeff{}", "not a JSON object"},
		{"other space before", "\u00a0{}", "not a JSON object"},
		{"form feed inside", "{\f}", "byte 1: no member name"},
		{"two objects", `{}{}`, "byte 2: text after the object"},
		{"a comma after", `{},`, "byte 2: text after the object"},
		{"zero byte after", "{}\x00", "byte 2: text after the object"},
		{"comment", `{/**/}`, "byte 1: no member name"},
		{"no end", `{"a":1`, "byte 6: no comma or end of the object"},
		{"ends after the brace", `{`, "byte 1: no member name"},
		{"ends after the name", `{"a"`, "byte 4: no colon after a member name"},
		{"ends after the colon", `{"a":`, "byte 5: no JSON value"},
		{"ends in a name", `{"a`, "byte 3: string without an end"},
		{"ends in an array", `{"a":[1`, "byte 7: no comma or end of the array"},
		{"ends after a comma", `{"a":1,`, "byte 7: no member name"},
		{"comma before the end", `{"a":1,}`, "byte 7: no member name"},
		{"comma before the end of an array", `{"a":[1,]}`, "byte 8: no JSON value"},
		{"comma alone", `{,}`, "byte 1: no member name"},
		{"two commas", `{"a":1,,"b":2}`, "byte 7: no member name"},
		{"no comma", `{"a":1 "b":2}`, "byte 7: no comma or end of the object"},
		{"wrong bracket", `{"a":[1}`, "byte 7: no comma or end of the array"},
		{"name without quotes", `{a:1}`, "byte 1: no member name"},
		{"single quotes", `{'a':1}`, "byte 1: no member name"},
		{"equals sign", `{"a"=1}`, "byte 4: no colon after a member name"},
		{"zero byte for a value", "{\"a\":\x00}", "byte 5: no JSON value"},

		{"repeated name", `{"a":1,"a":1}`, `byte 10: repeated member "a"`},
		{"repeated empty name", `{"":1,"":1}`, `byte 8: repeated member ""`},
		{"repeated by an escape", `{"iss":1,"\u0069ss":2}`, `repeated member "iss"`},
		{"repeated deeper", `{"a":[{"b":{"c":0,"c":0}}]}`, `repeated member "c"`},
		{"repeated behind an array", `{"a":[1,{"b":0}],"a":0}`, `repeated member "a"`},
		{"repeated with controls", `{"\n\u202e":1,"\n\u202e":1}`, `repeated member "\n\u202e"`},

		{"Latin-1", "{\"a\":\"\xe9\"}", "byte 6: invalid UTF-8"},
		{"overlong slash", "{\"a\":\"\xc0\xaf\"}", "byte 6: invalid UTF-8"},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", "byte 6: invalid UTF-8"},
		{"beyond Unicode", "{\"a\":\"\xf4\x90\x80\x80\"}", "byte 6: invalid UTF-8"},
		{"half a character", "{\"a\":\"\xe2\x80\"}", "byte 6: invalid UTF-8"},
		{"bad UTF-8 in a name", "{\"\xff\":1}", "byte 2: invalid UTF-8"},
		{"high surrogate alone", `{"a":"\ud83d"}`, "lone surrogate"},
		{"low surrogate alone", `{"a":"\ude00"}`, "lone surrogate"},
		{"surrogates in the wrong order", `{"a":"\ude00\ud83d"}`, "lone surrogate"},
		{"high surrogate twice", `{"a":"\ud83d\ud83d"}`, "lone surrogate"},
		{"high surrogate and a letter", `{"a":"\ud83dx\ude00"}`, "lone surrogate"},
		{"high surrogate and a low one without its backslash", `{"a":"\ud83dxude00"}`, "lone surrogate"},
		{"high surrogate and another escape", `{"a":"\ud83d\nde00"}`, "lone surrogate"},
		{"surrogate in a name", `{"\ud83d":1}`, "lone surrogate"},
		{"line feed in a string", "{\"a\":\"\n\"}", "byte 6: control byte in a string"},
		{"zero byte in a string", "{\"a\":\"\x00\"}", "byte 6: control byte in a string"},
		{"unknown escape", `{"a":"\x41"}`, "byte 6: bad escape"},
		{"escaped quote of C", `{"a":"\'"}`, "byte 6: bad escape"},
		{"upper-case escape", `{"a":"\U0041"}`, "byte 6: bad escape"},
		{"short escape", `{"a":"\u41"}`, "byte 6: bad escape"},
		{"escape of a letter too far", `{"a":"\u00g0"}`, "byte 6: bad escape"},
		{"escape of a capital too far", `{"a":"\u00G0"}`, "byte 6: bad escape"},
		{"escape of what is before the digits", `{"a":"\u00/0"}`, "byte 6: bad escape"},
		{"escape of what is behind the digits", `{"a":"\u00:0"}`, "byte 6: bad escape"},
		{"escape of what is behind the capitals", "{\"a\":\"\\u00`0\"}", "byte 6: bad escape"},
		{"ends in an escape", `{"a":"\`, "byte 6: string without an end"},
		{"ends in digits of an escape", `{"a":"\u00`, "byte 6: bad escape"},
		{"escaped end", `{"a":"\"}`, "string without an end"},

		{"33 levels of arrays", nested(33, "[", "]"), "nested too deep"},
		{"100,000 levels of arrays", nested(100_000, "[", "]"), "nested too deep"},
		{"100,000 levels of objects", nested(100_000, `{"a":`, "}"), "nested too deep"},
		{"33 levels of objects", nested(33, `{"a":`, "}"), "nested too deep"},
		{"leading zero", `{"a":01}`, "byte 6: no comma or end of the object"},
		{"minus and leading zero", `{"a":-01}`, "byte 7: no comma or end of the object"},
		{"minus alone", `{"a":-}`, "byte 6: bad number"},
		{"minus and no digit before the point", `{"a":-.5}`, "byte 6: bad number"},
		{"minus and an exponent", `{"a":-e5}`, "byte 6: bad number"},
		{"two minus", `{"a":--1}`, "byte 6: bad number"},
		{"plus", `{"a":+1}`, "byte 5: no JSON value"},
		{"no digit before the point", `{"a":.5}`, "byte 5: no JSON value"},
		{"no digit after the point", `{"a":1.}`, "byte 7: bad number"},
		{"no digit in the exponent", `{"a":1e}`, "byte 7: bad number"},
		{"sign alone in the exponent", `{"a":1e+}`, "byte 8: bad number"},
		{"hexadecimal", `{"a":0x10}`, "byte 6: no comma or end of the object"},
		{"underscore", `{"a":1_0}`, "byte 6: no comma or end of the object"},
		{"infinity", `{"a":Infinity}`, "byte 5: no JSON value"},
		{"not a number", `{"a":NaN}`, "byte 5: no JSON value"},
		{"beyond floats", `{"a":1e400}`, "byte 10: number out of range"},
		{"beyond floats the other way", `{"a":-1e400}`, "byte 11: number out of range"},
		{"129 digits", number(129), "byte 134: number too long"},
		{"word cut short", `{"a":tru}`, "byte 5: no JSON value"},
		{"word at the end", `{"a":nul`, "byte 5: no JSON value"},
		{"word in capitals", `{"a":True}`, "byte 5: no JSON value"},
		{"word too long", `{"a":nullx}`, "byte 9: no comma or end of the object"},
		{"undefined", `{"a":undefined}`, "byte 5: no JSON value"},
	} {
		c, err := parseObject(slices.Clip([]byte(row.text))) // a look behind the end is a panic
		if row.refused == "" {
			if err != nil {
				t.Errorf("%s: %s refused: %v", row.name, row.text, err)
			} else {
				checkFlat(t, []byte(row.text), c)
			}
		} else if err == nil || !strings.Contains(err.Error(), row.refused) || c != (Claims{}) {
			t.Errorf("%s: %.80s gives %v and %v, want an error that says %q", row.name, row.text, c.Exists(), err, row.refused)
		}
	}
}

// A repeated name is found wherever it stands: among few names, which are
// compared, among many, which are hashed, and on the border.
func TestSEC_S2_RepeatedNamesAmongMany(t *testing.T) {
	for _, count := range []int{2, fewNames - 1, fewNames, fewNames + 1, fewNames + 2, 3 * fewNames} {
		for first := range count - 1 {
			var b strings.Builder
			for i := range count {
				name := i
				if i == count-1 {
					name = first
				}
				b.WriteString(`,"n` + strconv.Itoa(name) + `":[{"n0":0}]`)
			}
			_, err := parseObject([]byte("{" + b.String()[1:] + "}"))
			if want := strconv.Quote("n" + strconv.Itoa(first)); err == nil || !strings.HasSuffix(err.Error(), "repeated member "+want) {
				t.Errorf("%d names, the last repeats number %d: %v", count, first, err)
			}
		}
	}
}

// checkFlat checks of an object that was accepted, that a lenient reader sees the
// same in its text, and that the flat form, the JSON made of it and the ways to
// look into it agree.
func checkFlat(t *testing.T, text []byte, c Claims) {
	t.Helper()
	if got, want := plainValue(c.Value), readLeniently(t, text); !reflect.DeepEqual(got, want) {
		t.Errorf("%s reads as %v, by encoding/json as %v", text, got, want)
	}
	if got := UnflattenClaims(c.Flat()); got != c || c.FlatLen() != len(c.Flat()) {
		t.Errorf("%s: another value comes back from the flat form", text)
	}
	if got, most := len(c.Flat()), 3*len(text); got > most {
		t.Errorf("%s: the flat form has %d bytes, want at most %d", text, got, most)
	}
	again, err := parseObject(c.AppendJSON(nil))
	if err != nil || again != c {
		t.Errorf("%s is written as %s: %v", text, c.AppendJSON(nil), err)
	}
	checkInside(t, c.Value)
}

func checkInside(t *testing.T, v Value) {
	t.Helper()
	count := 0
	for name, member := range v.Members() {
		count++
		if got := v.Lookup(name); got != member || !got.Exists() {
			t.Errorf("Lookup(%q) gives another value than Members", name)
		}
		checkInside(t, member)
	}
	for e := range v.Elements() {
		count++
		if text, ok := e.Text(); ok && !v.Has(text) {
			t.Errorf("Has(%q) is false of an array that holds it", text)
		}
		checkInside(t, e)
	}
	if got := v.Len(); got != count {
		t.Errorf("Len is %d, want %d", got, count)
	}
}

// plainValue is a value as encoding/json gives it with UseNumber.
func plainValue(v Value) any {
	switch v.Kind() {
	case KindNull:
		return nil
	case KindTrue, KindFalse:
		b, _ := v.Bool()
		return b
	case KindNumber:
		n, _ := v.Number()
		return json.Number(n)
	case KindString:
		s, _ := v.Text()
		return s
	case KindArray:
		a := []any{}
		for e := range v.Elements() {
			a = append(a, plainValue(e))
		}
		return a
	case KindObject:
		o := map[string]any{}
		for name, member := range v.Members() {
			o[name] = plainValue(member)
		}
		return o
	}
	return errors.New("absent")
}

func readLeniently(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Errorf("encoding/json refuses %s: %v", text, err)
	}
	return v
}

// strictly says what parseObject should say, by other means: encoding/json for
// the grammar, and one look for each thing that it lets pass.
func strictly(text []byte) bool {
	object := bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	return object && json.Valid(text) && utf8.Valid(text) && pairedSurrogates(text) && soundTokens(text)
}

// pairedSurrogates looks at the escapes of valid JSON text.
func pairedSurrogates(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if text[i] != 'u' {
			continue
		}
		unit := func(at int) rune {
			u, _ := strconv.ParseUint(string(text[at:at+4]), 16, 16)
			return rune(u)
		}
		u := unit(i + 1)
		i += 4
		if !utf16.IsSurrogate(u) {
			continue
		}
		if !bytes.HasPrefix(text[i+1:], []byte(`\u`)) || utf16.DecodeRune(u, unit(i+3)) == utf8.RuneError {
			return false
		}
		i += 6
	}
	return true
}

// soundTokens looks for repeated names, depth, and numbers that are too large.
func soundTokens(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		value bool            // in an object, what follows is a value
	}
	var open []level
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if n, ok := token.(json.Number); ok {
			if f, err := strconv.ParseFloat(string(n), 64); err != nil || f-f != 0 || len(n) > maxNumberLength {
				return false
			}
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 && open[len(open)-1].names != nil {
			in := &open[len(open)-1]
			if in.value = !in.value; in.value {
				name := token.(string)
				if in.names[name] {
					return false
				}
				in.names[name] = true
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
		if len(open) > maxDepth {
			return false
		}
	}
}

func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":[1,-0.5e+3,"\ud83d\ude00\n",{"b":null}],"":true} `, `{"a":1,"\u0061":2}`, `{"a":"\ud83d"}`, "{\"a\":\"\xff\"}",
		`{"a":1e400}`, `{}x`, nested(32, "[", "]"), nested(33, "[", "]"), `{"exp":1702389660,"aud":["api"],"iss":"https://issuer.test"}`,
		manyNames(fewNames + 2), `{"a":"` + "\u2028\u202e\u00a0\x7f" + `"}`, `{"a":"\u0000\u001f\""}`, `{"a":99999999999999999999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseObject(text)
		if want := strictly(text); want != (err == nil) {
			t.Fatalf("%q: %v, want accepted %v", text, err, want)
		}
		if err == nil {
			checkFlat(t, text, c)
		}
	})
}

// manyNames is an object with so many members.
func manyNames(count int) string {
	var b strings.Builder
	for i := range count {
		b.WriteString(`,"` + strconv.FormatInt(int64(i), 36) + `":0`)
	}
	return "{" + b.String()[1:] + "}"
}

// fill repeats a piece until the text has about size bytes.
func fill(before, piece, after string, size int) string {
	n := (size - len(before) - len(after)) / len(piece)
	return before + strings.Repeat(piece, n-1) + strings.TrimSuffix(piece, ",") + after
}

// hostileObjects are texts that make a reader work, each of about size bytes.
func hostileObjects(size int) map[string]string {
	object := manyNames(fewNames + 1)
	long := strings.Repeat("n", size/(fewNames+2))
	var alike strings.Builder
	for i := range fewNames {
		alike.WriteString(`,"` + long + string(rune('a'+i)) + `":0`)
	}
	return map[string]string{
		"honest":              fill(`{"iss":"https://issuer.test","groups":[`, `"orders-department",`, `]}`, size),
		"many names":          manyNames(size / 8),
		"many middling ones":  fill(`{"a":[`, object+",", `]}`, size),
		"names alike":         "{" + alike.String()[1:] + "}",
		"brackets":            `{"a":` + strings.Repeat("[", size-5),
		"braces":              fill("", `{"a":`, "", size),
		"empty arrays":        fill(`{"a":[`, `[],`, `]}`, size),
		"empty objects":       fill(`{"a":[`, `{},`, `]}`, size),
		"digits":              `{"a":` + strings.Repeat("1", size-6) + "}",
		"numbers":             fill(`{"a":[`, `0,`, `]}`, size),
		"exponents":           fill(`{"a":[`, `1e9,`, `]}`, size),
		"long numbers":        fill(`{"a":[`, strings.Repeat("9", 120)+`e9,`, `]}`, size),
		"escapes":             fill(`{"a":"`, `\u0001`, `"}`, size),
		"surrogates":          fill(`{"a":"`, `\ud83d\ude00`, `"}`, size),
		"space":               fill(`{`, " ", `}`, size),
		"towers":              fill(`{"a":[`, strings.Repeat("[", 30)+strings.Repeat("]", 30)+",", `]}`, size),
		"repeated at the end": strings.TrimSuffix(manyNames(size/8), "}") + `,"0":0}`,
	}
}

// bytesPerRun is how many bytes f allocates.
func bytesPerRun(f func()) uint64 {
	const runs = 10
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// Whatever a text holds, reading it costs memory in proportion to its length: no
// more than some 40 bytes a byte, at the size of a token as at four times that.
func TestSEC_5_33_WorkIsBounded(t *testing.T) {
	const size = 12 << 10 // of the claims of a token of 16 KiB
	small, large := hostileObjects(size), hostileObjects(4*size)
	for _, name := range slices.Sorted(maps.Keys(small)) {
		read := func(text string) (bytes uint64, allocs float64) {
			data := []byte(text)
			f := func() { _, _ = parseObject(data) }
			return bytesPerRun(f), testing.AllocsPerRun(5, f)
		}
		b, allocs := read(small[name])
		big, _ := read(large[name])
		t.Logf("%-20s %8d bytes in %4.0f allocations; four times the text %8d", name, b, allocs, big)
		if most := uint64(40 * len(small[name])); b > most {
			t.Errorf("%s: %d bytes allocated for %d of text, want at most %d", name, b, len(small[name]), most)
		}
		if most := 6*b + 1024; big > most {
			t.Errorf("%s: %d bytes allocated for four times the text of %d", name, big, b)
		}
	}
}

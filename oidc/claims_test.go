package oidc

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
)

// mustRead reads an object that is known to be good.
func mustRead(t testing.TB, text string) Claims {
	t.Helper()
	c, err := parseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestValuesAreOfOneKind(t *testing.T) {
	c := mustRead(t, `{"null":null,"true":true,"false":false,"number":7,"text":"7","array":[1,[2],"x"],"object":{"a":{"b":"deep"}}}`)
	for _, row := range []struct {
		name                                    string
		kind                                    Kind
		text, number, integer, boolean, isThere bool
		length                                  int
	}{
		{"null", KindNull, false, false, false, false, true, 0},
		{"true", KindTrue, false, false, false, true, true, 0},
		{"false", KindFalse, false, false, false, true, true, 0},
		{"number", KindNumber, false, true, true, false, true, 0},
		{"text", KindString, true, false, false, false, true, 0},
		{"array", KindArray, false, false, false, false, true, 3},
		{"object", KindObject, false, false, false, false, true, 1},
		{"absent", KindAbsent, false, false, false, false, false, 0},
	} {
		v := c.Lookup(row.name)
		text, isText := v.Text()
		number, isNumber := v.Number()
		_, isInt := v.Int()
		_, isFloat := v.Float()
		_, isBool := v.Bool()
		if v.Kind() != row.kind || v.Exists() != row.isThere || v.Len() != row.length ||
			isText != row.text || isNumber != row.number || isInt != row.integer || isFloat != row.number || isBool != row.boolean {
			t.Errorf("%s: kind %c, exists %t, length %d, text %t, number %t, int %t, float %t, bool %t, want %+v",
				row.name, v.Kind(), v.Exists(), v.Len(), isText, isNumber, isInt, isFloat, isBool, row)
		}
		if got := text + number; got != strings.Repeat("7", len(got)) || (got != "") != (isText || isNumber) {
			t.Errorf("%s: text %q, number %q", row.name, text, number)
		}
		if value, _ := v.Bool(); value != (row.kind == KindTrue) {
			t.Errorf("%s: Bool is %t", row.name, value)
		}
		for name := range v.Members() {
			if row.kind != KindObject {
				t.Errorf("%s has a member %q", row.name, name)
			}
		}
		for range v.Elements() {
			if row.kind != KindArray {
				t.Errorf("%s has an element", row.name)
			}
		}
	}
	for _, row := range []struct {
		path []string
		want string
	}{
		{nil, "object"}, {[]string{"object", "a", "b"}, "deep"}, {[]string{"object", "a", "B"}, ""}, {[]string{"object", "a", "b", "c"}, ""},
		{[]string{"text", "7"}, ""}, {[]string{"array", "0"}, ""}, {[]string{"OBJECT"}, ""}, {[]string{"objec"}, ""}, {[]string{""}, ""},
	} {
		v := c.Path(row.path...)
		if text, _ := v.Text(); text != row.want && (row.want != "object" || v != c.Value) {
			t.Errorf("Path(%q) is %s, want %q", row.path, v.AppendJSON(nil), row.want)
		}
	}
}

func TestLoopsEndEarly(t *testing.T) {
	c := mustRead(t, `{"a":[1,2,3],"b":0}`)
	for name := range c.Members() {
		for e := range c.Lookup("a").Elements() {
			if n, _ := e.Int(); n != 1 || name != "a" {
				t.Errorf("went on to %q and %d", name, n)
			}
			break
		}
		break
	}
}

// Text beyond float64 and int64 stays as the provider wrote it.
func TestNumbersKeepTheirText(t *testing.T) {
	for _, row := range []struct {
		text  string
		whole bool
		i     int64
		f     float64
	}{
		{"0", true, 0, 0},
		{"-0", true, 0, math.Copysign(0, -1)},
		{"9223372036854775807", true, math.MaxInt64, 1 << 63},
		{"9223372036854775808", false, 0, 1 << 63},
		{"-9223372036854775808", true, math.MinInt64, -1 << 63},
		{"12345678901234567890", false, 0, 12345678901234567890},
		{"1.0", false, 0, 1},
		{"1e2", false, 0, 100},
		{"1e-400", false, 0, 0},
		{strings.Repeat("9", maxNumberLength), false, 0, 1e128},
	} {
		v := mustRead(t, `{"a":`+row.text+`}`).Lookup("a")
		text, _ := v.Number()
		i, whole := v.Int()
		f, ok := v.Float()
		if text != row.text || whole != row.whole || whole && i != row.i || f != row.f || !ok {
			t.Errorf("%s: text %s, int %d (%t), float %g (%t)", row.text, text, i, whole, f, ok)
		}
	}
}

func TestSEC_S8_S9_Dates(t *testing.T) {
	for _, row := range []struct {
		name, text string
		ms         int64
		ok         bool
	}{
		{"seconds", `1702389660`, 1702389660_000, true},
		{"the beginning", `0`, 0, true},
		{"minus zero", `-0`, 0, true},
		{"minus zero with a fraction", `-0.0`, 0, true},
		{"before the beginning", `-1`, -1000, true},
		{"half a second", `1702389660.5`, 1702389660_500, true},
		{"a fraction is rounded down", `1702389660.9999`, 1702389660_999, true},
		{"below zero too", `-0.0001`, -1, true},
		{"exponent", `17e8`, 1700000000_000, true},
		{"exponent in capitals", `1.7E9`, 1700000000_000, true},
		{"nearly nothing", `1e-300`, 0, true},
		{"the last second", `253402300799`, 253402300799_000, true},
		{"the last second with a point", `253402300799.0`, 253402300799_000, true},
		{"a second more", `253402300800`, 0, false},
		{"a moment more", `253402300799.001`, 0, false},
		{"the last second on the other side", `-253402300799`, -253402300799_000, true},
		{"a second less", `-253402300800`, 0, false},
		{"a moment less", `-253402300799.001`, 0, false},
		{"milliseconds since 1970", `1702389660000`, 0, false},
		{"2^31", `2147483648`, 2147483648_000, true},
		{"2^53", `9007199254740992`, 0, false},
		{"times 1000 wraps to a date", `2305843010916083612`, 0, false},
		{"2^63-1", `9223372036854775807`, 0, false},
		{"2^63", `9223372036854775808`, 0, false},
		{"-2^63", `-9223372036854775808`, 0, false},
		{"-2^63-1", `-9223372036854775809`, 0, false},
		{"2^64 and a date", `18446744075411941276`, 0, false},
		{"huge integer", strings.Repeat("9", maxNumberLength), 0, false},
		{"1e300", `1e300`, 0, false},
		{"-1e300", `-1e300`, 0, false},
		{"the largest float", `1.7976931348623157e308`, 0, false},
		{"string", `"1702389660"`, 0, false},
		{"empty string", `""`, 0, false},
		{"a written date", `"2023-12-12T14:01:00Z"`, 0, false},
		{"null", `null`, 0, false},
		{"true", `true`, 0, false},
		{"array", `[1702389660]`, 0, false},
		{"object", `{"exp":1702389660}`, 0, false},
	} {
		ms, ok := mustRead(t, `{"exp":`+row.text+`}`).Lookup("exp").date()
		if ok != row.ok || ok && ms != row.ms {
			t.Errorf("%s: %s is %d, %t, want %d, %t", row.name, row.text, ms, ok, row.ms, row.ok)
		}
	}
	if _, ok := (Value{}).date(); ok {
		t.Error("an absent value is a date")
	}
}

// FuzzClaimsDate compares with exact arithmetic.
func FuzzClaimsDate(f *testing.F) {
	for _, seed := range []string{"0", "-1", "1702389660", "1702389660.999", "1e400", "1e300", "-0.0", "9223372036854775808", "253402300799", "253402300799.9",
		"18446744075411941276", "1e-9", `"1"`, "null", "4503599627370497.5", "1702389660.0010000000000000000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseObject([]byte(`{"exp":` + text + `}`))
		if err != nil || c.Len() != 1 {
			return
		}
		ms, ok := c.Lookup("exp").date()
		number, isNumber := c.Lookup("exp").Number()
		if !isNumber {
			if ok {
				t.Fatalf("%s is a date", text)
			}
			return
		}
		if f, _ := c.Lookup("exp").Float(); math.Abs(f) > latestDate && ok || math.Abs(f) < latestDate && !ok {
			t.Fatalf("%s: a date %t", text, ok)
		}
		if !ok {
			return
		}
		if ms < -latestDate*1000 || ms > latestDate*1000 {
			t.Fatalf("%s: %d ms is out of bounds", text, ms)
		}
		exact, fine := new(big.Rat).SetString(number)
		if !fine {
			return // an exponent beyond big.Rat's own bound
		}
		// Rounded down to a millisecond, after float64 had its say: 38 microseconds
		// at the end of the year 9999.
		off, _ := new(big.Rat).Sub(new(big.Rat).Mul(exact, big.NewRat(1000, 1)), big.NewRat(ms, 1)).Float64()
		if off < -0.04 || off > 1.04 {
			t.Fatalf("%s: %d ms is off by %g ms", text, ms, off)
		}
	})
}

func TestSEC_A5_Scopes(t *testing.T) {
	for _, row := range []struct {
		name, claims string
		want         []string
		missing      string
		ok           bool
	}{
		{"none wanted, none there", `{}`, nil, "", true},
		{"in scope", `{"scope":"openid orders.read"}`, []string{"orders.read"}, "", true},
		{"the first", `{"scope":"openid orders.read"}`, []string{"openid"}, "", true},
		{"both", `{"scope":"openid orders.read"}`, []string{"orders.read", "openid"}, "", true},
		{"array in scope", `{"scope":["openid","orders.read"]}`, []string{"orders.read"}, "", true},
		{"in scp", `{"scp":"orders.read"}`, []string{"orders.read"}, "", true},
		{"array in scp", `{"scp":["orders.read"]}`, []string{"orders.read"}, "", true},
		{"one in each", `{"scope":"a","scp":["b"]}`, []string{"a", "b"}, "", true},
		{"more spaces", `{"scope":" a  b "}`, []string{"a", "b"}, "", true},
		{"the first that is missing is named", `{"scope":"a"}`, []string{"a", "b", "c"}, "b", false},
		{"no claim", `{}`, []string{"a"}, "a", false},
		{"empty", `{"scope":""}`, []string{"a"}, "a", false},
		{"prefix", `{"scope":"orders.read"}`, []string{"orders"}, "orders", false},
		{"suffix", `{"scope":"orders.read"}`, []string{"read"}, "read", false},
		{"longer", `{"scope":"orders"}`, []string{"orders.read"}, "orders.read", false},
		{"another case", `{"scope":"Orders.Read"}`, []string{"orders.read"}, "orders.read", false},
		{"commas", `{"scope":"a,b"}`, []string{"a"}, "a", false},
		{"tab", `{"scope":"a\tb"}`, []string{"a"}, "a", false},
		{"other space", `{"scope":"a\u00a0b"}`, []string{"a"}, "a", false},
		{"array of texts with spaces", `{"scope":["a b"]}`, []string{"a"}, "a", false},
		{"array inside an array", `{"scope":[["a"]]}`, []string{"a"}, "a", false},
		{"object", `{"scope":{"a":true}}`, []string{"a"}, "a", false},
		{"null", `{"scope":null}`, []string{"a"}, "a", false},
		{"true", `{"scope":true}`, []string{"true"}, "true", false},
		{"number", `{"scope":1,"scp":[1]}`, []string{"1"}, "1", false},
		{"claim in another case", `{"Scope":"a","SCP":"a"}`, []string{"a"}, "a", false},
		{"nested", `{"x":{"scope":"a"}}`, []string{"a"}, "a", false},
	} {
		missing, ok := mustRead(t, row.claims).Scopes(row.want)
		if missing != row.missing || ok != row.ok {
			t.Errorf("%s: %s has %q: %q, %t", row.name, row.claims, row.want, missing, ok)
		}
	}
}

func TestHas(t *testing.T) {
	for _, row := range []struct {
		claim string
		want  bool
	}{
		{`"api"`, true}, {`["api"]`, true}, {`["x","api"]`, true}, {`["api","api"]`, true}, {`[null,1,"api"]`, true},
		{`"api "`, false}, {`"API"`, false}, {`"x api"`, false}, {`""`, false}, {`[]`, false}, {`[["api"]]`, false},
		{`[{"api":"api"}]`, false}, {`{"api":"api"}`, false}, {`null`, false}, {`true`, false}, {`"api\u0000"`, false},
	} {
		if got := mustRead(t, `{"aud":`+row.claim+`}`).Lookup("aud").Has("api"); got != row.want {
			t.Errorf("%s has api: %t", row.claim, got)
		}
	}
	for claim, want := range map[string]bool{`""`: true, `[""]`: true, `[1,null,[],{},true]`: false, `null`: false, `{"":""}`: false} {
		if got := mustRead(t, `{"aud":`+claim+`}`).Lookup("aud").Has(""); got != want {
			t.Errorf("%s has an empty text: %t", claim, got)
		}
	}
	if (Value{}).Has("") {
		t.Error("an absent value has something")
	}
}

func TestUnflattenWhatIsNotWhole(t *testing.T) {
	whole := mustRead(t, `{"sub":"alice","groups":["staff"]}`)
	flat := whole.Flat()
	if got := UnflattenClaims(flat); got != whole {
		t.Errorf("the whole gives %s", got.AppendJSON(nil))
	}
	garbage := []string{"", "o", "{}", "o\x00\x00\x00", "z", "ttttt", "s\x01\x00\x00\x00x", "a\x00\x00\x00\x00", "o\xff\xff\xff\xff", "o\x01\x00\x00\x80x", flat + "x", flat + flat}
	for n := range len(flat) {
		garbage = append(garbage, flat[:n])
	}
	for _, s := range garbage {
		if got := UnflattenClaims(s); got != (Claims{}) {
			t.Errorf("%q gives %s", s, got.AppendJSON(nil))
		}
	}
	if (Claims{}).Flat() != "" {
		t.Error("no claims have a flat form")
	}
}

func TestJSONForPeople(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"each kind", ` { "a" : [ null , true , false , -1.50 , "x" , { } , [ ] ] } `, `{"a":[null,true,false,-1.50,"x",{},[]]}`},
		{"quotes", `{"\"":"\\\/"}`, `{"\"":"\\/"}`},
		{"readable characters", `{"a":"\u00e9\ud83d\ude00 <&>"}`, `{"a":"é😀 <&>"}`},
		{"control characters", `{"a":"\n\r\u001b[2J\u0000\u007f\u009b"}`, `{"a":"\u000a\u000d\u001b[2J\u0000\u007f\u009b"}`},
		{"line separators", `{"a":"\u2028\u2029\u0085"}`, `{"a":"\u2028\u2029\u0085"}`},
		{"direction", `{"\u202e":"\u2066\u200f"}`, `{"\u202e":"\u2066\u200f"}`},
		{"invisible", `{"a":"\u200b\ufeff\u00a0\u00ad"}`, `{"a":"\u200b\ufeff\u00a0\u00ad"}`},
		{"invisible beyond 16 bits", `{"a":"\udb40\udc41"}`, `{"a":"\udb40\udc41"}`},
	} {
		got := string(mustRead(t, row.text).AppendJSON([]byte("> ")))
		if got != "> "+row.want || !json.Valid([]byte(got[2:])) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if got := string(Value{}.AppendJSON(nil)); got != "null" {
		t.Errorf("an absent value is %s", got)
	}
}

// A look into the claims costs no memory, so that policy may look as often as it
// likes.
func TestLookingAllocatesNothing(t *testing.T) {
	c := mustRead(t, `{"iss":"https://issuer.test","exp":1702389660,"scope":"openid orders.read","aud":["x","api"],"a":{"b":{"c":"deep"}}}`)
	wanted := []string{"orders.read"}
	if got := testing.AllocsPerRun(100, func() {
		text, _ := c.Path("a", "b", "c").Text()
		_, exp := c.Lookup("exp").date()
		_, scopes := c.Scopes(wanted)
		names := 0
		for range c.Members() {
			names++
		}
		if text != "deep" || !exp || !scopes || names != 5 || !c.Lookup("aud").Has("api") || UnflattenClaims(c.Flat()) != c {
			panic("wrong")
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestClippedBetweenCharacters(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"empty", "", `""`},
		{"64 bytes", strings.Repeat("x", 64), `"` + strings.Repeat("x", 64) + `"`},
		{"65 bytes", strings.Repeat("x", 65), `"` + strings.Repeat("x", 64) + `"…`},
		{"an ellipsis of its own", strings.Repeat("x", 61) + "…", `"` + strings.Repeat("x", 61) + `\u2026"`},
		{"a character on the border", strings.Repeat("x", 63) + "éé", `"` + strings.Repeat("x", 63) + `"…`},
		{"not ASCII", "é", `"\u00e9"`},
		{"no characters at all", strings.Repeat("\xff", 80), `"` + strings.Repeat(`\xff`, 64) + `"…`},
		{"only the rest of one", strings.Repeat("\x80", 80), `""…`},
		{"what a terminal would obey", "\x1b[2J\r\n\u2028\u202e", `"\x1b[2J\r\n\u2028\u202e"`},
	} {
		if got := quote(row.text); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

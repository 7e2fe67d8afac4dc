package oidc

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

// segment writes a segment of a compact serialisation.
func segment[T ~string | ~[]byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// compact writes a token that nobody signed.
func compact(header, claims string) string {
	return segment(header) + "." + segment(claims) + "." + segment("not a signature")
}

// said is a refusal as an operator reads it; empty for none.
func said(r *audit.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Error()
}

func TestParseJWS(t *testing.T) {
	header, claims := `{"alg":"RS256","kid":"rsa-1","typ":"at+jwt"}`, `{"sub":"alice"}`
	raw := RawToken(compact(header, claims))
	j, refusal := ParseJWS(raw)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if j.Algorithm != "RS256" || j.KeyID != "rsa-1" || j.Type != "at+jwt" || string(j.Payload) != claims || string(j.Signature) != "not a signature" {
		t.Errorf("%q %q %q %q %q", j.Algorithm, j.KeyID, j.Type, j.Payload, j.Signature)
	}
	if want := segment(header) + "." + segment(claims); j.SigningInput != want {
		t.Errorf("signing input %s, want %s", j.SigningInput, want)
	}
	if got := string(j.Header.AppendJSON(nil)); got != header {
		t.Errorf("header %s", got)
	}
}

// Only what is exactly one compact serialisation of one JWS is looked into.
// Held as well: SEC-J3, SEC-J14.
func TestSEC_S3_Form(t *testing.T) {
	h, c, s := segment(`{"alg":"RS256"}`), segment(`{"sub":"alice"}`), segment("signature")
	token := h + "." + c + "." + s
	const (
		opaque    = "token_opaque"
		encrypted = "token_encrypted"
		malformed = "token_malformed: "
	)
	at := func(i int) string { return malformed + "byte " + strconv.Itoa(i) + " isn't a character of a JWT" }
	for _, row := range []struct{ name, token, refused string }{
		{"good", token, ""},
		{"payload of any bytes", h + "." + segment("\x00\xff") + "." + s, ""},
		{"no payload", h + ".." + s, ""},
		{"no signature", h + "." + c + ".", ""},

		{"nothing", "", opaque},
		{"opaque", "c1f6a8e2-0d5c_4c5e", opaque},
		{"one segment", h, opaque},
		{"two segments", h + "." + c, malformed + "2 segments instead of 3"},
		{"four segments", token + "." + s, malformed + "4 segments instead of 3"},
		{"five segments", token + "." + s + "." + s, encrypted},
		{"five empty segments", "....", encrypted},
		{"six segments", token + "." + s + "." + s + "." + s, malformed + "6 segments instead of 3"},
		{"dots alone", "..", "token_header_invalid: not a JSON object"},
		{"no header", "." + c + "." + s, "token_header_invalid: not a JSON object"},

		{"padding of the header", h + "=." + c + "." + s, at(len(h))},
		{"padding of the signature", token + "=", at(len(token))},
		{"line feed at the end", token + "\n", at(len(token))},
		{"line feed in the payload", h + "." + c[:4] + "\n" + c[4:] + "." + s, at(len(h) + 5)},
		{"line break in the signature", token[:len(token)-2] + "\r\n" + token[len(token)-2:], at(len(token) - 2)},
		{"space before", " " + token, at(0)},
		{"space behind", token + " ", at(len(token))},
		{"plus, of the other alphabet", h + "." + c + ".ab+d", at(len(h+c) + 4)},
		{"slash, of the other alphabet", h + "." + c + ".ab/d", at(len(h+c) + 4)},
		{"zero byte", token + "\x00", at(len(token))},
		{"percent", "%65" + token, at(0)},
		{"letter that isn't ASCII", "é" + token, at(0)},
		{"full-width letter", h + "." + c + ".ａ", at(len(h+c) + 2)},
		{"quoted", `"` + token + `"`, at(0)},
		{"with its scheme", "Bearer " + token, at(6)},
		{"two tokens", token + "," + token, at(len(token))},

		{"header of one character over", h + "A" + "." + c + "." + s, malformed + "the header segment isn't base64url"},
		{"payload of one character", h + ".A." + s, malformed + "the payload segment isn't base64url"},
		{"signature of five characters", h + "." + c + ".AAAAA", malformed + "the signature segment isn't base64url"},
		{"bits left in the header", strings.TrimSuffix(segment(`{"alg":"RS256"} `), "A") + "B." + c + "." + s, malformed + "the header segment isn't base64url"},
		{"bits left in the payload", h + ".QR." + s, malformed + "the payload segment isn't base64url"},
		{"bits left in the signature", h + "." + c + ".QUF", malformed + "the signature segment isn't base64url"},
		{"no bits left", h + ".QQ.QUE", ""},

		{"JSON serialisation", `{"payload":"` + c + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`, at(0)},
		{"flattened JSON serialisation", `{"payload":"` + c + `","protected":"` + h + `","signature":"` + s + `"}`, at(0)},
		{"JSON with a compact token in it", `{"` + token + `":""}`, at(0)},
		{"compact token with JSON behind it", token + `{"payload":""}`, at(len(token))},
		{"JSON text for the header", `{"alg":"RS256"}.` + c + "." + s, at(0)},
	} {
		if _, refusal := ParseJWS(RawToken(row.token)); said(refusal) != row.refused {
			t.Errorf("%s: %q, want %q", row.name, said(refusal), row.refused)
		}
	}
}

// Every bit of every character counts: no two spellings give the same bytes.
func TestSEC_S3_OneSpellingOnly(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, length := range []int{1, 2, 3} { // bytes: 4, 2 and 0 bits are spare
		original := strings.Repeat("\x5a", length)
		s := segment(original)
		spellings := 0
		for _, last := range alphabet {
			j, refusal := ParseJWS(RawToken(segment(`{"alg":"RS256"}`) + ".." + s[:len(s)-1] + string(last)))
			if refusal == nil && string(j.Signature) == original {
				spellings++
			}
		}
		if spellings != 1 {
			t.Errorf("%d bytes have %d spellings", length, spellings)
		}
	}
}

// TestSEC_S1_Header holds SEC-S2, SEC-S4, SEC-S10 as well.
func TestSEC_S1_Header(t *testing.T) {
	const invalid, critical = "token_header_invalid: ", "critical_header: "
	for _, row := range []struct{ name, header, refused string }{
		{"alg alone", `{"alg":"RS256"}`, ""},
		{"space around", " {\n\"alg\" : \"RS256\"}\t", ""},
		{"any alg", `{"alg":"none"}`, ""}, // for the provider's list to refuse
		{"empty kid", `{"alg":"RS256","kid":""}`, ""},
		{"members that aren't used", `{"alg":"RS256","jku":"https://evil.test","x5u":"https://evil.test","jwk":{"kty":"oct"},"x5c":[1],"zip":"DEF","enc":"A256GCM","p2c":2147483647,"url":null}`, ""},
		{"other names in capitals", `{"alg":"RS256","CRIT":["exp"],"B64":false,"Kid":7,"TYP":7}`, ""},

		{"crit", `{"alg":"RS256","crit":["exp"],"exp":1}`, critical + "the header has crit"},
		{"crit of an unknown name", `{"alg":"RS256","crit":["x"],"x":1}`, critical + "the header has crit"},
		{"crit of a registered name", `{"alg":"RS256","crit":["alg"]}`, critical + "the header has crit"},
		{"crit of an absent name", `{"alg":"RS256","crit":["x"]}`, critical + "the header has crit"},
		{"crit of itself", `{"alg":"RS256","crit":["crit"]}`, critical + "the header has crit"},
		{"empty crit", `{"alg":"RS256","crit":[]}`, critical + "the header has crit"},
		{"crit null", `{"alg":"RS256","crit":null}`, critical + "the header has crit"},
		{"crit string", `{"alg":"RS256","crit":"exp"}`, critical + "the header has crit"},
		{"crit object", `{"alg":"RS256","crit":{"exp":true}}`, critical + "the header has crit"},
		{"crit of numbers", `{"alg":"RS256","crit":[1,null]}`, critical + "the header has crit"},
		{"crit false", `{"alg":"RS256","crit":false}`, critical + "the header has crit"},
		{"crit by an escape", `{"alg":"RS256","\u0063rit":["exp"]}`, critical + "the header has crit"},
		{"b64 false", `{"alg":"RS256","b64":false}`, critical + "the header has b64"},
		{"b64 true", `{"alg":"RS256","b64":true}`, critical + "the header has b64"},
		{"b64 null", `{"alg":"RS256","b64":null}`, critical + "the header has b64"},
		{"b64 string", `{"alg":"RS256","b64":"false"}`, critical + "the header has b64"},
		{"b64 and crit", `{"alg":"RS256","b64":false,"crit":["b64"]}`, critical + "the header has crit"},

		{"no alg", `{"kid":"rsa-1"}`, invalid + "alg is missing"},
		{"empty alg", `{"alg":""}`, invalid + "alg is missing"},
		{"alg in capitals", `{"ALG":"RS256"}`, invalid + "alg is missing"},
		{"alg null", `{"alg":null}`, invalid + "alg isn't a string"},
		{"alg number", `{"alg":256}`, invalid + "alg isn't a string"},
		{"alg array", `{"alg":["RS256"]}`, invalid + "alg isn't a string"},
		{"alg object", `{"alg":{"RS256":true}}`, invalid + "alg isn't a string"},
		{"alg twice", `{"alg":"RS256","alg":"none"}`, invalid + `byte 20: repeated member "alg"`},
		{"alg twice by an escape", `{"alg":"RS256","\u0061lg":"none"}`, invalid + `byte 25: repeated member "alg"`},
		{"kid null", `{"alg":"RS256","kid":null}`, invalid + "kid isn't a string"},
		{"kid number", `{"alg":"RS256","kid":1}`, invalid + "kid isn't a string"},
		{"kid array", `{"alg":"RS256","kid":["rsa-1"]}`, invalid + "kid isn't a string"},
		{"typ null", `{"alg":"RS256","typ":null}`, invalid + "typ isn't a string"},
		{"typ object", `{"alg":"RS256","typ":{}}`, invalid + "typ isn't a string"},

		{"array", `[{"alg":"RS256"}]`, invalid + "not a JSON object"},
		{"string", `"RS256"`, invalid + "not a JSON object"},
		{"null", `null`, invalid + "not a JSON object"},
		{"two objects", `{"alg":"RS256"}{"alg":"none"}`, invalid + "byte 15: text after the object"},
		{"no end", `{"alg":"RS256"`, invalid + "byte 14: no comma or end of the object"},
		{"bad UTF-8", "{\"alg\":\"RS256\",\"kid\":\"\xff\"}", invalid + "byte 22: invalid UTF-8"},
		{"lone surrogate", `{"alg":"RS256","kid":"\ud800"}`, invalid + "byte 28: lone surrogate"},
		{"byte order mark", "\ufeff" + `{"alg":"RS256"}`, invalid + "not a JSON object"},
	} {
		if _, refusal := ParseJWS(RawToken(compact(row.header, `{}`))); said(refusal) != row.refused {
			t.Errorf("%s: %q, want %q", row.name, said(refusal), row.refused)
		}
	}
}

// Segments are counted and characters looked at before anything is split or
// decoded, however long the token: the limit on its length is the caller's.
func TestSEC_5_4_DotsAllocateNothing(t *testing.T) {
	for _, row := range []struct{ name, token, want string }{
		{"dots", strings.Repeat(".", 1<<20), "token_malformed: 1048577 segments instead of 3"},
		{"letters", strings.Repeat("A", 1<<20), "token_opaque"},
		{"letters, then a brace", strings.Repeat("A", 1<<20) + "{", "token_malformed: byte 1048576 isn't a character of a JWT"},
		{"JWE with a bomb inside", segment(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + strings.Repeat("."+strings.Repeat("A", 1<<18), 4), "token_encrypted"},
		{"JWE with many iterations", segment(`{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"p2s":"AAAAAAAAAAA"}`) + "....", "token_encrypted"},
		{"JWE without a key", segment(`{"alg":"A128KW","enc":"A128GCM"}`) + "..AAAA.AAAA.AAAA", "token_encrypted"},
	} {
		refused := func() {
			if _, refusal := ParseJWS(RawToken(row.token)); said(refusal) != row.want {
				t.Errorf("%s: %q, want %q", row.name, said(refusal), row.want)
			}
		}
		if got := bytesPerRun(refused); got > 1024 {
			t.Errorf("%s: %d bytes allocated", row.name, got)
		}
	}
}

func FuzzParseJWS(f *testing.F) {
	for _, seed := range []string{
		compact(`{"alg":"RS256","kid":"rsa-1","typ":"at+jwt"}`, `{"iss":"https://issuer.test"}`), compact(`{"alg":"none"}`, `{}`), "..", "....", "a.b", "",
		compact(`{"alg":"RS256","crit":["b64"],"b64":false}`, `{}`), compact(`{"alg":"RS256","alg":"RS256"}`, `{}`), "eyJhbGciOiJSUzI1NiJ9.QR.QUF", "e30=.e30.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		j, refusal := ParseJWS(RawToken(token))
		if refusal != nil {
			if refusal.Reason.Class() != audit.ClassUnauthenticated || refusal.Reason.Public() == "" {
				t.Fatalf("%q is refused with %v", token, refusal)
			}
			return
		}
		// What is taken apart can be put together again in one way only.
		header, _, _ := strings.Cut(token, ".")
		if again := header + "." + segment(j.Payload) + "." + segment(j.Signature); again != token {
			t.Fatalf("%q is also spelled %q", token, again)
		}
		text, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil || segment(text) != header || !strictly(text) || j.SigningInput != token[:strings.LastIndexByte(token, '.')] {
			t.Fatalf("%q has the header %q, %v, and is signed as %q", token, text, err, j.SigningInput)
		}
		checkFlat(t, text, j.Header)
		for name, got := range map[string]string{"alg": j.Algorithm, "kid": j.KeyID, "typ": j.Type} {
			if want, _ := j.Header.Lookup(name).Text(); got != want {
				t.Fatalf("%q: %s is %q, want %q", token, name, got, want)
			}
		}
		if j.Algorithm == "" || j.Header.Lookup("crit").Exists() || j.Header.Lookup("b64").Exists() {
			t.Fatalf("%q has the header %s", token, text)
		}
	})
}

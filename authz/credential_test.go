package authz

import (
	"cmp"
	"strings"
	"testing"
	"unicode"

	"github.com/credence-authz/credence/audit"
)

func TestSEC_5_28_5_68_BearerToken(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	rows := []struct {
		name  string
		lines []string
		want  string // the token
		bad   bool   // malformed
	}{
		{"no header", nil, "", false},
		{"a token", []string{"Bearer a.b-c_d~e+f/g=="}, "a.b-c_d~e+f/g==", false},
		{"SEC-B2: any case", []string{"bEARER abc"}, "abc", false},
		{"SEC-B2: one run of spaces", []string{"Bearer    abc"}, "abc", false},
		{"a token of any length", []string{"Bearer " + long}, long, false},
		{"a scheme alone (5.68)", []string{"Bearer"}, "", true},
		{"a scheme and a space", []string{"Bearer "}, "", true},
		{"a scheme and spaces", []string{"Bearer    "}, "", true},
		{"a tab isn't a space", []string{"Bearer\tabc"}, "", true},
		{"a tab after the space", []string{"Bearer \tabc"}, "", true},
		{"a space at the end", []string{"Bearer abc "}, "", true},
		{"a space in front", []string{" Bearer abc"}, "", true},
		{"two tokens", []string{"Bearer abc def"}, "", true},
		{"two lines joined (5.28)", []string{"Bearer abc,Bearer def"}, "", true},
		{"two lines joined, with a space", []string{"Bearer abc, Bearer def"}, "", true},
		{"two lines joined, the second empty", []string{"Bearer abc,"}, "", true},
		{"two lines joined, the first empty", []string{",Bearer abc"}, "", true},
		{"Basic first", []string{"Basic YTpi,Bearer abc"}, "", true},
		{"Basic first, without a space after the comma", []string{"Basic YTpi,bearer"}, "", true},
		{"Basic behind", []string{"Bearer abc, Basic YTpi"}, "", true},
		{"as a parameter", []string{`Digest username="x", bearer abc`}, "", true},
		{"two lines", []string{"Bearer abc", "Bearer def"}, "", true},
		{"two equal lines", []string{"Bearer abc", "Bearer abc"}, "", true},
		{"two lines, one of another scheme", []string{"Basic YTpi", "Bearer abc"}, "", true},
		{"two lines, the other way round", []string{"Bearer abc", "Basic YTpi"}, "", true},
		{"two lines, one empty", []string{"Bearer abc", ""}, "", true},
		{"three lines", []string{"", "", "Bearer abc"}, "", true},
		{"padding alone", []string{"Bearer ="}, "", true},
		{"padding inside", []string{"Bearer a=b"}, "", true},
		{"a quote", []string{`Bearer "abc"`}, "", true},
		{"a parameter", []string{"Bearer token=abc"}, "", true},
		{"letters outside ASCII", []string{"Bearer ab\u00e7"}, "", true},
		{"a NUL", []string{"Bearer ab\x00c"}, "", true},
		{"a vertical tab", []string{"Bearer\vabc"}, "", true},
		{"a no-break space", []string{"Bearer\u00a0abc"}, "", true},
		{"one in Latin-1", []string{"Bearer\xa0abc"}, "", true},
		{"a line break", []string{"Bearer abc\r\nx: y"}, "", true},

		{"BearerX is another scheme (5.68)", []string{"BearerX abc"}, "", false},
		{"so is X-Bearer", []string{"X-Bearer abc"}, "", false},
		{"so is Bear\u212aer", []string{"Bear\u212aer abc"}, "", false},
		{"Basic", []string{"Basic YmVhcmVyOmE="}, "", false},
		{"two of Basic", []string{"Basic YTpi", "Basic YTpi"}, "", false},
		{"an AWS signature", []string{"AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;date, Signature=abc"}, "", false},
		{"an empty value", []string{""}, "", false},
		{"DPoP", []string{"DPoP a.b.c"}, "dpop a.b.c", false},
		{"DPoP in another case", []string{"dpop  a.b.c="}, "dpop a.b.c=", false},
		{"DPoP without a token", []string{"DPoP"}, "", true},
		{"DPoP with two", []string{"DPoP a b"}, "", true},
		{"DPoP and Bearer", []string{"DPoP a.b.c, Bearer a.b.c"}, "", true},
		{"DPoP whose token is called Bearer", []string{"DPoP bearer"}, "", true},
		{"Bearer whose token is called DPoP", []string{"Bearer dpop"}, "dpop", false},
		{"DPoP on two lines", []string{"DPoP a.b.c", "DPoP a.b.c"}, "", true},
		{"DPoP behind another", []string{"Basic YTpi, DPoP a.b.c"}, "", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := &Request{Headers: []Header{{"x-authorization", "Bearer no"}, {"proxy-authorization", "Bearer no"}}}
			for _, line := range row.lines {
				r.Headers = append(r.Headers, Header{"authorization", line})
			}
			presented, refusal := r.presented()
			if refusal = cmp.Or(refusal, presented.judge()); refusal != nil {
				presented = credential{}
			}
			got := string(presented.token)
			if presented.dpop {
				got = "dpop " + got
			}
			if got != row.want || (refusal != nil) != row.bad {
				t.Errorf("got %q, %v", got, refusal)
			}
			if refusal != nil && (refusal.Reason != audit.MalformedAuthorization || strings.Contains(refusal.Detail, "abc")) {
				t.Errorf("got %v", refusal)
			}
		})
	}
}

// FuzzBearerToken: where we see a token, no reader sees another credential, whether
// it splits at commas or at any space, and whichever line it prefers.
func FuzzBearerToken(f *testing.F) {
	for _, lines := range [][2]string{{"Bearer abc", ""}, {"Bearer a,Bearer b", ""}, {"Basic YTpi", "Bearer abc"}, {"DPoP a.b.c", ""}, {"bearer  a==", ""}, {"Bearer\tabc", ""}} {
		f.Add(lines[0], lines[1], true)
		f.Add(lines[0], lines[1], false)
	}
	f.Fuzz(func(t *testing.T, one, two string, both bool) {
		r := &Request{Headers: []Header{{"authorization", one}}}
		if both {
			r.Headers = append(r.Headers, Header{"authorization", two})
		}
		presented, refusal := r.presented()
		refusal = cmp.Or(refusal, presented.judge())
		token := presented.token
		var seen []string // what follows the word Bearer, or where DPoP is presented, that
		for _, h := range r.Headers {
			words := strings.FieldsFunc(h.Value, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
			for i, word := range words {
				if strings.EqualFold(word, "bearer") || presented.dpop && strings.EqualFold(word, "dpop") {
					seen = append(seen, strings.Join(words[i+1:], " "))
				}
			}
		}
		switch {
		case refusal != nil:
		case token != "" && (len(seen) != 1 || seen[0] != string(token)):
			t.Errorf("%q: got token %q, others see %q", r.Headers, string(token), seen)
		case token == "" && len(seen) > 0:
			t.Errorf("%q: got none, others see %q", r.Headers, seen)
		}
	})
}

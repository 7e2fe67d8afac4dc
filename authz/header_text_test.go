package authz

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestHeaderText(t *testing.T) {
	long := strings.Repeat("a", maxHeaderText)
	rows := []struct {
		claim, want string // want empty: there is no text
	}{
		{`"alice"`, "alice"},
		{`"Alice B. O'Hara"`, "Alice B. O'Hara"},
		{`"a,b;c=d\"e"`, `a,b;c=d"e`},
		{`"Zo\u00eb"`, "Zo%C3%AB"},
		{`"50%"`, "50%25"},
		{`"%41"`, "%2541"},
		{`" a "`, "%20a%20"},
		{`" "`, "%20"},
		{`"a\r\nx-admin: 1"`, "a%0D%0Ax-admin: 1"},
		{`"a\u0000b\t\u007f"`, "a%00b%09%7F"},
		{`"\u2028"`, "%E2%80%A8"},
		{`""`, ""},
		{`"` + long + `"`, long},
		{`"` + long + `a"`, ""},
		{`"` + long[1:] + `%"`, ""}, // once escaped
		{`5`, "5"},
		{`-0.50`, "-0.50"},
		{`1e3`, "1e3"},
		{`18446744073709551616`, "18446744073709551616"},
		{`true`, "true"},
		{`false`, "false"},
		{`null`, ""},
		{`{}`, ""},
		{`{"a":1}`, ""},
		{`[]`, ""},
		{`[""]`, ""},
		{`["",""]`, ""},
		{`["a"]`, "a"},
		{`["a","b"]`, "a,b"},
		{`["a","","b"]`, "a,b"},
		{`["","a"]`, "a"},
		{`["a,b","c"]`, "a%2Cb,c"},
		{`["%2C"]`, "%252C"},
		{`[" a","b "]`, "%20a,b%20"},
		{`["a",1,true,2.50]`, "a,1,true,2.50"},
		{`["a",null]`, ""},
		{`["a",["b"]]`, ""},
		{`["a",{}]`, ""},
		{`["` + long[:maxHeaderText-2] + `","b"]`, long[:maxHeaderText-2] + ",b"},
		{`["` + long[:maxHeaderText-1] + `","b"]`, ""},
	}
	for _, row := range rows {
		t.Run(row.claim[:min(len(row.claim), 40)], func(t *testing.T) {
			got, ok := claimText(new([]byte), claimsOf(t, row.claim).Value)
			if ok != (row.want != "") || ok && got != row.want {
				t.Errorf("got %.60q, %t, want %.60q", got, ok, row.want)
			}
		})
	}
	if got, ok := claimText(new([]byte), claimsOf(t, `{}`).Lookup("absent")); ok {
		t.Errorf("an absent claim is %q", got)
	}
}

// FuzzHeaderText: a text is harmless in a header, and decodes to the value; a list
// has as many elements as it has, whatever they hold.
func FuzzHeaderText(f *testing.F) {
	for _, s := range []string{"alice", "a,b", " a ", "50%", "a\r\nb", "Zo\u00eb", "", "\x00", "%2c", ","} {
		f.Add(s, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if text, ok := sealText(a, false); ok {
			wantHarmless(t, text)
			if got, err := url.PathUnescape(text); err != nil || got != a {
				t.Errorf("%q became %q, which decodes to %q, %v", a, text, got, err)
			}
		} else if a != "" && len(a) < maxHeaderText/3 {
			t.Errorf("%q has no text", a)
		}

		elements := []string{strings.ToValidUTF8(a, ""), strings.ToValidUTF8(b, ""), "c"}
		list, err := json.Marshal(elements)
		if err != nil {
			t.Fatal(err)
		}
		text, ok := claimText(new([]byte), claimsOf(t, string(list)).Value)
		if !ok {
			return
		}
		wantHarmless(t, text)
		var got []string
		for part := range strings.SplitSeq(text, ",") {
			element, err := url.PathUnescape(part)
			if err != nil {
				t.Errorf("%q: %v", part, err)
			}
			got = append(got, element)
		}
		if want := slices.DeleteFunc(elements, func(s string) bool { return s == "" }); !slices.Equal(got, want) {
			t.Errorf("%q became %q, which is read as %q", want, text, got)
		}
	})
}

func wantHarmless(t *testing.T, text string) {
	t.Helper()
	if text == "" || len(text) > maxHeaderText || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q isn't a header's value", text)
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestEveryField holds that each field is written in a file that is taken.
func TestEveryField(t *testing.T) {
	written := map[protoreflect.FullName]bool{}
	for _, name := range append(files(t, "testdata/good"), files(t, "testdata/warn")...) {
		f, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		var walk func(at string, m protoreflect.Message)
		walk = func(at string, m protoreflect.Message) {
			for fd, v := range m.Range {
				field := join(at, string(fd.Name()))
				if f.wrote(field) {
					written[fd.FullName()] = true
				}
				switch {
				case fd.IsList() && isMessage(fd):
					for i := range v.List().Len() {
						walk(fmt.Sprintf("%s[%d]", field, i), v.List().Get(i).Message())
					}
				case isMessage(fd):
					walk(field, v.Message())
				}
			}
		}
		walk("", f.Config.ProtoReflect())
	}
	for _, fd := range schemaFields() {
		if !written[fd.FullName()] {
			t.Errorf("%s is in none", fd.FullName())
		}
	}
}

func TestAt(t *testing.T) {
	const text = `rules:
  - name: all
    public: true
    headers:
      x-a: claims.a
      "a].b[\"": claims.b
    match: {hosts: [a.example,
      b.example]}
`
	// Header names are checked, so what is below takes only the tree.
	f := &File{name: "x.yaml"}
	f.root = parseYAML(newReport(f), []byte(text))
	for _, tt := range []struct {
		field        string
		line, column int
	}{
		{"", 1, 1},
		{"rules", 2, 3},
		{"rules[0]", 2, 5},
		{"rules[0].name", 2, 11},
		{"rules[0].headers", 5, 7},
		{`rules[0].headers["x-a"]`, 5, 12},
		{`rules[0].headers["a].b[\""]`, 6, 18},
		{"rules[0].match.hosts[1]", 8, 7},
		{"rules[0].match.hosts[7]", 7, 20},      // not there: the list
		{"rules[0].match.paths", 7, 12},         // not there: the match
		{`rules[0].headers["x-b"]`, 5, 7},       // not there: the headers
		{"rules[9].match", 2, 3},                // not there: the rules
		{"rules[-1]", 2, 3}, {"rules[x]", 2, 3}, // no index
		{"realm", 1, 1}, {"[", 1, 1}, {`["`, 1, 1}, {".", 1, 1}, // no field
		{"rules[0].name.more", 2, 11},
	} {
		if line, column := f.At(tt.field); line != tt.line || column != tt.column {
			t.Errorf("%s: got %d:%d, want %d:%d", tt.field, line, column, tt.line, tt.column)
		}
	}
	if got, want := f.Problem("rules[0].headers", "no").String(), "x.yaml:5:7: rules[0].headers: no"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if line, column := (&File{}).At("rules"); line != 0 || column != 0 {
		t.Errorf("a file that wasn't read: got %d:%d, want 0:0", line, column)
	}
}

func TestProblemAsJSON(t *testing.T) {
	problems := Problems{{File: "a.yaml", Line: 1, Column: 2, Field: "realm", Message: "no"}, {File: "a.yaml", Message: "no", Severity: Warning}}
	got, err := json.Marshal(problems)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"a.yaml","line":1,"column":2,"field":"realm","message":"no","severity":"error"},{"file":"a.yaml","message":"no","severity":"warning"}]`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if _, err := Load(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder was taken")
	}
	if _, err := Load(os.DevNull); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("no bytes: %v", err)
	}
}

// TestParseKeepsData holds that the bytes given stay as they are, and those
// behind them in the same array.
func TestParseKeepsData(t *testing.T) {
	array := []byte(`{"rules":[{"name":"a\/b"}]}#####`)
	before := slices.Clone(array)
	if _, err := Parse("x.json", array[:len(array)-5]); err == nil {
		t.Error("was taken")
	}
	if !bytes.Equal(array, before) {
		t.Errorf("got %s, want %s", array, before)
	}
}

func TestJSONEscapes(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"slash", `{"a":"x\/y"}`, `{"a":"x/y"}`},
		{"pair", `{"a":"\ud83d\uDE00!"}`, `{"a":"😀!"}`},
		{"backslash before u", `{"a":"\\ud83d\\ude00"}`, `{"a":"\\ud83d\\ude00"}`},
		{"half a pair", `{"a":"\ud83d"}`, `{"a":"\ud83d"}`},
		{"half a pair and text", `{"a":"\ud83dXude00"}`, `{"a":"\ud83dXude00"}`},
		{"other escapes", `{"a":"\n\u00e9\""}`, `{"a":"\n\u00e9\""}`},
		{"not JSON", `{a: \/}`, `{a: \/}`},
		{"a list", `["\/"]`, `["\/"]`},
	} {
		if got := string(plainJSON([]byte(tt.in))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"issuer", "audiences", "clock_skew", "keys", "name"}
	for _, tt := range []struct{ name, in, want string }{
		{"a letter too few", "audience", "audiences"},
		{"two letters swapped", "isseur", "issuer"},
		{"camel case", "clockSkew", "clock_skew"},
		{"hyphen", "clock-skew", "clock_skew"},
		{"short", "key", "keys"},
		{"beginning", "clock", "clock_skew"},
		{"nothing like it", "frobnicate", ""},
		{"empty", "", ""},
		{"very long", strings.Repeat("issuer", 100), ""},
	} {
		if got := nearest(tt.in, names); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := nearest("issuer", slices.Repeat([]string{"issuers"}, 1000)); got != "" {
		t.Errorf("among a thousand: got %q", got)
	}
	if got := nearest("issuer", []string{strings.Repeat("issuer", 100)}); got != "" {
		t.Errorf("a very long one: got %q", got)
	}
}

// TestBounds holds that the largest files, however they are made, cost no more
// than a hundred times their size.
func TestBounds(t *testing.T) {
	const size = maxFile
	fill := func(head, part, tail string) string {
		return head + strings.Repeat(part, (size-len(head)-len(tail))/len(part)) + tail
	}
	rule := "rules:\n  - name: a\n    public: true\n    match:\n"
	for _, tt := range []struct{ name, text, want string }{
		{"too large", strings.Repeat("#", size+1), "is larger than 4 MiB; a configuration isn't"},
		{"brackets", strings.Repeat("[", 10_001), "nested too deeply"},
		{"braces", strings.Repeat("{a: ", 10_001), "nested too deeply"},
		{"dashes", strings.Repeat("- ", 10_001), "nested too deeply"},
		{"questions", strings.Repeat("? ", 10_001), "nested too deeply"},
		{"many values", fill("realm: [", "a,", "]"), "holds too many values"},
		{"many lines", fill("realm:\n", "- \n", ""), "holds too many values"},
		{"alias bomb", fill("a: &a [x, x]\nb: &b [", "*a, ", "]\n"), "holds too many values"},
		{"small alias bomb", "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nrules: *c\n", "unknown field"},
		{"one long text", fill("realm: ", "a", "\n"), "is too long; 64 characters fit"},
		{"one long key", fill("? ", "a", "\n: b\n"), "name that is empty or longer"},
		{"blank lines in quotes", fill("realm: \"", "\n", "\""), "holds too many values"},
		{"unknown fields", fill("", "a: b\n", "")[:5*300_000], "\"a\" is here twice, first in line 1; remove one"},
		{"bad entries", fill(rule+"      hosts:\n", "       - A\n", "")[:11*250_000], "hosts: has too many entries; 10000 fit"},
		{"bad methods", "rules:\n" + strings.Repeat("- {name: a, public: true, match: {methods: ["+strings.Repeat("a,", 32)+"]}}\n", 16_000), "and more; mend these first"},
		{"bad hosts", "rules:\n" + strings.Repeat("- {name: a, public: true, match: {hosts: ["+strings.Repeat("A,", 9_000)+"]}}\n", 70), "and more; mend these first"},
		{"dangling providers", "rules:\n" + strings.Repeat("- {name: a, bearer: {providers: [aaaa]}}\n", 20_000), "and more; mend these first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("x.yaml", []byte(tt.text))
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v, want %s", err, tt.want)
			}
			if cost := (after.TotalAlloc - before.TotalAlloc) / size; cost > 100 {
				t.Errorf("cost %d times its size", cost)
			}
			t.Logf("%d MiB", (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}

// TestLarge holds that a configuration may be as large as the schema says.
func TestLarge(t *testing.T) {
	var b strings.Builder
	b.WriteString("providers: [{name: corp, issuer: https://login.example.com, audiences: [api]}]\nrules:\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "  - name: r%d\n    match: {hosts: [api.example.com], paths: [/v1/t%d/**]}\n    bearer: {providers: [corp]}\n    headers: {x-user: claims.sub}\n", i, i)
	}
	b.WriteString("  - {name: last, bearer: {providers: [corp]}}\n")
	_, err := Parse("large.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "rules: has too many entries; 20000 fit") {
		t.Fatalf("20,001 rules: %v", err)
	}
	text := strings.Replace(b.String(), "  - {name: last, bearer: {providers: [corp]}}\n", "", 1)
	if f, err := Parse("large.yaml", []byte(text)); err != nil || len(f.Config.GetRules()) != 20_000 {
		t.Fatal(err)
	}
	b.Reset()
	b.WriteString("rules:\n")
	for i := range 40 { // each could be covered by each before it, and isn't by a hair
		fmt.Fprintf(&b, "  - {name: r%d, public: true, match: {paths: [/x], hosts: [", i)
		for j := range 9_000 {
			fmt.Fprintf(&b, "h%d,", j)
		}
		fmt.Fprintf(&b, "own%d]}}\n", i)
	}
	if _, err := Parse("hosts.yaml", []byte(b.String())); err != nil {
		t.Errorf("many hosts: %v", err)
	}
	text = strings.Replace(text, "t19999/**", "t7/x/*", 1)
	if _, err := Parse("large.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), `rules[19999]: can never match: rules[7], "r7"`) {
		t.Errorf("an unreachable rule among many: %v", err)
	}
}

package config

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const referenceFile = "../docs/configuration.md"

// referenceIntro is what the schema doesn't say itself: how a file is written.
// Its verbs are the schema's own comment and the smallest file.
const referenceIntro = `# Configuration

<!-- Made from the schema's comments: go test ./config -run TestReference -update -->

%s

The smallest useful file:

` + "```yaml\n%s```" + `

` + "`credence check-config`" + ` tells all that is wrong with a file, with line and column: its fields at once and, when these are right, its expressions and the files that it names.

## How a file is written

- Text is written plainly or in quotes. What YAML would read as a number, a boolean or a date needs quotes where text is due: ` + "`\"123\"`" + `.
- A duration is a number with a unit, or several: ` + "`30s`, `5m`, `1h30m`" + `. The units are ` + "`ms`, `s`, `m` and `h`" + `.
- true or false are written like this, and numbers in digits.
- A list is always a list, also with one entry: ` + "`[api]`" + `. It isn't empty.
- A field that is left out has its default. A field without a value is an error, and so are a field that isn't known and one that is written twice.
- An expression is CEL, over ` + "`claims` and `request`" + `.
- Secrets stand in files of their own, which the fields that end in ` + "`_file`" + ` name, or where ` + "`{file: /run/secrets/name}` or `{env: NAME}`" + ` says. Environment variables aren't expanded anywhere.
- A file name that isn't absolute counts from the folder that Credence was started in.
- Anchors, aliases, merge keys and tags aren't supported, nor several documents in a file. A file has at most 4 MiB.
- JSON is written with the same names.
`

// TestReference holds docs/configuration.md equal to the schema.
func TestReference(t *testing.T) {
	got := reference(t)
	if *update {
		if err := os.WriteFile(referenceFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: go test ./config -run TestReference -update", referenceFile)
	}
}

func reference(t *testing.T) []byte {
	t.Helper()
	smallest, err := os.ReadFile("testdata/good/smallest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	comments := schemaComments(t)
	var b bytes.Buffer
	fmt.Fprintf(&b, referenceIntro, markdown(comments["credence.config.v1"]), smallest)
	for _, m := range schemaMessages() {
		fmt.Fprintf(&b, "\n## %s\n\n", m.Name())
		fmt.Fprintf(&b, "%s\n", markdown(comments[m.FullName()]))
		for i := range m.Fields().Len() {
			fd := m.Fields().Get(i)
			fmt.Fprintf(&b, "\n### `%s%s`\n\n*%s*\n\n%s\n", placeOf(m), fd.Name(), strings.Join(facts(t, fd), " · "), markdown(comments[fd.FullName()]))
			if fd.Enum() != nil {
				b.WriteString("\n")
				for i, name := range enumNames(fd.Enum()) {
					fmt.Fprintf(&b, "- `%s`: %s\n", name, markdown(oneLine(comments[fd.Enum().Values().Get(i+1).FullName()])))
				}
			}
		}
	}
	return b.Bytes()
}

// markdown keeps what Markdown would take for emphasis or a tag, outside of code.
func markdown(s string) string {
	parts := strings.Split(s, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// placeOf is the path to the fields of a message as it is written: all of it
// where the message has one place, and its last step where it has several that
// agree in that.
func placeOf(m protoreflect.MessageDescriptor) string {
	var places []string
	for _, fd := range schemaFields() {
		if fd.Message() != m {
			continue
		}
		name := string(fd.Name())
		if fd.IsList() {
			name += "[]"
		}
		places = append(places, placeOf(fd.ContainingMessage())+name+".")
	}
	if len(places) <= 1 {
		return strings.Join(places, "")
	}
	steps := strings.Split(places[0], ".")
	last := steps[len(steps)-2] + "."
	if slices.ContainsFunc(places, func(place string) bool { return !strings.HasSuffix("."+place, "."+last) }) {
		return ""
	}
	return last
}

// facts are what a field takes: its type and its limits.
func facts(t *testing.T, fd protoreflect.FieldDescriptor) []string {
	t.Helper()
	all := []string{typeName(fd)}
	rules, err := protovalidate.ResolveFieldRules(fd)
	if err != nil {
		t.Fatal(err)
	}
	if rules.GetRequired() || rules.GetRepeated().GetMinItems() > 0 {
		all = append(all, "required")
	}
	if n := max(rules.GetRepeated().GetMaxItems(), rules.GetMap().GetMaxPairs()); n > 0 {
		all = append(all, fmt.Sprintf("at most %d entries", n))
	}
	text := rules.GetString()
	for _, of := range []*validate.FieldRules{rules.GetRepeated().GetItems(), rules.GetMap().GetValues()} {
		if of.GetString() != nil {
			text = of.GetString()
		}
	}
	if n := text.GetMaxLen(); n > 0 {
		all = append(all, fmt.Sprintf("at most %d characters", n))
	}
	if words := patterns[fd.FullName()]; words != "" {
		all = append(all, markdown(words))
	}
	if limits := bounds(fd); limits != "" {
		all = append(all, limits)
	}
	return all
}

func typeName(fd protoreflect.FieldDescriptor) string {
	name := ""
	switch {
	case fd.IsMap() && expressions[fd.MapValue().FullName()]:
		return "map from name to expression"
	case fd.IsMap():
		return "map from name to text"
	case expressions[fd.FullName()]:
		return "expression"
	case isMessage(fd):
		name = fmt.Sprintf("[%s](#%s)", fd.Message().Name(), strings.ToLower(string(fd.Message().Name())))
	case fd.Message() != nil:
		name = "duration"
	case fd.Enum() != nil:
		return "one of the words below"
	case fd.Kind() == protoreflect.BoolKind:
		name = "true or false"
	case fd.Kind() == protoreflect.Uint32Kind:
		name = "number"
	default:
		name = "text"
	}
	if fd.IsList() {
		return "list of " + name
	}
	return name
}

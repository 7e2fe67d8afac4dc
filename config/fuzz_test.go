package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// FuzzParse holds that any bytes give either problems that can be printed or a
// configuration that is taken again, and unchanged, when it is written out with
// its defaults.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"testdata/good", "testdata/warn", "testdata/bad"} {
		for _, name := range files(f, folder) {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.yaml", data)
		if err != nil {
			checkProblems(t, data, err)
			return
		}
		again, err := Parse("again.yaml", write(t, file.Config))
		if err != nil {
			t.Fatalf("its own text is refused: %v\n%s", err, write(t, file.Config))
		}
		if !proto.Equal(file.Config, again.Config) {
			t.Errorf("got %v, want %v", again.Config, file.Config)
		}
	})
}

func checkProblems(t *testing.T, data []byte, err error) {
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) == 0 || len(problems) > maxProblems+1 {
		t.Fatalf("not problems: %v", err)
	}
	lines := strings.Count(string(data), "\n") + 1
	for i, p := range problems {
		text := p.String()
		switch {
		case p.Message == "" || strings.ContainsAny(text, "\n\r") || !utf8.ValidString(text):
			t.Errorf("not one line of text: %q", text)
		case p.Severity != Error:
			t.Errorf("a warning among errors: %v", p)
		case i > 0 && p.Line < problems[i-1].Line && p.Line > 0:
			t.Errorf("out of order: %v", p)
		case (p.Line == 0) != (p.Column == 0) || p.Line < 0 || p.Column < 0:
			t.Errorf("half a place: %v", p)
		// YAML takes a few more characters for line breaks than Count does.
		case p.Line > lines+1 && !strings.ContainsAny(string(data), "\r\u0085\u2028\u2029"):
			t.Errorf("beyond the end of %d lines: %v", lines, p)
		}
	}
}

// write makes a file of a configuration.
func write(t *testing.T, c *configv1.Config) []byte {
	text, err := yaml.Marshal(tree(c.ProtoReflect()))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tree is a message as a user would write it.
func tree(m protoreflect.Message) map[string]any {
	fields := map[string]any{}
	for fd, v := range m.Range {
		switch {
		case fd.IsMap():
			pairs := map[string]string{}
			for key, value := range v.Map().Range {
				pairs[key.String()] = value.String()
			}
			fields[string(fd.Name())] = pairs
		case fd.IsList():
			var list []any
			for i := range v.List().Len() {
				list = append(list, leaf(fd, v.List().Get(i)))
			}
			fields[string(fd.Name())] = list
		default:
			fields[string(fd.Name())] = leaf(fd, v)
		}
	}
	return fields
}

func leaf(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch {
	case isMessage(fd):
		return tree(v.Message())
	case fd.Message() != nil:
		return text(v)
	case fd.Enum() != nil:
		return enumNames(fd.Enum())[v.Enum()-1]
	}
	return v.Interface()
}

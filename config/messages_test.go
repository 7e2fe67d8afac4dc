package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// unreachableMessages can't be caused by the schema as it is, or only by a file
// too large for testdata (see TestBounds).
var unreachableMessages = []string{
	"%s", // of a rule that checkViolation has no words for; TestConstraintWords
	"is larger than 4 MiB; a configuration isn't",
	"holds too many values; a configuration of 20,000 rules holds fewer",
}

// TestEveryMessage holds that each text with which a problem is reported stands
// in a golden file.
func TestEveryMessage(t *testing.T) {
	var said strings.Builder
	for _, pattern := range []string{"testdata/bad/*.txt", "testdata/warn/*.txt"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			said.Write(text)
		}
	}
	formats := messageFormats(t)
	for _, a := range syntaxAdvice {
		formats = append(formats, "isn't YAML: "+a.advice)
	}
	for _, headers := range []forbidden{requestHeaders, responseHeaders} {
		for _, why := range headers {
			formats = append(formats, "can't be set: "+why)
		}
	}
	for _, text := range patterns {
		formats = append(formats, "; write "+text)
	}
	for _, text := range examples {
		formats = append(formats, ": "+text+"\n")
	}
	if len(formats) < 100 {
		t.Fatalf("found %d messages only", len(formats))
	}
	verb := regexp.MustCompile(`%(\\\[1\\\])?[sdqv]`)
	for _, format := range formats {
		if slices.Contains(unreachableMessages, format) {
			continue
		}
		like := regexp.MustCompile(verb.ReplaceAllString(regexp.QuoteMeta(format), ".*"))
		if !like.MatchString(said.String()) {
			t.Errorf("no file in testdata causes %q", format)
		}
	}
}

// messageFormats are the texts in calls that report.
func messageFormats(t *testing.T) []string {
	t.Helper()
	reporters := map[string]bool{"errorf": true, "warnf": true, "refuse": true, "refuseAt": true, "problemAt": true}
	var formats []string
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !reporters[fun.Sel.Name] {
				return true
			}
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text, " ") || text == "%s" { // the others are fields
					formats = append(formats, text)
				}
				if text == strings.ToLower(text) && strings.HasSuffix(text, ".") {
					t.Errorf("%q ends in a period", text)
				}
			}
			return true
		})
	}
	return formats
}

// TestConstraintWords holds that the rules of the schema are those that
// checkViolation has words for.
func TestConstraintWords(t *testing.T) {
	told := map[string]bool{
		"required": true, "repeated.min_items": true, "repeated.unique": true,
		"string.pattern": true, "string.max_len": true, "string.in": true, "uint32.in": true, "uint32.gte": true, "uint32.lte": true,
		"duration.gte": true, "duration.lt": true, "duration.lte": true,
		// What these forbid, the reader refuses.
		"string.min_len": true, "repeated.max_items": true, "map.max_pairs": true, "enum.defined_only": true,
	}
	for _, fd := range schemaFields() {
		rules, err := protovalidate.ResolveFieldRules(fd)
		if err != nil {
			t.Fatal(err)
		}
		for id := range ruleIDs("", rules.ProtoReflect()) {
			if !told[id] {
				t.Errorf("%s: no words for %s", fd.FullName(), id)
			}
			switch {
			case (fd.IsList() || fd.IsMap()) && maxEntries(fd) == 0:
				t.Errorf("%s may have any number of entries", fd.FullName())
			case strings.HasSuffix(id, "pattern") && patterns[fd.FullName()] == "":
				t.Errorf("%s has no words for its pattern", fd.FullName())
			case (id == "required" || id == "repeated.min_items") && examples[fd.FullName()] == "":
				t.Errorf("%s has no example", fd.FullName())
			case strings.HasPrefix(id, "duration.") && bounds(fd) == "", strings.HasPrefix(id, "uint32.g") && bounds(fd) == "":
				t.Errorf("%s has no bounds", fd.FullName())
			}
		}
	}
}

// ruleIDs are the ids of the rules that are set, those of a list's entries and a
// map's values included.
func ruleIDs(prefix string, rules protoreflect.Message) map[string]bool {
	ids := map[string]bool{}
	rules.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := string(fd.Name())
		switch {
		case fd.Message() == nil || fd.Message().FullName() == durationName:
			ids[prefix+name] = true
		case fd.Message().FullName() == (*validate.FieldRules)(nil).ProtoReflect().Descriptor().FullName():
			for id := range ruleIDs("", v.Message()) {
				ids[id] = true
			}
		default:
			for id := range ruleIDs(name+".", v.Message()) {
				ids[id] = true
			}
		}
		return true
	})
	return ids
}

// schemaFields are the fields of every message that a Config can hold.
func schemaFields() []protoreflect.FieldDescriptor {
	var all []protoreflect.FieldDescriptor
	for _, m := range schemaMessages() {
		for i := range m.Fields().Len() {
			all = append(all, m.Fields().Get(i))
		}
	}
	return all
}

// schemaMessages are Config and every message below it, in the order in which
// they are first used.
func schemaMessages() []protoreflect.MessageDescriptor {
	var all []protoreflect.MessageDescriptor
	var visit func(protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		all = append(all, m)
		for i := range m.Fields().Len() {
			if fd := m.Fields().Get(i); isMessage(fd) && !slices.Contains(all, fd.Message()) {
				visit(fd.Message())
			}
		}
	}
	visit((*configv1.Config)(nil).ProtoReflect().Descriptor())
	return all
}

func TestNoSecretInMessages(t *testing.T) {
	for _, file := range files(t, "testdata/bad") {
		if _, err := Load(file); strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret stands in %v", file, err)
		}
	}
}

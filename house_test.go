// Package credence_test holds the rules of the house that a compiler doesn't
// know and a linter doesn't ask for: which way imports point, where foreign types
// stop, what has to be said about a package, how long a file may be.
// CONTRIBUTING.md gives the reasons.
package credence_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "github.com/credence-authz/credence"

// mayImport says for each folder, with those below it that aren't listed
// themselves, which of our other folders it may import. Tests may import
// oidc/oidctest besides.
var mayImport = map[string][]string{
	".":             {},
	"audit":         {},
	"authz":         {"audit", "cache", "oidc", "session"},
	"bench":         {"oidc/oidctest"},
	"cache":         {},
	"cmd":           {"audit", "authz", "cache", "config", "login", "oidc", "oidc/oidctest", "proto", "session", "session/redis"},
	"config":        {"proto"},
	"e2e":           {"oidc/oidctest"},
	"login":         {"audit", "oidc", "session"},
	"oidc":          {"audit"},
	"oidc/oidctest": {},
	"proto":         {},
	"session":       {"audit"},
	"session/redis": {"audit", "session"},
	"tools/mutate":  {},
}

// confined are foreign imports, by prefix, with the only files that may have
// them: a path pattern, or a folder that ends in a slash.
var confined = map[string][]string{
	"github.com/envoyproxy/": {
		"authz/grpc.go", "authz/wire.go", "authz/grpc*_test.go", "authz/wire*_test.go",
		"cmd/credence/", "bench/", "e2e/",
	},
	"github.com/stretchr/testify": {},
}

// hotPath are the files that every request with a remembered token goes through, and
// neverHot what none of them may import: each costs more than the rest of a decision.
var (
	hotPath = []string{
		"audit/counters.go", "audit/sample.go", "authz/credential.go", "authz/engine.go", "authz/identity_headers.go", "authz/index_path.go", "authz/match.go",
		"authz/request.go", "authz/revoked.go", "authz/template.go", "authz/wire.go", "authz/wire_answer.go", "cache/key.go", "session/revocations.go", "session/revocations_filter.go",
	}
	neverHot = []string{"encoding/json", "fmt", "reflect", "regexp", "text/template"}
)

// saysNothing are names for a folder or a file that hold whatever has no place.
var saysNothing = []string{"common", "helper", "helpers", "internal", "misc", "pkg", "shared", "util", "utils"}

const longestFile = 450 // lines

// source is a Go file of ours that isn't generated.
type source struct {
	path string // from the module's root, with slashes
	file *ast.File
	size int // lines
}

func (s *source) test() bool     { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) folder() string { return path.Dir(s.path) }

// files reads every file of the tree but those that aren't ours to write: hidden
// folders, what was built, inputs of tests, copies of other people's work.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	tree := os.DirFS(".")
	found := map[string][]byte{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			hidden := strings.HasPrefix(base, ".") && base != "." && base != ".ci"
			if hidden || slices.Contains([]string{"bin", "fixtures", "node_modules", "protovalidate", "testdata"}, base) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		found[name], err = fs.ReadFile(tree, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func sources(t *testing.T) []*source {
	t.Helper()
	var all []*source
	fset := token.NewFileSet()
	for name, data := range files(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		file, err := parser.ParseFile(fset, name, data, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.IsGenerated(file) {
			all = append(all, &source{path: name, file: file, size: bytes.Count(data, []byte("\n"))})
		}
	}
	if len(all) == 0 {
		t.Fatal("found no Go files: does this test run in the module's root?")
	}
	return all
}

// imports calls do with every import of every file.
func imports(t *testing.T, do func(s *source, imported string)) {
	t.Helper()
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", s.path, err)
			}
			do(s, imported)
		}
	}
}

// listed is the folder itself or the nearest one above it in mayImport.
func listed(folder string) (string, bool) {
	for ; ; folder = path.Dir(folder) {
		if _, ok := mayImport[folder]; ok || folder == "." {
			return folder, folder != "."
		}
	}
}

func TestImportsPointOneWay(t *testing.T) {
	imports(t, func(s *source, imported string) {
		target, ours := strings.CutPrefix(imported, module+"/")
		if !ours {
			return
		}
		from, _ := listed(s.folder())
		to, ok := listed(target)
		allowed := slices.Contains(mayImport[from], to) || from == to || s.test() && to == "oidc/oidctest"
		if !ok || !allowed {
			t.Errorf("%s imports %s: %s may import of ours only %q", s.path, target, from, mayImport[from])
		}
	})
}

func TestEveryFolderHasItsPlaceAmongTheImports(t *testing.T) {
	for _, s := range sources(t) {
		if _, ok := listed(s.folder()); !ok && s.folder() != "." {
			t.Errorf("%s: say in mayImport what %s may import", s.path, s.folder())
		}
	}
}

func TestForeignTypesStayWhereTheyBelong(t *testing.T) {
	imports(t, func(s *source, imported string) {
		for prefix, places := range confined {
			if strings.HasPrefix(imported, prefix) && !slices.ContainsFunc(places, s.within) {
				t.Errorf("%s imports %s, which belongs only in %q", s.path, imported, places)
			}
		}
	})
}

func TestHotPathStaysCheap(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.path] = true
	}
	for _, name := range hotPath {
		if !seen[name] {
			t.Errorf("%s isn't there any more: correct hotPath", name)
		}
	}
	imports(t, func(s *source, imported string) {
		if slices.Contains(hotPath, s.path) && slices.Contains(neverHot, imported) {
			t.Errorf("%s imports %s: every request would pay for it", s.path, imported)
		}
	})
}

// within says whether the file is in place, as confined writes places.
func (s *source) within(place string) bool {
	if strings.HasSuffix(place, "/") {
		return strings.HasPrefix(s.path, place)
	}
	ok, err := path.Match(place, s.path)
	return ok && err == nil
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources(t) {
		start := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			start = "Command " + path.Base(s.folder()) + " "
		}
		// A folder of tests alone says it in one of them.
		said[s.folder()] = said[s.folder()] || strings.HasPrefix(s.file.Doc.Text(), start)
	}
	for folder, ok := range said {
		if !ok {
			t.Errorf("%s: no file has a comment above its package clause that begins with Package NAME or Command NAME", folder)
		}
	}
}

func TestNamesSaySomething(t *testing.T) {
	for name := range files(t) {
		stem, _, _ := strings.Cut(path.Base(name), ".")
		for part := range strings.SplitSeq(path.Join(path.Dir(name), strings.TrimSuffix(stem, "_test")), "/") {
			if slices.Contains(saysNothing, part) {
				t.Errorf("%s: %q doesn't say what is in it", name, part)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.size > longestFile {
			t.Errorf("%s has %d lines: more than %d means more than one thing is in it", s.path, s.size, longestFile)
		}
	}
}

func TestNothingIsLeftForLater(t *testing.T) {
	// In pieces, or this file would have to be left out.
	later := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	for name, data := range files(t) {
		if !utf8.Valid(data) || strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, ".sum") {
			continue
		}
		n := 0
		for line := range bytes.Lines(data) {
			n++
			if word := later.Find(line); word != nil {
				t.Errorf("%s:%d: %s: do it, or file an issue", name, n, word)
			}
		}
	}
}

func TestThePapersAreThere(t *testing.T) {
	for _, name := range []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md"} {
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty", name)
		}
	}
}

func TestContributingNamesEveryTarget(t *testing.T) {
	all := files(t)
	targets := regexp.MustCompile(`(?m)^([a-z]+):.*## `).FindAllSubmatch(all["Makefile"], -1)
	if len(targets) == 0 {
		t.Fatal("Makefile has no target with a description")
	}
	for _, target := range targets {
		if !regexp.MustCompile("`make " + string(target[1]) + "\\b").Match(all["CONTRIBUTING.md"]) {
			t.Errorf("CONTRIBUTING.md doesn't name `make %s`", target[1])
		}
	}
}

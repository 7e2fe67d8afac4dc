package credence_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A requirement is one row of a document's table:
//
//	| id | what holds | `package.TestName`, `package.TestName/sub-test` |
//	| id | what holds | as another row |
//
// The package is its folder, from the module's root, which is credence itself. A test
// has in its name what it holds: TestSEC_J10_… and TestSEC_S3_S4_… (the ids J10, S3 and
// S4), TestSEC_5_13_… (5.13), TestSEC_V7_2_4_… (V7.2.4), and a sub-test "SEC-J10: …".
// One that holds more than two has the others in its comment: SEC-J13, SEC-5.6.
type requirement struct {
	id    string
	tests []string // none: it isn't built, or held as other rows are
	as    []string // those rows
}

// requirementTables are the documents, with the ids that each has a row for.
var requirementTables = map[string][]string{
	"docs/security.md": slices.Concat(
		numbered("J", 16), numbered("S", 10), numbered("A", 7), numbered("B", 8), numbered("P", 4), numbered("M", 4),
		numbered("O", 11), numbered("T", 8), numbered("C", 7), numbered("L", 5), numbered("K", 8),
		[]string{
			"V3.3.1", "V3.3.2", "V3.3.3", "V3.3.4", "V3.3.5", "V3.4.1", "V3.4.3", "V3.4.4", "V3.4.5", "V3.4.6", "V3.5.1", "V3.5.3", "V3.7.2",
			"V7.2.1", "V7.2.3", "V7.2.4", "V7.3.1", "V7.3.2", "V7.4.1", "V7.4.5", "V7.6.1", "V7.6.2",
			"V9.1.1", "V9.1.2", "V9.1.3", "V9.2.1", "V9.2.2", "V9.2.3", "V9.2.4",
			"V10.1.1", "V10.1.2", "V10.2.1", "V10.2.2", "V10.2.3", "V10.3.1", "V10.3.2", "V10.3.3", "V10.3.4", "V10.3.5",
			"V10.5.1", "V10.5.2", "V10.5.3", "V10.5.4", "V10.5.5",
		},
	),
	"docs/known-faults.md": numbered("5.", 73),
}

func numbered(prefix string, last int) []string {
	var ids []string
	for n := range last {
		ids = append(ids, prefix+strconv.Itoa(n+1))
	}
	return ids
}

var (
	requirementRow = regexp.MustCompile(`(?m)^\| ([A-Z0-9][0-9.]*) \| .+ \| (.+) \|$`)
	quoted         = regexp.MustCompile("`([^`]+)`")
	idInFunction   = regexp.MustCompile(`^(5_[0-9]+|V[0-9]+_[0-9]+_[0-9]+|[A-Z][0-9]+)_`)
	idInSubTest    = regexp.MustCompile(`^SEC-(5\.[0-9]+|V[0-9]+\.[0-9]+\.[0-9]+|[A-Z][0-9]+)\b`)
	idInComment    = regexp.MustCompile(`\bSEC-(5\.[0-9]+|V[0-9]+\.[0-9]+\.[0-9]+|[A-Z][0-9]+)\b`)
)

func requirements(t *testing.T, document string) []requirement {
	t.Helper()
	var rows []requirement
	for _, row := range requirementRow.FindAllStringSubmatch(string(files(t)[document]), -1) {
		r := requirement{id: row[1]}
		for _, name := range quoted.FindAllStringSubmatch(row[2], -1) {
			r.tests = append(r.tests, name[1])
		}
		if others, ok := strings.CutPrefix(row[2], "as "); ok {
			r.as = strings.Split(others, ", ")
		}
		if r.tests == nil && r.as == nil && row[2] != "not built" {
			t.Errorf("%s: %s names no test, nor other rows, and isn't %q", document, r.id, "not built")
		}
		rows = append(rows, r)
	}
	return rows
}

// namedIn is the ids in the name of a test function or of a sub-test.
func namedIn(name string) []string {
	if sub := idInSubTest.FindStringSubmatch(name); sub != nil {
		return sub[1:]
	}
	var ids []string
	_, rest, _ := strings.Cut(name, "SEC_")
	for id := idInFunction.FindString(rest); id != ""; id = idInFunction.FindString(rest) {
		rest = rest[len(id):]
		ids = append(ids, strings.ReplaceAll(strings.TrimSuffix(id, "_"), "_", "."))
	}
	return ids
}

// testNames are each folder's Test and Fuzz functions, with the ids in their names and
// comments, and every string in the same files, among which are the names of sub-tests.
func testNames(t *testing.T) (functions map[string]map[string][]string, literals map[string][]string) {
	t.Helper()
	functions, literals = map[string]map[string][]string{}, map[string][]string{}
	for name, data := range files(t) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Dir(name)
		if folder == "." {
			folder = path.Base(module)
		}
		if functions[folder] == nil {
			functions[folder] = map[string][]string{}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if name := n.Name.Name; strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
					ids := namedIn(name)
					if len(ids) > 2 {
						t.Errorf("%s.%s can't be read: name it after two requirements at most, and the others in its comment", folder, name)
					}
					for _, id := range idInComment.FindAllStringSubmatch(n.Doc.Text(), -1) {
						ids = append(ids, id[1])
					}
					functions[folder][name] = ids
				}
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					literals[folder] = append(literals[folder], s)
				}
			}
			return true
		})
	}
	return functions, literals
}

func TestEveryRequirementHasOneRow(t *testing.T) {
	for document, want := range requirementTables {
		var got []string
		for _, r := range requirements(t, document) {
			got = append(got, r.id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has the rows\n%q, want\n%q", document, got, want)
		}
	}
}

func TestEveryRequirementIsNamedByATest(t *testing.T) {
	functions, literals := testNames(t)
	for document := range requirementTables {
		rows := requirements(t, document)
		for _, r := range rows {
			for _, other := range r.as {
				if !slices.ContainsFunc(rows, func(row requirement) bool { return row.id == other && row.tests != nil }) {
					t.Errorf("%s: %s: no row of %s has tests", document, r.id, other)
				}
			}
			var named []string
			for _, test := range r.tests {
				folder, name, _ := strings.Cut(test, ".")
				function, sub, hasSub := strings.Cut(name, "/")
				ids, there := functions[folder][function]
				if !there || hasSub && !slices.Contains(literals[folder], sub) {
					t.Errorf("%s: %s: there is no test %s", document, r.id, test)
				}
				named = slices.Concat(named, ids, namedIn(sub))
			}
			if r.tests != nil && !slices.Contains(named, r.id) {
				t.Errorf("%s: no test of %s has it in its name or comment", document, r.id)
			}
		}
	}
}

func TestTestsNamedAfterARequirementAreInItsRow(t *testing.T) {
	rows := map[string][]string{}
	for document := range requirementTables {
		for _, r := range requirements(t, document) {
			rows[r.id] = r.tests
		}
	}
	functions, literals := testNames(t)
	for folder, tests := range functions {
		for name, ids := range tests {
			test := folder + "." + name
			for _, id := range ids {
				tests, ok := rows[id]
				if ok && !slices.ContainsFunc(tests, func(listed string) bool {
					return listed == test || strings.HasPrefix(listed, test+"/")
				}) {
					t.Errorf("%s isn't in the row of %s", test, id)
				}
			}
		}
	}
	for folder, names := range literals {
		for _, name := range names {
			for _, id := range namedIn(name) {
				if _, ok := rows[id]; !ok && strings.HasPrefix(name, "SEC-") {
					t.Errorf("%s: %q: there is no row of %s", folder, name, id)
				}
			}
		}
	}
}

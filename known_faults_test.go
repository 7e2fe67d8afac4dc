package credence_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What of docs/known-faults.md can be read off the source: a fault that nobody can
// write without a test failing is kept away better than by a test of its effects.

// served calls do with every file of what is built for people to run: not with
// tests, nor with what plays the other side.
func served(t *testing.T, do func(path string, file *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	seen := 0
	for _, s := range sources(t) {
		if s.test() || slices.ContainsFunc([]string{"bench", "e2e", "oidc/oidctest", "cmd/credence/demo", "tools"}, func(folder string) bool { return strings.HasPrefix(s.path, folder+"/") }) {
			continue
		}
		file, err := parser.ParseFile(fset, s.path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		do(s.path, file)
	}
	if seen < 100 {
		t.Fatalf("only %d files", seen)
	}
}

// TestSEC_5_57_RandomnessIsTheSystems: what can be guessed is used where nobody would
// gain by a guess, and nowhere else (CVE-2022-31034).
func TestSEC_5_57_RandomnessIsTheSystems(t *testing.T) {
	guessable := map[string]string{
		"oidc/keyset.go":   "spreads fetches of keys over time",
		"authz/recheck.go": "picks the verdicts that are looked at again",
	}
	served(t, func(path string, file *ast.File) {
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value) // it was parsed
			if (imported == "math/rand" || imported == "math/rand/v2") && guessable[path] == "" {
				t.Errorf("%s imports %s: take crypto/rand, or say here why nobody gains by a guess", path, imported)
			}
		}
	})
}

// TestSEC_5_30_5_58_WhatIsNotUsed: ciphers that tell nobody of a change, hashes that
// are broken, and connections that believe anybody.
func TestSEC_5_30_5_58_WhatIsNotUsed(t *testing.T) {
	imports := []string{"crypto/des", "crypto/rc4", "crypto/md5", "crypto/sha1", "golang.org/x/crypto/md4", "golang.org/x/crypto/blowfish"}
	names := map[string]string{
		"cipher.NewCBCDecrypter": "seals aren't checked by it", "cipher.NewCBCEncrypter": "it seals nothing", "cipher.NewCTR": "it seals nothing", "cipher.NewCFBDecrypter": "it seals nothing", "cipher.NewOFB": "it seals nothing",
		"http.DefaultClient": "it has no limits", "http.DefaultTransport": "it has no limits", "http.Get": "it has no limits", "http.Post": "it has no limits", "http.PostForm": "it has no limits", "http.Head": "it has no limits",
		"http.DefaultServeMux": "anybody adds to it", "http.HandleFunc": "anybody adds to it", "tls.InsecureCipherSuites": "they are", "grpc.WithInsecure": "it believes anybody",
	}
	served(t, func(path string, file *ast.File) {
		for _, spec := range file.Imports {
			if imported, _ := strconv.Unquote(spec.Path.Value); slices.Contains(imports, imported) {
				t.Errorf("%s imports %s", path, imported)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && names[x.Name+"."+n.Sel.Name] != "" {
					t.Errorf("%s uses %s.%s: %s", path, x.Name, n.Sel.Name, names[x.Name+"."+n.Sel.Name])
				}
				if n.Sel.Name == "InsecureSkipVerify" {
					t.Errorf("%s uses InsecureSkipVerify", path)
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "InsecureSkipVerify" {
					t.Errorf("%s sets InsecureSkipVerify", path)
				}
			}
			return true
		})
	})
}

// secretName are names of values that somebody could guess byte by byte, if comparing
// them took longer the more of it is right.
var secretName = regexp.MustCompile(`(?i)(nonce|secret|verifier|challenge|digest|mac|hash|thumbprint|password|csrf|sealed|signature)s?$`)

// TestSEC_5_69_SecretsAreComparedInConstantTime: such a value is never an operand of
// == or of what is made of it, but for whether there is any.
func TestSEC_5_69_SecretsAreComparedInConstantTime(t *testing.T) {
	// Comparisons that tell nobody anything: what both sides are is public, or the
	// caller's own.
	public := map[string]string{"oidc/decryption_key.go thumbprint": "of public keys, both of the configuration"}
	name := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return e.Sel.Name
		}
		return ""
	}
	literal := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.BasicLit, *ast.CompositeLit:
			return true
		case *ast.Ident:
			return e.Name == "nil" || e.Name == "true" || e.Name == "false"
		}
		return false
	}
	compares := []string{"bytes.Equal", "bytes.Compare", "strings.EqualFold", "strings.Compare", "slices.Equal", "strings.HasPrefix", "bytes.HasPrefix", "maps.Equal", "reflect.DeepEqual"}
	served(t, func(path string, file *ast.File) {
		if !strings.HasPrefix(path, "oidc/") && !strings.HasPrefix(path, "session/") && !strings.HasPrefix(path, "login/") && !strings.HasPrefix(path, "authz/") && !strings.HasPrefix(path, "cmd/") && !strings.HasPrefix(path, "cache/") {
			return
		}
		judge := func(a, b ast.Expr) {
			for _, pair := range [][2]ast.Expr{{a, b}, {b, a}} {
				if n := name(pair[0]); secretName.MatchString(n) && !literal(pair[1]) && public[path+" "+n] == "" {
					t.Errorf("%s compares %s by what ends early: take crypto/subtle or crypto/hmac, or say here why it tells nobody anything", path, n)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					judge(n.X, n.Y)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 2 && slices.Contains(compares, name(f.X)+"."+f.Sel.Name) {
					judge(n.Args[0], n.Args[1])
				}
			}
			return true
		})
	})
}

// TestSEC_5_45_5_47_VersionsWithTheirFixes: the libraries that read from strangers are
// at least as new as the mending of what is known of them, and what will be known is
// looked for.
func TestSEC_5_45_5_47_VersionsWithTheirFixes(t *testing.T) {
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string][3]int{`go`: {1, 25, 2}, `google.golang.org/grpc`: {1, 82, 1}, `golang.org/x/net`: {0, 38, 0}, `github.com/go-jose/go-jose/v4`: {4, 1, 4}, `golang.org/x/oauth2`: {0, 27, 0}} {
		found := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(name) + ` v?(\d+)\.(\d+)(?:\.(\d+))?`).FindSubmatch(module)
		if found == nil {
			if name != `golang.org/x/oauth2` { // which is there as long as something needs it
				t.Errorf("%s isn't in go.mod", name)
			}
			continue
		}
		var version [3]int
		for i, part := range found[1:] {
			version[i], _ = strconv.Atoi(string(part)) // digits, or nothing
		}
		if slices.Compare(version[:], least[:]) < 0 {
			t.Errorf("%s is %v, want at least %v", name, version, least)
		}
	}
	check, err := os.ReadFile("tools/check")
	if err != nil || !regexp.MustCompile(`(?m)^step govulncheck `).Match(check) {
		t.Errorf("tools/check doesn't look for what is known (%v)", err)
	}
}

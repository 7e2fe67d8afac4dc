// Command mutate asks whether tests would notice: it changes a package's files in one
// place at a time, and runs the package's tests on each. What survives is code that no
// test holds, or that makes no difference.
//
//	go run ./tools/mutate [-run REGEXP] FILE.go ...
//
// Each condition of an if is negated, and each comparison, && and || becomes its
// opposite. The files are of one package; the tree isn't written to. It prints the
// survivors, and exits with 1 if there are any.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// mutant is a file with one change.
type mutant struct {
	file string // absolute
	at   token.Position
	what string
	text []byte
}

func main() {
	log.SetFlags(0)
	run := flag.String("run", ".", "tests to run, as for go test")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("mutate: name the files to change")
	}
	var mutants []mutant
	for _, name := range flag.Args() {
		if filepath.Dir(name) != filepath.Dir(flag.Arg(0)) {
			log.Fatalf("mutate: %s is of another package than %s; change one at a time", name, flag.Arg(0))
		}
		made, err := mutate(name)
		if err != nil {
			log.Fatal("mutate: ", err)
		}
		mutants = append(mutants, made...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pkg := "./" + filepath.Dir(flag.Arg(0))
	if out, err := exec.CommandContext(ctx, "go", "test", "-run", *run, pkg).CombinedOutput(); err != nil {
		log.Fatalf("mutate: the tests fail before anything is changed\n%s", out)
	}
	var broken, survived int
	var mu sync.Mutex
	var workers sync.WaitGroup
	queue := make(chan mutant)
	for range runtime.NumCPU() {
		workers.Go(func() {
			for m := range queue {
				verdict, err := try(ctx, m, pkg, *run)
				mu.Lock()
				switch {
				case err != nil:
					log.Fatal("mutate: ", err)
				case verdict == notBuilt:
					broken++
				case verdict == passed:
					survived++
					fmt.Printf("%s: %s\n", m.at, m.what)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range mutants {
		queue <- m
	}
	close(queue)
	workers.Wait()
	fmt.Printf("%d mutants, %d of which compile, %d survived\n", len(mutants), len(mutants)-broken, survived)
	if survived > 0 {
		stop()
		os.Exit(1)
	}
}

// opposites of operators.
var opposites = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS,
	token.GTR: token.LEQ, token.LEQ: token.GTR, token.LAND: token.LOR, token.LOR: token.LAND,
}

// mutate gives all mutants of a file.
func mutate(name string) (list []mutant, err error) {
	name, err = filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, text, 0)
	if err != nil {
		return nil, err
	}
	change := func(at, end token.Pos, with, what string) {
		from, to := files.Position(at), files.Position(end)
		list = append(list, mutant{name, from, what, slices.Concat(text[:from.Offset], []byte(with), text[to.Offset:])})
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			cond := text[files.Position(n.Cond.Pos()).Offset:files.Position(n.Cond.End()).Offset]
			change(n.Cond.Pos(), n.Cond.End(), "!("+string(cond)+")", "the condition is negated")
		case *ast.BinaryExpr:
			if op, ok := opposites[n.Op]; ok {
				change(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op.String(), n.Op.String()+" becomes "+op.String())
			}
		}
		return true
	})
	return list, nil
}

type verdict int

const (
	failed verdict = iota // as it should
	passed
	notBuilt
)

// try runs the tests on a mutant.
func try(ctx context.Context, m mutant, pkg, run string) (verdict, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.file: changed}})
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(changed, m.text, 0o600); err != nil {
		return 0, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return 0, err
	}
	// A mutant may loop for ever, which is noticed too.
	out, err := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-failfast", "-timeout", "5m", "-run", run, pkg).CombinedOutput()
	switch {
	case err == nil:
		return passed, nil
	case bytes.Contains(out, []byte("[build failed]")) || strings.Contains(string(out), "vet: "):
		return notBuilt, nil
	default:
		return failed, nil
	}
}

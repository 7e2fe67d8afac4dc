package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "credence-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "credence")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/credence").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "credence can't be built: %v\n%s", err, out)
		return 1
	}
	defer endKeycloak()
	return m.Run()
}

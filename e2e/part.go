package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// partPath is where a real part is: where the environment variable says, else in
// .tools. Without the part the test is skipped, or fails if CI is true.
func partPath(t *testing.T, part, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join("..", ".tools", part)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		missing(t, fmt.Sprintf("%s isn't installed: run tools/install %[1]s, or name one in %s", part, variable))
	}
	return path
}

// programPath is the first of these programs that there is; what it is for is said
// where there is none.
func programPath(t *testing.T, purpose string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, fmt.Sprintf("there is no %s, which is needed for %s", names[len(names)-1], purpose))
	return ""
}

// missing ends a test that has not what it needs.
func missing(t *testing.T, message string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
}

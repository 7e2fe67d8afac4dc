package e2e

import (
	"os"
	"strings"
	"testing"
)

// writeSecret puts a secret in place of another in one step.
func writeSecret(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// checkSecrets looks for secrets, and shows what stands around one.
func checkSecrets(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if at := strings.Index(text, s); at >= 0 {
			t.Errorf("%s: %q stands in %q", where, s, text[max(0, at-200):min(len(text), at+100)])
			return
		}
	}
}

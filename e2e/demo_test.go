package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The demo's story ends well, with Envoy and without.
func TestDemo(t *testing.T) {
	t.Parallel()
	const missing = "Envoy isn't installed"
	run := func(t *testing.T, environment ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, "demo", "--smoke")
		cmd.Dir = t.TempDir() // where no .tools is
		cmd.Env = environment
		leaveNoOrphan(cmd)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	t.Run("with Envoy", func(t *testing.T) {
		path, err := filepath.Abs(envoyPath(t))
		if err != nil {
			t.Fatal(err)
		}
		if said := run(t, "CREDENCE_ENVOY="+path, "PATH="+os.Getenv("PATH")); strings.Contains(said, missing) {
			t.Errorf("got\n%s\nalthough Envoy was named", said)
		}
	})
	t.Run("without Envoy", func(t *testing.T) {
		if said := run(t, "PATH="); !strings.Contains(said, missing) {
			t.Errorf("got\n%s\nwant it to say that Envoy is missing", said)
		}
	})
}

package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestBad holds what is said about files that are refused. Each file in
// testdata/bad has its problems beside it.
func TestBad(t *testing.T) {
	for _, file := range files(t, "testdata/bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Load(file)
			if err == nil {
				t.Fatal("was taken")
			}
			if f != nil {
				t.Error("a configuration came with the error")
			}
			golden(t, file, err.Error())
		})
	}
}

// TestWarn holds what is said about files that are taken, but may be mistaken.
func TestWarn(t *testing.T) {
	for _, file := range files(t, "testdata/warn") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, f.Warnings.Error())
		})
	}
}

func TestGood(t *testing.T) {
	for _, file := range files(t, "testdata/good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Warnings) > 0 {
				t.Errorf("warnings: %v", f.Warnings)
			}
		})
	}
}

// files are the configurations in a folder.
func files(t testing.TB, folder string) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.yaml", "*.json"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		t.Fatalf("no configuration in %s", folder)
	}
	return names
}

// golden compares got with the .txt file beside a configuration. The folder's
// name is left out, because it differs between systems.
func golden(t *testing.T, file, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, filepath.Dir(file)+string(filepath.Separator), "") + "\n"
	path := strings.TrimSuffix(file, filepath.Ext(file)) + ".txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

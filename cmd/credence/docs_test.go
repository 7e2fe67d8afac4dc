package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blocks are the fenced parts of a page in one language.
func blocks(t *testing.T, path, language string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	var b strings.Builder
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		switch line := s.Text(); {
		case line == "```"+language:
			in = true
			b.Reset()
		case line == "```" && in:
			in = false
			all = append(all, b.String())
		case in:
			b.WriteString(line + "\n")
		}
	}
	return all
}

func TestConfigurationsInPagesAreGood(t *testing.T) {
	for _, page := range []string{"../../README.md", "../../docs/providers.md", "../../docs/agents.md", "../../docs/login.md"} {
		all := blocks(t, page, "yaml")
		if len(all) == 0 {
			t.Fatalf("%s shows no configuration", page)
		}
		for _, text := range all {
			path := filepath.Join(t.TempDir(), "credence.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if file, err := loadConfig(path); err != nil || len(file.Warnings) > 0 {
				t.Errorf("%s: %v\n%s", page, err, text)
			}
		}
	}
}

var describedMetric = regexp.MustCompile(`describe\("(\w+)", "([^"]+)"((?:, "\w+")*)\)`)

// TestEveryMetricIsDocumented with its labels, and in the words that /metrics has.
func TestEveryMetricIsDocumented(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := describedMetric.FindAllSubmatch(source, -1)
	if len(metrics) < 18 {
		t.Fatalf("only %d metrics are described", len(metrics))
	}
	for _, m := range metrics {
		labels := strings.ReplaceAll(strings.TrimPrefix(string(m[3]), ", "), `"`, "`")
		if row := fmt.Sprintf("| `credence_%s` | %s | %s |\n", m[1], labels, m[2]); !strings.Contains(string(page), row) {
			t.Errorf("docs/operations.md lacks the row\n%s", row)
		}
	}
}

func TestDeployedEnvoyConfigurationIsTheOnePrinted(t *testing.T) {
	want, err := os.ReadFile("../../deploy/envoy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	root := newRootCommand()
	root.SetOut(&got)
	root.SetArgs([]string{"envoy-config", "-c", "../../deploy/envoy/credence.yaml", "--listen", "0.0.0.0:8000"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("deploy/envoy/envoy.yaml isn't what is printed now; print it again:\n%s", got.String())
	}
}

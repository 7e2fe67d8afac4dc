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
	got := printedEnvoyConfig(t, "../../deploy/envoy/credence.yaml", "--listen", "0.0.0.0:8000")
	if got != string(want) {
		t.Errorf("deploy/envoy/envoy.yaml isn't what is printed now; print it again:\n%s", got)
	}
}

// printedEnvoyConfig is what envoy-config prints for the configuration at path.
func printedEnvoyConfig(t *testing.T, path string, flags ...string) string {
	t.Helper()
	var got bytes.Buffer
	root := newRootCommand()
	root.SetOut(&got)
	root.SetArgs(append([]string{"envoy-config", "-c", path}, flags...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

var socketAddress = regexp.MustCompile(`socket_address: \{address: "([^"]+)", port_value: (\d+)\}`)

// The Envoy here is one that keeps what it was to run with, and ends.
func TestDemoEnvoyConfigurationIsTheOnePrinted(t *testing.T) {
	kept := t.TempDir()
	envoy := filepath.Join(kept, "envoy")
	script := "#!/bin/sh\ncp \"$2\" \"${2%/*}/credence.yaml\" '" + kept + "'\nexit 1\n"
	if err := os.WriteFile(envoy, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENCE_ENVOY", envoy)
	root := newRootCommand()
	root.SetOut(t.Output())
	root.SetErr(t.Output())
	root.SetArgs([]string{"demo", "--smoke"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "envoy ended") {
		t.Fatalf("got %v, want it to say that Envoy ended", err)
	}
	run, err := os.ReadFile(filepath.Join(kept, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	addresses := socketAddress.FindAllStringSubmatch(string(run), -1)
	if len(addresses) < 2 {
		t.Fatalf("got no addresses in\n%s", run)
	}
	listen, upstream := addresses[0], addresses[len(addresses)-1]
	want := printedEnvoyConfig(t, filepath.Join(kept, "credence.yaml"), "--listen", listen[1]+":"+listen[2], "--upstream", upstream[1]+":"+upstream[2])
	if string(run) != want {
		t.Errorf("the demo's Envoy runs with\n%s\nwant what is printed:\n%s", run, want)
	}
}

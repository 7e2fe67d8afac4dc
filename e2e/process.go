package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running program that a test started. It ends with the test.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr transcript
	ended          chan struct{} // closed once it has ended and its output is whole
}

// startProcess starts a program. Its output is shown if the test fails.
func startProcess(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, ended: make(chan struct{})}
	// The context of a test ends before its clean-up: the program is asked to end
	// then, and made to where it doesn't.
	p.cmd = exec.CommandContext(t.Context(), path, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	leaveNoOrphan(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		<-p.ended
		if t.Failed() {
			t.Logf("%s %s, %v:\n%s%s", name, strings.Join(args, " "), p.cmd.ProcessState, p.stdout.tail(), p.stderr.tail())
		}
	})
	return p
}

// await waits until ready says so. A program that ends before that fails the test.
func (p *process) await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	await(t, p.name+": "+what, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it was ready (%s)", p.name, what)
		default:
		}
		return ready()
	})
}

// await waits until ready says so, and fails the test where that takes forever: far
// longer than on a machine that has all else to do as well.
func await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	const patience = 2 * time.Minute
	for end := time.Now().Add(patience); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// signal sends a signal.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// hang stops the program where it is, and returns when none of its threads runs:
// on a busy machine that may be a while after the signal.
func (p *process) hang(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	await(t, p.name+" stops", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return true // there is no way to see it here
		}
		return !slices.ContainsFunc(threads, func(path string) bool {
			stat, err := os.ReadFile(path)
			_, state, ok := bytes.Cut(stat, []byte(") "))
			return err == nil && ok && state[0] != 'T'
		})
	})
}

// wait gives the exit status, once the program has ended; -1 after a signal.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	await(t, p.name+" ends", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the program without giving it time for anything, and waits for that.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, os.Kill)
	p.wait(t)
}

// output runs a program to its end and gives its standard output.
func output(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

// transcript is what a program wrote so far. It may be read while it grows.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	return len(b), nil
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// tail is the last part of it, as much as a person would read.
func (s *transcript) tail() string {
	const enough = 16 << 10
	text := s.String()
	return text[max(0, len(text)-enough):]
}

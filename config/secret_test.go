package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func TestSecretInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewSecret(&configv1.Secret{File: path})
		read := func(want string) {
			t.Helper()
			if got, err := s.Read(); got != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		fails := func(says string) {
			t.Helper()
			got, err := s.Read()
			if got != "" || err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %q, %v, want an error that says %q", got, err, says)
			}
		}
		fails("no such file")
		write("\r\n")
		fails("it is empty")
		write(strings.Repeat("hunter2", maxSecret))
		fails("it is over 65536 bytes")
		write("hunter2\n")
		read("hunter2")
		write(" hunter3 \r\n")
		read("hunter2") // it isn't looked at all the time
		time.Sleep(secretRecheck)
		read(" hunter3 ")
		write("")
		time.Sleep(secretRecheck)
		read(" hunter3 ") // it is being replaced
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(secretRecheck)
		read(" hunter3 ")
		write("hunter4")
		time.Sleep(secretRecheck)
		read("hunter4")
		time.Sleep(secretRecheck)
		read("hunter4") // unchanged
	})
	if _, err := NewSecret(&configv1.Secret{File: t.TempDir()}).Read(); err == nil {
		t.Error("a folder is a secret")
	}
}

// TestPasswordIsOneLine: two of them in one file are none.
func TestPasswordIsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for text, good := range map[string]bool{"hunter2": true, "hunter2\r\n": true, "hunter2\nhunter3": false, "\nhunter2": false, "hunter\r2\n": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		reference := &configv1.Secret{File: path}
		got, err := NewPassword(reference).Read()
		if good != (got == "hunter2" && err == nil) || !good && (err == nil || !strings.Contains(err.Error(), "line break inside") || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
		if _, err := NewSecret(reference).Read(); err != nil {
			t.Errorf("%q isn't a secret, as a key may be: %v", text, err)
		}
		t.Setenv("CREDENCE_TEST_SECRET", strings.TrimRight(text, "\r\n"))
		if got, err := NewPassword(&configv1.Secret{Env: "CREDENCE_TEST_SECRET"}).Read(); good != (got == "hunter2" && err == nil) {
			t.Errorf("%q in the environment: got %q, %v", text, got, err)
		}
	}
}

func TestSecretInTheEnvironment(t *testing.T) {
	t.Setenv("CREDENCE_TEST_SECRET", "hunter2")
	if got, err := NewSecret(&configv1.Secret{Env: "CREDENCE_TEST_SECRET"}).Read(); got != "hunter2" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{"CREDENCE_TEST_NOWHERE", "CREDENCE_TEST_EMPTY"} {
		t.Setenv("CREDENCE_TEST_EMPTY", "")
		if _, err := NewSecret(&configv1.Secret{Env: name}).Read(); err == nil || !strings.Contains(err.Error(), name+" is empty or not set") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// maxSecret is the most bytes of a secret. A private key has a few thousand.
const maxSecret = 64 << 10

// secretRecheck is how long a file isn't looked at again.
const secretRecheck = time.Second

// Secret is one that the configuration refers to. It may be read by many at once.
type Secret struct {
	file, env string
	oneLine   bool

	mu      sync.Mutex
	text    string      // as last read; empty before
	seen    os.FileInfo // of the file then
	checked time.Time   // when the file was last looked at
}

// NewSecret makes a Secret of a checked reference.
func NewSecret(s *configv1.Secret) *Secret { return &Secret{file: s.GetFile(), env: s.GetEnv()} }

// NewPassword is NewSecret for a secret of one line. Text with a line break inside is
// refused: it is two secrets, or a key, and sent it would be a wrong password.
func NewPassword(s *configv1.Secret) *Secret {
	return &Secret{file: s.GetFile(), env: s.GetEnv(), oneLine: true}
}

// Read gives the secret, without a line break at its end. A file that has changed
// is read again, within a second; while it can't be read, or is empty, as it may be
// in the middle of being replaced, the last good secret is used. The error names
// the place and nothing that is in it.
func (s *Secret) Read() (string, error) {
	if s.env != "" {
		text := os.Getenv(s.env)
		switch {
		case text == "":
			return "", fmt.Errorf("the environment variable %s is empty or not set", s.env)
		case s.oneLine && strings.ContainsAny(text, "\r\n"):
			return "", fmt.Errorf("the environment variable %s: %w", s.env, errLines)
		}
		return text, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text != "" && time.Since(s.checked) < secretRecheck {
		return s.text, nil
	}
	s.checked = time.Now()
	// Looking comes before reading: a change in between is seen the next time.
	info, err := os.Stat(s.file)
	if err == nil && !s.unchanged(info) {
		var text string
		if text, err = s.readFile(); err == nil {
			s.text, s.seen = text, info
		}
	}
	if s.text == "" {
		return "", err
	}
	return s.text, nil
}

func (s *Secret) unchanged(info os.FileInfo) bool {
	return s.seen != nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size()
}

var errLines = errors.New("it has a line break inside; write the secret alone, on one line")

func (s *Secret) readFile() (string, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		return "", err
	case text == "":
		err = errors.New("it is empty")
	case len(data) > maxSecret:
		err = fmt.Errorf("it is over %d bytes", maxSecret)
	case s.oneLine && strings.ContainsAny(text, "\r\n"):
		err = errLines
	default:
		return text, nil
	}
	return "", &fs.PathError{Op: "read", Path: s.file, Err: err}
}

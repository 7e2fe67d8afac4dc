package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	josejson "github.com/go-jose/go-jose/v4/json"
)

// file loads keys from a file that somebody else writes.
type file struct {
	path string

	seen os.FileInfo // of what was read last; nil before
	err  error       // what came of it
}

// load reads the file if it may have changed, or if a token asks for a key that
// it doesn't have. Looking comes before reading: a change in between is seen the
// next time.
func (f *file) load(_ context.Context, why cause) (loaded, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.seen = nil
		return loaded{}, err
	}
	if why == scheduled && f.seen != nil && os.SameFile(info, f.seen) &&
		info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return loaded{unchanged: true}, f.err
	}
	f.seen = info
	var keys *Keys
	data, err := readFile(f.path, maxKeysDocument)
	if err == nil {
		keys, err = ParseKeys(data)
	}
	if err != nil {
		err = fmt.Errorf("keys in %s: %w", quote(f.path), err)
	}
	f.err = err
	return loaded{keys: keys}, err
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("over %d bytes", most)
	}
	return data, err
}

// keepFile is the copy of the last good key set that survives a restart. Whoever
// can write to it can make keys, so it is readable and writable by us alone; it is
// believed only for the issuer that it names, and only while it is young enough.
type keepFile struct {
	path   string
	issuer Issuer
}

// kept is the content of a keepFile.
type kept struct {
	Issuer  Issuer          `json:"issuer"`
	Fetched time.Time       `json:"fetched"`
	Keys    json.RawMessage `json:"keys"` // the JWKS document
}

// save replaces the copy in one step: a crash leaves the old one or the new one.
func (k *keepFile) save(document []byte, fetched time.Time) error {
	data, err := json.Marshal(kept{k.issuer, fetched.UTC().Round(0), document})
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(k.path), filepath.Base(k.path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync() // or a power cut could leave the new name without content
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), k.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temp.Name()))
	}
	return err
}

// load gives the copy and when it was fetched. The error is os.ErrNotExist where
// there is none yet.
func (k *keepFile) load(maxAge time.Duration) (*Keys, time.Time, error) {
	info, err := os.Lstat(k.path)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return nil, time.Time{}, fmt.Errorf("%s is %s, which others can write to: whoever can makes keys", quote(k.path), info.Mode())
	}
	data, err := readFile(k.path, 2*maxKeysDocument)
	if err != nil {
		return nil, time.Time{}, err
	}
	var c kept
	if err := josejson.Unmarshal(data, &c); err != nil {
		return nil, time.Time{}, fmt.Errorf("not a kept key set: %s", excerpt(err.Error()))
	}
	if c.Issuer != k.issuer {
		return nil, time.Time{}, fmt.Errorf("kept for issuer %s, not %s", quote(string(c.Issuer)), quote(string(k.issuer)))
	}
	// A date ahead of this clock would make the copy live longer than it may.
	if age := time.Since(c.Fetched); age > maxAge || age < -time.Minute {
		return nil, time.Time{}, fmt.Errorf("fetched %s ago, which isn't between 0 and %s", age.Round(time.Second), maxAge)
	}
	keys, err := ParseKeys(c.Keys)
	return keys, c.Fetched, err
}

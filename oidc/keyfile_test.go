package oidc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	temp := path + ".new"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

func TestKeysFromAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.json")
		r := newRig(t, func(r *rig, o *KeySetOptions) {
			o.File, o.KeepFile, o.MaxStale = path, path+".unused", 10*time.Minute
		})
		old := r.p.Sign(oidctest.Token{})
		r.want("no file yet", old, "keys_unavailable")
		write(t, path, r.p.KeySet())
		time.Sleep(2 * time.Second)
		r.want("a file", old, "verified")
		version := r.set.Stats().Version

		r.p.AddKey("ES256", "new-1")
		fresh := r.p.Sign(oidctest.Token{KeyID: "new-1"})
		write(t, path, r.p.KeySet())
		r.want("a new key, before the file is looked at", fresh, "verified")
		if r.set.Stats().Version == version {
			t.Error("the version stayed")
		}

		for _, bad := range []string{"", "{", `{"keys":[]}`, "<html>", string(r.p.KeySet()) + strings.Repeat(" ", maxKeysDocument)} {
			write(t, path, []byte(bad))
			time.Sleep(time.Minute)
			r.want("a bad file", fresh, "verified")
		}
		os.Remove(path)
		time.Sleep(time.Minute)
		r.want("no file any more", fresh, "verified")
		if got := r.log.count("keys can't be loaded: the last good ones are used"); got != 1 {
			t.Errorf("bad files are logged %d times, want once", got)
		}

		r.p.RetireKey("new-1")
		write(t, path, r.p.KeySet())
		time.Sleep(2 * time.Second)
		r.want("a key that was taken out", fresh, "key_unknown")
		before := r.set.Stats()
		time.Sleep(time.Hour)
		r.want("a file that doesn't change", old, "verified")
		if after := r.set.Stats(); after.Fetches != before.Fetches {
			t.Errorf("the same file was read %d times more", after.Fetches-before.Fetches)
		}
		write(t, path, []byte("bad"))
		time.Sleep(2 * time.Second)
		failures := r.set.Stats().Failures
		time.Sleep(11 * time.Minute)
		r.want("a bad file for too long", old, "keys_unavailable")
		if got := r.set.Stats().Failures; got != failures {
			t.Errorf("the same bad file was read %d times more", got-failures)
		}
		if r.p.Requests(oidctest.JWKS)+r.p.Requests(oidctest.Discovery) != 0 {
			t.Error("something was fetched")
		}
		if _, err := os.Stat(path + ".unused"); err == nil {
			t.Error("a copy of a file was kept")
		}
	})
}

func TestKeepFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kept.json")
		r := newRig(t, func(_ *rig, o *KeySetOptions) { o.KeepFile = path })
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.Mode().Perm(), os.FileMode(0o600); got != want {
			t.Errorf("mode %v, want %v", got, want)
		}
		data, _ := os.ReadFile(path)
		var content struct {
			Issuer  string
			Fetched time.Time
			Keys    struct{ Keys []any }
		}
		if err := json.Unmarshal(data, &content); err != nil || content.Issuer != r.p.Issuer() || !content.Fetched.Equal(time.Now()) || len(content.Keys.Keys) != 3 {
			t.Errorf("kept %s, %v", data, err)
		}
		good := data
		r.p.Break(oidctest.JWKS, oidctest.Fault{Status: 500})
		time.Sleep(6 * time.Minute)
		if again, _ := os.ReadFile(path); string(again) != string(good) {
			t.Error("a failed fetch changed the copy")
		}
		r.p.Mend(oidctest.JWKS)
		time.Sleep(6 * time.Minute)
		if again, _ := os.ReadFile(path); string(again) == string(good) {
			t.Error("a later fetch of the same keys didn't renew the date")
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("files are left over: %v", entries)
		}
	})
}

func TestKeptCopiesThatArentUsed(t *testing.T) {
	for _, row := range []struct {
		name, content string // ISSUER, NOW, KEYS and OLD stand for good values
		why           string // empty: it is used, or there is none
		want          string
	}{
		{"good", `{"issuer":"ISSUER","fetched":"NOW","keys":KEYS}`, "", "verified"},
		{"none", "", "", "keys_unavailable"},
		{"too old", `{"issuer":"ISSUER","fetched":"OLD","keys":KEYS}`, "fetched 24h0m1s ago", "keys_unavailable"},
		{"from the future", `{"issuer":"ISSUER","fetched":"2099-01-01T00:00:00Z","keys":KEYS}`, "isn't between", "keys_unavailable"},
		{"no date", `{"issuer":"ISSUER","keys":KEYS}`, "isn't between", "keys_unavailable"},
		{"another issuer", `{"issuer":"https://evil.test","fetched":"NOW","keys":KEYS}`, "kept for issuer", "keys_unavailable"},
		{"issuer under a folded name", `{"Issuer":"ISSUER","fetched":"NOW","keys":KEYS}`, "kept for issuer", "keys_unavailable"},
		{"issuer twice", `{"issuer":"https://evil.test","issuer":"ISSUER","fetched":"NOW","keys":KEYS}`, "duplicate key", "keys_unavailable"},
		{"no keys", `{"issuer":"ISSUER","fetched":"NOW"}`, "not a key set", "keys_unavailable"},
		{"no usable key", `{"issuer":"ISSUER","fetched":"NOW","keys":{"keys":[{}]}}`, "no usable key", "keys_unavailable"},
		{"cut short", `{"issuer":"ISSUER","fetched":"NOW","keys":`, "not a kept key set", "keys_unavailable"},
		{"a key set", `KEYS`, "kept for issuer", "keys_unavailable"},
		{"too large", `{"issuer":"ISSUER","fetched":"NOW","keys":KEYS}` + strings.Repeat(" ", 2*maxKeysDocument), "over 2097152 bytes", "keys_unavailable"},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, o *KeySetOptions) {
				r.p.Break(oidctest.Discovery, oidctest.Fault{Refuse: true})
				o.KeepFile = filepath.Join(t.TempDir(), "kept.json")
				if row.content != "" {
					write(t, o.KeepFile, []byte(strings.NewReplacer(
						"ISSUER", r.p.Issuer(), "NOW", time.Now().Format(time.RFC3339),
						"OLD", time.Now().Add(-24*time.Hour-time.Second).Format(time.RFC3339),
						"KEYS", string(r.p.KeySet()),
					).Replace(row.content)))
				}
			})
			r.want("known key", r.p.Sign(oidctest.Token{}), row.want)
			logged := 0
			if row.why != "" {
				logged = 1
			}
			if got := r.log.count("the copy of the keys isn't used"); got != logged || r.log.count(row.why) == 0 {
				t.Errorf("logged %d times, want %d with %q:\n%s", got, logged, row.why, r.log.text.String())
			}
			if row.want == "verified" && r.set.Stats().LastSuccess.After(time.Now()) {
				t.Error("the copy's date isn't kept")
			}
		})
	}
}

// A copy that can't be kept is no reason to fail; it is said once each time it
// begins.
func TestKeepingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "missing")
		r := newRig(t, func(_ *rig, o *KeySetOptions) { o.KeepFile = filepath.Join(folder, "kept.json") })
		const said = "the copy of the keys can't be kept"
		time.Sleep(time.Hour)
		r.want("no folder", r.p.Sign(oidctest.Token{}), "verified")
		if got := r.log.count(said); got != 1 {
			t.Errorf("said %d times, want once", got)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := os.Stat(r.set.options.KeepFile); err != nil {
			t.Error(err)
		}
		os.Remove(r.set.options.KeepFile)
		if err := os.MkdirAll(filepath.Join(r.set.options.KeepFile, "in", "the", "way"), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := r.log.count(said); got != 2 {
			t.Errorf("said %d times, want twice", got)
		}
		if entries, _ := os.ReadDir(folder); len(entries) != 1 {
			t.Errorf("files are left over: %v", entries)
		}
		if _, refusal := r.set.Current(); refusal != nil {
			t.Error(refusal)
		}
	})
}

func TestZeroKeySet(t *testing.T) {
	s := NewKeySet(KeySetOptions{})
	if _, refusal := s.Current(); refusal == nil || refusal.Reason != audit.KeysUnavailable || refusal.RetryAfter <= 0 {
		t.Errorf("refusal %+v", refusal)
	}
	if got, want := s.Stats(), (KeySetStats{}); got != want {
		t.Errorf("stats %+v", got)
	}
	odd := NewKeySet(KeySetOptions{Refresh: -1, MaxStale: -1, Cooldown: -1}).options
	if o := s.options; o.Refresh != odd.Refresh || o.MaxStale != odd.MaxStale || o.Cooldown != odd.Cooldown || o.Refresh != 5*time.Minute || o.MaxStale != 24*time.Hour || o.Cooldown != 30*time.Second || o.Client == nil {
		t.Errorf("options %+v", o)
	}
}

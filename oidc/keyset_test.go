package oidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// rig is a provider and a running key set for it, in a bubble with its own clock.
type rig struct {
	t    *testing.T
	p    *oidctest.Provider
	set  *KeySet
	log  logBuffer
	stop func() // ends Run
}

// newRig starts a key set and waits for its first load to end, as far as that
// takes no time.
func newRig(t *testing.T, edit func(*rig, *KeySetOptions)) *rig {
	t.Helper()
	r := &rig{t: t, p: oidctest.New(oidctest.Options{})}
	t.Cleanup(r.p.Close)
	o := KeySetOptions{
		Name:   "corp",
		Issuer: Issuer(r.p.Issuer()),
		Client: newClient(t, ClientOptions{Transport: r.p.Transport()}),
		Log:    slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	if edit != nil {
		edit(r, &o)
	}
	r.start(o)
	return r
}

// start begins with a new key set, as after a restart.
func (r *rig) start(o KeySetOptions) {
	r.t.Helper()
	if r.stop != nil {
		r.stop()
	}
	r.set = NewKeySet(o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.set.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	r.t.Cleanup(r.stop)
	synctest.Wait()
}

// verify says what a token gets: "verified", or the reason.
func (r *rig) verify(token string, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := r.set.VerifySignature(ctx, token)
	if refusal, ok := errors.AsType[*audit.Refusal](err); ok {
		return refusal.Reason.String()
	}
	if err != nil {
		return err.Error()
	}
	return "verified"
}

func (r *rig) want(what, token, answer string) {
	r.t.Helper()
	if got := r.verify(token, 20*time.Second); got != answer {
		r.t.Errorf("%s: %s, want %s", what, got, answer)
	}
}

// fetches counts requests for keys during f.
func (r *rig) fetches(f func()) int {
	before := r.p.Requests(oidctest.JWKS)
	f()
	return r.p.Requests(oidctest.JWKS) - before
}

func between(t *testing.T, what string, got, least, most int) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %d, want %d to %d", what, got, least, most)
	}
}

// logBuffer collects log lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) count(part string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), part)
}

// bubble runs a subtest with a clock of its own.
func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A provider whose key endpoint goes wrong, for an hour, just after it has begun
// to sign with a new key. Whatever the fault, tokens under known keys keep
// working, no token is called bad, and it isn't asked more often than backoff and
// cool-down allow.
func TestT4_KeySetFaults(t *testing.T) {
	hostile := `{"kid":"x","kty":"oct","k":"AAAA"},null,7,{"kid":"y","kid":"z"},{"kid":"rsa-1","kty":"RSA","n":"AQAB","e":"AQAB"}`
	type row struct {
		name        string
		fault       oidctest.Fault
		first, then string // what a token under the new key gets: at once, and again
		least, most int    // fetches in the hour
	}
	const down, wait, ok = "keys_unavailable", "key_refresh_pending", "verified"
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault of the key set\tknown key\tnew key\tnew key again\tfetches\tafter 1 h: known key\tnew key\tfetches\tmended: new key")
	for _, row := range []row{
		{"status 500", oidctest.Fault{Status: 500}, down, wait, 60, 75},
		{"status 503 with a page", oidctest.Fault{Status: 503, Body: "<html>down</html>"}, down, wait, 60, 75},
		{"status 429", oidctest.Fault{Status: 429}, down, wait, 60, 75},
		{"status 404", oidctest.Fault{Status: 404}, down, wait, 60, 75},
		{"status 204", oidctest.Fault{Status: 204}, down, wait, 60, 75},
		{"HTML", oidctest.Fault{Body: "<!DOCTYPE html><title>Sign in</title>"}, down, wait, 60, 75},
		{"not a key set", oidctest.Fault{Body: `{"error":"x"}`}, down, wait, 60, 75},
		{"empty set", oidctest.Fault{Body: `{"keys":[]}`}, down, wait, 60, 75},
		{"no usable key", oidctest.Fault{Body: `{"keys":[` + hostile + `]}`}, down, wait, 60, 75},
		{"keys twice", oidctest.Fault{Body: `{"keys":[],"keys":[]}`}, down, wait, 60, 75},
		{"truncated", oidctest.Fault{Truncate: 100}, down, wait, 60, 75},
		{"2 MiB", oidctest.Fault{Huge: 2 << 20}, down, wait, 60, 75},
		{"connection closed", oidctest.Fault{Refuse: true}, down, wait, 60, 75},
		{"hanging", oidctest.Fault{Hang: true}, down, wait, 40, 60},
		{"hanging in the middle", oidctest.Fault{Hang: true, Truncate: 100}, down, wait, 40, 60},
		{"16 s late", oidctest.Fault{Delay: 16 * time.Second}, down, wait, 40, 60},
		{"redirect to another host", oidctest.Fault{Redirect: "https://evil.test/jwks"}, down, wait, 60, 75},
		{"redirect to plain http", oidctest.Fault{Redirect: "http://issuer.test/jwks"}, down, wait, 60, 75},
		{"12 s late", oidctest.Fault{Delay: 12 * time.Second}, ok, ok, 10, 14},
		{"hostile keys among good", oidctest.Fault{Body: "+" + hostile}, ok, ok, 10, 14},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newRig(t, nil)
			old, made := r.p.Sign(oidctest.Token{}), r.p.Sign(oidctest.Token{KeyID: "made-up"})
			r.p.AddKey("ES256", "new-1")
			fresh := r.p.Sign(oidctest.Token{KeyID: "new-1"})
			if strings.HasPrefix(row.fault.Body, "+") {
				row.fault.Body = `{"keys":[` + hostile + `,` + strings.TrimPrefix(string(r.p.KeySet()), `{"keys":[`)
			}
			r.p.Break(oidctest.JWKS, row.fault)

			var first, then string
			caused := r.fetches(func() {
				first, then = r.verify(fresh, 20*time.Second), r.verify(fresh, 20*time.Second)
			})
			known := r.verify(old, time.Second)
			var later, laterNew string
			hour := r.fetches(func() {
				time.Sleep(time.Hour)
				later = r.verify(old, time.Second)
				laterNew = r.verify(fresh, 40*time.Second) // a fetch under way, and then its own
			})
			r.p.Mend(oidctest.JWKS)
			time.Sleep(90 * time.Second) // the longest pause between attempts, and a fetch
			mended := r.verify(fresh, 20*time.Second)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\n", row.name, known, first, then, caused, later, laterNew, hour, mended)

			if known != ok || later != ok {
				t.Errorf("known key: %s, after an hour %s", known, later)
			}
			if first != row.first || then != row.then || laterNew != row.first {
				t.Errorf("new key: %s, again %s, after an hour %s, want %s, %s, %s", first, then, laterNew, row.first, row.then, row.first)
			}
			if caused != 1 {
				t.Errorf("the new key caused %d fetches, want 1", caused)
			}
			between(t, "fetches in an hour", hour, row.least, row.most)
			if mended != ok {
				t.Errorf("new key when mended: %s", mended)
			}
			if n := r.fetches(func() { r.want("made-up kid when mended", made, "key_unknown") }); n != 1 {
				t.Errorf("a made-up kid caused %d fetches, want 1", n)
			}
		})
	}
	w.Flush()
	t.Log("\n" + table.String())
}

// A provider that is gone altogether: at start, later, for less and for more than
// MaxStale, and across a restart.
func TestT6_Outages(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "outage\tknown key\tmade-up kid\tfetches a minute\twhen it is back: known key")
	const down, ok = "keys_unavailable", "verified"
	for _, row := range []struct {
		name        string
		before      time.Duration // in which all is well
		outage      time.Duration
		keep        bool // a copy in a file, and a restart in the middle of the outage
		known, made string
	}{
		{"from the start, 1 min", 0, time.Minute, false, down, down},
		{"from the start, 3 h", 0, 3 * time.Hour, false, down, down},
		{"1 min", time.Hour, time.Minute, false, ok, down},
		{"23 h", time.Hour, 23 * time.Hour, false, ok, down},
		{"25 h", time.Hour, 25 * time.Hour, false, down, down},
		{"from the start, with an empty keep file", 0, time.Minute, true, down, down},
		{"1 min, restart with a kept copy", time.Hour, time.Minute, true, ok, down},
		{"23 h, restart with a kept copy", time.Hour, 23 * time.Hour, true, ok, down},
		{"25 h, restart with a kept copy", time.Hour, 25 * time.Hour, true, down, down},
		{"60 h, restart with a copy too old", time.Hour, 60 * time.Hour, true, down, down},
	} {
		bubble(t, row.name, func(t *testing.T) {
			gone := oidctest.Fault{Refuse: true}
			var options KeySetOptions
			r := newRig(t, func(r *rig, o *KeySetOptions) {
				if row.keep {
					o.KeepFile = t.TempDir() + "/keys.json"
				}
				options = *o
				if row.before == 0 {
					r.p.Break(oidctest.JWKS, gone)
					r.p.Break(oidctest.Discovery, gone)
				}
			})
			old, made := r.p.Sign(oidctest.Token{}), r.p.Sign(oidctest.Token{KeyID: "made-up"})
			time.Sleep(row.before)
			r.p.Break(oidctest.JWKS, gone)
			r.p.Break(oidctest.Discovery, gone)
			if row.before > 0 {
				r.want("just before", old, ok)
			}
			time.Sleep(row.outage / 2)
			if row.keep {
				r.start(options)
			}
			time.Sleep(row.outage / 2)

			known, unknown := r.verify(old, time.Second), r.verify(made, 20*time.Second)
			before := r.p.Requests(oidctest.JWKS) + r.p.Requests(oidctest.Discovery)
			time.Sleep(10 * time.Minute)
			minute := float64(r.p.Requests(oidctest.JWKS)+r.p.Requests(oidctest.Discovery)-before) / 10
			if minute > 3 {
				t.Errorf("%.1f requests a minute to a provider that is down", minute)
			}
			r.p.Mend(oidctest.JWKS)
			r.p.Mend(oidctest.Discovery)
			time.Sleep(67 * time.Second)
			back := r.verify(old, time.Second)
			fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\n", row.name, known, unknown, minute, back)
			if known != row.known || unknown != row.made || back != ok {
				t.Errorf("known key %s, made-up kid %s, when it is back %s; want %s, %s, %s", known, unknown, back, row.known, row.made, ok)
			}
		})
	}
	w.Flush()
	t.Log("\n" + table.String())
}

func TestHowOftenKeysAreFetched(t *testing.T) {
	for _, row := range []struct {
		name, cacheControl string
		refresh            time.Duration
		least, most        int // in an hour
	}{
		{"no Cache-Control", "", 0, 10, 14},
		{"a shorter max-age", "public, max-age=120", 0, 27, 34},
		{"a longer max-age", "max-age=86400", 0, 10, 14},
		{"max-age under a minute", "max-age=5", 0, 54, 67},
		{"max-age 0", "no-cache, no-store, max-age=0, must-revalidate", 0, 54, 67},
		{"no-cache alone", "no-cache", 0, 10, 14},
		{"no number", "max-age=soon", 0, 10, 14},
		{"negative", "max-age=-1", 0, 10, 14},
		{"beyond all measure", "max-age=99999999999999999999", 0, 10, 14},
		{"quoted, other case", `Max-Age="120"`, 0, 27, 34},
		{"shared caches only", "s-maxage=60", 0, 10, 14},
		{"a refresh under a minute", "max-age=5", 10 * time.Second, 327, 400},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, o *KeySetOptions) {
				o.Refresh = row.refresh
				r.p.CacheControl(oidctest.JWKS, row.cacheControl)
			})
			between(t, "fetches in an hour", r.fetches(func() { time.Sleep(time.Hour) }), row.least, row.most)
			if got, want := r.p.Requests(oidctest.Discovery), 2; got > want {
				t.Errorf("discovery was asked %d times, want at most %d", got, want)
			}
		})
	}
}

func TestPausesAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		r := newRig(t, func(r *rig, o *KeySetOptions) {
			o.URL = "https://issuer.test/jwks"
			o.Client.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
				at = append(at, time.Now())
				return nil, errors.New("no route to host")
			})
		})
		time.Sleep(10 * time.Minute)
		r.stop()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			want *= time.Second
			if got := at[i+1].Sub(at[i]); got < want*9/10 || got > want*11/10 {
				t.Errorf("pause %d is %v, want %v give or take a tenth", i, got, want)
			}
		}
	})
}

func TestT5_RemovedKeyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		token := r.p.Sign(oidctest.Token{KeyID: "ec-1"})
		r.want("published", token, "verified")
		keys, _ := r.set.Current()
		print := keys.Find("ec-1", "ES256")[0].Fingerprint
		r.p.RetireKey("ec-1")
		time.Sleep(5*time.Minute + 31*time.Second)
		r.want("taken out", token, "key_unknown")
		if keys, _ = r.set.Current(); keys.Holds(print) || keys.Known("ec-1") {
			t.Error("the removed key is still held or known")
		}
	})
}

func TestVersionGrowsWithTheContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		version := func() uint64 {
			time.Sleep(6 * time.Minute)
			keys, refusal := r.set.Current()
			if refusal != nil {
				t.Fatal(refusal)
			}
			if got, want := r.set.Stats().Version, keys.Version(); got != want {
				t.Errorf("Stats has version %d, want %d", got, want)
			}
			return keys.Version()
		}
		v1 := version()
		if v := version(); v != v1 {
			t.Errorf("the same content went from version %d to %d", v1, v)
		}
		r.p.RetireKey("rsa-1")
		r.p.PublishKey("rsa-1") // now at the end
		if v := version(); v != v1 {
			t.Errorf("another order went from version %d to %d", v1, v)
		}
		r.p.RetireKey("rsa-1")
		v2 := version()
		r.p.PublishKey("rsa-1")
		v3 := version()
		if v2 <= v1 || v3 <= v2 {
			t.Errorf("versions %d, %d, %d don't grow", v1, v2, v3)
		}
		if other := newRig(t, nil); other.set.Stats().Version <= v3 {
			t.Error("another key set has a version that was there before")
		}
	})
}

func TestLogsAreWrittenAtTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *KeySetOptions) { r.p.PublishRaw(`{"kid":"bad","kty":"oct","k":"c2VjcmV0"}`) })
		want := func(when, part string, n int) {
			t.Helper()
			if got := r.log.count(part); got != n {
				t.Errorf("%s: %q is logged %d times, want %d", when, part, got, n)
			}
		}
		time.Sleep(time.Hour)
		want("all is well", "level=INFO msg=\"keys loaded\"", 1)
		want("all is well", "level=WARN msg=\"keys skipped", 1)
		r.p.Break(oidctest.JWKS, oidctest.Fault{Status: 500})
		time.Sleep(23 * time.Hour)
		want("down", "level=WARN msg=\"keys can't be loaded", 1)
		want("down", "level=ERROR", 0)
		time.Sleep(8 * time.Hour)
		want("too old", "level=ERROR msg=\"the last good keys are too old", 1)
		r.p.Mend(oidctest.JWKS)
		time.Sleep(time.Hour)
		want("back", "level=INFO msg=\"keys can be loaded again\"", 1)
		r.p.PublishRaw(`{"kid":"worse"}`)
		time.Sleep(time.Hour)
		want("another bad key", "level=WARN msg=\"keys skipped", 2)
		want("at the end", "provider=corp", 7)
		want("at the end", "c2VjcmV0", 0)
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *KeySetOptions) { r.p.PublishRaw(`{"kid":"bad"}`) })
		start := time.Now()
		if got, want := r.set.Stats(), (KeySetStats{Fetches: 1, Keys: 3, SkippedKeys: 1, Version: r.set.Stats().Version, LastSuccess: start}); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
		r.p.Break(oidctest.JWKS, oidctest.Fault{Status: 500, Body: "oh no"})
		if err := r.set.Refresh(t.Context()); err == nil {
			t.Error("no error")
		}
		got := r.set.Stats()
		if got.Fetches != 2 || got.Failures != 1 || !got.LastSuccess.Equal(start) || !strings.Contains(got.LastError, `status 500, "oh no"`) {
			t.Errorf("stats after a failure: %+v", got)
		}
		r.p.Mend(oidctest.JWKS)
		time.Sleep(2 * time.Second)
		if got := r.set.Stats(); got.Fetches != 3 || got.Failures != 1 || got.LastError != "" || !got.LastSuccess.After(start) {
			t.Errorf("stats after a success: %+v", got)
		}
	})
}

func TestT19_RefreshByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.want("made-up kid", r.p.Sign(oidctest.Token{KeyID: "made-up"}), "key_unknown") // begins the cool-down
		r.p.AddKey("ES256", "new-1")
		token := r.p.Sign(oidctest.Token{KeyID: "new-1"})
		r.want("in the cool-down", token, "key_refresh_pending")
		asked := r.p.Requests(oidctest.Discovery)
		if n := r.fetches(func() {
			if err := r.set.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}); n != 1 || r.p.Requests(oidctest.Discovery) != asked+1 {
			t.Errorf("%d fetches and %d of discovery, want 1 and 1", n, r.p.Requests(oidctest.Discovery)-asked)
		}
		r.want("after the refresh", token, "verified")

		r.p.Break(oidctest.JWKS, oidctest.Fault{Delay: 10 * time.Second})
		r.p.Break(oidctest.Discovery, oidctest.Fault{Status: 500})
		var both sync.WaitGroup
		both.Go(func() {
			if err := r.set.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(5 * time.Second) // in the middle of that one
		if n := r.fetches(func() {
			if err := r.set.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}); n != 1 {
			t.Errorf("a refresh during a fetch: %d more fetches, want 1", n)
		}
		both.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.set.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline's", err)
		}
		if err := r.set.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline's", err)
		}
		r.stop()
		wantError(t, r.set.Refresh(t.Context()), "the key set was stopped")
	})
}

// The keys move to another address, and discovery says so.
func TestKeysThatMove(t *testing.T) {
	for _, row := range []struct {
		name   string
		old    oidctest.Fault // of the old address
		within time.Duration
	}{
		{"the old address is gone", oidctest.Fault{Status: 410}, 6 * time.Minute},
		{"the old address isn't found", oidctest.Fault{Status: 404}, 6 * time.Minute},
		{"the old address fails", oidctest.Fault{Status: 500}, 6 * time.Minute},
		{"the old address has the old keys", oidctest.Fault{}, 66 * time.Minute},
	} {
		bubble(t, row.name, func(t *testing.T) {
			next := oidctest.New(oidctest.Options{Issuer: "https://issuer.test"})
			defer next.Close()
			next.AddKey("ES256", "moved")
			r := newRig(t, func(r *rig, o *KeySetOptions) {
				old := o.Client.Transport
				o.Client.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
					if req.URL.Host == "moved.test" {
						return next.Transport().RoundTrip(req)
					}
					return old.RoundTrip(req)
				})
			})
			r.p.DiscoveryMember("jwks_uri", "https://moved.test/jwks")
			r.p.Break(oidctest.JWKS, row.old)
			time.Sleep(row.within)
			r.want("after the move", next.Sign(oidctest.Token{KeyID: "moved"}), "verified")
		})
	}
}

// Discovery that fails after it has once worked takes nothing away.
func TestKeysWithoutDiscovery(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault oidctest.Fault
	}{
		{"down", oidctest.Fault{Status: 503}},
		{"hanging", oidctest.Fault{Hang: true}},
		{"of another issuer", oidctest.Fault{Body: `{"issuer":"https://evil.test","jwks_uri":"https://evil.test/jwks"}`}},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.p.Break(oidctest.Discovery, row.fault)
			time.Sleep(48 * time.Hour)
			r.p.AddKey("ES256", "new-1")
			r.want("new key", r.p.Sign(oidctest.Token{KeyID: "new-1"}), "verified")
			if got := r.set.Stats().Failures; got != 0 {
				t.Errorf("%d failures, want none", got)
			}
		})
	}
}

func TestRefusedAddresses(t *testing.T) {
	for _, row := range []struct {
		name, says string
		edit       func(*KeySetOptions)
	}{
		{"plain http", "plain http", func(o *KeySetOptions) { o.URL = "http://issuer.test/jwks" }},
		{"no URL", "isn't an absolute URL", func(o *KeySetOptions) { o.URL = "keys" }},
		{"issuer of plain http", "plain http", func(o *KeySetOptions) { o.Issuer = "http://issuer.test" }},
		{"another issuer", "they have to be equal", func(o *KeySetOptions) { o.Issuer += "/" }},
		{"control byte", "isn't an absolute URL", func(o *KeySetOptions) { o.URL = "https://issuer.test/\x7f" }},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newRig(t, func(r *rig, o *KeySetOptions) {
				r.p.DiscoveryMember("issuer", "https://issuer.test")
				row.edit(o)
			})
			_, refusal := r.set.Current()
			if refusal == nil || refusal.Reason != audit.KeysUnavailable || refusal.RetryAfter <= 0 {
				t.Fatalf("refusal %v", refusal)
			}
			wantError(t, refusal, row.says)
		})
	}
}

// The zero options of everything that may be left out, over the real network.
func TestT17_OverTheNetwork(t *testing.T) {
	p := oidctest.New(oidctest.Options{})
	defer p.Close()
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	secure := oidctest.New(oidctest.Options{})
	defer secure.Close()
	server := httptest.NewUnstartedServer(secure)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	secure.DiscoveryMember("issuer", server.URL)
	secure.DiscoveryMember("jwks_uri", server.URL+"/jwks")
	private := newClient(t, ClientOptions{CAFile: authority(t, server)})

	for _, row := range []struct {
		name    string
		options KeySetOptions
		signer  *oidctest.Provider
		want    audit.Reason
	}{
		{"loopback", KeySetOptions{Issuer: Issuer(p.Issuer())}, p, audit.Allowed},
		{"loopback, by URL", KeySetOptions{URL: p.Issuer() + "/jwks"}, p, audit.Allowed},
		{"TLS with its authority", KeySetOptions{Issuer: Issuer(server.URL), Client: private}, secure, audit.Allowed},
		{"CVE-2022-31105: TLS of an authority unknown", KeySetOptions{Issuer: Issuer(server.URL)}, secure, audit.KeysUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			set := NewKeySet(row.options)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { set.Run(ctx) })
			defer running.Wait()
			defer cancel()
			defer set.options.Client.CloseIdleConnections()
			err := set.Refresh(ctx)
			if row.want == audit.Allowed {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := set.VerifySignature(ctx, row.signer.Sign(oidctest.Token{})); err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, "certificate")
			if _, refusal := set.Current(); refusal == nil || refusal.Reason != row.want {
				t.Errorf("refusal %v, want %v", refusal, row.want)
			}
		})
	}
}

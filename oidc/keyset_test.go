package oidc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

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
		r := newRig(t, func(r *rig, _ *KeySetOptions) {
			r.p.PublishRaw(`{"kid":"bad","kty":"oct","k":"c2VjcmV0"}`)
			r.p.PublishRaw(`{"kid":"sealing","use":"enc","kty":"RSA"}`)
		})
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
		want("a key for encryption beside them", "skipped=1 ", 1)
		want("a key for encryption beside them", "skipped=2 ", 1)
		want("at the end", "provider=corp", 7)
		want("at the end", "c2VjcmV0", 0)
	})
}

// TestOutagesAreToldInWords: an operator reads 12m3s, not nanoseconds.
func TestOutagesAreToldInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *KeySetOptions) { o.Log = slog.New(slog.NewJSONHandler(&r.log, nil)) })
		r.p.Break(oidctest.JWKS, oidctest.Fault{Status: 500})
		time.Sleep(time.Hour)
		r.p.Mend(oidctest.JWKS)
		time.Sleep(time.Hour)
		if r.log.count(`"keys can be loaded again","provider":"corp","after":"`) != 1 {
			t.Error("the duration isn't in words")
		}
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
		within time.Duration  // of the first fetch after the move
	}{
		{"the old address is gone", oidctest.Fault{Status: 410}, 1200 * time.Millisecond},
		{"the old address isn't found", oidctest.Fault{Status: 404}, 1200 * time.Millisecond},
		{"the old address fails", oidctest.Fault{Status: 500}, 8 * time.Second},
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
			r.verify(r.p.Sign(oidctest.Token{KeyID: "made-up"}), time.Minute) // causes a fetch
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

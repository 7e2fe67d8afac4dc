package oidc

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

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

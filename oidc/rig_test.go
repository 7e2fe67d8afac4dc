package oidc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

package authz

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// The rig: an engine with its real parts around it. Providers answer in process.

// issuer is a provider and its key set, which is loaded and kept fresh.
type issuer struct {
	*oidctest.Provider
	keys *oidc.KeySet
}

// newIssuer makes the issuer https://NAME.test.
func newIssuer(t testing.TB, name string) *issuer {
	t.Helper()
	i := newBrokenIssuer(t, name, oidctest.Fault{})
	i.refresh(t)
	return i
}

// newBrokenIssuer makes an issuer whose key set is broken from the start and was
// never loaded.
func newBrokenIssuer(t testing.TB, name string, f oidctest.Fault) *issuer {
	p := oidctest.New(oidctest.Options{Issuer: "https://" + name + ".test"})
	p.Break(oidctest.JWKS, f)
	keys := oidc.NewKeySet(oidc.KeySetOptions{
		Name: name, Issuer: oidc.Issuer(p.Issuer()), Client: &http.Client{Transport: p.Transport()},
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		p.Close()
	})
	return &issuer{p, keys}
}

// refresh has the key set fetched again: what was published until now is known.
func (i *issuer) refresh(t testing.TB) {
	t.Helper()
	if err := i.keys.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// provider is one that believes the issuer, as o says beyond that. Clocks may be
// half a minute apart, so that a test may look at its own before a token is made.
func (i *issuer) provider(t testing.TB, name string, o oidc.ProviderOptions) *oidc.Provider {
	t.Helper()
	o.Name, o.Issuer, o.Keys = name, oidc.Issuer(i.Issuer()), i.keys
	if o.Audiences == nil {
		o.Audiences = []string{"api"}
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{"RS256", "ES256", "EdDSA"}
	}
	o.ClockSkew = 30 * time.Second
	p, err := oidc.NewProvider(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const maxTokenBytes = 16 << 10

func newVerifier(providers ...*oidc.Provider) *oidc.Verifier {
	return oidc.NewVerifier(providers, maxTokenBytes)
}

// newTokens makes a memory that keeps good tokens for 15 minutes and refused ones
// for 10 seconds.
func newTokens(t testing.TB) *Tokens {
	t.Helper()
	const goodTTL, refusedTTL = 15 * time.Minute, 10 * time.Second
	tokens := NewTokens(newCache(t, goodTTL), newCache(t, refusedTTL), goodTTL, refusedTTL)
	tokens.Templates = newCache(t, goodTTL)
	return tokens
}

func newCache(t testing.TB, life time.Duration) *cache.Cache {
	t.Helper()
	c, err := cache.New(cache.Options{MiB: 4, MaxValue: 32 << 10, MaxLife: life})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newEngine fills in what o leaves out.
func newEngine(t testing.TB, o Options) *Engine {
	t.Helper()
	if o.Verifier == nil {
		o.Verifier = newVerifier()
	}
	if o.Tokens == nil {
		o.Tokens = newTokens(t)
	}
	if o.Counters == nil {
		o.Counters = audit.NewCounters()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newCorp makes an issuer, corp, and an engine that believes it.
func newCorp(t testing.TB, rules ...Rule) (*issuer, *Engine) {
	t.Helper()
	corp := newIssuer(t, "corp")
	return corp, newEngine(t, Options{Rules: rules, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))})
}

// orders wants a token of corp for every request.
var orders = Rule{Name: "orders", Bearer: &Bearer{Providers: []string{"corp"}}}

// get is a request for api.example.com.
func get(target string, headers ...Header) *Request {
	return &Request{Method: "GET", Scheme: "https", Host: "api.example.com", Target: target, Headers: headers}
}

// bearer is the header of a token.
func bearer(token string) Header { return Header{"authorization", "Bearer " + token} }

// value is that of the header of this name; there must not be two.
func value(t testing.TB, headers []Header, name string) string {
	t.Helper()
	found := ""
	for i, h := range headers {
		if h.Name == name {
			found = h.Value
			if slices.ContainsFunc(headers[i+1:], func(h Header) bool { return h.Name == name }) {
				t.Errorf("%s is there twice: %q", name, headers)
			}
		}
	}
	return found
}

// wantReason asserts the verdict and the reason, and that they agree.
func wantReason(t testing.TB, d Decision, want audit.Reason) {
	t.Helper()
	if d.Reason != want {
		t.Errorf("got reason %v (%s), want %v", d.Reason, d.Detail, want)
	}
	if allows := d.Reason.Class() == audit.ClassAllow; d.Allow != allows || (d.Denial == nil) != allows {
		t.Errorf("got allow %t and denial %v beside %v", d.Allow, d.Denial, d.Reason)
	}
}

// problems are the errors that New joined.
func problems(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

// lines is a writer that keeps what is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// errAs is errors.AsType as a condition.
func errAs[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func newTextLog(w *lines) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// claimsOf reads JSON as the claims of a token are read.
func claimsOf(t testing.TB, json string) oidc.Claims {
	t.Helper()
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","claims":` + json + `}`))
	jws, refusal := oidc.ParseJWS(oidc.RawToken(head + ".e30.AA"))
	if refusal != nil {
		t.Fatalf("%s: %v", json, refusal)
	}
	return oidc.Claims{Value: jws.Header.Lookup("claims")}
}

// checkRules gives what is wrong with rules, as New does.
func checkRules(rules []Rule) error {
	_, problems := compileRules(Options{Rules: rules, Counters: audit.NewCounters()})
	return errors.Join(problems...)
}

package oidctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// Endpoint names what can be broken and counted.
type Endpoint string

const (
	Discovery     Endpoint = "discovery"   // GET /.well-known/openid-configuration
	JWKS          Endpoint = "jwks"        // GET /jwks
	Authorize     Endpoint = "authorize"   // GET or POST /authorize
	SignIn        Endpoint = "sign-in"     // POST /sign-in, by the login page's form
	TokenEndpoint Endpoint = "token"       // POST /token
	UserInfo      Endpoint = "userinfo"    // GET or POST /userinfo
	ClaimsSource  Endpoint = "claims"      // GET /claims, where distributed claims are said to be
	Introspection Endpoint = "introspect"  // POST /introspect
	Revocation    Endpoint = "revoke"      // POST /revoke
	EndSession    Endpoint = "end-session" // GET or POST /end_session
)

var endpoints = []Endpoint{
	Discovery, JWKS, Authorize, SignIn, TokenEndpoint, UserInfo, ClaimsSource, Introspection, Revocation, EndSession,
}

// endpoint is what a Provider keeps about one of them, guarded by its mu.
type endpoint struct {
	requests     int
	fault        Fault
	cacheControl string
}

// Fault is a way to misbehave. The zero Fault is none; the fields combine. What
// the answer holds is settled when the request arrives, and so are its faults: a
// key that is published during a Delay isn't in that answer, and neither Break
// nor Mend changes what is already on its way.
type Fault struct {
	Status      int               // status instead of the usual one
	Body        string            // body instead of the usual one; "" keeps it
	ContentType string            // Content-Type instead of the usual one
	Header      map[string]string // added to the headers, replacing those of the same name
	Redirect    string            // Location of a redirect without a body; with status 302 unless Status is set

	// Delay is how long the answer, of whatever kind, is held back.
	Delay time.Duration

	// Huge makes the body this many bytes long, of no announced length: blanks,
	// and then the body, so that the answer stays right and only a limit on its
	// size refuses it. A body that is longer already stays as it is.
	Huge int64

	// Truncate closes the connection after this many bytes of the body, less
	// than were announced. Zero means don't.
	Truncate int

	// Hang holds the answer back until the client gives up. With Truncate the
	// header and that many bytes of the body come first.
	Hang bool

	// Refuse closes the connection without an answer. Go's client tries a GET once
	// more when that happens on a connection it has used before.
	Refuse bool
}

// Break makes an endpoint misbehave until Mend, or until the next Break.
func (p *Provider) Break(e Endpoint, f Fault) {
	f.Header = maps.Clone(f.Header)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoint(e).fault = f
}

// Mend ends the fault of an endpoint.
func (p *Provider) Mend(e Endpoint) { p.Break(e, Fault{}) }

// Requests counts the requests that have arrived at an endpoint, whatever became
// of them.
func (p *Provider) Requests(e Endpoint) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoint(e).requests
}

// CacheControl sets the Cache-Control header of an endpoint's answers. Empty means
// the usual: none, and no-store for tokens.
func (p *Provider) CacheControl(e Endpoint, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoint(e).cacheControl = value
}

// endpoint panics if there is no such endpoint. The caller holds mu.
func (p *Provider) endpoint(e Endpoint) *endpoint {
	if s := p.endpoints[e]; s != nil {
		return s
	}
	panic(fmt.Sprintf("oidctest: no endpoint %q", e))
}

// arrive counts a request, and gives what is to happen to it.
func (p *Provider) arrive(e Endpoint) (Fault, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.endpoint(e)
	s.requests++
	return s.fault, s.cacheControl
}

var (
	errRefused = fmt.Errorf("oidctest: connection closed without an answer: %w", io.EOF)
	errClosed  = errors.New("oidctest: the provider is closed")
)

// sealed makes the fault's changes to the answer, which is then ready to be sent.
func (a *answer) sealed(f Fault) *answer {
	if f.Redirect != "" {
		a.status, a.body = http.StatusFound, nil
		a.header.Del("Content-Type")
		a.header.Set("Location", f.Redirect)
	}
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	for name, value := range f.Header {
		a.header.Set(name, value)
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		a.body, a.send, a.length = nil, 0, -1 // these never have a body (RFC 9110, 6.4.1)
		return a
	}
	a.length = int64(len(a.body))
	if a.blanks = max(0, f.Huge-a.length); a.blanks > 0 {
		a.length = -1
	}
	a.send = a.blanks + int64(len(a.body))
	if f.Truncate > 0 && int64(f.Truncate) < a.send {
		a.send, a.cut, a.hangs = int64(f.Truncate), true, f.Hang
	}
	return a
}

// wait holds the request back as the fault says. It gives nil when the answer is
// to be sent.
func (p *Provider) wait(ctx context.Context, f Fault) error {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return errClosed
		}
	}
	if f.Refuse {
		return errRefused
	}
	if f.Hang && f.Truncate == 0 {
		return p.hang(ctx, nil)
	}
	return nil
}

// hang waits for the client to give up by its context or by closing the body, or
// for Close.
func (p *Provider) hang(ctx context.Context, bodyClosed <-chan struct{}) error {
	select {
	case <-bodyClosed:
		return http.ErrBodyReadAfterClose
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.done:
		return errClosed
	}
}

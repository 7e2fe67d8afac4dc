package oidctest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// answer is an answer before it is sent. ServeHTTP writes it to a connection, the
// in-process transport hands it over.
type answer struct {
	status int
	header http.Header
	body   []byte

	// What a fault makes of it:
	blanks int64 // this many blanks before the body
	length int64 // announced as Content-Length; -1 for nothing announced
	send   int64 // bytes of blanks and body that are really sent
	cut    bool  // the connection is closed after them, too early
	hangs  bool  // but not before the client gives up
}

// content is the bytes that are sent as the body.
func (a *answer) content() io.Reader {
	all := io.MultiReader(io.LimitReader(blank{}, a.blanks), bytes.NewReader(a.body))
	return io.LimitReader(all, a.send)
}

// blank is an endless row of blanks: white space to JSON, at any length.
type blank struct{}

func (blank) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// respond gives the answer to a request, or why there is none, after having
// waited as long as the endpoint's fault says. It runs between begin and busy.Done.
func (p *Provider) respond(r *http.Request) (*answer, error) {
	e, reply, found := p.route(r)
	if !found {
		return plain(http.StatusNotFound, "there is nothing here").sealed(Fault{}), nil
	}
	fault, cacheControl := p.arrive(e)
	a := reply(r)
	if cacheControl != "" {
		a.header.Set("Cache-Control", cacheControl)
	}
	a.sealed(fault)
	log := p.log.With("endpoint", string(e), "method", r.Method)
	if err := p.wait(r.Context(), fault); err != nil {
		log.Debug("oidctest: not answered", "err", err)
		return nil, err
	}
	log.Debug("oidctest: answered", "status", a.status, "cut", a.cut)
	return a, nil
}

// route gives the endpoint that a request is for, and what answers it there.
func (p *Provider) route(r *http.Request) (Endpoint, func(*http.Request) *answer, bool) {
	path, below := strings.CutPrefix(r.URL.Path, p.basePath())
	if !below {
		return "", nil, false
	}
	switch path {
	case "/.well-known/openid-configuration":
		return Discovery, get(p.discoveryAnswer), true
	case "/jwks":
		return JWKS, get(p.jwksAnswer), true
	case "/authorize":
		return Authorize, p.authorizeAnswer, true
	case "/sign-in":
		return SignIn, p.signInAnswer, true
	case "/token":
		return TokenEndpoint, p.tokenAnswer, true
	case "/userinfo":
		return UserInfo, p.userInfoAnswer, true
	case "/claims":
		return ClaimsSource, get(p.claimsSourceAnswer), true
	case "/introspect":
		return Introspection, p.introspectionAnswer, true
	case "/revoke":
		return Revocation, p.revocationAnswer, true
	case "/end_session":
		return EndSession, p.endSessionAnswer, true
	}
	return "", nil, false
}

// get lets GET and HEAD through to next.
func get(next func(*http.Request) *answer) func(*http.Request) *answer {
	return func(r *http.Request) *answer {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			a := plain(http.StatusMethodNotAllowed, "use GET")
			a.header.Set("Allow", "GET, HEAD")
			return a
		}
		return next(r)
	}
}

func (p *Provider) jwksAnswer(*http.Request) *answer {
	a := plain(http.StatusOK, "")
	a.header.Set("Content-Type", "application/jwk-set+json")
	a.body = p.KeySet()
	return a
}

func jsonAnswer(status int, v any) *answer {
	a := plain(status, "")
	a.header.Set("Content-Type", "application/json")
	a.body, _ = json.Marshal(v) // callers pass only what marshals
	return a
}

func plain(status int, text string) *answer {
	a := &answer{status: status, header: http.Header{}, body: []byte(text)}
	a.header.Set("Content-Type", "text/plain; charset=utf-8")
	return a
}

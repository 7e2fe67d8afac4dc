package oidctest

import (
	"io"
	"maps"
	"net/http"
	"strconv"
)

var _ http.Handler = (*Provider)(nil)

// ServeHTTP answers below the issuer's path:
//
//	GET  /.well-known/openid-configuration
//	GET  /jwks
//	GET  /authorize, or POST
//	POST /sign-in
//	POST /token
//	GET  /userinfo, or POST
//	POST /introspect
//	POST /revoke
//	GET  /end_session, or POST
//	GET  /claims
//
// A connection that has to be cut ends in a panic with [http.ErrAbortHandler], as
// net/http wants it.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.begin() {
		panic(http.ErrAbortHandler)
	}
	defer p.busy.Done()
	a, err := p.respond(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	if a.length >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(a.length, 10))
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.Copy(w, a.content()); err != nil {
		return // the client is gone
	}
	if !a.cut {
		return
	}
	if err := http.NewResponseController(w).Flush(); err == nil && a.hangs {
		_ = p.hang(r.Context(), nil) // however it ends, the connection is cut next
	}
	panic(http.ErrAbortHandler)
}

// Package admin is what an operator asks a running Credence over HTTP:
//
//	POST /revocations   end what a subject, a provider's session, a token or a client has
//	GET  /revocations   how many revocations are held, by kind
//	POST /keys/refresh  fetch a provider's keys now
//
// Nobody is asked who they are: whoever reaches the handler can end anybody's
// session. So it belongs on a Unix socket, with the file's permissions before it, and
// never on a mux that has something else.
//
// A revocation by subject, sid or client is about what was issued up to now, to the
// second. Whoever logs in again afterwards is in again, so nothing has to be undone
// and there is no DELETE. A token's id is used once: that revocation stays.
//
// A revocation that is about nothing looks just like one that worked. So whatever can
// be a mistake is refused and changes nothing: a provider that isn't configured, an
// issuer in another spelling, a member that isn't known or comes twice, text that
// isn't Unicode. That there is such a subject, session or token nobody here can know.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// Options say what can be revoked, and which keys can be fetched.
type Options struct {
	Revocations *session.Revocations // where it is written, for every request to see
	Providers   []Provider           // those whose subjects, sessions, tokens and clients can be
	Lifetime    time.Duration        // the longest that a session lives; zero without sessions
	Audit       *audit.Log           // gets every revocation; nil: none

	Keys map[string]*oidc.KeySet // of those providers, by name, that have keys; they are running
}

// Provider is an issuer, and its name in the configuration.
type Provider struct{ Name, Issuer string }

// longestToken is how long a revocation is held, where sessions don't live longer.
// Once it is forgotten, a token that still lives is let in again; how long tokens
// live is their provider's to say, and nothing here bounds it. Common providers
// issue none for more than 30 days.
const longestToken = 30 * 24 * time.Hour

// maxBody is the longest request, in bytes: an issuer and a name, with escapes.
const maxBody = 16 << 10

type handler struct {
	Options
	held time.Duration // how long a revocation is
}

// New makes the whole of an admin listener's handler.
func New(o Options) http.Handler {
	h := &handler{o, max(o.Lifetime, longestToken)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /revocations", h.revoke)
	mux.HandleFunc("GET /revocations", h.count)
	mux.HandleFunc("POST /keys/refresh", h.refresh)
	return mux
}

// revoke answers 204 once the revocation is in force.
func (h *handler) revoke(w http.ResponseWriter, req *http.Request) {
	body, ok := read(w, req)
	if !ok {
		return
	}
	r, err := parse(body, h.Providers)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	now := time.Now()
	r.apply(h.Revocations, now, now.Add(h.held))
	h.Audit.Write(r.record(now))
	w.WriteHeader(http.StatusNoContent)
}

// count tells how much is revoked, and nothing of what.
func (h *handler) count(w http.ResponseWriter, _ *http.Request) {
	n := h.Revocations.Counts()
	answer(w, http.StatusOK, map[string]any{"revocations": map[string]int{
		"sessions": n.Sessions, "subjects": n.Subjects, "sids": n.SIDs, "tokens": n.Tokens, "clients": n.Clients,
	}})
}

// read gives the body of a request, or refuses it.
func read(w http.ResponseWriter, req *http.Request) (body []byte, ok bool) {
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, errors.New("the request isn't JSON; send Content-Type: application/json"))
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the request is longer than %d bytes", maxBody))
		return nil, false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the request can't be read: %w", err))
		return nil, false
	}
	return body, true
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // whoever asked has gone, or gets it
}

// Package resource serves the metadata of protected resources (RFC 9728), by which a
// client that knows nothing but an address finds out where to get a token:
//
//	GET https://api.example.com/v1/orders          401, resource_metadata="…"
//	GET https://api.example.com/.well-known/oauth-protected-resource/v1
//	    {"resource":"https://api.example.com/v1","authorization_servers":["https://login.example.com"],…}
//
// Whoever can change what a client reads there chooses where its user types the
// password. So each document is made of the configuration when the program starts and is
// the same for everybody. A request's Host selects among them and is in none, and one
// that isn't configured gets nothing.
//
// Everybody may read a document, and so may the pages of other origins: MCP clients run
// in browsers too. Allowing any origin gives nothing away, because a browser then sends
// no cookies along and nothing here depends on who asks.
package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Prefix is the path that the metadata of every resource is at or below (RFC 9728, 3.1).
const Prefix = "/.well-known/oauth-protected-resource"

// Resource is what clients get tokens for.
type Resource struct {
	// Identifier is its URL, such as https://api.example.com/v1, without query and
	// fragment, and in a path that has one spelling.
	Identifier string

	Name          string   // for people
	Issuers       []string // of the authorization servers
	Scopes        []string // none: not told
	Documentation string   // URL of a page for developers; empty for none

	// DPoPAlgorithms are those of proofs for tokens that are bound to a key (RFC 9728,
	// 2). None: such tokens aren't accepted.
	DPoPAlgorithms []string
}

// MetadataURL is where its metadata is, and where a challenge sends clients
// (RFC 9728, 5.1).
func (r Resource) MetadataURL() string {
	scheme, rest, _ := strings.Cut(r.Identifier, "://")
	host, path, _ := strings.Cut(rest, "/")
	if path != "" { // an identifier may end in the host's slash, which then is left out
		path = "/" + path
	}
	return scheme + "://" + host + Prefix + path
}

// document is the metadata (RFC 9728, 2), as JSON.
func (r Resource) document() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Resource      string   `json:"resource"`
		Name          string   `json:"resource_name"`
		Issuers       []string `json:"authorization_servers"`
		Scopes        []string `json:"scopes_supported,omitempty"`
		Methods       []string `json:"bearer_methods_supported"`
		Documentation string   `json:"resource_documentation,omitempty"`
		DPoP          []string `json:"dpop_signing_alg_values_supported,omitempty"`
	}{r.Identifier, r.Name, r.Issuers, r.Scopes, []string{"header"}, r.Documentation, r.DPoPAlgorithms})
	return b.Bytes(), err
}

// Handler answers under [Prefix], on the hosts of the resources. It must come from
// [New].
type Handler struct {
	documents map[place][]byte
}

// place is where a document is. The port is no part of it: proxies take it off, and
// put in their own.
type place struct{ host, path string }

var _ http.Handler = (*Handler)(nil)

// New makes a handler for resources, no two of which have the same host and path.
func New(resources []Resource) (*Handler, error) {
	h := &Handler{map[place][]byte{}}
	for _, r := range resources {
		u, err := url.Parse(r.MetadataURL())
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("resource: %q isn't an absolute URL", r.Identifier)
		}
		at := place{hostOf(u.Host), u.Path}
		if h.documents[at] != nil {
			return nil, fmt.Errorf("resource: two resources have their metadata at %q", r.MetadataURL())
		}
		if h.documents[at], err = r.document(); err != nil {
			return nil, fmt.Errorf("resource: %w", err)
		}
	}
	return h, nil
}

// hostOf is an authority without its port, in lower case and without a final dot.
func hostOf(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

const methods = "GET, HEAD, OPTIONS"

// ServeHTTP answers with the document of the Host and path, or 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Access-Control-Allow-Origin", "*") // on what isn't there as well, so that a page can tell
	document, ok := h.documents[place{hostOf(r.Host), r.URL.Path}]
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "no such resource")
	case r.Method == http.MethodOptions:
		// Clients ask with headers of their own, such as MCP-Protocol-Version, for
		// which a browser needs leave. To browsers, * doesn't include Authorization.
		header.Set("Access-Control-Allow-Methods", methods)
		header.Set("Access-Control-Allow-Headers", "*")
		header.Set("Access-Control-Max-Age", "300")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", methods)
		refuse(w, http.StatusMethodNotAllowed, "metadata can only be read")
	default:
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(document) // an error is a client that has gone
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

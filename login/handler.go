package login

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// Logout says what a logout does at the provider.
type Logout uint8

const (
	Redirect            Logout = iota // send the browser there, with the ID token as a hint
	RedirectWithoutHint               // the same without the ID token: the provider may ask
	LocalOnly                         // nothing: the person stays logged in there
)

// Client is a client of a provider, as which people are logged in.
type Client struct {
	Name string // letters, digits, - and _, at most 255: it is part of cookies' names

	// Party's redirect URI is an origin, then Options.Prefix and /callback, or /callback/
	// and the client's name. Clients of different providers need the latter: it tells who
	// answered, also where a provider doesn't send iss (RFC 9700, 4.4.2).
	Party *oidc.RelyingParty

	// Provider is what people and the audit log call the provider.
	Provider string

	// ReturnTo are the origins that people may be returned to. None: the redirect URI's.
	ReturnTo []string

	// Logout is what a logout does at the provider, and PostLogoutRedirectURI where
	// the provider sends the browser then. Empty: our signed-out page.
	Logout                Logout
	PostLogoutRedirectURI string

	// ShownClaims are those that the session's page and JSON show.
	ShownClaims []string
}

// Options say who logs in where.
type Options struct {
	// Prefix is the path that the endpoints are under, such as /.credence: without
	// a slash at its end, and possibly empty.
	Prefix string

	Clients  []Client // at least one
	Sessions *session.Sessions
	Ring     *session.Ring // seals states, bindings and forms

	// Pages are templates that replace built-in ones; see [Page]. Nil: none.
	Pages fs.FS

	// TrustedHops is how many proxies add to X-Forwarded-For. Zero: the client's
	// address is the connection's.
	TrustedHops int

	Audit *audit.Log   // gets logins and logouts; nil: none
	Log   *slog.Logger // gets what went wrong, and why; nil: none
}

// Handler answers under Options.Prefix. It must come from [New].
type Handler struct {
	prefix     string
	clients    []*client // as configured
	sessions   *session.Sessions
	ring       *session.Ring
	pages      *pages
	hops       int
	used       usedAttempts
	audit      *audit.Log
	log        *slog.Logger
	sameSite   http.SameSite // of the binding cookie
	overTLS    bool          // a client's redirect_uri is https
	ownOrigins http.CrossOriginProtection
	mux        *http.ServeMux

	revoking   chan struct{} // has room for every revocation under way
	background sync.WaitGroup
}

var _ http.Handler = (*Handler)(nil)

// client is a Client with what follows from it.
type client struct {
	Client
	base      string   // of our endpoints: the redirect URI without its callback
	callback  string   // the path of the redirect URI
	home      string   // where people go who don't say where
	logoutWay []string // origins that a logout leads over
}

// New checks the options.
func New(o Options) (*Handler, error) {
	switch {
	case o.Sessions == nil, o.Ring == nil:
		return nil, errors.New("login: sessions or ring is missing")
	case len(o.Clients) == 0:
		return nil, errors.New("login: there are no clients")
	case o.Prefix != "" && (path.Clean(o.Prefix) != o.Prefix || o.Prefix[0] != '/' || o.Prefix == "/" || strings.Trim(o.Prefix, nameLetters+"/.~") != ""):
		return nil, fmt.Errorf("login: prefix %q isn't empty or a clean path such as /.credence", o.Prefix)
	case o.TrustedHops < 0:
		return nil, fmt.Errorf("login: trusted hops %d is negative", o.TrustedHops)
	}
	h := &Handler{
		prefix: o.Prefix, sessions: o.Sessions, ring: o.Ring, hops: o.TrustedHops, audit: o.Audit, log: o.Log,
		sameSite: http.SameSiteLaxMode, revoking: make(chan struct{}, maxRevoking),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for _, one := range o.Clients {
		c, origin, err := newClient(one, o.Prefix)
		if err != nil {
			return nil, fmt.Errorf("login: client %q: %w", one.Name, err)
		}
		if h.client(c.Name) != nil {
			return nil, fmt.Errorf("login: client %q is there twice", c.Name)
		}
		h.clients = append(h.clients, c)
		h.overTLS = h.overTLS || strings.HasPrefix(origin, "https:")
		if c.Party.FormPost() {
			h.sameSite = http.SameSiteNoneMode
		}
		if err := h.ownOrigins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("login: client %q: %w", c.Name, err)
		}
	}
	var err error
	if h.pages, err = loadPages(o.Pages, h.log); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	h.route()
	return h, nil
}

const nameLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

func newClient(one Client, prefix string) (c *client, origin string, err error) {
	switch {
	case one.Name == "" || len(one.Name) > 255 || strings.Trim(one.Name, nameLetters) != "":
		return nil, "", errors.New("the name isn't 1 to 255 letters, digits, hyphens and underscores")
	case one.Party == nil:
		return nil, "", errors.New("the relying party is missing")
	case one.Logout > LocalOnly:
		return nil, "", fmt.Errorf("logout %d isn't known", one.Logout)
	}
	origin, rest, ok := splitOrigin(one.Party.RedirectURI())
	shared := prefix + "/callback"
	own := shared + "/" + one.Name
	if !ok || rest != shared && rest != own {
		return nil, "", fmt.Errorf("redirect URI %q isn't an origin and %q or %q", one.Party.RedirectURI(), shared, own)
	}
	returnTo := []string{origin}
	if len(one.ReturnTo) > 0 {
		returnTo = nil
	}
	for _, text := range one.ReturnTo {
		o, rest, ok := splitOrigin(text)
		if !ok || rest != "" {
			return nil, "", fmt.Errorf("return address %q isn't an origin such as https://app.example.com", text)
		}
		returnTo = append(returnTo, o)
	}
	one.ReturnTo = returnTo
	c = &client{Client: one, base: origin + prefix, callback: rest, home: returnTo[0] + "/"}
	if slices.Contains(returnTo, origin) {
		c.home = origin + "/"
	}
	if c.PostLogoutRedirectURI == "" {
		c.PostLogoutRedirectURI = c.base + "/signed-out"
	}
	after, _, ok := splitOrigin(c.PostLogoutRedirectURI)
	if !ok {
		return nil, "", fmt.Errorf("post-logout redirect URI %q isn't an absolute http or https address", c.PostLogoutRedirectURI)
	}
	if after != origin {
		c.logoutWay = []string{after}
	}
	return c, origin, nil
}

func (h *Handler) client(name string) *client {
	for _, c := range h.clients {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// unaudited marks what is no login and no logout, such as addresses that aren't there:
// scanners would drown the logins that fail. It is in the log all the same.
const unaudited = audit.Decision

// route says which endpoint takes which method. HEAD isn't GET where a GET does
// something: whoever only looks at a link must not use it up.
func (h *Handler) route() {
	type served struct {
		path  string
		event audit.Event
		get   endpoint
		post  endpoint // nil: no POST
		head  bool
	}
	endpoints := []served{
		{"/login", audit.Login, (*visit).startLogin, (*visit).forwardLogin, false},
		{"/callback", audit.Login, (*visit).finishLogin, (*visit).finishLogin, false},
		{"/logout", audit.Logout, (*visit).askLogout, (*visit).logout, true},
		{"/signed-out", audit.Logout, (*visit).signedOut, nil, true},
		{"/session", audit.Login, (*visit).showSession, nil, true},
	}
	for _, c := range h.clients {
		if path := strings.TrimPrefix(c.callback, h.prefix); path != "/callback" {
			endpoints = append(endpoints, served{path, audit.Login, (*visit).finishLogin, (*visit).finishLogin, false})
		}
	}
	h.mux = http.NewServeMux()
	for _, e := range endpoints {
		allow := "GET"
		h.mux.Handle("GET "+h.prefix+e.path, h.serve(e.event, e.get))
		if e.post != nil {
			allow += ", POST"
			h.mux.Handle("POST "+h.prefix+e.path, h.serve(e.event, e.post))
		}
		refused := h.serve(unaudited, wrongMethod(allow))
		if !e.head {
			h.mux.Handle("HEAD "+h.prefix+e.path, refused)
		}
		h.mux.Handle(h.prefix+e.path, refused)
	}
	h.mux.Handle("/", h.serve(unaudited, noSuchPage))
}

// ServeHTTP answers one request. It never lets the mux clean a path, which would
// redirect.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.Path; p == "" || path.Clean(p) != p {
		h.serve(unaudited, noSuchPage).ServeHTTP(w, r)
		return
	}
	h.mux.ServeHTTP(w, r)
}

const (
	maxRevoking   = 64
	revokeTimeout = 10 * time.Second
)

// Close waits for the revocations that go on in the background, which end by
// themselves within ten seconds. It is called when no request comes any more.
func (h *Handler) Close() { h.background.Wait() }

// Package oidctest is a small, real OpenID Provider that can also misbehave on
// request. It drives the demo and the tests of faults; it is ordinary code, so
// that a binary can hold it too.
//
// A [Provider] has signing keys, a discovery document, a key set, clients that may
// fetch tokens and ask about them, and clients that send people to log in. It is
// reached over the network ([Provider.Start], or as an [http.Handler]) or in
// process ([Provider.Transport]). Both ways give the same answers, and the same
// faults:
//
//	p := oidctest.New(oidctest.Options{})
//	defer p.Close()
//	client := &http.Client{Transport: p.Transport()}
//	p.Break(oidctest.JWKS, oidctest.Fault{Delay: 3 * time.Second, Status: 503})
//
// Tokens are signed on the spot, without a request: [Provider.Sign] makes good
// ones by default, and hostile ones as asked: claims and headers replaced,
// removed or given verbatim, made-up key ids, "none", and HMAC with a public key.
//
// People log in by the code flow, on pages for a browser, without a password: they
// choose who they are ([Provider.AddUser]). The provider keeps a session of its own
// by a cookie, renews tokens, says who somebody is, revokes, logs out. Without a
// browser [Provider.Login] and [Provider.Logout] play the person. A relying party
// is tried with what the OpenID Foundation's conformance suite does to it, by the
// suite's own names: [Modules], [Provider.Misbehave].
//
// What requests leave behind is bounded: codes, tokens and sessions are forgotten,
// the oldest first. Only codes and access tokens end by the clock.
//
// In process there are no goroutines and no sockets. Waiting is a timer or the
// end of the request's context, so inside a [testing/synctest] bubble the clock
// jumps over a Delay or a Hang. The Provider must be made inside the bubble.
//
// The package shares no code with package oidc: a mistake made there can't be
// made here in the same way, and the tests of oidc may import this package.
//
// Wrong use by the caller, such as signing with an algorithm that has no key,
// panics with a message that begins with "oidctest:". A request can't cause that.
//
// NOT for production: keys live in memory only, RSA keys are handed from one
// closed Provider to the next, and anybody may ask for anything.
package oidctest

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options say who a provider is.
type Options struct {
	// Issuer is the iss of tokens and discovery. Its path is where the endpoints
	// are: "http://127.0.0.1:9000/realms/corp" has its key set at
	// /realms/corp/jwks. Empty means http:// and the listen address once started,
	// and https://issuer.test before.
	Issuer string

	// Audience is the aud of tokens. Empty means "api".
	Audience string

	// Log gets a debug line for each request at an endpoint, without any token or
	// secret. Nil means nowhere.
	Log *slog.Logger
}

// Provider is an OpenID Provider. It is safe for concurrent use.
type Provider struct {
	audience string
	log      *slog.Logger
	done     chan struct{} // closed by Close: whoever waits in a fault leaves

	busy sync.WaitGroup // requests being answered, and Serve

	mu        sync.Mutex // guards what follows
	closed    bool
	server    *http.Server // nil until Start
	issuer    string
	discovery map[string]any // members that replace ours; nil removes
	keys      []*key         // all that can sign
	published []entry        // what the key set shows, in this order
	clients   map[string]client
	issued    map[string]map[string]any // what the introspection endpoint says of tokens
	endpoints map[Endpoint]*endpoint
	grants    map[string]int // requests by grant_type
	quirk     quirks         // of the module that Misbehave named
	asked     int            // authorization requests since then
	signed    int            // ID tokens since then

	users    []User // in the order of the login page
	disabled map[string]bool
	epochs   map[string]int // how often a subject's sessions were all ended

	assertions    recent[struct{}] // by jti: those that were taken
	sessions      recent[*session] // by cookie value
	codes         recent[*code]
	refreshTokens recent[*refreshToken]
	accessTokens  recent[*accessToken]
	hints         recent[*grant] // by ID token
}

// New gives a provider with three published keys: "rsa-1" for RS256, "ec-1" for
// ES256 and "ed-1" for EdDSA. It answers in process at once; Start puts it on the
// network.
func New(o Options) *Provider {
	p := &Provider{
		audience:  cmp.Or(o.Audience, "api"),
		log:       o.Log,
		done:      make(chan struct{}),
		issuer:    o.Issuer,
		discovery: map[string]any{},
		clients:   map[string]client{},
		issued:    map[string]map[string]any{},
		endpoints: map[Endpoint]*endpoint{},
		grants:    map[string]int{},
		disabled:  map[string]bool{},
		epochs:    map[string]int{},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.AddKey("RS256", "rsa-1")
	p.AddKey("ES256", "ec-1")
	p.AddKey("EdDSA", "ed-1")
	for _, e := range endpoints {
		p.endpoints[e] = &endpoint{}
	}
	p.AddUser(User{Subject: "alice", Claims: map[string]any{
		"name": "Alice", "email": "alice@example.com", "email_verified": true, "groups": []string{"staff"},
	}})
	return p
}

// Start serves plain HTTP on addr, where port 0 means a free one, until Close.
func (p *Provider) Start(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("oidctest: %w", err)
	}
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.server != nil {
		l.Close()
		return errors.New("oidctest: a provider starts once, and not after Close")
	}
	p.server = server
	p.issuer = cmp.Or(p.issuer, "http://"+l.Addr().String())
	p.busy.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("oidctest: serving ended", "err", err)
		}
	})
	return nil
}

// Close stops serving, cuts every connection, ends every request that waits in a
// fault, and returns when all of them have ended. A second Close does nothing.
func (p *Provider) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	close(p.done)
	server, keys := p.server, p.keys
	p.mu.Unlock()

	if server != nil {
		server.Close()
	}
	p.busy.Wait()
	for _, k := range keys {
		if k.release != nil {
			k.release()
		}
	}
}

// Issuer is the issuer identifier: see Options.
func (p *Provider) Issuer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.issuer, "https://issuer.test")
}

// begin counts a request as being answered, unless the provider is closed.
func (p *Provider) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.busy.Add(1)
	return true
}

// basePath is the path that all endpoints are below: the issuer's, without a
// slash at its end (OpenID Connect Discovery 1.0, 4.1).
func (p *Provider) basePath() string {
	u, err := url.Parse(p.Issuer())
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}

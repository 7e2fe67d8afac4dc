package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Options say how sessions are kept.
type Options struct {
	// Ring seals sessions in cookies. It may be nil only with a Store.
	Ring *Ring

	// Store is where sessions are. Nil: in the cookies themselves.
	Store Store

	Cookie CookieOptions

	// Idle ends a session that wasn't used for so long; the use is noted only once
	// in a tenth of it, so a session may end that much earlier. Zero means an hour.
	Idle time.Duration

	// Lifetime ends a session so long after its login. Zero means twelve hours.
	Lifetime time.Duration

	// RefreshLeeway is how long before its end an access token is renewed, though at
	// most a quarter of its life. Zero means at its end.
	RefreshLeeway time.Duration

	// Refresh renews the tokens of sessions, by the client's name. A client that
	// isn't in it has sessions that outlive their tokens.
	Refresh map[string]RefreshFunc

	// Issuers are those whose sessions clients accept, by the client's name: one that
	// began before the client moved to another provider isn't of this provider's
	// people. A client that isn't in it accepts any.
	Issuers map[string]string

	// Discard is given a session that is over whose tokens the provider still
	// believes, and that nobody else was given, so that it can be told: what a login
	// ended, and what a refresh brought for a session that had ended meanwhile. It is
	// called in the background, perhaps more than once, and has ten seconds. Nil: the
	// tokens end by themselves.
	Discard func(ctx context.Context, r *Record)

	Revocations *Revocations // nil: some of its own
	Audit       *audit.Log   // gets refreshes; nil: none
	Log         *slog.Logger // gets what the store can't do; nil: none
}

const (
	defaultIdle     = time.Hour
	defaultLifetime = 12 * time.Hour

	// clockSlack is how far another replica's clock may be ahead.
	clockSlack = 5 * time.Minute

	// retryAfter is for answers that can't be given now.
	retryAfter = 5 * time.Second

	// rememberVersion is how long a new version of a session replaces older ones
	// that are still under way.
	rememberVersion = time.Minute

	// maxVersions bounds the bytes of these: room for the refreshes of a minute, some
	// 6,000 of usual tokens.
	maxVersions = 64 << 20

	// rememberUse is how long the browser has to bring a cookie back in which its use
	// is noted, before it gets another.
	rememberUse = 5 * time.Second
)

// Sessions read, renew, begin and end sessions. They must come from [New]. All
// methods may be called at the same time. A client is named as the configuration
// names it; the name must never come from a request, since what belongs to it is kept.
type Sessions struct {
	ring        *Ring
	store       Store
	cookie      CookieOptions
	attributes  string
	ownStem     string // what all our cookies' names have between __Host or __Secure and . or -
	idle        time.Duration
	lifetime    time.Duration
	slideAfter  time.Duration // a use is noted when the last one noted is so old
	leeway      time.Duration
	refreshers  map[string]RefreshFunc
	issuers     map[string]string
	discarder   func(context.Context, *Record)
	revocations *Revocations
	audit       *audit.Log
	log         *slog.Logger

	finders sync.Pool // of *presented
	jars    atomic.Pointer[map[string]*jar]
	jarsMu  sync.Mutex // held to make a jar

	// What happened in the last minute.
	newest recent[*version]       // of sessions that were refreshed
	noted  recent[struct{}]       // sessions whose use was noted
	failed recent[*audit.Refusal] // sessions that couldn't be refreshed

	flights    flights        // refreshes under way
	discarding chan struct{}  // has one for each Discard under way
	background sync.WaitGroup // of both
}

// version is a session after a refresh, and with the cookie store what its cookies
// hold.
type version struct {
	record *Record
	values []string
}

// bytes is about what v takes.
func (v *version) bytes() int {
	n := 512
	for _, text := range v.record.texts() {
		n += len(*text)
	}
	for _, value := range v.values {
		n += len(value)
	}
	return n
}

// New checks the options and makes Sessions of them.
func New(o Options) (*Sessions, error) {
	if o.Ring == nil && o.Store == nil {
		return nil, errors.New("session: sessions in cookies need a ring of keys")
	}
	if o.Idle < 0 || o.Lifetime < 0 || o.RefreshLeeway < 0 {
		return nil, fmt.Errorf("session: idle %v, lifetime %v and refresh leeway %v can't be negative", o.Idle, o.Lifetime, o.RefreshLeeway)
	}
	if err := o.Cookie.complete(); err != nil {
		return nil, err
	}
	s := &Sessions{
		ring: o.Ring, store: o.Store, cookie: o.Cookie, attributes: o.Cookie.attributes(), ownStem: "-" + o.Cookie.Name,
		idle: o.Idle, lifetime: o.Lifetime, leeway: o.RefreshLeeway, refreshers: maps.Clone(o.Refresh), issuers: maps.Clone(o.Issuers),
		discarder: o.Discard, revocations: o.Revocations, audit: o.Audit, log: o.Log,
	}
	if s.idle == 0 {
		s.idle = defaultIdle
	}
	if s.lifetime == 0 {
		s.lifetime = defaultLifetime
	}
	if s.revocations == nil {
		s.revocations = new(Revocations)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.slideAfter = max(s.idle/10, time.Second)
	s.newest.life, s.newest.max, s.newest.maxBytes = rememberVersion, 1<<14, maxVersions
	s.noted.life, s.noted.max = rememberUse, 1<<16
	s.failed.life, s.failed.max = retryAfter, 1<<16
	s.flights.underWay = map[ID]*flight{}
	s.discarding = make(chan struct{}, maxDiscarding)
	s.finders.New = func() any { return newPresented() }
	s.jars.Store(&map[string]*jar{})
	return s, nil
}

// jar gives what is constant about a client's cookies.
func (s *Sessions) jar(client string) *jar {
	if j := (*s.jars.Load())[client]; j != nil {
		return j
	}
	s.jarsMu.Lock()
	defer s.jarsMu.Unlock()
	jars := maps.Clone(*s.jars.Load())
	if jars[client] == nil {
		jars[client] = newJar(s.cookie.prefix(), client)
		s.jars.Store(&jars)
	}
	return jars[client]
}

// Ends gives the times when a session ends: by not being used from now on, and in
// any case.
func (s *Sessions) Ends(r *Record) (idle, end time.Time) {
	return r.Seen.Add(s.idle), earlier(r.Expires, r.LoggedIn.Add(s.lifetime))
}

// Begin makes a session of r, of which Client, the identity, the claims, the tokens
// and AccessExpires are given; its id and the other times are new. Whatever session of
// this client the browser had is over, also where the new one can't be made: then
// setCookies deletes it. A refusal is SessionTooLarge or SessionStoreUnavailable.
func (s *Sessions) Begin(ctx context.Context, r Record, cookies iter.Seq[string], now time.Time) (setCookies []string, refusal *audit.Refusal) {
	p := s.find(r.Client, cookies)
	defer s.release(p)
	live, over := s.endAll(ctx, p, now)
	for _, old := range append(live, over...) { // what EndByID ended is over too
		if !mayShareTokens(old, &r) {
			s.discard(ctx, old)
		}
	}

	r.ID = newID()
	r.Refreshes = 0
	r.LoggedIn = wholeSecond(now)
	r.Seen, r.Refreshed, r.Expires = r.LoggedIn, r.LoggedIn, r.LoggedIn.Add(s.lifetime)
	values, refusal := s.create(ctx, p.jar, &r)
	if refusal != nil {
		return s.appendDeletions(nil, p, 0), refusal
	}
	return s.set(p, values, r.Expires.Sub(now)), nil
}

// create makes a session where sessions are, and gives the values of its cookies.
func (s *Sessions) create(ctx context.Context, j *jar, r *Record) ([]string, *audit.Refusal) {
	if s.store == nil {
		values, err := s.seal(j, r)
		return values, cantKeep(err)
	}
	secret := newSecret()
	ok, err := s.put(ctx, j, r, secret, nil)
	switch {
	case errors.Is(err, errSize), errors.Is(err, errTime):
		return nil, cantKeep(err)
	case err != nil:
		return nil, storeUnavailable(ctx, err)
	case !ok:
		return nil, &audit.Refusal{Reason: audit.InternalError, Detail: "the store already has a session of a fresh id"}
	}
	return []string{"0" + sealedText.EncodeToString(append(r.ID[:], secret...))}, nil
}

func cantKeep(err error) *audit.Refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge), errors.Is(err, errSize):
		return &audit.Refusal{Reason: audit.SessionTooLarge, Err: err}
	default:
		return &audit.Refusal{Reason: audit.InternalError, Err: err}
	}
}

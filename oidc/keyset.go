package oidc

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
)

// KeySetOptions say where a provider's keys are and how they are kept fresh. The
// keys come from File if that is set, else from URL, else from where discovery says.
type KeySetOptions struct {
	Name   string // the provider's, for logs
	Issuer Issuer

	DiscoveryURL string // of the discovery document; empty means under the issuer
	URL          string // of the JWKS; empty means discovery's jwks_uri
	File         string // of the JWKS, read again when it changes; nothing is fetched then
	KeepFile     string // where a copy of what was fetched outlives a restart; empty means nowhere

	// Refresh is how long a fetched set is used before it is fetched again, give
	// or take a tenth. A shorter max-age wins, down to a minute. Zero means 5 min.
	Refresh time.Duration

	// MaxStale is how long the last good set is used without a success since.
	// Zero means 24 h.
	MaxStale time.Duration

	// Cooldown is the least time between two fetches that tokens with an unknown
	// kid cause. Zero means 30 s.
	Cooldown time.Duration

	// Client is from [NewClient]. Nil means one with the zero ClientOptions.
	Client *http.Client

	Log *slog.Logger // nil means nowhere
}

// KeySet keeps the keys of one provider. One goroutine, [KeySet.Run], owns them and
// refreshes them in the background; everybody else loads a snapshot.
//
// The rules, in the order of what they protect:
//
//   - A fetch that fails, or that brings no usable key, changes nothing: the last
//     good keys stay until they are MaxStale old. Then there are none.
//   - A fetch that succeeds replaces the keys entirely: what the provider took out
//     is gone.
//   - A key that isn't known is waited for (see [KeySet.Await]), but tokens can't
//     make us fetch more than once in a Cooldown, however many there are.
type KeySet struct {
	options   KeySetOptions // defaults filled in
	source    source
	keep      *keepFile // nil: none
	log       *slog.Logger
	published atomic.Pointer[published] // never nil
	begun     atomic.Uint64             // loads begun so far: the number of the latest
	waiting   atomic.Int64              // callers inside Await
	asks      chan ask
	stopped   chan struct{} // closed when Run returns

	// What follows belongs to Run.
	results     chan result
	inFlight    *fetch    // nil: none
	last        *fetch    // the latest that ended; nil: none
	coolUntil   time.Time // before that no kid causes a fetch
	failures    int       // in a row
	failedSince time.Time // when the first of those ended
	tooOld      bool      // and said so
	keepFailed  bool      // and said so
}

// published is what readers see.
type published struct {
	keys  *Keys // nil: never loaded
	stats KeySetStats
}

// KeySetStats are for metrics, the status page and doctor.
type KeySetStats struct {
	Fetches     uint64    // that ended, from the URL or the file
	Failures    uint64    // of those
	Keys        int       // usable
	SkippedKeys int       // published but not usable
	Version     uint64    // of the keys; zero: never loaded
	LastSuccess time.Time // zero: never
	LastError   string    // of the latest fetch; empty if that succeeded
}

// fetch is one load of keys.
type fetch struct {
	number uint64
	done   chan struct{} // closed when it has ended and its keys are published
	err    error         // read after done
}

type result struct {
	loaded
	err error
}

const (
	defaultRefresh  = 5 * time.Minute
	defaultMaxStale = 24 * time.Hour
	defaultCooldown = 30 * time.Second
	minMaxAge       = time.Minute // a shorter max-age counts as this
	maxBackoff      = time.Minute // between two attempts after failures
	filePoll        = time.Second // between two looks at a File
)

// NewKeySet makes a key set that is empty until Run has loaded it.
func NewKeySet(o KeySetOptions) *KeySet {
	o.Refresh = cmp.Or(max(o.Refresh, 0), defaultRefresh)
	o.MaxStale = cmp.Or(max(o.MaxStale, 0), defaultMaxStale)
	o.Cooldown = cmp.Or(max(o.Cooldown, 0), defaultCooldown)
	if o.Client == nil {
		o.Client, _ = NewClient(ClientOptions{}) // only a CAFile can fail
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &KeySet{
		options: o,
		log:     o.Log.With("provider", o.Name),
		asks:    make(chan ask),
		stopped: make(chan struct{}),
		results: make(chan result),
	}
	s.published.Store(&published{})
	if o.File != "" {
		s.source = &file{path: o.File}
		return s
	}
	if o.KeepFile != "" {
		s.keep = &keepFile{path: o.KeepFile, issuer: o.Issuer}
	}
	s.source = &remote{client: o.Client, issuer: o.Issuer, discoveryURL: o.DiscoveryURL, url: o.URL, keep: s.keep}
	return s
}

// Current gives the keys as they are: an atomic load, no waiting. It refuses with
// KeysUnavailable if they were never loaded or are too old.
func (s *KeySet) Current() (*Keys, *audit.Refusal) {
	p := s.published.Load()
	if p.keys == nil {
		return nil, unavailable("the keys were never loaded", p.stats.LastError)
	}
	if age := time.Since(p.stats.LastSuccess); age > s.options.MaxStale {
		return nil, unavailable("the last good keys are "+age.Round(time.Second).String()+" old, more than "+
			s.options.MaxStale.String(), p.stats.LastError)
	}
	return p.keys, nil
}

// Stats gives counts and states as of the latest fetch.
func (s *KeySet) Stats() KeySetStats { return s.published.Load().stats }

// Run loads the keys and keeps them fresh until ctx ends. It is called once.
func (s *KeySet) Run(ctx context.Context) {
	defer close(s.stopped)
	s.loadKept()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			if s.inFlight == nil {
				s.begin(ctx, scheduled)
			}
		case a := <-s.asks:
			a.answer <- s.admit(ctx, a)
		case r := <-s.results:
			next.Reset(s.finish(r))
		case <-ctx.Done():
			if s.inFlight != nil {
				<-s.results
				s.inFlight.err = errStopped
				close(s.inFlight.done)
			}
			return
		}
	}
}

var errStopped = errors.New("the key set was stopped")

// begin starts a load. None is in flight.
func (s *KeySet) begin(ctx context.Context, why cause) {
	s.inFlight = &fetch{number: s.begun.Add(1), done: make(chan struct{})}
	go func() { // ends with the load, which ends with ctx; Run takes the result
		l, err := s.source.load(ctx, why)
		s.results <- result{l, err}
	}()
}

// finish publishes what came of the load in flight, and says when the next is due.
func (s *KeySet) finish(r result) time.Duration {
	now := time.Now()
	f := s.inFlight
	s.inFlight, s.last = nil, f
	p := *s.published.Load()
	if !r.unchanged {
		p.stats.Fetches++
	}
	var delay time.Duration
	if r.err == nil {
		s.succeeded(&p, r.loaded, now)
		delay = jitter(refreshAfter(s.options.Refresh, r.maxAge))
	} else {
		f.err = errors.New(plain(r.err))
		if !r.unchanged {
			p.stats.Failures++
		}
		delay = jitter(backoff(s.failures))
		s.failed(&p, f.err, now)
	}
	if s.options.File != "" {
		delay = filePoll
	}
	s.published.Store(&p)
	close(f.done)
	return delay
}

func (s *KeySet) succeeded(p *published, l loaded, now time.Time) {
	if s.failures > 0 {
		s.log.Info("keys can be loaded again", "after", now.Sub(s.failedSince).Round(time.Millisecond).String())
	}
	s.failures, s.tooOld = 0, false
	if l.keys != nil && (p.keys == nil || p.keys.content != l.keys.content) {
		s.replace(p, l.keys)
	}
	p.stats.LastSuccess, p.stats.LastError = now, ""
	if l.keepErr != nil && !s.keepFailed {
		s.log.Warn("the copy of the keys can't be kept", "file", s.options.KeepFile, "err", plain(l.keepErr))
	}
	s.keepFailed = l.keepErr != nil
}

func (s *KeySet) failed(p *published, err error, now time.Time) {
	p.stats.LastError = err.Error()
	if s.failures == 0 {
		s.failedSince = now
		if p.keys == nil {
			s.log.Warn("keys can't be loaded", "err", err)
		} else {
			s.log.Warn("keys can't be loaded: the last good ones are used", "err", err,
				"until", p.stats.LastSuccess.Add(s.options.MaxStale))
		}
	}
	s.failures++
	if p.keys != nil && now.Sub(p.stats.LastSuccess) > s.options.MaxStale && !s.tooOld {
		s.tooOld = true
		s.log.Error("the last good keys are too old: tokens can't be checked", "err", err)
	}
}

// replace puts other keys in place of those in p.
func (s *KeySet) replace(p *published, keys *Keys) {
	p.keys = keys
	p.stats.Keys, p.stats.SkippedKeys, p.stats.Version = keys.Len(), len(keys.Skipped), keys.Version()
	s.log.Info("keys loaded", "keys", keys.Len(), "version", keys.Version())
	bad := slices.DeleteFunc(slices.Clone(keys.Skipped), func(why error) bool { return errors.Is(why, errForEncryption) })
	if len(bad) > 0 {
		const few = 5
		s.log.Warn("keys skipped: tokens they sign are refused", "skipped", len(bad), "version", keys.Version(),
			"reasons", plain(errors.Join(bad[:min(few, len(bad))]...)))
	}
}

// loadKept begins with the copy of an earlier run, as old as it is.
func (s *KeySet) loadKept() {
	if s.keep == nil {
		return
	}
	keys, fetched, err := s.keep.load(s.options.MaxStale)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("the copy of the keys isn't used", "file", s.options.KeepFile, "err", plain(err))
		}
		return
	}
	p := *s.published.Load()
	s.replace(&p, keys)
	p.stats.LastSuccess = fetched
	s.published.Store(&p)
}

// refreshAfter is how long a set is used that came with this max-age; zero means
// with none.
func refreshAfter(refresh, maxAge time.Duration) time.Duration {
	if maxAge == 0 {
		return refresh
	}
	return min(refresh, max(maxAge, minMaxAge))
}

// backoff is the pause after so many failures before this one.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), maxBackoff)
}

// jitter is d, give or take a tenth, so that replicas don't ask in step.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

func unavailable(detail, lastError string) *audit.Refusal {
	if lastError != "" {
		detail += "; " + lastError
	}
	return &audit.Refusal{Reason: audit.KeysUnavailable, Detail: detail, RetryAfter: retryAfterFailure}
}

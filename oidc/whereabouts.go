package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// directory is whose discovery document is asked, and how.
type directory struct {
	issuer Issuer
	url    string // as in KeySetOptions
	client *http.Client
	log    *slog.Logger
}

// whereabouts is where a provider is asked, an address or several: as it is configured
// or, by run, as it is discovered in the background. It isn't known at first.
type whereabouts[T comparable] struct {
	what   string // for people
	locate func(*Metadata) (T, error)
	moved  func(*Metadata, T) // writes down what is new

	directory
	configured bool // discovery isn't asked
	known      atomic.Pointer[place[T]]
}

// place is where the provider is asked, or why that isn't known.
type place[T any] struct {
	at      T
	problem string // empty: it is known
}

// newEndpoint is the whereabouts of one endpoint: at this URL or, where that is empty,
// where the document says.
func newEndpoint(name, url string, d directory) (*whereabouts[string], error) {
	w := &whereabouts[string]{
		what: "the " + name + " endpoint", directory: d,
		locate: func(m *Metadata) (string, error) { return m.endpoint(name + "_endpoint") },
		moved: func(_ *Metadata, address string) {
			d.log.Info("endpoint discovered", "endpoint", name, "url", address)
		},
	}
	if url == "" {
		return w, nil
	}
	w.configure(url)
	return w, checkURL(url, true)
}

// configure says where the provider is asked, whatever its document says.
func (w *whereabouts[T]) configure(at T) {
	w.configured = true
	w.known.Store(&place[T]{at: at})
}

// get is where the provider is asked, or why that isn't known.
func (w *whereabouts[T]) get() (at T, problem string) {
	if known := w.known.Load(); known != nil {
		return known.at, known.problem
	}
	return at, w.what + " wasn't discovered yet"
}

// run discovers at once and every hour, in case something has moved, sooner after a
// failure, until ctx ends. The first failure in a row is logged. Where all is configured
// it returns at once.
func (w *whereabouts[T]) run(ctx context.Context) {
	if w.configured {
		return
	}
	failures := 0
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
		if err := w.discover(ctx); err == nil {
			failures = 0
			next.Reset(jitter(discoveryLife))
		} else if ctx.Err() == nil {
			if failures == 0 {
				w.log.Warn("endpoints can't be discovered", "err", plain(err))
			}
			next.Reset(jitter(backoff(failures)))
			failures++
		}
	}
}

// discover reads the document once. What is known stays in use where that fails.
func (w *whereabouts[T]) discover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	m, err := Discover(ctx, w.client, w.issuer, w.url)
	var found T
	if err == nil {
		found, err = w.locate(m)
	}
	at, problem := w.get()
	switch {
	case err == nil && (problem != "" || at != found):
		w.moved(m, found)
		w.known.Store(&place[T]{at: found})
	case err != nil && problem != "":
		w.known.Store(&place[T]{problem: w.what + " can't be discovered: " + plain(err)})
	}
	return err
}

package oidc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
)

// endpoint is one of a provider's, where it is configured or, by run, discovered in
// the background.
type endpoint struct {
	what   string // for people: "introspection"
	member string // of the discovery document

	issuer            Issuer
	url, discoveryURL string // configured; url empty: discovery says
	client            *http.Client
	log               *slog.Logger

	known atomic.Pointer[place] // never nil
}

// place is where an endpoint is, or why that isn't known.
type place struct{ url, problem string }

// complete checks the configured URL and says that no other is known yet.
func (e *endpoint) complete() error {
	if e.url != "" {
		if err := checkURL(e.url, true); err != nil {
			return fmt.Errorf("%s: %w", e.what, err)
		}
	}
	e.known.Store(&place{url: e.url, problem: "the " + e.what + " endpoint wasn't discovered yet"})
	return nil
}

// run discovers the endpoint, and again every hour in case it has moved, until ctx
// ends. It returns at once where the URL is configured.
func (e *endpoint) run(ctx context.Context) {
	if e.url == "" {
		rediscover(ctx, e.log, e.discover)
	}
}

// discover asks where the endpoint is. A known one stays in use where that fails.
func (e *endpoint) discover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	m, err := Discover(ctx, e.client, e.issuer, e.discoveryURL)
	address := ""
	if err == nil {
		address, err = m.endpoint(e.member)
	}
	known := e.known.Load()
	switch {
	case err == nil && known.url != address:
		e.log.Info("endpoint discovered", "endpoint", e.what, "url", address)
		e.known.Store(&place{url: address})
	case err != nil && known.url == "":
		e.known.Store(&place{problem: "the " + e.what + " endpoint isn't known: " + plain(err)})
	}
	return err
}

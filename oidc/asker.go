package oidc

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
)

// asker asks one of a provider's endpoints about tokens, as often as strangers may have
// it do.
type asker struct {
	endpoint *whereabouts[string]
	client   *http.Client // follows no redirects
	budget   *budget
}

const (
	defaultMaxConcurrent = 64
	defaultMaxPerSecond  = 200
)

// orDefaults are the bounds of a budget, where those that aren't positive have defaults.
func orDefaults(atOnce, perSecond int) (int, int) {
	return cmp.Or(max(atOnce, 0), defaultMaxConcurrent), cmp.Or(max(perSecond, 0), defaultMaxPerSecond)
}

// newAsker makes one for the endpoint of this name at url or, where that is empty, where
// the document of d says. What d lacks has a default.
func newAsker(name, url, provider string, d directory, atOnce, perSecond int) (asker, error) {
	if d.client == nil {
		d.client, _ = NewClient(ClientOptions{}) // only a CAFile can fail
	}
	d.log = cmp.Or(d.log, slog.New(slog.DiscardHandler)).With("provider", provider)
	endpoint, err := newEndpoint(name, url, d)
	if err != nil {
		return asker{}, fmt.Errorf("%s: %w", name, err)
	}
	return asker{
		endpoint: endpoint,
		client:   withoutRedirects(d.client),
		budget:   newBudget(atOnce, perSecond),
	}, nil
}

package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	fetchTimeout  = 15 * time.Second // one fetch, discovery included
	discoveryLife = time.Hour        // then jwks_uri is asked for again
	manyFailures  = 3                // in a row; then jwks_uri is asked for again
)

// cause is why keys are loaded.
type cause uint8

const (
	scheduled  cause = iota // it was time to
	unknownKid              // a token names a key that isn't in the set
	byHand                  // an operator asked
)

// source is where a key set comes from: a *remote or a *file. Its owner loads one
// at a time.
type source interface {
	load(context.Context, cause) (loaded, error)
}

// loaded is what a source gave.
type loaded struct {
	keys      *Keys
	maxAge    time.Duration // of Cache-Control; zero if it didn't say
	unchanged bool          // nothing was read, and what the last load said still stands
	keepErr   error         // why the copy couldn't be kept
}

// remote loads keys over HTTP, from a URL that is configured or discovered.
type remote struct {
	client       *http.Client
	issuer       Issuer
	discoveryURL string
	url          string    // configured; then discovery is never asked
	keep         *keepFile // nil: no copy is kept

	found    string    // the jwks_uri that discovery gave; empty before
	asked    time.Time // when discovery was last asked
	failures int       // of fetching from found, in a row
}

func (r *remote) load(ctx context.Context, why cause) (loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	address, err := r.locate(ctx, why)
	if err != nil {
		return loaded{}, err
	}
	document, l, err := r.get(ctx, address)
	if err != nil {
		r.failures++
		if status, ok := errors.AsType[statusError](err); ok && status.gone() {
			r.failures = max(r.failures, manyFailures)
		}
		return loaded{}, fmt.Errorf("keys at %s: %w", quote(address), err)
	}
	r.failures = 0
	if r.keep != nil {
		l.keepErr = r.keep.save(document, time.Now())
	}
	return l, nil
}

// locate says where the keys are. Discovery is asked at first, and later in case
// the keys have moved: every hour, by hand, and when the address that is known
// doesn't work. Where it doesn't answer then, the address that is known is used:
// keys that can be fetched must not depend on a document that can't.
func (r *remote) locate(ctx context.Context, why cause) (string, error) {
	if r.url != "" {
		return r.url, checkURL(r.url, true)
	}
	if r.found != "" {
		if why != byHand && r.failures < manyFailures && time.Since(r.asked) < discoveryLife {
			return r.found, nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, fetchTimeout/3) // leaves time for the keys
		defer cancel()
	}
	r.asked = time.Now()
	m, err := Discover(ctx, r.client, r.issuer, r.discoveryURL)
	if err == nil {
		r.found = m.JWKSURL
	}
	if r.found == "" {
		return "", err
	}
	return r.found, nil
}

// get fetches and reads one key set.
func (r *remote) get(ctx context.Context, address string) (document []byte, l loaded, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, loaded{}, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("Cache-Control", "no-cache") // a cache on the way may not know a new key yet
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, loaded{}, err
	}
	defer resp.Body.Close()
	document, err = io.ReadAll(io.LimitReader(resp.Body, maxKeysDocument+1))
	if resp.StatusCode != http.StatusOK {
		return nil, loaded{}, statusError{resp.StatusCode, string(document)}
	}
	if err != nil {
		return nil, loaded{}, err
	}
	l.maxAge = maxAge(resp.Header)
	l.keys, err = ParseKeys(document)
	return document, l, err
}

// statusError is an answer that isn't 200.
type statusError struct {
	status int
	body   string
}

func (e statusError) Error() string {
	s := "status " + strconv.Itoa(e.status)
	if e.body != "" {
		s += ", " + excerpt(e.body)
	}
	return s
}

// gone says whether the address is no longer one of keys.
func (e statusError) gone() bool {
	return e.status == http.StatusNotFound || e.status == http.StatusGone
}

// maxAge reads Cache-Control (RFC 9111, 5.2.2.1). It is zero where there is no
// max-age; no-store and no-cache are no reason to ask more often than configured.
func maxAge(h http.Header) time.Duration {
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			if lower(name) != "max-age" {
				continue
			}
			if s, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				return max(time.Second, time.Duration(s)*time.Second)
			}
		}
	}
	return 0
}

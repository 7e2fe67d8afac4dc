package oidc

import (
	"context"
	"time"

	"github.com/credence-authz/credence/audit"
)

const (
	// maxWaiting bounds the callers that wait for an unknown kid, so that made-up
	// kids can't pile up goroutines.
	maxWaiting = 1024

	// retryAfterFailure is when asking again may help after a fetch has failed.
	retryAfterFailure = 5 * time.Second
)

// ask is the question of a caller that needs a load that began after it came.
type ask struct {
	arrived uint64 // loads that had begun when it came
	byHand  bool
	answer  chan ticket // buffered: Run never waits for a caller
}

// ticket is a load to wait for, or how long none will be begun.
type ticket struct {
	fetch *fetch // nil: none
	wait  time.Duration
}

// admit answers an ask. Only here do tokens make us fetch.
//
// What starts the cool-down is a fetch that a kid caused, and nothing else: after
// a quiet time a new key works at once, even if a scheduled refresh has just been.
func (s *KeySet) admit(ctx context.Context, a ask) ticket {
	now := time.Now()
	switch {
	case s.inFlight != nil:
		// It may have begun too early for the caller, who then asks again.
	case s.last != nil && s.last.number > a.arrived:
		return ticket{fetch: s.last} // began after it came, and has ended already
	case a.byHand:
		s.begin(ctx, byHand)
	case now.Before(s.coolUntil):
		return ticket{wait: s.coolUntil.Sub(now)}
	default:
		s.coolUntil = now.Add(s.options.Cooldown)
		s.begin(ctx, unknownKid)
	}
	return ticket{fetch: s.inFlight}
}

// Await gives a snapshot that knows kid, which the current one doesn't. kid isn't
// empty: a token without kid never causes a fetch.
//
// It waits, no longer than ctx, for a fetch that began after it was called: only
// such a fetch can say that a key which a token already names doesn't exist. The
// first fetch after a quiet time begins at once, then one in each cool-down; in
// between, whoever isn't helped by a fetch that is under way is told to come again
// (KeyRefreshPending). So a flood of made-up kids delays a new key by one
// cool-down, but never has a good token refused as bad (KeyUnknown).
//
// The other refusals: KeysUnavailable if the fetch failed, DeadlineExceeded or
// Cancelled if ctx ended. It needs Run.
func (s *KeySet) Await(ctx context.Context, kid string) (*Keys, *audit.Refusal) {
	arrived := s.begun.Load() // before looking: what begins from here on is new to us
	if keys := s.knowing(kid); keys != nil {
		return keys, nil
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return nil, pending(kid, s.options.Cooldown)
	}
	for {
		t, refusal := s.ask(ctx, arrived, false)
		if refusal != nil {
			return nil, refusal
		}
		if t.fetch == nil {
			return nil, pending(kid, t.wait)
		}
		select {
		case <-t.fetch.done:
		case <-ctx.Done():
			return nil, gaveUp(ctx)
		}
		if keys := s.knowing(kid); keys != nil {
			return keys, nil
		}
		switch {
		case t.fetch.number <= arrived:
			// It began before the caller came. The kid may be newer than its answer.
		case t.fetch.err != nil:
			return nil, unavailable("kid "+quote(kid)+" is unknown and the keys can't be fetched", t.fetch.err.Error())
		default:
			return nil, refuse(audit.KeyUnknown, "kid "+quote(kid)+" isn't in the key set, fetched just now")
		}
	}
}

// Refresh fetches the keys now, whatever the cool-down, and asks discovery again
// where they are. It gives the error of that fetch, or of ctx. It needs Run.
func (s *KeySet) Refresh(ctx context.Context) error {
	arrived := s.begun.Load()
	for {
		t, refusal := s.ask(ctx, arrived, true)
		if refusal != nil {
			return refusal
		}
		select {
		case <-t.fetch.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if t.fetch.number > arrived {
			return t.fetch.err
		}
	}
}

// knowing gives the current keys if kid is among them, else nil.
func (s *KeySet) knowing(kid string) *Keys {
	keys, refusal := s.Current()
	if refusal != nil || !keys.Known(kid) {
		return nil
	}
	return keys
}

// ask brings a question to Run.
func (s *KeySet) ask(ctx context.Context, arrived uint64, byHand bool) (ticket, *audit.Refusal) {
	if ctx.Err() != nil {
		return ticket{}, gaveUp(ctx) // select below might ask all the same
	}
	a := ask{arrived: arrived, byHand: byHand, answer: make(chan ticket, 1)}
	select {
	case s.asks <- a:
		return <-a.answer, nil
	case <-ctx.Done():
		return ticket{}, gaveUp(ctx)
	case <-s.stopped:
		return ticket{}, unavailable(errStopped.Error(), "")
	}
}

func pending(kid string, wait time.Duration) *audit.Refusal {
	return &audit.Refusal{
		Reason:     audit.KeyRefreshPending,
		Detail:     "kid " + quote(kid) + " is unknown and the last fetch is too recent for another",
		RetryAfter: wait,
	}
}

func gaveUp(ctx context.Context) *audit.Refusal {
	return &audit.Refusal{Reason: audit.Interruption(ctx.Err()), Detail: "while waiting for the provider's keys", Err: context.Cause(ctx)}
}

package session

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
)

// RefreshFunc renews the tokens of r, in place: Claims, the tokens and
// AccessExpires. It refuses with SessionEnded, where the provider won't have the
// session any more, or with RefreshUnavailable. Its ctx has ten seconds, however
// long the request's.
type RefreshFunc func(ctx context.Context, r *Record) *audit.Refusal

const (
	refreshLimit = 10 * time.Second

	// refreshGap is the least time between two refreshes of a session, for providers
	// whose tokens live next to no time.
	refreshGap = 5 * time.Second
)

// flights are the refreshes under way: one for each session.
type flights struct {
	mu       sync.Mutex
	underWay map[ID]*flight
}

// flight is one refresh. What came of it may be read once done is closed.
type flight struct {
	done    chan struct{}
	session held
	refusal *audit.Refusal
}

func (s *Sessions) refreshDue(r *Record, now time.Time) bool {
	return r.RefreshToken != "" && !r.AccessExpires.IsZero() && s.refreshers[r.Client] != nil && !now.Before(s.refreshAt(r))
}

// refreshAt is when the tokens of r are to be renewed. A part of the leeway depends
// on the session, so that those who logged in together don't come back together.
func (s *Sessions) refreshAt(r *Record) time.Time {
	leeway := min(s.leeway, max(r.AccessExpires.Sub(r.Refreshed), 0)/4)
	at := r.AccessExpires.Add(-leeway + leeway/4*time.Duration(r.ID[0])/256)
	if soonest := r.Refreshed.Add(refreshGap); at.Before(soonest) {
		return soonest
	}
	return at
}

// refresh gives the session with renewed tokens; or as it is, where the provider is
// slow or down and the access token lives. It waits for whoever renews it already.
func (s *Sessions) refresh(ctx context.Context, j *jar, h held, now time.Time) (held, *audit.Refusal) {
	left := h.record.AccessExpires.Sub(now)
	wait := ctx
	if deadline, ok := ctx.Deadline(); ok && left > 0 {
		// The request can be answered without new tokens: leave it the time for that.
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	f := s.join(ctx, j, h, now)
	select {
	case <-f.done:
	case <-wait.Done():
		return h.orRefuse(left, &audit.Refusal{Reason: audit.Interruption(wait.Err()), Detail: "waiting for the provider to renew the session's tokens"})
	}
	switch {
	case f.refusal == nil && s.revoked(f.session.record):
		return held{}, &audit.Refusal{Reason: audit.SessionRevoked}
	case f.refusal == nil:
		return f.session, nil
	case f.refusal.Reason.Class() == audit.ClassUnauthenticated:
		return held{}, f.refusal
	default:
		return h.orRefuse(left, f.refusal)
	}
}

// orRefuse gives the session as long as its access token has time left, and
// refuses after that.
func (h held) orRefuse(left time.Duration, refusal *audit.Refusal) (held, *audit.Refusal) {
	if left > 0 {
		return h, nil
	}
	return held{}, refusal
}

// join gives the session's refresh that is under way or failed a moment ago, or
// begins one.
func (s *Sessions) join(ctx context.Context, j *jar, h held, now time.Time) *flight {
	id := h.record.ID
	s.flights.mu.Lock()
	defer s.flights.mu.Unlock()
	if f := s.flights.underWay[id]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	s.toNewest(&h, now)
	refusal, failed := s.failed.get(id, now)
	if failed || !s.refreshDue(h.record, now) { // one landed since this request looked
		f.session, f.refusal = h, refusal
		close(f.done)
		return f
	}
	s.flights.underWay[id] = f
	s.background.Go(func() { s.fly(ctx, f, j, h, now) })
	return f
}

// fly renews the tokens of h and leaves word for those who come, before it is gone
// from the flights: so nobody begins another one in between.
func (s *Sessions) fly(ctx context.Context, f *flight, j *jar, h held, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshLimit)
	defer cancel()
	began := time.Now()
	next := *h.record
	f.refusal = s.callRefresher(ctx, &next)
	took := time.Since(began)
	now = now.Add(took)
	renewed := f.refusal == nil
	if renewed {
		f.session, f.refusal = s.takeOver(ctx, j, h, next, now)
	}
	if f.refusal == nil {
		v := &version{f.session.record, f.session.values}
		s.newest.put(next.ID, v, v.bytes(), now)
		if s.revoked(v.record) { // asked after the put: see endAll
			f.refusal = endedMeanwhile()
		}
	}
	switch {
	case f.refusal == nil:
	case f.refusal.Reason.Class() == audit.ClassUnauthenticated:
		s.end(ctx, h.record)
	default:
		s.failed.put(h.record.ID, f.refusal, 0, now)
	}
	if renewed && f.refusal != nil {
		s.discard(ctx, &next)
	}
	s.flights.mu.Lock()
	delete(s.flights.underWay, h.record.ID)
	s.flights.mu.Unlock()
	close(f.done)

	event := audit.Record{Event: audit.Refresh, Time: now, Allowed: f.refusal == nil, Reason: audit.Allowed, Subject: h.record.Subject, Client: h.record.Client, Took: took}
	if f.refusal != nil {
		event.Reason, event.Detail = f.refusal.Reason, f.refusal.Detail
	}
	s.audit.Write(&event)
}

// callRefresher calls the client's RefreshFunc. Its refusals are two: SessionEnded,
// and RefreshUnavailable for all else. A panic is one of these: it would end the
// process.
func (s *Sessions) callRefresher(ctx context.Context, r *Record) (refusal *audit.Refusal) {
	defer func() {
		if v := recover(); v != nil {
			// What was passed to panic may hold a token.
			s.log.Error("panic while a session was refreshed", slog.String("type", fmt.Sprintf("%T", v)), slog.String("stack", string(debug.Stack())))
			refusal = unrefreshed(&audit.Refusal{Reason: audit.InternalError, Detail: "a panic, see the log"})
		}
	}()
	was := *r
	switch no := s.refreshers[r.Client](ctx, r); {
	case no != nil && no.Reason == audit.SessionEnded:
		return no
	case no != nil:
		return unrefreshed(no)
	case r.ID != was.ID || r.Client != was.Client || r.Issuer != was.Issuer || r.Subject != was.Subject:
		return &audit.Refusal{Reason: audit.SessionEnded, Detail: "the provider renewed the session for another identity"}
	}
	return nil
}

// unrefreshed makes the refusal of a refresh one that a request may have.
func unrefreshed(no *audit.Refusal) *audit.Refusal {
	if no.Reason == audit.RefreshUnavailable && no.RetryAfter > 0 {
		return no
	}
	detail := no.Detail
	if no.Reason != audit.RefreshUnavailable {
		detail = no.Reason.String() + ": " + detail
	}
	return &audit.Refusal{Reason: audit.RefreshUnavailable, Detail: detail, RetryAfter: retryAfter, Err: no.Err}
}

// takeOver makes next the session's version, in place of h.
func (s *Sessions) takeOver(ctx context.Context, j *jar, h held, next Record, now time.Time) (held, *audit.Refusal) {
	next.Refreshes++
	next.LoggedIn, next.Expires = h.record.LoggedIn, h.record.Expires
	next.Refreshed, next.Seen = wholeSecond(now), wholeSecond(now)
	h.record, h.behind = &next, true
	if s.store != nil {
		return s.replace(ctx, j, h)
	}
	values, err := s.seal(j, &next)
	if err != nil {
		return held{}, &audit.Refusal{Reason: audit.SessionEnded, Detail: "the renewed session can't be kept: " + err.Error()}
	}
	h.values = values
	return h, nil
}

// replace puts the renewed session into the store, over a version of before the
// refresh, whichever that is by now. Where the store can't be reached the session
// goes on behind, and is put there with the next request.
func (s *Sessions) replace(ctx context.Context, j *jar, h held) (held, *audit.Refusal) {
	const tries = 4
	for range tries {
		ok, err := s.put(ctx, j, h.record, h.secret, h.stored)
		if ok {
			h.behind = false
			return h, nil
		}
		if err == nil {
			h.stored, err = s.store.Get(ctx, storeKey(h.record.ID))
		}
		if err != nil {
			s.log.Error("a renewed session can't be put into the store", slog.Any("error", err))
			return h, nil
		}
		if h.stored == nil {
			return held{}, endedMeanwhile()
		}
	}
	return h, nil
}

func endedMeanwhile() *audit.Refusal {
	return &audit.Refusal{Reason: audit.SessionRevoked, Detail: "the session ended while it was renewed"}
}

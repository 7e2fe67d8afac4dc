package session

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/credence-authz/credence/audit"
)

const (
	// maxDiscarding bounds the calls of Options.Discard that are under way.
	maxDiscarding = 64

	discardLimit = 10 * time.Second
	closeLimit   = 10 * time.Second
)

// End ends the browser's session of the client: here at once, in the store, and in
// the browser by the Set-Cookie values. It gives the session that it ended, with the
// latest tokens known here, also one that had expired.
//
// There is none where the browser had none, and where the store can't be asked. The
// cookies are deleted in either case; in the second one a copy of them is still good
// when the store is back, which a Peek before tells by SessionStoreUnavailable.
func (s *Sessions) End(ctx context.Context, client string, cookies iter.Seq[string], now time.Time) (*Record, []string) {
	p := s.find(client, cookies)
	defer s.release(p)
	live, _ := s.endAll(ctx, p, now)
	deletions := s.appendDeletions(nil, p, 0)
	if len(live) == 0 {
		return nil, deletions
	}
	for _, other := range live[1:] {
		s.discard(ctx, other)
	}
	return live[0], deletions
}

// EndByID sees to it that the session, which expires at that time in any case, is
// never accepted again. It is for a session whose cookies were seen before and don't
// come with this request; End is for those that do.
func (s *Sessions) EndByID(ctx context.Context, id ID, expires time.Time) {
	s.revocations.Session(id, expires)
	s.removeStored(ctx, id)
}

// endAll ends every session that the browser has of the client, and gives those that
// hadn't ended and those that had. Of two, one was put there by somebody else; none of
// them may live on.
func (s *Sessions) endAll(ctx context.Context, p *presented, now time.Time) (live, over []*Record) {
	for _, base := range p.bases[:p.count] {
		h, refusal := s.open(ctx, p, base)
		if refusal != nil {
			if refusal.Reason.Class() == audit.ClassUnavailable {
				s.log.Error("a session can't be ended, its cookie is deleted alone", slog.Any("error", refusal))
			}
			continue
		}
		ended := s.revoked(h.record)
		s.end(ctx, h.record)
		// Only now: of a refresh that lands at this moment, either the tokens are seen
		// here, or it sees that the session has ended and discards them.
		s.toNewest(&h, now)
		if ended {
			over = append(over, h.record)
		} else {
			live = append(live, h.record)
		}
	}
	return live, over
}

// end is EndByID for a session that is known.
func (s *Sessions) end(ctx context.Context, r *Record) {
	s.revocations.session(r)
	s.removeStored(ctx, r.ID)
}

func (s *Sessions) removeStored(ctx context.Context, id ID) {
	if s.store == nil {
		return
	}
	if err := s.store.Delete(ctx, storeKey(id)); err != nil {
		s.log.Error("a session that ended is still in the store", slog.Any("error", err))
	}
}

// mayShareTokens says whether a provider could take the tokens of two sessions of a
// client for one login's, as where somebody logs in here again while still logged in
// there: revoking one's would then end the other's.
func mayShareTokens(a, b *Record) bool {
	return a.Issuer == b.Issuer && a.Subject == b.Subject && (a.SID == b.SID || a.SID == "" || b.SID == "")
}

// discard gives r to Options.Discard. Nobody waits for that but Close.
func (s *Sessions) discard(ctx context.Context, r *Record) {
	if s.discarder == nil {
		return
	}
	select {
	case s.discarding <- struct{}{}:
	default:
		s.log.Warn("the tokens of a session that ended aren't discarded: too many are at once", slog.String("client", r.Client))
		return
	}
	s.background.Go(func() {
		defer func() { <-s.discarding }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardLimit)
		defer cancel()
		s.discarder(ctx, r)
	})
}

// Close waits for what goes on although nobody waits for it: refreshes, which may
// have the store's only good tokens in hand, and Options.Discard. It is called when no
// request comes any more, and waits ten seconds at most.
func (s *Sessions) Close() {
	done := make(chan struct{})
	go func() {
		s.background.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeLimit):
		s.log.Warn("sessions are still being renewed or discarded: their tokens may be lost")
	}
}

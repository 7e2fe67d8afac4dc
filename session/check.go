package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/credence-authz/credence/audit"
)

// Verdict is a good session.
type Verdict struct {
	Record     *Record  // shared: not to be changed
	SetCookies []string // Set-Cookie values for the answer; usually none
}

// Check judges the session of the client that is in the request's Cookie lines, and
// renews what is due of it. The lines are read once and not kept. It refuses with
// NoCredential, where there is no cookie of this client, or with a reason of Session,
// RefreshUnavailable or an interrupted ctx.
func (s *Sessions) Check(ctx context.Context, client string, cookies iter.Seq[string], now time.Time) (Verdict, *audit.Refusal) {
	p := s.find(client, cookies)
	defer s.release(p)
	h, refusal := s.look(ctx, p, now)
	if refusal != nil {
		return Verdict{}, refusal
	}
	if s.refreshDue(h.record, now) {
		if h, refusal = s.refresh(ctx, p.jar, h, now); refusal != nil {
			return Verdict{}, refusal
		}
	}
	if now.Sub(h.record.Seen) >= s.slideAfter && s.noted.claim(h.record.ID, struct{}{}, now) {
		used := *h.record
		used.Seen = wholeSecond(now)
		h.record, h.values, h.behind = &used, nil, true
	}
	if !h.behind {
		return Verdict{Record: h.record}, nil
	}
	return Verdict{Record: h.record, SetCookies: s.bringUp(ctx, p, &h, now)}, nil
}

// Peek judges as Check does, but renews nothing: neither tokens nor the idle time.
func (s *Sessions) Peek(ctx context.Context, client string, cookies iter.Seq[string], now time.Time) (*Record, *audit.Refusal) {
	p := s.find(client, cookies)
	defer s.release(p)
	h, refusal := s.look(ctx, p, now)
	return h.record, refusal
}

// look finds the one live session among what the request has.
func (s *Sessions) look(ctx context.Context, p *presented, now time.Time) (best held, refusal *audit.Refusal) {
	switch {
	case p.none():
		return held{}, &audit.Refusal{Reason: audit.NoCredential}
	case p.many:
		return held{}, &audit.Refusal{Reason: audit.SessionInvalid, Detail: "the session's cookies are there with several values"}
	case p.count == 0:
		return held{}, &audit.Refusal{Reason: audit.SessionInvalid, Detail: "the first of the session's cookies is missing"}
	}
	for _, base := range p.bases[:p.count] {
		h, no := s.open(ctx, p, base)
		if no == nil {
			no = s.judge(&h, now)
		}
		switch {
		case no != nil && no.Reason.Class() == audit.ClassUnavailable:
			return held{}, no
		case no != nil:
			if refusal == nil {
				refusal = no
			}
		case best.record != nil && best.record.ID != h.record.ID:
			return held{}, &audit.Refusal{Reason: audit.SessionInvalid, Detail: "there are two sessions in the request's cookies: one was set by another host of the domain, or before the cookie's settings were changed"}
		case best.record == nil || older(best.record, h.record):
			best = h
		}
	}
	if best.record != nil {
		return best, nil
	}
	return held{}, refusal
}

// older says whether a is an older version of the session b.
func older(a, b *Record) bool {
	return a.Refreshes < b.Refreshes || a.Refreshes == b.Refreshes && a.Seen.Before(b.Seen)
}

// judge puts the newest version in place of h, and says why it isn't live.
func (s *Sessions) judge(h *held, now time.Time) *audit.Refusal {
	s.toNewest(h, now)
	r := h.record
	idle, end := s.Ends(r)
	issuer, known := s.issuers[r.Client]
	switch {
	case known && issuer != r.Issuer:
		return &audit.Refusal{Reason: audit.SessionInvalid, Detail: "it was begun at another provider than its client has now"}
	case r.LoggedIn.After(now.Add(clockSlack)) || r.Seen.After(now.Add(clockSlack)):
		return &audit.Refusal{Reason: audit.SessionInvalid, Detail: "the session was begun or used in the future: compare the replicas' clocks"}
	case !now.Before(end):
		return &audit.Refusal{Reason: audit.SessionExpired, Detail: fmt.Sprintf("its lifetime was over %v ago", now.Sub(end).Truncate(time.Second))}
	case !now.Before(idle):
		return &audit.Refusal{Reason: audit.SessionExpired, Detail: fmt.Sprintf("it wasn't used for %v", now.Sub(r.Seen).Truncate(time.Second))}
	case s.revoked(r):
		return &audit.Refusal{Reason: audit.SessionRevoked}
	}
	return nil
}

// toNewest puts the newest version of the session that is known here in place of
// an older one.
func (s *Sessions) toNewest(h *held, now time.Time) {
	if v, ok := s.newest.get(h.record.ID, now); ok && v.record.Refreshes > h.record.Refreshes {
		h.record, h.values, h.behind = v.record, v.values, true
	}
}

func (s *Sessions) revoked(r *Record) bool {
	return s.revocations.Revoked(&Identity{Issuer: r.Issuer, Subject: r.Subject, SID: r.SID, Issued: r.LoggedIn, Session: r.ID})
}

// bringUp has the browser, or the store, take over h. Where that fails the session
// is good all the same, and the next request tries again.
func (s *Sessions) bringUp(ctx context.Context, p *presented, h *held, now time.Time) []string {
	if s.store != nil {
		if _, err := s.put(ctx, p.jar, h.record, h.secret, h.stored); err != nil {
			s.log.Error("a session can't be brought up to date in the store", slog.Any("error", err))
		}
		return nil
	}
	if h.values == nil {
		var err error
		if h.values, err = s.seal(p.jar, h.record); err != nil {
			s.log.Error("a session can't be brought up to date", slog.Any("error", err))
			return nil
		}
	}
	_, end := s.Ends(h.record)
	return s.set(p, h.values, end.Sub(now))
}

// wholeSecond is t as a record keeps it: never later than t.
func wholeSecond(t time.Time) time.Time { return time.Unix(t.Unix(), 0) }

func newID() (id ID) {
	rand.Read(id[:])
	return id
}

func newSecret() []byte {
	secret := make([]byte, chacha20poly1305.KeySize)
	rand.Read(secret)
	return secret
}

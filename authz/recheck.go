package authz

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
)

// Recheck watches for false allows: of the requests that a remembered JWT lets in, it
// has a few verified again, from scratch. There is nothing that it should ever find.
//
// It works in the background on one token at a time, and leaves out what comes
// meanwhile, so that no request waits for it and a busy server does no more of it than
// a quiet one. It judges by the request's clock, which lies within the time that the
// verdict stands for, so time explains no difference. What came while the provider's
// keys changed says nothing and isn't counted.
//
// Answers to introspection aren't watched: asking again may rightly give another one. Nor
// is what userinfo added to a token, but the token is (see [oidc.Verifier.Reverify]).
type Recheck struct {
	oneIn uint32
	log   *slog.Logger
	turn  chan struct{} // full while one is under way, and once closed

	rechecks, falseAllows atomic.Uint64
}

// recheckLimit bounds one recheck. Its key was there a moment ago, so it has nothing to
// wait for unless memory is wrong.
const recheckLimit = 2 * time.Second

// NewRecheck makes a watch over one in so many remembered verdicts, chosen at random;
// zero would be none, and panics. Nil is no logger.
func NewRecheck(oneIn uint32, log *slog.Logger) *Recheck {
	if oneIn == 0 {
		panic("authz: NewRecheck: one in zero")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Recheck{oneIn: oneIn, log: log, turn: make(chan struct{}, 1)}
}

// Rechecks counts what was verified again and could be compared.
func (w *Recheck) Rechecks() uint64 { return w.rechecks.Load() }

// FalseAllows counts, of those, the verdicts that memory had wrong.
func (w *Recheck) FalseAllows() uint64 { return w.falseAllows.Load() }

// Close waits for the recheck under way, and lets none begin. It is called once.
func (w *Recheck) Close() { w.turn <- struct{}{} }

// chooses says whether this request's verdict, if it is remembered, is one to look at,
// by chance: a counter would be one for all processors at once.
func (w *Recheck) chooses() bool { return w != nil && rand.Uint32N(w.oneIn) == 0 }

// recheck has a remembered good verdict on a JWT verified again. It keeps nothing of
// the caller's memory. The verdict comes by value, or it would be on the heap in every
// request.
func (a *authenticator) recheck(ctx context.Context, key cache.Key, raw oidc.RawToken, remembered oidc.Result, now time.Time) {
	w := a.tokens.Recheck
	select {
	case w.turn <- struct{}{}:
	default:
		return
	}
	raw = oidc.RawToken(strings.Clone(string(raw)))
	remembered.Claims = oidc.UnflattenClaims(strings.Clone(remembered.Claims.Flat()))
	provider, signedBy := remembered.Provider, remembered.Key
	go func() { // ends within recheckLimit; Close waits for it
		defer func() {
			if v := recover(); v != nil {
				p := cache.PanicError{Value: v, Stack: debug.Stack()} // whose text has nothing of the token
				w.log.Error("a panic while a token was verified again; please report it", "panic", p.Error(), "stack", string(p.Stack))
			}
			<-w.turn
		}()
		before, unavailable := provider.Keys().Current()
		if unavailable != nil || !before.Holds(signedBy) {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recheckLimit)
		defer cancel()
		again, same := a.verifier.Reverify(ctx, raw, now, &remembered)
		after, unavailable := provider.Keys().Current()
		if unavailable != nil || after.Version() != before.Version() || !isVerdict(&again) {
			return
		}
		w.rechecks.Add(1)
		if same {
			return
		}
		a.tokens.good.Delete(key)
		a.tokens.epoch.Add(1) // and what was made of it
		w.falseAllows.Add(1)
		reason := audit.Allowed // but as somebody else
		if again.Refusal != nil {
			reason = again.Refusal.Reason
		}
		w.log.Error("a remembered token was let in that isn't as it was remembered; please report it",
			"provider", provider.Name(), "reason", reason.String())
	}()
}

// isVerdict says whether a result is about the token, not about what was in the way of
// judging it, as the number of keys is where it has no kid: more may have come since.
func isVerdict(r *oidc.Result) bool {
	return r.Refusal == nil || r.Refusal.Reason.Class() == audit.ClassUnauthenticated && r.Refusal.Reason != audit.KeyAmbiguous
}

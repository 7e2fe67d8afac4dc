package audit

import (
	"context"
	"errors"
	"time"
)

// Refusal is the error of everything that judges a credential or a request. It
// keeps apart what the client may read (Reason.Public) and what only the
// operator may: Detail and Err, which are logged once, where the decision is.
type Refusal struct {
	Reason Reason

	// Detail is the finding with its figures, such as "nbf 1702389660 is 59 s
	// ahead of this clock". It quotes foreign text with %q and never holds a
	// token, a key or another secret.
	Detail string

	// RetryAfter is when asking again may help. Zero means not known; it has a
	// meaning only for ClassUnavailable.
	RetryAfter time.Duration

	// Err is the cause, where there is one beyond Detail.
	Err error
}

// Error gives the reason, the detail and the cause, in that order.
func (r *Refusal) Error() string {
	s := r.Reason.String()
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Interruption is the reason why a wait that a context ended has no result; an
// error of another kind is a fault of ours.
func Interruption(err error) Reason {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Cancelled
	default:
		return InternalError
	}
}

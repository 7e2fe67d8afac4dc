package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestRefusalIsAnError(t *testing.T) {
	rows := []struct {
		r    Refusal
		want string
	}{
		{Refusal{}, "internal_error"},
		{Refusal{Reason: TokenExpired}, "token_expired"},
		{Refusal{Reason: TokenExpired, Detail: "exp 5 is 3 s behind this clock"}, "token_expired: exp 5 is 3 s behind this clock"},
		{Refusal{Reason: TokenMalformed, Err: io.ErrUnexpectedEOF}, "token_malformed: unexpected EOF"},
		{Refusal{Reason: TokenMalformed, Detail: "a", Err: errors.New("b")}, "token_malformed: a: b"},
	}
	for _, row := range rows {
		var err error = &row.r
		if got := err.Error(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
		if errors.Unwrap(err) != row.r.Err { //nolint:errorlint // the very same error
			t.Errorf("%v: got cause %v", err, errors.Unwrap(err))
		}
	}
}

func TestInterruption(t *testing.T) {
	for err, want := range map[error]Reason{
		context.Canceled: Cancelled, context.DeadlineExceeded: DeadlineExceeded,
		fmt.Errorf("x: %w", context.Canceled): Cancelled, fmt.Errorf("other"): InternalError,
	} {
		if got := Interruption(err); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}

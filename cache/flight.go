package cache

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/singleflight"
)

// Flight runs one computation per Key at a time, however many callers want its
// result. It remembers nothing: whoever asks after the end starts anew, so a
// computation that fills a Cache does so before it returns. The zero Flight is
// ready to use. Its method may be called many times at once.
type Flight[T any] struct {
	group singleflight.Group
}

// Do gives the result of fn, or that of the fn that is already running for key.
// Shared says that more than one caller got it, so T must be safe to share.
//
// Each caller waits no longer than its own ctx and then gets ctx's error. The
// computation doesn't end with the caller that began it: its context has that
// caller's values but a time of its own, limit; zero or less means that it is over
// from the start. How many computations run is for the caller to bound, because
// those that nobody waits for any more run on.
//
// A panic in fn becomes a [*PanicError] for all who wait. Fn must not call
// [runtime.Goexit]: that would leave them waiting for their own contexts.
func (f *Flight[T]) Do(ctx context.Context, key Key, limit time.Duration, fn func(context.Context) (T, error)) (value T, shared bool, err error) {
	if err := ctx.Err(); err != nil {
		return value, false, err
	}
	results := f.group.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		return contain(ctx, fn)
	})
	select {
	case r := <-results:
		value, _ = r.Val.(T) // a nil interface isn't a T, and is T's zero value
		return value, r.Shared, r.Err
	case <-ctx.Done():
		return value, false, ctx.Err()
	}
}

// contain makes a panic an error. It has to happen within fn: singleflight would
// panic again in a goroutine of its own, to make sure that it ends the process.
func contain[T any](ctx context.Context, fn func(context.Context) (T, error)) (value T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn(ctx)
}

// PanicError is a panic that was caught in a computation.
type PanicError struct {
	Value any    // what was passed to panic; it may hold anything, a token included
	Stack []byte // where, as [debug.Stack] writes it
}

// Error gives the text of Value only if it is the runtime's own, which quotes no
// data; otherwise Value's type.
func (p *PanicError) Error() string {
	if err, ok := p.Value.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic of type %T", p.Value)
}

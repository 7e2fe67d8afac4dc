package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errVerify = errors.New("verification failed")

func TestFlightManyCallersOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight[string]
		var calls, sharing atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				got, shared, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (string, error) {
					calls.Add(1)
					time.Sleep(time.Second)
					return "result", nil
				})
				if got != "result" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				if shared {
					sharing.Add(1)
				}
			})
		}
		wg.Wait()
		if calls.Load() != 1 || sharing.Load() != 100 {
			t.Errorf("got %d calls, %d callers who shared; want 1, 100", calls.Load(), sharing.Load())
		}
	})
}

func TestFlightRemembersNothing(t *testing.T) {
	var f Flight[int]
	for i := range 3 {
		got, shared, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (int, error) { return i, nil })
		if got != i || shared || err != nil {
			t.Errorf("call %d: got %d, %t, %v", i, got, shared, err)
		}
	}
}

func TestFlightKeysDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight[byte]
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range byte(10) {
			wg.Go(func() {
				got, _, err := f.Do(t.Context(), Key{15: i}, time.Minute, func(context.Context) (byte, error) {
					time.Sleep(time.Second)
					return i, nil
				})
				if got != i || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, i)
				}
			})
		}
		wg.Wait()
		if got := time.Since(begin); got != time.Second {
			t.Errorf("ten keys took %v, want a second", got)
		}
	})
}

// A caller who gives up, the first one included, leaves at once; the computation
// goes on for the others and sees nothing of it.
func TestFlightOutlivesItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight[string]
		type name struct{}
		begin := time.Now()
		compute := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return "", ctx.Err()
			}
			who, _ := ctx.Value(name{}).(string)
			return "result for " + who, nil
		}
		var wg sync.WaitGroup
		for i, c := range []struct {
			patience time.Duration
			wantAt   time.Duration
			want     string
			err      error
		}{
			{time.Second, time.Second, "", context.DeadlineExceeded},
			{3 * time.Second, 3 * time.Second, "", context.DeadlineExceeded},
			{time.Minute, 10 * time.Second, "result for caller 0", nil},
		} {
			wg.Go(func() {
				ctx := context.WithValue(t.Context(), name{}, fmt.Sprintf("caller %d", i))
				ctx, cancel := context.WithTimeout(ctx, c.patience)
				defer cancel()
				got, _, err := f.Do(ctx, Key{1}, time.Minute, compute)
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("caller %d: got %q, %v; want %q, %v", i, got, err, c.want, c.err)
				}
				if at := time.Since(begin); at != c.wantAt {
					t.Errorf("caller %d: got it after %v, want %v", i, at, c.wantAt)
				}
			})
			synctest.Wait() // each joins after the one before
		}
		wg.Wait()
	})
}

func TestFlightGoesOnWithoutCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight[int]
		var done atomic.Bool
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := f.Do(ctx, Key{1}, time.Minute, func(context.Context) (int, error) {
			time.Sleep(30 * time.Second)
			done.Store(true)
			return 1, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || done.Load() {
			t.Errorf("got %v, done %t", err, done.Load())
		}
		time.Sleep(time.Minute)
		if !done.Load() {
			t.Error("the computation ended with its caller")
		}
	})
}

func TestFlightLimit(t *testing.T) {
	for _, limit := range []time.Duration{time.Second, 0, -time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f Flight[int]
				begin := time.Now()
				_, _, err := f.Do(t.Context(), Key{1}, limit, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if got, want := time.Since(begin), max(limit, 0); got != want {
					t.Errorf("ended after %v, want %v", got, want)
				}
			})
		})
	}
}

func TestFlightDeadCallerStartsNothing(t *testing.T) {
	var f Flight[int]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := f.Do(ctx, Key{1}, time.Minute, func(context.Context) (int, error) {
		t.Error("it ran")
		return 1, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFlightPassesOnResults(t *testing.T) {
	var f Flight[error] // an interface, whose zero value is nil
	for _, want := range []error{nil, errVerify} {
		got, _, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (error, error) { return want, want })
		if got != want || err != want { //nolint:errorlint // the very same error
			t.Errorf("got %v, %v; want %v twice", got, err, want)
		}
	}
}

func TestFlightPanicIsAnError(t *testing.T) {
	const secret = "a token"
	rows := []struct {
		name string
		fn   func()
		want string
	}{
		{"of the runtime", func() { var a []int; a[len(a)] = 1 }, "panic: runtime error: index out of range [0] with length 0"},
		{"with nil", func() { panic(nil) }, "panic: panic called with nil argument"},
		{"with a string", func() { panic(secret) }, "panic of type string"},
		{"with an error", func() { panic(errors.New(secret)) }, "panic of type *errors.errorString"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f Flight[int]
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						got, shared, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (int, error) {
							time.Sleep(time.Second)
							r.fn()
							return 1, nil
						})
						p, ok := errors.AsType[*PanicError](err)
						if !ok || got != 0 || !shared {
							t.Errorf("got %d, %t, %v", got, shared, err)
							return
						}
						if !strings.HasPrefix(err.Error(), r.want) || strings.Contains(err.Error(), secret) {
							t.Errorf("got %q, want %q", err, r.want)
						}
						if p.Value == nil || !strings.Contains(string(p.Stack), "flight_test.go") {
							t.Errorf("got value %v and stack %s", p.Value, p.Stack)
						}
					})
				}
				wg.Wait()
				if got, _, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (int, error) { return 2, nil }); got != 2 || err != nil {
					t.Errorf("after the panic: got %d, %v", got, err)
				}
			})
		})
	}
}

// A computation that ends its goroutine gives its callers nothing, but holds up
// neither them beyond their own time nor the next one.
func TestFlightGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight[int]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := f.Do(ctx, Key{1}, time.Minute, func(context.Context) (int, error) {
			runtime.Goexit()
			return 1, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got, _, err := f.Do(t.Context(), Key{1}, time.Minute, func(context.Context) (int, error) { return 2, nil }); got != 2 || err != nil {
			t.Errorf("next: got %d, %v", got, err)
		}
	})
}

package oidctest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// way is a way to reach a provider: over the network, or in process.
type way struct {
	name   string
	client *http.Client
	base   string
	p      *oidctest.Provider
}

// bothWays gives a provider on the network and one in process, to which the same
// must happen.
func bothWays(t *testing.T) []way {
	t.Helper()
	network, inProcess := newProvider(t, oidctest.Options{}), newProvider(t, oidctest.Options{})
	if err := network.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	// A connection for each request: on one that it has used before, a client would
	// try again after a Refuse, and the counts would differ.
	transport := &http.Transport{DisableKeepAlives: true}
	return []way{
		{"network", noRedirects(transport), network.Issuer(), network},
		{"in process", noRedirects(inProcess.Transport()), inProcess.Issuer(), inProcess},
	}
}

func noRedirects(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is an answer as a client sees it.
type reply struct {
	status int // 0 if there was no answer
	length int64
	header http.Header
	body   []byte // as far as it came
}

func get(t *testing.T, client *http.Client, url string) (reply, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(client, request)
}

func do(client *http.Client, request *http.Request) (reply, error) {
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.ContentLength, response.Header, data}, err
}

func TestFaultsBothWays(t *testing.T) {
	for _, w := range bothWays(t) {
		usual := string(w.p.KeySet())
		n := int64(len(usual))
		for _, row := range []struct {
			name   string
			fault  oidctest.Fault
			status int
			body   string
			length int64
			header string // a header that must be there, as name: value
			fails  error  // of reading the body
		}{
			{"none", oidctest.Fault{}, 200, usual, n, "Content-Type: application/jwk-set+json", nil},
			{"a status keeps the body", oidctest.Fault{Status: 500}, 500, usual, n, "Content-Type: application/jwk-set+json", nil},
			{"a body keeps the status", oidctest.Fault{Body: "oops", ContentType: "text/html"}, 200, "oops", 4, "Content-Type: text/html", nil},
			{"no content", oidctest.Fault{Status: 204}, 204, "", 0, "", nil},
			{"headers", oidctest.Fault{Status: 503, Body: "x", Header: map[string]string{"retry-after": "7"}}, 503, "x", 1, "Retry-After: 7", nil},
			{"a redirect", oidctest.Fault{Redirect: "http://elsewhere.test/"}, 302, "", 0, "Location: http://elsewhere.test/", nil},
			{"a redirect of another kind", oidctest.Fault{Redirect: "/x", Status: 308, Body: "moved"}, 308, "moved", 5, "Location: /x", nil},
			{"truncated", oidctest.Fault{Truncate: 10}, 200, usual[:10], n, "", io.ErrUnexpectedEOF},
			{"truncated behind its end", oidctest.Fault{Body: "{}", Truncate: 2}, 200, "{}", 2, "", nil},
			{"huge", oidctest.Fault{Huge: n + 70000}, 200, strings.Repeat(" ", 70000) + usual, -1, "", nil},
			{"less huge than the body", oidctest.Fault{Huge: n - 1}, 200, usual, n, "", nil},
			{"huge and truncated", oidctest.Fault{Huge: 1 << 40, Truncate: 5000}, 200, strings.Repeat(" ", 5000), -1, "", io.ErrUnexpectedEOF},
		} {
			w.p.Break(oidctest.JWKS, row.fault)
			got, err := get(t, w.client, w.base+"/jwks")
			if !errors.Is(err, row.fails) || got.status == 0 {
				t.Errorf("%s: %s: error: got %v, want %v", w.name, row.name, err, row.fails)
				continue
			}
			if got.status != row.status || got.length != row.length {
				t.Errorf("%s: %s: got status %d, length %d, want %d, %d", w.name, row.name, got.status, got.length, row.status, row.length)
			}
			if string(got.body) != row.body {
				t.Errorf("%s: %s: body: got %d bytes %.80q, want %d bytes %.80q", w.name, row.name, len(got.body), got.body, len(row.body), row.body)
			}
			if name, value, ok := strings.Cut(row.header, ": "); ok && got.header.Get(name) != value {
				t.Errorf("%s: %s: %s: got %q, want %q", w.name, row.name, name, got.header.Get(name), value)
			}
			if got.header.Get("Date") == "" {
				t.Errorf("%s: %s: no Date", w.name, row.name)
			}
		}
		w.p.Break(oidctest.JWKS, oidctest.Fault{Refuse: true})
		if _, err := get(t, w.client, w.base+"/jwks"); !errors.Is(err, io.EOF) {
			t.Errorf("%s: refused: got %v, want EOF", w.name, err)
		}
		w.p.Mend(oidctest.JWKS)
		if got, err := get(t, w.client, w.base+"/jwks"); err != nil || got.status != 200 || string(got.body) != usual {
			t.Errorf("%s: mended: got %d, %v, %q", w.name, got.status, err, got.body)
		}
		if got, want := w.p.Requests(oidctest.JWKS), 14; got != want {
			t.Errorf("%s: requests: got %d, want %d", w.name, got, want)
		}
		if got := w.p.Requests(oidctest.Discovery); got != 0 {
			t.Errorf("%s: requests for discovery: got %d, want none", w.name, got)
		}
	}
}

// A client that gives up ends a Hang, before the header and behind it.
func TestHangEndsWithTheClient(t *testing.T) {
	for _, w := range bothWays(t) {
		for i, row := range []struct {
			name  string
			fault oidctest.Fault
		}{
			{"no answer", oidctest.Fault{Hang: true}},
			{"half an answer", oidctest.Fault{Hang: true, Truncate: 9}},
			{"a long delay", oidctest.Fault{Delay: time.Hour, Refuse: true}},
		} {
			w.p.Break(oidctest.Discovery, row.fault)
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			if row.fault.Truncate == 0 {
				go func() {
					for w.p.Requests(oidctest.Discovery) <= i {
						time.Sleep(time.Millisecond)
					}
					giveUp()
				}()
			}
			request, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/.well-known/openid-configuration", nil)
			response, err := w.client.Do(request)
			if err == nil {
				defer response.Body.Close()
				if _, err := io.ReadFull(response.Body, make([]byte, row.fault.Truncate)); err != nil {
					t.Errorf("%s: %s: the part before the hang: %v", w.name, row.name, err)
				}
				giveUp()
				_, err = response.Body.Read(make([]byte, 1))
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %s: got %v, want %v", w.name, row.name, err, context.Canceled)
			}
		}
	}
}

// In a bubble the clock jumps, so these take no time.
func TestFaultsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, oidctest.Options{})
		client := &http.Client{Transport: p.Transport()}
		url := p.Issuer() + "/jwks"
		start := time.Now()
		elapsed := func(name string, want time.Duration) {
			t.Helper()
			if got := time.Since(start); got != want {
				t.Errorf("%s: took %v, want %v", name, got, want)
			}
			start = time.Now()
		}

		usual := string(p.KeySet())
		p.Break(oidctest.JWKS, oidctest.Fault{Delay: 3 * time.Second})
		go func() {
			time.Sleep(time.Second)
			p.AddKey("ES256", "too-late")
			p.Mend(oidctest.JWKS)
		}()
		if got, err := get(t, client, url); err != nil || string(got.body) != usual {
			t.Errorf("a delayed answer is as of its arrival: got %v, %s", err, got.body)
		}
		elapsed("delay", 3*time.Second)

		p.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if _, err := do(client, request); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang: got %v, want the deadline's error", err)
		}
		elapsed("hang", 5*time.Second)

		client.Timeout = 7 * time.Second
		if _, err := get(t, client, url); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang: got %v, want the client's time-out", err)
		}
		elapsed("hang until the client's time-out", 7*time.Second)

		p.Break(oidctest.JWKS, oidctest.Fault{Hang: true, Truncate: 4, Delay: time.Second})
		if got, err := get(t, client, url); got.status != 200 || len(got.body) != 4 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang in the body: got %q, %v, want 4 bytes and the client's time-out", got.body, err)
		}
		elapsed("hang in the body", 7*time.Second)
		client.Timeout = 0

		p.Break(oidctest.JWKS, oidctest.Fault{Refuse: true, Delay: 2 * time.Second})
		if _, err := get(t, client, url); !errors.Is(err, io.EOF) {
			t.Errorf("refuse: got %v, want EOF", err)
		}
		elapsed("refuse", 2*time.Second)

		p.Break(oidctest.JWKS, oidctest.Fault{Truncate: 11})
		if got, err := get(t, client, url); len(got.body) != 11 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("truncate: got %q, %v, want 11 bytes and an unexpected EOF", got.body, err)
		}

		p.Break(oidctest.JWKS, oidctest.Fault{Huge: 1 << 20})
		if got, err := get(t, client, url); err != nil || got.length != -1 || len(got.body) != 1<<20 || !bytes.Equal(bytes.TrimLeft(got.body, " "), p.KeySet()) {
			t.Errorf("huge: got %d bytes, %v, want 1 MiB that end with the key set", len(got.body), err)
		}
		elapsed("truncate and huge", 0)
		// The bubble panics if a goroutine were left now.
	})
}

// Closing the body ends a read that hangs in it, from another goroutine.
func TestClosingTheBodyEndsAHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, oidctest.Options{})
		p.Break(oidctest.JWKS, oidctest.Fault{Hang: true, Truncate: 1})
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Issuer()+"/jwks", nil)
		response, err := p.Transport().RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(response.Body)
			read <- err
		}()
		synctest.Wait()
		response.Body.Close()
		response.Body.Close()
		if err := <-read; !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("got %v, want %v", err, http.ErrBodyReadAfterClose)
		}
		if _, err := response.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read after close: got %v", err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	for _, w := range bothWays(t) {
		w.p.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		w.p.Break(oidctest.Discovery, oidctest.Fault{Huge: 1 << 50})
		failed := make(chan error)
		fetch := func(path string) {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+path, nil)
			response, err := w.client.Do(request)
			if err == nil {
				defer response.Body.Close()
				_, err = io.Copy(io.Discard, response.Body)
			}
			failed <- err
		}
		go fetch("/jwks")
		go fetch("/.well-known/openid-configuration")
		for w.p.Requests(oidctest.JWKS)+w.p.Requests(oidctest.Discovery) < 2 {
			time.Sleep(time.Millisecond)
		}
		w.p.Close()
		w.p.Close()
		for range 2 {
			if err := <-failed; err == nil {
				t.Errorf("%s: a request outlived Close", w.name)
			}
		}
		if _, err := get(t, w.client, w.base+"/jwks"); err == nil {
			t.Errorf("%s: a closed provider answers", w.name)
		}
		if err := w.p.Start("127.0.0.1:0"); err == nil {
			t.Errorf("%s: a closed provider starts", w.name)
		}
	}
}

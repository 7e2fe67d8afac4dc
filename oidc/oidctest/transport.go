package oidctest

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Transport answers requests in process, whatever host they name: for an
// [http.Client] without a network. It starts no goroutine. The provider and the
// client must live in the same [testing/synctest] bubble, or in none.
func (p *Provider) Transport() http.RoundTripper { return transport{p} }

type transport struct{ p *Provider }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !t.p.begin() {
		return nil, errClosed
	}
	defer t.p.busy.Done()
	received := r.Clone(ctx) // as a server sees it
	received.Method = cmp.Or(r.Method, http.MethodGet)
	received.Host = cmp.Or(r.Host, r.URL.Host)
	if received.Body == nil {
		received.Body = http.NoBody
	}
	a, err := t.p.respond(received)
	if err != nil {
		return nil, err
	}
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	response := &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		Body:          http.NoBody,
		ContentLength: a.length,
		Request:       r,
	}
	if a.send == 0 {
		response.ContentLength = 0 // also where nothing was announced
	} else if received.Method != http.MethodHead {
		response.Body = &body{p: t.p, ctx: ctx, answer: a, content: a.content(), closed: make(chan struct{})}
	}
	return response, nil
}

// body is an answer's body on its way to an in-process client.
type body struct {
	p       *Provider
	ctx     context.Context // of the request: it bounds the reading too
	answer  *answer
	content io.Reader

	once   sync.Once
	closed chan struct{}
}

func (b *body) Read(into []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, http.ErrBodyReadAfterClose
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	case <-b.p.done:
		return 0, errClosed
	default:
	}
	n, err := b.content.Read(into)
	if err != io.EOF || !b.answer.cut {
		return n, err
	}
	if b.answer.hangs {
		return n, b.p.hang(b.ctx, b.closed)
	}
	return n, io.ErrUnexpectedEOF
}

func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

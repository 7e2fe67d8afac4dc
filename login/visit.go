package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

// visit is one request on its way through an endpoint. What is known of it is filled
// in as it goes; its record is written once.
type visit struct {
	*Handler
	w         http.ResponseWriter
	r         *http.Request
	now       time.Time
	reference string // random: on the page, in the log, and the record's RequestID

	client   *client // nil as long as it isn't known
	returnTo string  // as returnAddress gave it; empty as long as it isn't known
	record   audit.Record
}

// endpoint answers, or gives the reason why it can't; then nothing was written yet.
type endpoint func(*visit) *audit.Refusal

func (h *Handler) serve(event audit.Event, answer endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.secureHeaders(w.Header())
		v := &visit{Handler: h, w: w, r: r, now: time.Now(), reference: rand.Text()[:10]}
		v.record = audit.Record{Event: event, Time: v.now, RequestID: v.reference, Method: r.Method, Host: r.Host, Path: r.URL.Path}
		defer func() {
			if fault := recover(); fault != nil {
				h.log.Error("panic", "reference", v.reference, "panic", kindOf(fault), "stack", string(debug.Stack()))
				v.fail(&audit.Refusal{Reason: audit.InternalError})
			}
		}()
		if refusal := answer(v); refusal != nil {
			v.fail(refusal)
		}
	})
}

// kindOf says of a panic's value what may be written down. It may hold a token, so its
// text is taken only where it is the runtime's own.
func kindOf(fault any) string {
	if err, ok := fault.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("of type %T", fault)
}

func refuse(reason audit.Reason, format string, values ...any) *audit.Refusal {
	return &audit.Refusal{Reason: reason, Detail: fmt.Sprintf(format, values...)}
}

// succeed writes the record of a login or a logout.
func (v *visit) succeed(subject string) {
	v.record.Allowed, v.record.Reason, v.record.Subject = true, audit.Allowed, subject
	v.writeRecord()
}

// note writes a refusal down, where an operator finds its cause by the reference.
func (v *visit) note(refusal *audit.Refusal) {
	write := v.log.Info
	switch refusal.Reason.Class() {
	case audit.ClassInternal:
		write = v.log.Error
	case audit.ClassUnavailable:
		write = v.log.Warn
	}
	write("login or logout refused", v.attrs(refusal)...)
	v.record.Reason, v.record.Detail = refusal.Reason, refusal.Detail
	v.writeRecord()
}

func (v *visit) attrs(refusal *audit.Refusal) []any {
	list := []any{slog.String("reference", v.reference), slog.String("reason", refusal.Reason.String())}
	if v.client != nil {
		list = append(list, slog.String("client", v.client.Name))
	}
	if refusal.Detail != "" {
		list = append(list, slog.String("detail", refusal.Detail))
	}
	if refusal.Err != nil {
		list = append(list, slog.Any("err", refusal.Err))
	}
	return list
}

func (v *visit) writeRecord() {
	if v.record.Event == unaudited {
		return
	}
	if v.client != nil {
		v.record.Client, v.record.Provider = v.client.Name, v.client.Provider
	}
	v.record.Took = time.Since(v.now)
	v.audit.Write(&v.record)
}

// cookies are the request's Cookie lines.
func (v *visit) cookies() iter.Seq[string] { return slices.Values(v.r.Header["Cookie"]) }

// live is the browser's session of the client, or nil. The refusal says that this
// can't be known now.
func (v *visit) live(c *client) (*session.Record, *audit.Refusal) {
	record, _, refusal := v.look(c)
	return record, refusal
}

// look is live, and says whether the browser has cookies of a session that may be
// alive although they aren't accepted: two sessions at once, or one that another key
// or a newer replica sealed. A session that is over is none.
func (v *visit) look(c *client) (record *session.Record, unaccepted bool, refusal *audit.Refusal) {
	record, refusal = v.sessions.Peek(v.r.Context(), c.Name, v.cookies(), v.now)
	if refusal == nil {
		return record, false, nil
	}
	switch refusal.Reason {
	case audit.NoCredential, audit.SessionExpired, audit.SessionRevoked:
		return nil, false, nil
	}
	switch refusal.Reason.Class() {
	case audit.ClassUnavailable, audit.ClassInternal:
		return nil, false, refusal
	default:
		return nil, true, nil
	}
}

// bindingName is what the binding cookie is called, and bound into its seal.
const bindingName = "binding"

// binding is what the browser's binding cookie holds, or nil.
func (v *visit) binding() *binding {
	value := v.sessions.CookieValue(bindingName, v.cookies())
	if value == "" || len(value) > 4*bindingSize {
		return nil
	}
	plain, err := v.ring.Open(session.PurposeBinding, bindingName, value)
	if err != nil {
		return nil
	}
	b, _ := parseBinding(plain)
	return b
}

func (v *visit) setBinding(b *binding) {
	value := v.ring.Seal(session.PurposeBinding, bindingName, b.bytes())
	v.w.Header().Add("Set-Cookie", v.sessions.Cookie(bindingName, value, bindingLife, v.sameSite))
}

const (
	maxParameters     = 64       // how many
	maxParameterBytes = 16 << 10 // of all together: a state and a code, and twice that
)

// parameters reads the query of a GET, or the form of a POST, each of them once;
// one that comes twice is refused, whichever it is (RFC 6749, 3.1). Those that
// nobody asks for are left alone, as RFC 6749, 4.1.2 and OpenID Connect Core 1.0, 4
// want it.
func (v *visit) parameters() (map[string]string, *audit.Refusal) {
	text := v.r.URL.RawQuery
	if v.r.Method == http.MethodPost {
		if text != "" {
			return nil, refuse(audit.LoginMalformed, "a POST has a query besides its form")
		}
		var err error
		if text, err = v.form(); err != nil {
			return nil, &audit.Refusal{Reason: audit.LoginMalformed, Err: err}
		}
	}
	if len(text) > maxParameterBytes || strings.Count(text, "&") >= maxParameters {
		return nil, refuse(audit.LoginMalformed, "more than %d parameters, or more than %d bytes of them", maxParameters, maxParameterBytes)
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, refuse(audit.LoginMalformed, "the parameters can't be read") // err quotes them
	}
	list := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) > 1 {
			return nil, refuse(audit.LoginMalformed, "the parameter %.40q is there %d times", name, len(v))
		}
		list[name] = v[0]
	}
	return list, nil
}

func (v *visit) form() (string, error) {
	if media, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return "", errors.New("the body isn't application/x-www-form-urlencoded")
	}
	data, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxParameterBytes))
	return string(data), err
}

// detached is for work that is finished although the browser may go away.
func (v *visit) detached(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(v.r.Context()), limit)
}

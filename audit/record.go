package audit

import (
	"log/slog"
	"strings"
	"time"
)

// Event says what a record is about.
type Event uint8

// The events. The zero Event is a decision about a request.
const (
	Decision   Event = iota
	Login            // a session began, or a login came to nothing
	Logout           // a session was ended by its person
	Refresh          // a session's tokens were renewed, or it ended because they couldn't be
	Revocation       // an operator ended what a subject, a session, a token or a client has

	eventCount // keep last
)

// String is the message of the audit line, and a metric's label.
func (e Event) String() string {
	return [eventCount]string{"decision", "login", "logout", "refresh", "revocation"}[min(e, eventCount-1)]
}

// Record is one decision, or one event of a session, as it is written down. It
// holds no token, no header value and no query string.
type Record struct {
	Event     Event
	Time      time.Time
	RequestID string // the proxy's, to find its own log line; a page's reference number
	Method    string
	Host      string
	Path      string // without query
	Rule      string // empty where none matched
	Allowed   bool
	Reason    Reason
	Detail    string
	Provider  string
	Subject   string
	ClientID  string
	Client    string // of the configuration, whose session it is; empty for a bearer
	Cached    bool   // the token's verdict was remembered
	Took      time.Duration

	// LeftOut is how many allowed requests of the same subject and rule weren't
	// written since the last one that was (see [AllowsSampled]).
	LeftOut uint64
}

// Foreign text is bounded before it waits to be written: a path may be 60 KB.
const maxText = 512

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + "…"
}

// kept is the record with copies of the strings that come from outside, clipped.
func (r *Record) kept() *Record {
	c := *r
	for _, text := range [...]*string{&c.RequestID, &c.Method, &c.Host, &c.Path, &c.Detail, &c.Subject, &c.ClientID} {
		*text = strings.Clone(clip(*text))
	}
	return &c
}

func (r *Record) attrs(list []slog.Attr) []slog.Attr {
	judged := r.Event != Revocation // there a request is carried out, not judged
	if judged {
		verdict := "deny"
		if r.Allowed {
			verdict = "allow"
		}
		list = append(list, slog.String("verdict", verdict), slog.String("reason", r.Reason.String()))
	}
	for _, text := range [...]struct{ key, value string }{
		{"rule", r.Rule}, {"method", r.Method}, {"host", r.Host}, {"path", r.Path}, {"provider", r.Provider},
		{"subject", r.Subject}, {"client_id", r.ClientID}, {"client", r.Client}, {"request_id", r.RequestID}, {"detail", r.Detail},
	} {
		if text.value != "" {
			list = append(list, slog.String(text.key, text.value))
		}
	}
	if r.Cached {
		list = append(list, slog.Bool("cached", true))
	}
	if r.LeftOut > 0 {
		list = append(list, slog.Uint64("left_out", r.LeftOut))
	}
	if judged {
		list = append(list, slog.Int64("took_us", r.Took.Microseconds()))
	}
	return list
}

package audit

import (
	"log/slog"
	"strings"
	"time"
)

// Record is one decision, as it is written down. It holds no token, no header
// value and no query string.
type Record struct {
	Time      time.Time
	RequestID string // the proxy's, to find its own log line
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
	Cached    bool // the token's verdict was remembered
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
func (r *Record) kept() Record {
	c := *r
	for _, text := range [...]*string{&c.RequestID, &c.Method, &c.Host, &c.Path, &c.Detail, &c.Subject, &c.ClientID} {
		*text = strings.Clone(clip(*text))
	}
	return c
}

func (r *Record) attrs(list []slog.Attr) []slog.Attr {
	verdict := "deny"
	if r.Allowed {
		verdict = "allow"
	}
	list = append(list, slog.String("verdict", verdict), slog.String("reason", r.Reason.String()))
	for _, text := range [...]struct{ key, value string }{
		{"rule", r.Rule}, {"method", r.Method}, {"host", r.Host}, {"path", r.Path}, {"provider", r.Provider},
		{"subject", r.Subject}, {"client_id", r.ClientID}, {"request_id", r.RequestID}, {"detail", r.Detail},
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
	return append(list, slog.Int64("took_us", r.Took.Microseconds()))
}

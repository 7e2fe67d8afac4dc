package authz

import (
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/credence-authz/credence/audit"
)

// Header is a header line. Names are in lower case, as Envoy gives them.
type Header struct{ Name, Value string }

// Request is the request that is to be judged, as the proxy describes it and
// free of any transport. A front fills in the exported fields as they came and
// judges nothing; [Engine.Decide] normalises them once.
type Request struct {
	ID     string // correlates log lines with the proxy's; may be empty
	Method string
	Scheme string
	Host   string // authority: a name or address, with or without port
	Target string // path and query as sent, still escaped

	// Headers in the order they came, a name once for each line. Envoy joins lines
	// of one name by commas unless it is told to send them raw.
	Headers []Header

	// Certificate is the client's, where the proxy asked for one: PEM, URL-encoded.
	Certificate string

	// ContextExtensions are the proxy's own words about the route (Envoy's
	// check_settings.context_extensions): configuration, not the client's.
	ContextExtensions []Header

	Time time.Time // when it is judged; zero means now

	host      string // lower case, without port and final dot
	path      string // without query, escapes decoded once
	query     string // without the question mark
	ambiguous bool   // path has more than one reading

	// Memory for a Decision's Set, the texts in it and Remove, kept from one use to
	// the next.
	set    []Header
	text   []byte
	remove []string
}

// Values yields the value of each line of a header; name is in lower case.
func (r *Request) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range r.Headers {
			if r.Headers[i].Name == name && !yield(r.Headers[i].Value) {
				return
			}
		}
	}
}

// First is the value of a header's first line, else empty.
func (r *Request) First(name string) string {
	for v := range r.Values(name) {
		return v
	}
	return ""
}

// Path is the request's path without query, its escapes decoded once; what the
// rules were matched with. It is empty before the request was decided.
func (r *Request) Path() string { return r.path }

// isGRPC says whether the caller speaks gRPC: Envoy then turns the denial's
// status into a grpc-status and its body into grpc-message.
func (r *Request) isGRPC() bool {
	// Not application/grpc-web, which is answered as any other request.
	rest, ok := strings.CutPrefix(r.First("content-type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// The longest method and host, and the most header lines and context extensions,
// that are looked at; all have far lower limits in every proxy.
const (
	maxLines  = 1024
	maxMethod = 32
	maxHost   = 255 + len(":65535")
)

// normalise fills in what the rules match, or says why the request can't be
// understood. Nothing here is ever forwarded: the proxy sends on what it has.
func (r *Request) normalise() *audit.Refusal {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	if len(r.Headers)+len(r.ContextExtensions) > maxLines {
		return refuse(audit.MalformedRequest, "more header lines than any proxy lets through")
	}
	// Methods are case-sensitive (RFC 9110, 9.1) and all known ones are capitals,
	// but some applications read delete as DELETE, which a rule doesn't.
	if r.Method == "" || len(r.Method) > maxMethod || !isToken(r.Method) || hasLower(r.Method) {
		return refuse(audit.MalformedRequest, "the method is missing, malformed or in small letters")
	}
	var ok bool
	if r.host, ok = splitHost(r.Host); !ok {
		return refuse(audit.MalformedHost, "")
	}
	raw, query, _ := strings.Cut(r.Target, "?")
	r.query = query
	if r.path, r.ambiguous, ok = readPath(raw); !ok {
		return refuse(audit.MalformedRequest, "the path is missing, doesn't begin with a slash, or holds control bytes")
	}
	return nil
}

// splitHost takes the port off an authority and folds its case. One that isn't a
// plain name or address is refused: two Host lines arrive as "a,b", and user
// information or a path would make another reader see another host.
func splitHost(authority string) (host string, ok bool) {
	if authority == "" || len(authority) > maxHost {
		return "", false
	}
	host = authority
	if host[0] == '[' {
		end := strings.IndexByte(host, ']')
		if end < 0 || !isPort(host[end+1:]) {
			return "", false
		}
		host = host[:end+1]
		for _, c := range []byte(host[1:end]) {
			if !isHex(c) && c != ':' && c != '.' {
				return "", false
			}
		}
		return lower(host), end > 1
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 {
		if !isPort(host[colon:]) {
			return "", false
		}
		host = host[:colon]
	}
	if strings.Contains(host, "..") {
		return "", false
	}
	host = strings.TrimSuffix(host, ".")
	for _, c := range []byte(host) {
		if !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return "", false
		}
	}
	return lower(host), host != "" && host[0] != '.'
}

// isPort says whether s is empty or a colon and digits.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) == 1 || len(s) > len(":65535") {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// readPath decodes a path's escapes once, which is how an application will read
// it. ambiguous says that a reader may see another path: an escaped slash,
// backslash or control byte, an escaped ? or # (whoever decodes before taking the
// query off sees the path end there), what is an escape again once decoded, a
// semicolon (path parameters), an empty or a dot segment, bytes that aren't UTF-8,
// or a broken escape. ok is false where it isn't a path at all.
func readPath(raw string) (path string, ambiguous, ok bool) {
	if raw == "" || raw[0] != '/' {
		return "", false, false
	}
	plain := true
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c == 0x7f || c == '#':
			return "", false, false
		case c == '%' || c >= utf8.RuneSelf:
			plain = false
		case c == '\\' || c == ';':
			ambiguous = true
		}
	}
	if plain {
		return raw, ambiguous || hasOddSegment(raw), true
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			b = append(b, c)
			continue
		}
		if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
			ambiguous = true
			b = append(b, c)
			continue
		}
		c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
		i += 2
		if c == '/' || c == '\\' || c == ';' || c == '?' || c == '#' || c < ' ' || c == 0x7f {
			ambiguous = true
		}
		b = append(b, c)
	}
	path = string(b)
	return path, ambiguous || hasEscape(path) || hasOddSegment(path) || !utf8.ValidString(path), true
}

// hasEscape finds what a second decoding would change. It looks at the decoded
// path, because each byte of the inner escape may have been escaped itself.
func hasEscape(path string) bool {
	for i := 0; i+2 < len(path); i++ {
		if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {
			return true
		}
	}
	return false
}

// hasOddSegment finds an empty segment before the last, or a dot segment.
func hasOddSegment(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i+1 == len(path) {
			continue
		}
		switch rest := path[i+1:]; {
		case rest[0] == '/':
			return true
		case rest[0] == '.':
			rest = rest[1:]
			if rest != "" && rest[0] == '.' {
				rest = rest[1:]
			}
			if rest == "" || rest[0] == '/' {
				return true
			}
		}
	}
	return false
}

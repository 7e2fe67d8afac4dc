package login

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxReturnAddress is the longest return address, in bytes as it is sent.
const maxReturnAddress = 2 << 10

// returnAddress judges where somebody wants to be after a login: an absolute http
// or https address on one of the origins, which are written as splitOrigin gives
// them. What comes out was put together again from parts, and a browser, a proxy
// and Go read it alike; false means that it leads somewhere else or can be read in
// two ways.
//
// Browsers read addresses by the WHATWG's URL standard, which forgives a lot:
// tabs and newlines vanish, a backslash is a slash, any number of slashes may follow
// the scheme, user information ends at the last @, hosts are decoded and folded,
// and %2e is a dot. Nobody who means well sends such an address, so all that is
// refused rather than followed. An address that is too long becomes its origin's
// root, and a fragment is dropped: it would come after the session's start all the
// same, but no server ever sees it.
func returnAddress(origins []string, raw string) (address string, ok bool) {
	raw = strings.Trim(raw, " ") // as browsers do
	// A control character is dropped by browsers, or can't be in a header.
	if strings.IndexFunc(raw, func(u rune) bool { return u < ' ' || u == 0x7f }) >= 0 {
		return "", false
	}
	origin, rest, ok := splitOrigin(raw)
	if !ok || !slices.Contains(origins, origin) {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	if hasDotSegment(path) || strings.IndexByte(path, '\\') >= 0 {
		return "", false
	}
	if len(origin)+len(rest) > maxReturnAddress {
		return origin + "/", true
	}
	b := append(make([]byte, 0, len(raw)+1), origin...)
	if path == "" {
		b = append(b, '/')
	}
	b = appendEscaped(b, path)
	if hasQuery {
		b = appendEscaped(append(b, '?'), query)
	}
	if len(b) > maxReturnAddress {
		return origin + "/", true
	}
	return string(b), true
}

// splitOrigin takes the origin off an absolute address and writes it as a browser
// does: in small letters, without the scheme's own port (RFC 6454, 6.2). A host is
// plain ASCII, so a name of other letters has to be given as punycode, as browsers
// send it.
func splitOrigin(raw string) (origin, rest string, ok bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return "", "", false
	}
	var ownPort uint64
	switch {
	case equalFold(scheme, "https"):
		scheme, ownPort = "https", 443
	case equalFold(scheme, "http"):
		scheme, ownPort = "http", 80
	default:
		return "", "", false
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, rest = rest[:end], rest[end:]
	} else {
		rest = ""
	}
	host, port, hasPort := cutPort(authority)
	host, ok = canonicalHost(host)
	if !ok {
		return "", "", false
	}
	origin = scheme + "://" + host
	if !hasPort || port == "" {
		return origin, rest, true
	}
	if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return "", "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", "", false
	}
	if n != ownPort {
		origin += ":" + strconv.FormatUint(n, 10)
	}
	return origin, rest, true
}

// cutPort splits an authority at the colon that isn't in brackets.
func cutPort(authority string) (host, port string, found bool) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 {
		return authority, "", false
	}
	return authority[:i], authority[i+1:], true
}

// canonicalHost takes a name of letters, digits, hyphens, underscores and dots, an
// IPv4 address in four decimal parts, or an IPv6 address in brackets. Everything
// else that a browser could make a host of is refused: @, %, other letters, and
// numbers such as 0x7f.1 and 2130706433, which it takes for addresses.
func canonicalHost(host string) (string, bool) {
	if inner, found := strings.CutPrefix(host, "["); found {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !a.Is6() || a.Is4In6() || a.Zone() != "" {
			return "", false
		}
		return "[" + a.String() + "]", true
	}
	if host == "" || len(host) > 253 {
		return "", false
	}
	for _, c := range []byte(host) {
		if !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return "", false
		}
	}
	host = strings.ToLower(host)
	if endsInNumber(host) {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return "", false
		}
	}
	return host, true
}

// endsInNumber says whether a browser takes the host for an IPv4 address: its last
// label, but for an empty one, is a number in any notation.
func endsInNumber(host string) bool {
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if hex, found := strings.CutPrefix(last, "0x"); found {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// equalFold compares with an ASCII word in small letters; strings.EqualFold would
// take the Kelvin sign for a k and the long s for an s.
func equalFold(s, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// hasDotSegment says whether a part of the path is . or .. in any spelling.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if len(segment) > len("%2e%2e") {
			continue
		}
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return true
		}
	}
	return false
}

// appendEscaped appends a part of an address as RFC 3986 allows it: what may not
// stand there, and a percent sign that escapes nothing, is percent-encoded. Brackets
// are left, as everybody sends them.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 || strings.IndexByte(" \"<>\\^`{|}", c) >= 0 || c == '%' && !escapes(s[i:]) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func escapes(s string) bool {
	return len(s) >= 3 && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}

// ownAddress is an address of ours with these parameters, in this order; those
// without a value are left out.
func ownAddress(base string, parameters ...[2]string) string {
	var b strings.Builder
	b.WriteString(base)
	separator := byte('?')
	for _, p := range parameters {
		if p[1] == "" {
			continue
		}
		b.WriteByte(separator)
		b.WriteString(p[0])
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p[1]))
		separator = '&'
	}
	return b.String()
}

package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checkURL reports what is wrong with a URL that Credence compares, fetches or
// publishes. The URL itself never stands in a message: it may hold a password.
func (c *checker) checkURL(field, raw string, query bool) {
	_, after, _ := strings.Cut(raw, "://")
	authority := after
	if i := strings.IndexAny(after, "/?#"); i >= 0 {
		authority = after[:i]
	}
	u, err := url.Parse(raw)
	switch {
	case strings.Contains(authority, "@"):
		c.errorf(field, "holds a user name or password; remove everything up to the @ after https://")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
		c.errorf(field, "holds a space or a character that isn't ASCII; write it escaped, or a name in its xn-- form")
	case strings.Contains(raw, "#"):
		c.errorf(field, "has a fragment; remove the # and what follows it")
	case !query && strings.Contains(raw, "?"):
		c.errorf(field, "has a query; remove the ? and what follows it")
	case err != nil || u.Host == "" || u.Hostname() == "" || !isPortText(u.Port()):
		c.errorf(field, "isn't an absolute URL; write one such as https://login.example.com/path")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		c.errorf(field, "uses http, which can be read and changed on the way; write https (http is for loopback addresses)")
	case u.Scheme != "https" && u.Scheme != "http":
		c.errorf(field, "has the scheme %s; write https", quote(u.Scheme))
	}
}

// isLoopback says whether a host, without brackets, is this machine whatever a
// name service says.
func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost"
}

// isPortText says whether s is a port that can be connected to, or empty.
func isPortText(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

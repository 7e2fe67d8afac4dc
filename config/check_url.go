package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checkURL reads a URL that Credence compares, fetches, publishes or sends browsers
// to, or reports what is wrong with it and gives nil; local says which hosts http is
// for. The URL itself never stands in a message: it may hold a password.
func (c *checker) checkURL(field, raw string, query bool, local func(host string) bool) *url.URL {
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
		c.errorf(field, "isn't an absolute URL; write one such as https://login.example.com")
	case u.Scheme == "http" && !local(u.Hostname()):
		c.errorf(field, "uses http, which can be read and changed on the way; write https (http is for loopback addresses)")
	case u.Scheme != "https" && u.Scheme != "http":
		c.errorf(field, "has the scheme %s; write https", quote(u.Scheme))
	default:
		return u
	}
	return nil
}

// checkBrowserHost reads the host of a URL that browsers are at, as rules write
// hosts, or reports that it isn't one.
func (c *checker) checkBrowserHost(field string, u *url.URL) (host string, ok bool) {
	host = hostOf(u)
	if !strings.HasPrefix(host, "[") && !isHostname(host) {
		c.errorf(field, "has the host %s, which isn't a name or an address; write one host, such as app.example.com", quote(host))
		return "", false
	}
	return host, true
}

// hostOf is a URL's host as rules write it: lower case, an IPv6 address in brackets
// and in its shortest form.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + ip.WithZone("").String() + "]"
	}
	return host
}

// originOf is a URL's origin as browsers write it (RFC 6454, 6.2): without the port
// that the scheme has anyway.
func originOf(u *url.URL) string {
	origin := u.Scheme + "://" + hostOf(u)
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || u.Scheme == "https" && n == 443 || u.Scheme == "http" && n == 80 {
		return origin
	}
	return origin + ":" + strconv.FormatUint(n, 10)
}

// isLoopback says whether a host, without brackets, is this machine whatever a
// name service says.
func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost"
}

// isLocalToBrowsers says whether browsers take a host for their own machine, ask no
// name service about it, and so keep Secure cookies for it over http.
func isLocalToBrowsers(host string) bool {
	return isLoopback(host) || strings.HasSuffix(host, ".localhost")
}

// isPortText says whether s is a port that can be connected to, or empty.
func isPortText(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

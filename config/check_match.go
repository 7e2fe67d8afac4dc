package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) match(at string, m *configv1.Match, ambiguous configv1.AmbiguousPaths) {
	for i, host := range m.GetHosts() {
		c.host(fmt.Sprintf("%s.hosts[%d]", at, i), host)
	}
	for i, path := range m.GetPaths() {
		c.path(fmt.Sprintf("%s.paths[%d]", at, i), path, ambiguous == configv1.AmbiguousPaths_AMBIGUOUS_PATHS_ALLOW)
	}
	for _, name := range sortedKeys(m.GetHeaders()) {
		c.matchHeader(fmt.Sprintf("%s.headers[%q]", at, name), name, m.GetHeaders()[name])
	}
}

// host checks a pattern against what a request's host can be: lower case, without
// port and final dot, an IPv6 address in brackets.
func (c *checker) host(field, host string) {
	name, wild := strings.CutPrefix(host, "*.")
	switch inner := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"); {
	case strings.Contains(host, "/"):
		c.errorf(field, "%s is more than a host; write the name alone, such as app.example.com", quote(host))
	case host == "*":
		c.errorf(field, "every host is meant by leaving hosts out; remove the line")
	case strings.Contains(name, "*"):
		c.errorf(field, `%s has a * that isn't "*." at the front; write such as "*.example.com", which stands for every name below`, quote(host))
	case host != strings.ToLower(host):
		c.errorf(field, "%s has capitals, and hosts are compared in lower case; write %s", quote(host), quote(strings.ToLower(host)))
	case isIPv6(inner):
		if host != "["+inner+"]" {
			c.errorf(field, "%s is an IPv6 address; write it in brackets: %q", quote(host), "["+inner+"]")
		}
	case hasPort(host):
		c.errorf(field, "%s has a port, and hosts are compared without; write the name alone", quote(host))
	case strings.HasSuffix(host, "."):
		c.errorf(field, "%s ends in a dot, and hosts are compared without; remove it", quote(host))
	case !isHostname(name) || wild && isIPv4(name):
		c.errorf(field, "%s isn't a host name or address; write such as app.example.com, a name with other letters in its xn-- form", quote(host))
	}
}

func hasPort(host string) bool {
	i := strings.LastIndexByte(host, ':')
	return i >= 0 && strings.Trim(host[i+1:], "0123456789") == ""
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6() && ip.Zone() == ""
}

func isIPv4(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is4()
}

// isHostname says whether s is labels of letters, digits, - and _, by dots
// apart, in the lengths of DNS (RFC 1035, 2.3.4).
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// path checks a pattern against what a request's path can be once its escapes
// are decoded; ambiguous says that the rule takes odd ones too.
func (c *checker) path(field, path string, ambiguous bool) {
	segments := strings.Split(strings.TrimSuffix(path, "/**"), "/")
	switch i := strings.IndexByte(path, '%'); {
	case !strings.HasPrefix(path, "/"):
		c.errorf(field, `%s doesn't begin with "/"; write %s`, quote(path), quote("/"+path))
	case strings.ContainsAny(path, "?#"):
		c.errorf(field, "%s has a query or fragment, and paths are compared without; remove what begins with ? or #", quote(path))
	case i >= 0 && isEscape(path[i:]):
		c.errorf(field, "%s has the escape %q, and paths are compared with escapes decoded; write the character itself", quote(path), path[i:i+3])
	case strings.Contains(path, "//"):
		c.errorf(field, `%s has "//"; write one slash`, quote(path))
	case slices.Contains(segments, ".") || slices.Contains(segments, ".."):
		c.errorf(field, "%s has a . or .. segment; write the path that it leads to", quote(path))
	case slices.ContainsFunc(segments, hasOddStar):
		c.errorf(field, `%s has a * that isn't a whole segment; write "/*/" for one segment, or "/**" at the end for everything below`, quote(path))
	case !ambiguous && strings.ContainsAny(path, `\;`):
		c.errorf(field, `%s has a \ or ;, which no request has on a rule without ambiguous_paths: allow; remove it`, quote(path))
	case strings.ContainsAny(path, "{}") || strings.Contains(path, "/:"):
		c.warnf(field, "%s is compared letter by letter; for any one segment write *", quote(path))
	}
}

func isEscape(s string) bool {
	return len(s) >= 3 && strings.Trim(s[1:3], "0123456789abcdefABCDEF") == ""
}

func hasOddStar(segment string) bool { return segment != "*" && strings.Contains(segment, "*") }

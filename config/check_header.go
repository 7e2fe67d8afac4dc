package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Why Credence sets no header of a name. Envoy takes nearly every one: some break
// the request (a content-length makes it hang), some send it elsewhere, and some
// make the application believe what nobody checked.
const (
	framing     = "it belongs to the connection or to the message's frame, and setting it breaks the request"
	routing     = "it says where the request goes, which is the proxy's to decide"
	clientAddr  = "it is the proxy's word about the client, and applications believe it"
	credentials = "it holds credentials, not a fact about who they belong to"
	description = "it describes the application's body, which Credence doesn't see"
	ownAnswer   = "it belongs to answers that deny"
)

// forbidden are the names that a kind of header may not have, and why. A name
// that ends in * stands for all that begin so.
type forbidden map[string]string

var hopByHop = forbidden{
	"connection": framing, "content-length": framing, "expect": framing, "http2-settings": framing,
	"keep-alive": framing, "proxy-*": framing, "te": framing, "trailer": framing,
	"transfer-encoding": framing, "upgrade": framing, "x-envoy-*": routing,
}

var requestHeaders = merge(hopByHop, forbidden{
	"host": routing, "x-http-method*": routing, "x-method-override": routing, "x-rewrite-url": routing,
	"x-original-host": routing, "x-original-method": routing, "x-original-uri": routing, "x-original-url": routing,
	"forwarded": clientAddr, "x-forwarded-client-cert": clientAddr, "x-forwarded-for": clientAddr, "x-forwarded-host": clientAddr,
	"x-forwarded-port": clientAddr, "x-forwarded-proto": clientAddr, "x-real-ip": clientAddr,
	"authorization": credentials, "cookie": credentials,
})

var responseHeaders = merge(hopByHop, forbidden{
	"content-encoding": description, "content-range": description, "content-type": description,
	"location": ownAnswer, "www-authenticate": ownAnswer,
	"set-cookie": credentials, "set-cookie2": credentials,
})

func merge(a, b forbidden) forbidden {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// why is the reason why a header can't be set, or empty.
func (f forbidden) why(name string) string {
	if reason, ok := f[name]; ok {
		return reason
	}
	for pattern, reason := range f {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(name, prefix) {
			return reason
		}
	}
	return ""
}

// setHeaders checks the names of headers that a rule sets. Two names that a
// CGI-like application reads as one (x-user-id and x_user_id) can't both be set.
func (c *checker) setHeaders(at string, headers map[string]string, not forbidden) {
	folded := map[string]string{}
	for _, name := range sortedKeys(headers) {
		field := fmt.Sprintf("%s[%q]", at, name)
		if !c.headerName(field, name) {
			continue
		}
		if why := not.why(name); why != "" {
			c.errorf(field, "can't be set: %s; choose another name", why)
			continue
		}
		fold := strings.Map(foldPunctuation, name)
		if other, ok := folded[fold]; ok {
			c.errorf(field, "is the same name as %s to an application that reads headers as variables; remove one of them", other)
			continue
		}
		folded[fold] = name
	}
}

// headerEndings checks what the names of request headers that a rule sets end in: a proxy
// looks for that, to send those that a client forged (see authz.HeadersRead).
func (c *checker) headerEndings(at string, headers map[string]string) {
	for _, name := range sortedKeys(headers) {
		if last := name[max(len(name)-1, 0):]; strings.Map(foldPunctuation, strings.ToLower(last)) == "_" {
			c.errorf(fmt.Sprintf("%s[%q]", at, name), "ends in %q; end it in a letter or a digit, as a proxy that looks for its spellings knows them by their last word", last)
		}
	}
}

func foldPunctuation(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// matchHeader checks a header that requests are chosen by.
func (c *checker) matchHeader(field, name, value string) {
	switch {
	case !c.headerName(field, name):
	case name == "authorization" || name == "cookie":
		c.errorf(field, "a rule isn't chosen by a credential, and this file holds no secrets; say under bearer who is let in")
	case name == "host":
		c.errorf(field, "the host isn't matched as a header; write it under hosts")
	case strings.TrimSpace(value) != value:
		c.errorf(field, "begins or ends with a space, which no header's value does; remove it")
	}
}

// headerName says whether name is a header's, in the spelling that Envoy gives:
// a token (RFC 9110, 5.6.2) in lower case.
func (c *checker) headerName(field, name string) bool {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	switch {
	case strings.HasPrefix(name, ":"):
		c.errorf(field, "is a pseudo-header; use hosts, paths and methods to match, and another name to set")
	case strings.Trim(strings.ToLower(name), token) != "":
		c.errorf(field, "isn't the name of a header; write letters, digits and -")
	case strings.ToLower(name) != name:
		c.errorf(field, "has capitals; write %s", strings.ToLower(name))
	default:
		return true
	}
	return false
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

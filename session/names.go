package session

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultName = "credence"

	// maxChunks is how many cookies a session may fill: 23 KB, which proxies have to
	// be told to let through.
	maxChunks = 6

	// maxCookie bounds name and value of a cookie that is set. Browsers take 4,096
	// bytes with the = between them (RFC 6265bis, 5.6).
	maxCookie = 3900

	// maxValue bounds the value of a cookie that is read.
	maxValue = 4096

	// maxAge is the longest that browsers keep a cookie (RFC 6265bis, 5.5).
	maxAge = 400 * 24 * time.Hour
)

// CookieOptions are about the cookies of sessions.
type CookieOptions struct {
	// Name is what all names begin with, after __Host- or __Secure-: letters,
	// digits, _ and -, 32 at most. Empty means credence.
	Name string

	// Domain has sessions sent to all hosts below it. Empty: to one host only.
	Domain string

	SameSite    http.SameSite // zero means Lax
	Partitioned bool          // in pages of other sites; needs SameSite None
	Persistent  bool          // kept when the browser is closed
}

// jar is what is the same about all session cookies of one client.
type jar struct {
	client string

	// names are of the session's first cookie and of its further chunks:
	// __Host-credence.web, __Host-credence.web.1 and so on.
	names [maxChunks]string

	// bound is what a session in so many cookies is sealed with; 0 is one that is in
	// the store. A zero byte is in no name, so no two are alike.
	bound [maxChunks + 1][]byte
}

func newJar(prefix, client string) *jar {
	if !isName(client) {
		panic("session: a client's name has to be of letters, digits, _ and -")
	}
	j := &jar{client: client}
	for i := range j.names {
		j.names[i] = prefix + "." + client
		if i > 0 {
			j.names[i] += "." + strconv.Itoa(i)
		}
	}
	for i := range j.bound {
		j.bound[i] = append([]byte(j.names[0]), 0, byte('0'+i))
	}
	return j
}

// room is how many bytes of a sealed session the i-th cookie takes.
func (j *jar) room(i int) int { return maxCookie - len(j.names[i]) }

// isName says whether s is something that is put into a cookie's name.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != ""
}

// complete fills in what is left out, and finds what browsers would refuse.
func (o *CookieOptions) complete() error {
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.SameSite == 0 {
		o.SameSite = http.SameSiteLaxMode
	}
	switch {
	case len(o.Name) > 32 || !isName(o.Name):
		return fmt.Errorf("session: cookie name %q has to be at most 32 letters, digits, _ and -", o.Name)
	case !isDomain(o.Domain):
		return fmt.Errorf("session: cookie domain %q has to be a host name without port or leading dot", o.Domain)
	case sameSiteAttributes[o.SameSite] == "":
		return fmt.Errorf("session: cookie same_site %d has to be lax, strict or none", o.SameSite)
	case o.Partitioned && o.SameSite != http.SameSiteNoneMode:
		return fmt.Errorf("session: partitioned cookies need same_site none")
	}
	return nil
}

func isDomain(s string) bool {
	if s == "" {
		return true
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isName(label) {
			return false
		}
	}
	return len(s) <= 253
}

var sameSiteAttributes = map[http.SameSite]string{
	http.SameSiteLaxMode:    "; SameSite=Lax",
	http.SameSiteStrictMode: "; SameSite=Strict",
	http.SameSiteNoneMode:   "; SameSite=None",
}

const (
	hostPrefix   = "__Host-"   // browsers take it only with Secure, Path=/ and without Domain
	securePrefix = "__Secure-" // only with Secure
)

func (o *CookieOptions) prefix() string {
	if o.Domain != "" {
		return securePrefix + o.Name
	}
	return hostPrefix + o.Name
}

// attributes are what every session cookie ends with: also one that deletes, as
// browsers hold on to a cookie where they differ.
func (o *CookieOptions) attributes() string {
	a := "; Path=/; Secure; HttpOnly" + sameSiteAttributes[o.SameSite]
	if o.Domain != "" {
		a += "; Domain=" + o.Domain
	}
	if o.Partitioned {
		a += "; Partitioned"
	}
	return a
}

// withMaxAge is the Max-Age attribute in whole seconds. Where life is over, it has the
// cookie deleted.
func withMaxAge(life time.Duration) string {
	return "; Max-Age=" + strconv.Itoa(int(min(max(life, 0), maxAge)/time.Second))
}

// set gives Set-Cookie values for a session that ends in life, and deletes the
// chunks that the browser has beyond them.
func (s *Sessions) set(p *presented, values []string, life time.Duration) []string {
	age := ""
	if s.cookie.Persistent {
		age = withMaxAge(life)
	}
	list := make([]string, 0, len(values)+1)
	for i, value := range values {
		list = append(list, p.jar.names[i]+"="+value+s.attributes+age)
	}
	return s.appendDeletions(list, p, len(values))
}

// appendDeletions has the browser delete the chunks from first on that it has; and
// the cookie 0 in any case, since one may be there that wasn't sent.
func (s *Sessions) appendDeletions(list []string, p *presented, first int) []string {
	for i := first; i < maxChunks; i++ {
		if i == 0 || p.has[i] {
			list = append(list, p.jar.names[i]+"="+s.attributes+withMaxAge(0))
		}
	}
	return list
}

// Cookie is the Set-Cookie value for another cookie of ours: __Host-credence-NAME, to
// one host only, also where sessions have a domain. An empty value deletes it; a
// maxAge of zero leaves it to the browser when to forget it.
func (s *Sessions) Cookie(name, value string, maxAge time.Duration, sameSite http.SameSite) string {
	c := s.otherName(name) + "=" + value + "; Path=/; Secure; HttpOnly" + sameSiteAttributes[sameSite]
	switch {
	case value == "":
		c += withMaxAge(0)
	case maxAge > 0:
		c += withMaxAge(maxAge)
	}
	return c
}

// CookieValue gives what [Sessions.Cookie] set under name; nothing where it isn't
// there or is there with different values.
func (s *Sessions) CookieValue(name string, cookies iter.Seq[string]) string {
	full := s.otherName(name)
	var value string
	for line := range cookies {
		for rest := range starts(line, full) {
			text, ok := strings.CutPrefix(rest, "=")
			if !ok {
				continue
			}
			text = valueOf(text)
			if value != "" && value != text {
				return ""
			}
			value = text
		}
	}
	return value
}

func (s *Sessions) otherName(name string) string { return hostPrefix + s.cookie.Name + "-" + name }

package authz

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// Client is how people without a session get one: a registration of ours at a
// provider. All of it is configuration, nothing comes from a request.
type Client struct {
	Name     string
	Provider string // by name

	// LoginURL is the absolute address of the login page, without query.
	LoginURL string

	// ReturnTo are the origins that a login may end at, such as
	// "https://app.example.com".
	ReturnTo []string
}

// login is a Client made ready.
type login struct {
	Client
	address string   // LoginURL with everything but the return address
	origins []origin // of ReturnTo
	logout  string   // the page that asks whether to log out, for HTML
	again   string   // the page for a navigation that can't be repeated
}

// origin is where a login may end: an origin's text and its parts.
type origin struct{ text, host, port string }

func newLogin(c Client) (*login, error) {
	l := &login{Client: c, address: c.LoginURL + "?client=" + url.QueryEscape(c.Name) + "&return_to="}
	if u, err := url.Parse(c.LoginURL); err != nil || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("the login's address %q isn't an absolute URL without query", c.LoginURL)
	}
	for _, text := range c.ReturnTo {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != text {
			return nil, fmt.Errorf("%q isn't an origin", text)
		}
		host, ok := splitHost(u.Host)
		if !ok {
			return nil, fmt.Errorf("%q isn't an origin", text)
		}
		l.origins = append(l.origins, origin{text, host, portOf(u.Scheme, u.Port())})
	}
	if len(l.origins) == 0 {
		return nil, errors.New("a login that may end nowhere")
	}
	l.logout = html.EscapeString(strings.TrimSuffix(c.LoginURL, "/login") + "/logout")
	// Sending the browser to the login would lose what the person had typed without a
	// word.
	l.again = htmlPage("Your session has ended", fmt.Sprintf(
		`<p>What you just sent wasn’t taken. Go back to copy it, <a href="%s">log in again</a>, and send it once more.</p>`,
		html.EscapeString(l.address+url.QueryEscape(l.origins[0].text+"/"))))
	return l, nil
}

func portOf(scheme, port string) string {
	switch {
	case port != "":
		return port
	case scheme == "http":
		return "80"
	default:
		return "443"
	}
}

// longestReturn is the longest path and query that a login leads back to, in bytes.
const longestReturn = 2048

// location is where a browser without a session is sent. The request chooses the
// path and query to come back to, and among the configured origins the one that it
// was for. ok is false for a request that was for none of them.
func (l *login) location(r *Request) (address string, ok bool) {
	o := l.originOf(r)
	if o == nil {
		return "", false
	}
	target := r.Target
	if len(target) > longestReturn {
		target = "/"
	}
	return l.address + url.QueryEscape(o.text+target), true
}

// originOf is the configured origin that a request was for; nil if it is none.
func (l *login) originOf(r *Request) *origin {
	port := portIn(r.Host)
	i := slices.IndexFunc(l.origins, func(o origin) bool { return o.host == r.host && (port == "" || o.port == port) })
	if i < 0 {
		// Proxies may take the port off, or put their own in.
		i = slices.IndexFunc(l.origins, func(o origin) bool { return o.host == r.host })
	}
	if i < 0 {
		return nil
	}
	return &l.origins[i]
}

// portIn is the port of an authority that normalise has taken, if it has one.
func portIn(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		return authority[i+1:]
	}
	return ""
}

// navigation says whether a browser asks for a page to show in a tab, which is the
// only thing that a login page can be the answer to. Scripts, images, frames,
// prefetches and other programs couldn't use one.
func (r *Request) navigation() bool {
	if r.isGRPC() || r.First("x-requested-with") != "" {
		return false
	}
	mode, dest := r.First("sec-fetch-mode"), r.First("sec-fetch-dest")
	if mode != "" || dest != "" || r.First("sec-fetch-site") != "" {
		return mode == "navigate" && dest == "document" && !strings.Contains(r.First("sec-purpose"), "prefetch")
	}
	return strings.Contains(lower(r.First("accept")), "text/html") && r.First("upgrade") == ""
}

// forPerson says whether a person will see the answer. A request with a token is a
// program's, whatever else it says of itself.
func (r *Request) forPerson() bool { return r.First("authorization") == "" && r.navigation() }

// navigationHeaders are read on rules with a login.
var navigationHeaders = [...]string{"accept", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-purpose", "upgrade", "x-requested-with"}

// loginDenial is the answer for a browser that has no session, or an ended one, and
// nil for whoever couldn't use a login.
func (e *Engine) loginDenial(r *Request, matched *rule, reason audit.Reason) *Denial {
	if matched == nil || matched.login == nil || !wantsLogin(reason) || !r.forPerson() {
		return nil
	}
	if r.Method != "GET" && r.Method != "HEAD" {
		return &Denial{Status: 401, Headers: slices.Clone(pageHeaders), Body: matched.login.again}
	}
	address, ok := matched.login.location(r)
	if !ok {
		return nil
	}
	return &Denial{Status: 302, Headers: []Header{{"cache-control", "no-store"}, {"location", address}}}
}

// wantsLogin says whether a login would help.
func wantsLogin(reason audit.Reason) bool {
	return reason == audit.NoCredential || ofSession(reason) && reason.Class() == audit.ClassUnauthenticated
}

// ofSession says whether a reason is about a session, not about a token.
func ofSession(reason audit.Reason) bool {
	switch reason {
	case audit.SessionInvalid, audit.SessionNewer, audit.SessionExpired, audit.SessionRevoked, audit.SessionEnded,
		audit.SessionStoreUnavailable, audit.RefreshUnavailable:
		return true
	}
	return false
}

// Names of the rules for our own endpoints; no rule of a configuration can have one.
const (
	ownLoginName    = "credence:login"
	ownMetadataName = "credence:resource"
)

// ownEndpoints are the rules before all others that let everybody reach the login
// pages and the metadata of resources, for proxies that ask about them too. The login
// pages keep our cookies.
func ownEndpoints(o Options) []Rule {
	login := Rule{Name: ownLoginName, Public: true, Match: Match{Paths: o.LoginPaths, Methods: []string{"GET", "HEAD", "POST"}}}
	for _, c := range o.Clients {
		if host, _, ok := placeOf(c.LoginURL); ok {
			login.Match.Hosts = append(login.Match.Hosts, host)
		}
	}
	slices.Sort(login.Match.Hosts)
	login.Match.Hosts = slices.Compact(login.Match.Hosts)
	var own []Rule
	if len(login.Match.Hosts) > 0 && len(login.Match.Paths) > 0 { // an empty list would fit all
		own = append(own, login)
	}
	for _, address := range o.Metadata {
		// Each on its own host alone: elsewhere the same path is the application's.
		if host, path, ok := placeOf(address); ok {
			own = append(own, Rule{Name: ownMetadataName, Public: true, Match: Match{
				Hosts: []string{host}, Paths: []string{path}, Methods: []string{"GET", "HEAD", "OPTIONS"},
			}})
		}
	}
	return own
}

// placeOf is the host and path of a URL as they are of a request.
func placeOf(address string) (host, path string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.Path == "" {
		return "", "", false
	}
	host, ok = splitHost(u.Host)
	return host, u.Path, ok
}

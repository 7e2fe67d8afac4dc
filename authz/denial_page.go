package authz

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// Pages in place of JSON, for people: a browser that opens a page shows them as one.
// They hold nothing of the request but the proxy's id of it, no script, and a style
// that their Content-Security-Policy names by its hash.

const pageStyle = `:root{color-scheme:light dark}body{font:1.05rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto 2rem;padding:0 1.25rem}h1{font-size:1.4rem}small{opacity:.7}`

var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

var pageHeaders = []Header{
	{"cache-control", "no-store"}, {"content-type", "text/html; charset=utf-8"}, {"content-security-policy", pagePolicy},
	{"x-content-type-options", "nosniff"}, {"referrer-policy", "no-referrer"},
}

// htmlPage is a page of ours. What it is made of is HTML already.
func htmlPage(title, content string) string {
	return fmt.Sprintf(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%[1]s</title>
<style>%[2]s</style>
</head>
<body>
<main>
<h1>%[1]s</h1>
%[3]s
</main>
</body>
</html>
`, title, pageStyle, content)
}

// forPeople puts a page in place of a denial's body, where a person would otherwise
// read JSON: in a browser's tab, on a site where people log in.
func (e *Engine) forPeople(d *Denial, r *Request, matched *rule, reason audit.Reason) {
	if e.sessions == nil || !r.forPerson() {
		return
	}
	title, way := "This can’t be shown", ""
	switch reason.Class() {
	case audit.ClassForbidden:
		title = "You may not open this"
		if matched != nil && matched.login != nil {
			way = fmt.Sprintf(`<p><a href="%s">Log out</a> to log in as somebody else.</p>`, matched.login.logout)
		}
	case audit.ClassUnavailable:
		title, way = "This can’t be shown now", "<p>Nothing is lost: try again in a moment.</p>"
	}
	reference := ""
	if isReference(r.ID) {
		reference = ", request " + r.ID
	}
	text := html.EscapeString(message(reason))
	d.Body = htmlPage(title, fmt.Sprintf("<p>%s%s.</p>\n%s\n<p><small>%s%s</small></p>", strings.ToUpper(text[:1]), text[1:], way, reason, reference))
	d.Headers = slices.DeleteFunc(d.Headers, func(h Header) bool { return h.Name == "content-type" || h.Name == "cache-control" })
	d.Headers = append(d.Headers, pageHeaders...)
}

// isReference says whether a request's id is one that a proxy makes, such as a UUID.
func isReference(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

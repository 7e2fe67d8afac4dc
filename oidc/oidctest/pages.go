package oidctest

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
)

var (
	//go:embed pages/*.html
	pageFiles embed.FS
	pages     = template.Must(template.New("").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) },
		"script": func() template.JS { return submit },
	}).ParseFS(pageFiles, "pages/*.html"))
)

// What pages hold inline. Their Content-Security-Policy names both by hash.
//
//go:embed pages/style.css
var style string

const submit = "document.forms[0].submit()"

// policy doesn't say form-action: browsers would hold it against every redirect
// that follows a form, on to applications that a provider doesn't know.
var policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; " +
	"style-src " + hashSource(style) + "; script-src " + hashSource(submit)

func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page renders a page for a browser.
func page(status int, name string, data any) *answer {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		panic("oidctest: page " + name + ": " + err.Error())
	}
	a := uncached(plain(status, b.String()))
	for name, value := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Security-Policy": policy,
		"Referrer-Policy":         "no-referrer",
		"X-Content-Type-Options":  "nosniff",
		"X-Frame-Options":         "DENY",
	} {
		a.header.Set(name, value)
	}
	return a
}

// message is a page that only says something.
type message struct{ Title, Text string }

// failure is the page for a request that nobody can be sent back from.
func failure(text string) *answer {
	return page(http.StatusBadRequest, "message.html", message{"This did not work", text})
}

// posted is an answer that the browser posts to the client.
type posted struct {
	Action template.URL // registered, so not to be checked by the template
	Values url.Values
}

// signIn is what the login page shows.
type signIn struct {
	Title, Action, Client, Request, Hint, Complaint string
	Users                                           []User
}

// signInPage asks who it is.
func (p *Provider) signInPage(a *authorization, complaint string) *answer {
	status := http.StatusOK
	if complaint != "" {
		status = http.StatusUnprocessableEntity
	}
	p.mu.Lock()
	users := slices.Clone(p.users)
	p.mu.Unlock()
	return page(status, "sign_in.html", signIn{
		Title: "Log in", Action: p.basePath() + "/sign-in", Client: a.client.ID,
		Request: a.request, Hint: a.loginHint, Complaint: complaint, Users: users,
	})
}

// Name is what a user is called on the login page.
func (u User) Name() string {
	if name, ok := u.Claims["name"].(string); ok {
		return name
	}
	return u.Subject
}

package oidctest

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorization is a checked authorization request (OpenID Connect Core 1.0,
// section 3.1.2.1).
type authorization struct {
	client      *LoginClient
	request     string // as a query
	redirectURI string
	formPost    bool // the answer is posted (OAuth 2.0 Form Post Response Mode)
	state       string
	nonce       string
	challenge   string // S256 (RFC 7636)
	scopes      []string
	prompt      []string
	maxAge      int // seconds; -1 for any
	loginHint   string
}

// maxRequest is the most that an authorization request may hold, in bytes: codes
// remember parts of it.
const maxRequest = 16 << 10

// authorization checks a request, or gives the answer that refuses it: a page as
// long as it isn't sure where to send the person, a redirect after that.
func (p *Provider) authorization(form url.Values) (*authorization, *answer) {
	request := form.Encode()
	if len(request) > maxRequest {
		return nil, failure("The request is too long.")
	}
	c := p.loginClient(form.Get("client_id"))
	if c == nil {
		return nil, failure("No client has the id “" + form.Get("client_id") + "”.")
	}
	a := &authorization{
		client:      c,
		request:     request,
		redirectURI: form.Get("redirect_uri"),
		formPost:    form.Get("response_mode") == "form_post" || form.Get("response_mode") == "" && c.FormPost,
		state:       form.Get("state"),
		nonce:       form.Get("nonce"),
		challenge:   form.Get("code_challenge"),
		scopes:      strings.Fields(form.Get("scope")),
		prompt:      strings.Fields(form.Get("prompt")),
		maxAge:      -1,
		loginHint:   form.Get("login_hint"),
	}
	if !slices.Contains(c.RedirectURIs, a.redirectURI) {
		return nil, failure("“" + a.redirectURI + "” is not a redirect URI of client “" + c.ID + "”.")
	}
	if code, description := a.fault(form); code != "" {
		return nil, p.refuse(a, code, description)
	}
	return a, nil
}

// fault names the first thing that is wrong with a request, by its error code.
func (a *authorization) fault(form url.Values) (code, description string) {
	if text := form.Get("max_age"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 {
			return "invalid_request", "max_age must be a number of seconds"
		}
		a.maxAge = seconds
	}
	switch {
	case form.Get("request") != "":
		return "request_not_supported", "request objects aren't supported"
	case form.Get("request_uri") != "":
		return "request_uri_not_supported", "request objects aren't supported"
	case form.Get("response_type") == "":
		return "invalid_request", "response_type is missing"
	case form.Get("response_type") != "code":
		return "unsupported_response_type", "response_type must be code"
	case !slices.Contains([]string{"", "query", "form_post"}, form.Get("response_mode")):
		return "invalid_request", "response_mode must be query or form_post"
	case !slices.Contains(a.scopes, "openid"):
		return "invalid_scope", "scope must hold openid"
	case form.Get("code_challenge_method") != "S256" || len(a.challenge) != 43:
		return "invalid_request", "code_challenge must be there, with the method S256"
	case slices.Contains(a.prompt, "none") && len(a.prompt) > 1:
		return "invalid_request", "prompt=none stands alone"
	case slices.ContainsFunc(a.prompt, func(s string) bool {
		return !slices.Contains([]string{"none", "login", "consent", "select_account"}, s)
	}):
		return "invalid_request", "prompt has an unknown value"
	}
	return "", ""
}

// wantsLogin reports whether a person who logged in then has to do so again.
func (a *authorization) wantsLogin(then time.Time) bool {
	return slices.Contains(a.prompt, "login") || slices.Contains(a.prompt, "select_account") ||
		a.maxAge == 0 || a.maxAge > 0 && time.Since(then) > time.Duration(a.maxAge)*time.Second
}

// authorizeAnswer is the authorization endpoint.
func (p *Provider) authorizeAnswer(r *http.Request) *answer {
	form, refusal := browserForm(r)
	if refusal != nil {
		return refusal
	}
	a, refusal := p.authorization(form)
	if refusal != nil {
		return refusal
	}
	q := p.quirks()
	if p.count(&p.asked) == q.rotateAtLogin {
		p.rotate()
	}
	if q.refusal != "" {
		return p.refuse(a, q.refusal, "so the module has it")
	}
	s, login := p.sessionOf(r)
	if s != nil && !a.wantsLogin(login) {
		return p.approve(a, s, login)
	}
	if slices.Contains(a.prompt, "none") {
		return p.refuse(a, "login_required", "nobody is logged in, or not lately enough")
	}
	return p.signInPage(a, "")
}

// signInAnswer takes the login page's form: who it is, or that they won't.
func (p *Provider) signInAnswer(r *http.Request) *answer {
	form, refusal := readForm(r)
	if refusal != nil {
		return refusal
	}
	request, err := url.ParseQuery(form.Get("request"))
	if err != nil {
		return failure("The form can’t be read.")
	}
	a, refusal := p.authorization(request)
	if refusal != nil {
		return refusal
	}
	if form.Get("cancel") != "" {
		return p.refuse(a, "access_denied", "the person did not want to log in")
	}
	subject := strings.TrimSpace(cmp.Or(form.Get("user"), form.Get("name")))
	if complaint := p.admit(subject); complaint != "" {
		return p.signInPage(a, complaint)
	}
	s, login, value := p.logIn(r, subject)
	answer := p.approve(a, s, login)
	answer.header.Add("Set-Cookie", p.cookie(r, value))
	return answer
}

// approve sends a person back with a code.
func (p *Provider) approve(a *authorization, s *session, login time.Time) *answer {
	return p.sendBack(a, url.Values{"code": {p.issueCode(a, s, login)}})
}

// refuse sends a person back with an error (section 3.1.2.6).
func (p *Provider) refuse(a *authorization, code, description string) *answer {
	return p.sendBack(a, url.Values{"error": {code}, "error_description": {description}})
}

// sendBack answers the client by way of the browser: state as it came, iss as RFC
// 9207 has it.
func (p *Provider) sendBack(a *authorization, values url.Values) *answer {
	values.Set("iss", p.Issuer())
	if a.state != "" {
		values.Set("state", a.state)
	}
	if a.formPost {
		return page(http.StatusOK, "form_post.html", posted{template.URL(a.redirectURI), values})
	}
	return redirect(a.redirectURI, values)
}

// redirect sends a browser on by GET, whatever it came by (RFC 9700, section 4.12).
func redirect(uri string, values url.Values) *answer {
	if query := values.Encode(); query != "" {
		separator := "?"
		if strings.Contains(uri, "?") {
			separator = "&"
		}
		uri += separator + query
	}
	a := uncached(plain(http.StatusSeeOther, ""))
	a.header.Set("Location", uri)
	a.header.Set("Referrer-Policy", "no-referrer")
	return a
}

// browserForm gives the parameters that a browser brings, by GET or POST.
func browserForm(r *http.Request) (url.Values, *answer) {
	if r.Method == http.MethodPost {
		form, refusal := readForm(r)
		if refusal != nil {
			return nil, failure("The form can’t be read.")
		}
		return form, nil
	}
	if r.Method != http.MethodGet {
		a := plain(http.StatusMethodNotAllowed, "use GET or POST")
		a.header.Set("Allow", "GET, POST")
		return nil, a
	}
	form, err := singles(r.URL.RawQuery)
	if err != nil {
		return nil, failure("The address can’t be read, or holds a parameter twice.")
	}
	return form, nil
}

package login

import (
	"net/http"
	"strings"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// startLogin answers GET login: it sends the browser to the provider, or where it
// wants to be if it has a session.
//
// The parameters: client, return_to; prompt, which may be login, to be asked again in
// spite of a session; and those of a login that somebody else begins, iss,
// target_link_uri and login_hint (OpenID Connect Core 1.0, 4).
func (v *visit) startLogin() *audit.Refusal {
	if refusal := navigation(v.r.Header); refusal != nil {
		return refusal
	}
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	wanted, refusal := readWish(p)
	if refusal != nil {
		return refusal
	}
	choices, refusal := v.candidates(wanted)
	if refusal != nil {
		return refusal
	}
	if len(choices) > 1 {
		v.choose(choices, wanted)
		return nil
	}
	v.client = choices[0]
	v.returnTo = v.client.home
	if wanted.returnTo != "" {
		v.returnTo, _ = returnAddress(v.client.ReturnTo, wanted.returnTo)
	}

	b := v.binding()
	if b == nil {
		b = newBinding(v.now)
	}
	here := placeOf(v.client.Name, v.returnTo)
	if b.loop.start(here, v.now) {
		v.setBinding(b)
		return refuse(audit.LoginLoop, "%d logins in a row for one address", loopTrips)
	}
	record, refusal := v.live(v.client)
	switch {
	case refusal != nil:
		return refusal
	case record != nil && wanted.prompt == "":
		b.loop.complete(here, v.now)
		v.setBinding(b)
		redirect(v.w, v.r, v.returnTo)
		return nil
	}
	a := b.begin(v.client.Name, v.returnTo, false, v.now)
	a.replaces, a.prompt = earlierOf(record), wanted.prompt != ""
	return v.authorize(b, a, wanted.hint)
}

// forwardLogin answers POST login, as OpenID Connect Core 1.0, 4 allows it: the
// browser is sent to GET login. A POST from another site comes without the binding
// cookie, and setting a new one would end the logins that are under way.
func (v *visit) forwardLogin() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	redirect(v.w, v.r, ownAddress(v.prefix+"/login",
		[2]string{"client", p["client"]}, [2]string{"return_to", p["return_to"]}, [2]string{"prompt", p["prompt"]},
		[2]string{"iss", p["iss"]}, [2]string{"target_link_uri", p["target_link_uri"]}, [2]string{"login_hint", p["login_hint"]}))
	return nil
}

// navigation refuses what isn't somebody opening a page: a frame, a script's request,
// a browser's guess at what might be opened next. Browsers that don't say (no
// Sec-Fetch-*) are let through, as is curl.
func navigation(header http.Header) *audit.Refusal {
	dest, mode := header.Get("Sec-Fetch-Dest"), header.Get("Sec-Fetch-Mode")
	if dest != "" && dest != "document" || mode != "" && mode != "navigate" {
		return refuse(audit.LoginMalformed, "not the opening of a page, but Sec-Fetch-Dest %.20q and Sec-Fetch-Mode %.20q", dest, mode)
	}
	if strings.Contains(header.Get("Sec-Purpose"), "prefetch") || header.Get("Purpose") == "prefetch" {
		return refuse(audit.LoginMalformed, "not the opening of a page, but a prefetch")
	}
	return nil
}

// wish is what a login's parameters ask for.
type wish struct {
	client   string // empty: any
	issuer   string // empty: any
	returnTo string // as it came; empty: the client's home
	prompt   string // login, or empty
	hint     string
}

const maxLoginHint = 256

func readWish(p map[string]string) (wish, *audit.Refusal) {
	w := wish{client: p["client"], issuer: p["iss"], returnTo: p["return_to"], prompt: p["prompt"], hint: p["login_hint"]}
	if target := p["target_link_uri"]; target != "" {
		if w.returnTo != "" {
			return wish{}, refuse(audit.LoginMalformed, "both return_to and target_link_uri are there")
		}
		w.returnTo = target
	}
	switch {
	case w.prompt != "" && w.prompt != "login":
		return wish{}, refuse(audit.LoginMalformed, "prompt %.40q isn't login", w.prompt)
	case len(w.hint) > maxLoginHint || strings.IndexFunc(w.hint, func(u rune) bool { return u < ' ' || u == 0x7f }) >= 0:
		return wish{}, refuse(audit.LoginMalformed, "login_hint has more than %d bytes, or control characters", maxLoginHint)
	}
	return w, nil
}

// candidates are the clients that can fulfil the wish, at least one.
func (v *visit) candidates(w wish) ([]*client, *audit.Refusal) {
	named := v.clients
	if w.client != "" {
		v.client = v.Handler.client(w.client)
		if v.client == nil {
			return nil, refuse(audit.LoginMalformed, "there is no client %.64q", w.client)
		}
		named = []*client{v.client}
	}
	var list []*client
	where, _, _ := strings.Cut(w.returnTo, "?") // a query may hold what no log should
	refusal := refuse(audit.LoginMalformed, "the return address isn't one of the client's: %.100q", where)
	for _, c := range named {
		if w.issuer != "" {
			if other := c.Party.CheckIssuer([]string{w.issuer}); other != nil {
				if refusal.Reason != audit.ProviderUnavailable { // that one may be meant
					refusal = other
				}
				continue
			}
		}
		if _, ok := returnAddress(c.ReturnTo, w.returnTo); ok || w.returnTo == "" {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		if refusal.Reason == audit.LoginIssuerMismatch {
			// Nothing was answered by anybody: the request names an issuer of its own.
			refusal = refuse(audit.LoginMalformed, "no client's provider has that issuer: %s", refusal.Detail)
		}
		return nil, refusal
	}
	return list, nil
}

// choose has the person say where to log in.
func (v *visit) choose(from []*client, w wish) {
	data := Page{Title: "Log in", Message: "Where do you want to log in?", Continue: "/", ContinueText: "Go to the start page"}
	for _, c := range from {
		returnTo := ""
		if w.returnTo != "" {
			returnTo, _ = returnAddress(c.ReturnTo, w.returnTo)
		}
		data.Choices = append(data.Choices, PageChoice{Client: c.Name, Provider: c.Provider, Address: ownAddress(c.base+"/login",
			[2]string{"client", c.Name}, [2]string{"return_to", returnTo}, [2]string{"prompt", w.prompt}, [2]string{"login_hint", w.hint})})
	}
	v.show(v.w, http.StatusOK, "choose.html", data)
}

// authorize sends the browser to the provider with a new attempt.
func (v *visit) authorize(b *binding, a *attempt, hint string) *audit.Refusal {
	prompt := ""
	if a.prompt {
		prompt = "login"
	}
	address, refusal := v.client.Party.AuthorizationURL(oidc.Attempt{
		State:     v.sealState(stateOfLogin, a),
		Nonce:     b.nonce(a.id),
		Verifier:  b.verifier(a.id),
		Prompt:    prompt,
		LoginHint: hint,
	})
	if refusal != nil {
		return refusal
	}
	v.setBinding(b)
	redirect(v.w, v.r, address)
	return nil
}

// The uses of a state; none is accepted for the other.
const (
	stateOfLogin  = "login"
	stateOfLogout = "logout"
)

func (v *visit) sealState(use string, a *attempt) string {
	return v.ring.Seal(session.PurposeState, use, a.appendTo(nil))
}

// openState opens what sealState sealed, and finds its client.
func (v *visit) openState(use, state string) (*attempt, *audit.Refusal) {
	if state == "" {
		return nil, refuse(audit.LoginMalformed, "state is missing")
	}
	if len(state) > maxState {
		return nil, refuse(audit.LoginMalformed, "state has %d characters", len(state))
	}
	plain, err := v.ring.Open(session.PurposeState, use, state)
	if err != nil {
		return nil, &audit.Refusal{Reason: audit.LoginStateInvalid, Err: err}
	}
	a, ok := parseAttempt(plain)
	if !ok {
		return nil, refuse(audit.LoginStateInvalid, "state is of another version")
	}
	if v.client = v.Handler.client(a.client); v.client == nil {
		return nil, refuse(audit.LoginMalformed, "the login is for client %q, which isn't there any more", a.client)
	}
	return a, nil
}

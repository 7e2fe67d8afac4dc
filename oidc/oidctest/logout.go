package oidctest

import (
	"net/http"
	"net/url"
	"slices"
)

// signOut is what the page shows that asks before it logs out.
type signOut struct {
	Subject string
	Action  string
	Values  url.Values
}

// endSessionAnswer is the logout endpoint (OpenID Connect RP-Initiated Logout 1.0).
// An ID token of this person's ends the session at once; otherwise the person is
// asked.
func (p *Provider) endSessionAnswer(r *http.Request) *answer {
	form, refusal := browserForm(r)
	if refusal != nil {
		return refusal
	}
	clientID, returnTo, state := form.Get("client_id"), form.Get("post_logout_redirect_uri"), form.Get("state")
	hinted := p.hinted(form.Get("id_token_hint"))
	if hinted != nil {
		if clientID != "" && clientID != hinted.clientID {
			return failure("The ID token is not one of client “" + clientID + "”.")
		}
		clientID = hinted.clientID
	}
	c := p.loginClient(clientID)
	if returnTo != "" && (c == nil || !slices.Contains(c.PostLogoutRedirectURIs, returnTo)) {
		return failure("“" + returnTo + "” is not a post-logout redirect URI of client “" + clientID + "”.")
	}
	s, _ := p.sessionOf(r)
	sure := hinted != nil && (s == nil || s.subject == hinted.session.subject)
	if !sure && (r.Method != http.MethodPost || form.Get("confirm") == "") {
		return p.signOutPage(s, clientID, returnTo, state)
	}
	p.mu.Lock()
	if s != nil {
		s.ended = true
	}
	if sure {
		hinted.session.ended = true
	}
	p.mu.Unlock()
	a := page(http.StatusOK, "message.html", message{"Logged out", "You are no longer logged in here."})
	if returnTo != "" {
		if alter := p.quirks().endState; alter != nil {
			state = alter(state)
		}
		a = redirect(returnTo, parameters("state", state))
	}
	if s != nil {
		a.header.Add("Set-Cookie", p.cookie(r, ""))
	}
	return a
}

// hinted gives the grant that an ID token was part of, be it over or not.
func (p *Provider) hinted(idToken string) *grant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hints.get(idToken)
}

// signOutPage asks whether it shall be. That the answer comes from this page is in
// the session cookie, which other sites' forms don't bring.
func (p *Provider) signOutPage(s *session, clientID, returnTo, state string) *answer {
	shown := signOut{Action: p.basePath() + "/end_session", Values: parameters("client_id", clientID, "post_logout_redirect_uri", returnTo, "state", state)}
	if s != nil {
		shown.Subject = s.subject
	}
	return page(http.StatusOK, "sign_out.html", shown)
}

// parameters gives those of the pairs of name and value that have a value.
func parameters(pairs ...string) url.Values {
	values := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			values.Set(pair[0], pair[1])
		}
	}
	return values
}

package login

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// finishLogin answers the callback: GET, or POST for a client whose provider answers by form_post. A POST
// comes from the provider's origin, so no check of origins can guard it; state does,
// with the binding cookie.
//
// In this order: the state is one of ours, it is this browser's, the answer is from
// the provider that was asked (by the path that it came to, and by its iss), the
// attempt is young and unused, the provider says yes, its code is good; then a session
// begins. Until then nothing is believed and the code goes nowhere.
func (v *visit) finishLogin() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	a, refusal := v.openState(stateOfLogin, p["state"])
	if refusal != nil {
		return refusal
	}
	var ok bool
	if v.returnTo, ok = returnAddress(v.client.ReturnTo, a.returnTo); !ok {
		v.returnTo = v.client.home // the origins were configured anew in between
	}
	b := v.binding()
	if b == nil {
		return refuse(audit.LoginOtherBrowser, "the browser has no binding cookie")
	}
	if !b.began(a) {
		refusal := refuse(audit.LoginOtherBrowser, "the binding cookie is another one")
		if !a.young(v.now) || !b.madeWith(a) {
			return refusal
		}
		return v.restart(a, b, refusal)
	}
	if v.r.URL.Path != v.client.callback {
		return refuse(audit.LoginIssuerMismatch, "the login was to be answered at %s, the client's redirect_uri, and not at %s", v.client.callback, v.r.URL.Path)
	}
	if refusal := v.client.Party.CheckIssuer(issuers(p)); refusal != nil {
		return refusal
	}
	if !a.young(v.now) {
		return v.restart(a, b, refuse(audit.LoginExpired, "the login began %v ago", v.now.Sub(a.made).Round(time.Second)))
	}
	if !v.used.first(a.id, v.now) {
		return v.restart(a, b, refuse(audit.LoginExpired, "the login was finished before"))
	}
	if code, found := p["error"]; found {
		refusal := refuse(audit.LoginDenied, "error %.64q, %.200q", code, p["error_description"])
		if code == "temporarily_unavailable" {
			// Keycloak says so to all other tabs once somebody has logged in in one.
			return v.restart(a, b, refusal)
		}
		return refusal
	}
	if p["code"] == "" {
		return refuse(audit.LoginMalformed, "neither code nor error is there")
	}
	if posted := v.r.Method == http.MethodPost; posted != v.client.Party.FormPost() {
		return refuse(audit.LoginMalformed, "the provider answered by %s: the client's response mode is another", v.r.Method)
	}
	return v.redeem(p["code"], a, b)
}

// issuers are the iss parameters as CheckIssuer wants them.
func issuers(p map[string]string) []string {
	if iss, found := p["iss"]; found {
		return []string{iss}
	}
	return nil
}

// redeem exchanges the code for a session.
func (v *visit) redeem(code string, a *attempt, b *binding) *audit.Refusal {
	ctx := v.r.Context()
	grant, refusal := v.client.Party.Redeem(ctx, code, b.verifier(a.id), b.nonce(a.id), oidc.ClientAddress(v.r.Header["X-Forwarded-For"], v.hops, v.r.RemoteAddr))
	if refusal != nil {
		return refusal
	}
	now := time.Now() // the provider may have taken its time
	setCookies, refusal := v.sessions.Begin(ctx, session.Record{
		Client:        v.client.Name,
		Subject:       string(grant.Subject),
		SID:           grant.SID,
		Issuer:        string(grant.Issuer),
		AccessExpires: grant.Expires,
		Claims:        grant.Claims.Flat(),
		IDToken:       string(grant.IDToken),
		AccessToken:   string(grant.AccessToken),
		RefreshToken:  string(grant.RefreshToken),
	}, v.cookies(), now)
	if a.replaces.id != (session.ID{}) { // after Begin, which may still read its tokens to revoke them
		v.sessions.EndByID(ctx, a.replaces.id, a.replaces.expires)
	}
	for _, cookie := range setCookies { // with a refusal too: those that end the old session
		v.w.Header().Add("Set-Cookie", cookie)
	}
	if refusal != nil {
		v.revoke(grant)
		return refusal
	}
	b.loop.complete(placeOf(v.client.Name, v.returnTo), now)
	v.setBinding(b)
	v.succeed(string(grant.Subject))
	if slices.ContainsFunc(setCookies, func(c string) bool { return strings.Contains(c, "; SameSite=Strict") }) {
		v.pause()
	} else {
		redirect(v.w, v.r, v.returnTo)
	}
	return nil
}

// pause sends the browser on from a page of ours. To a redirect of a request that
// came from the provider's site, it would send no cookie with SameSite Strict, and the
// new session would seem to be lost.
func (v *visit) pause() {
	v.w.Header().Set("Refresh", "0; url="+v.returnTo)
	v.show(v.w, http.StatusOK, "continue.html", Page{
		Title: "You are logged in", Message: "You are taken back to the application.", Continue: v.returnTo, ContinueText: "Continue",
	})
}

// restart deals with a callback that leads nowhere although nobody did wrong: a
// browser with a session goes where it wanted to be, one without begins once more,
// and one that did so already is told. Where the person is to be asked again, a session
// from before the attempt doesn't count.
func (v *visit) restart(a *attempt, b *binding, refusal *audit.Refusal) *audit.Refusal {
	record, unknown := v.live(v.client)
	switch {
	case unknown != nil:
		return unknown
	case record != nil && (!a.prompt || !record.LoggedIn.Before(a.made)):
		redirect(v.w, v.r, v.returnTo)
		return nil
	case a.restarted:
		return refusal
	}
	v.log.Info("login restarted", v.attrs(refusal)...)
	again := b.begin(v.client.Name, v.returnTo, true, v.now)
	again.replaces, again.prompt = a.replaces, a.prompt
	if record != nil {
		again.replaces = earlierOf(record)
	}
	return v.authorize(b, again, "")
}

// revoke has the provider forget the tokens, in the background: nobody waits for
// that, and a provider that is down must not keep anybody logged in here.
func (v *visit) revoke(grant oidc.Grant) {
	select {
	case v.revoking <- struct{}{}:
	default:
		v.log.Warn("tokens aren't revoked at the provider: too many revocations are under way", "client", v.client.Name, "reference", v.reference)
		return
	}
	ctx, cancel := v.detached(revokeTimeout)
	v.background.Go(func() {
		defer func() { <-v.revoking }()
		defer cancel()
		if err := v.client.Party.Revoke(ctx, grant); err != nil {
			v.log.Warn("tokens can't be revoked at the provider", "client", v.client.Name, "reference", v.reference, "err", err)
		}
	})
}

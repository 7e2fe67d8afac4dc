package login

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// found is a session of the browser.
type found struct {
	client *client
	record *session.Record
	end    time.Time // at the latest
}

// present is what the browser has of sessions.
type present struct {
	live       []found
	unaccepted []*client // whose cookies are there and aren't accepted
}

// none says that nobody is logged in, and no cookie that somebody could be logged in
// by is there.
func (p present) none() bool { return len(p.live) == 0 && len(p.unaccepted) == 0 }

// present is what the browser has of the client of that name, or of all.
func (v *visit) present(name string) (p present, refusal *audit.Refusal) {
	list := v.clients
	if name != "" {
		if v.client = v.Handler.client(name); v.client == nil {
			return present{}, refuse(audit.LoginMalformed, "there is no client %.64q", name)
		}
		list = []*client{v.client}
	}
	for _, c := range list {
		record, unaccepted, refusal := v.look(c)
		switch {
		case refusal != nil:
			return present{}, refusal
		case record != nil:
			_, end := v.sessions.Ends(record)
			p.live = append(p.live, found{c, record, end})
		case unaccepted:
			p.unaccepted = append(p.unaccepted, c)
		}
	}
	return p, nil
}

// askLogout answers GET logout with a question: a link on another site can't log
// anybody out.
func (v *visit) askLogout() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	sessions, refusal := v.present(p["client"])
	if refusal != nil {
		return refusal
	}
	if sessions.none() {
		return v.showSignedOut(providerUnknown, p["client"])
	}
	v.confirm(http.StatusOK, Page{}, sessions)
	return nil
}

// providerUnknown is said where nothing was ended that would tell which session at the
// provider belongs to it.
const providerUnknown = "Whether you are still logged in at the identity provider isn’t known here."

// confirm shows the question, which sessions leave open.
func (v *visit) confirm(status int, data Page, sessions present) {
	data.Title, data.LogoutAddress = "Log out?", v.prefix+"/logout"
	var over []string
	for _, s := range sessions.live {
		one := s.page()
		one.Token = v.formToken(s)
		data.Sessions = append(data.Sessions, one)
		over = append(over, s.client.logoutOrigins()...)
	}
	data.Unaccepted = sessions.unacceptedOnPage()
	for _, c := range sessions.unaccepted {
		over = append(over, c.logoutOrigins()...)
	}
	if len(sessions.live) > 0 {
		data.Continue, data.ContinueText = sessions.live[0].client.home, "Stay logged in"
	} else {
		data.Continue, data.ContinueText = sessions.unaccepted[0].home, "Back to the application"
	}
	slices.Sort(over)
	v.show(v.w, status, "logout.html", data, slices.Compact(over)...)
}

// unacceptedTitle is the page's where cookies are there but no live session is.
const unacceptedTitle = "You may still be logged in"

// unacceptedOnPage are the clients of cookies that aren't accepted, as pages show them.
func (p present) unacceptedOnPage() (list []PageUnaccepted) {
	for _, c := range p.unaccepted {
		list = append(list, PageUnaccepted{Client: c.Name, Provider: c.Provider})
	}
	return list
}

// logoutOrigins are those that a posted logout leads over, beside our own.
func (c *client) logoutOrigins() []string {
	address, ok := c.endSession("", "")
	if !ok {
		return nil
	}
	origin, _, ok := splitOrigin(address)
	if !ok {
		return nil
	}
	return append([]string{origin}, c.logoutWay...)
}

// endSession is where a logout at the provider begins, if there is to be one.
func (c *client) endSession(idToken oidc.RawToken, state string) (string, bool) {
	switch c.Logout {
	case Redirect:
		return c.Party.EndSessionURL(idToken, c.PostLogoutRedirectURI, state)
	case RedirectWithoutHint:
		return c.Party.EndSessionURL("", c.PostLogoutRedirectURI, state)
	default:
		return "", false
	}
}

// logout answers POST logout, for one client. The session is dead here before the
// browser is sent on, whatever the provider does then.
func (v *visit) logout() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	if p["client"] == "" {
		return refuse(audit.LoginMalformed, "client is missing")
	}
	sessions, refusal := v.present(p["client"])
	if refusal != nil {
		v.forget(refusal)
		return refusal
	}
	if refusal := v.confirmed(p["token"], sessions.live); refusal != nil {
		if sessions.none() {
			return refusal
		}
		v.note(refusal)
		v.confirm(refusal.Reason.Class().Status(), Page{Reference: v.reference, Reason: refusal.Reason.String(), Message: sentence(refusal.Reason.Public())}, sessions)
		return nil
	}

	ctx, cancel := v.detached(endTimeout)
	defer cancel()
	ended, deletions := v.sessions.End(ctx, v.client.Name, v.cookies(), v.now)
	for _, cookie := range deletions {
		v.w.Header().Add("Set-Cookie", cookie)
	}
	b := v.binding()
	if b == nil {
		b = newBinding(v.now)
	}
	b.loop = loop{}
	v.setBinding(b)
	address := ownAddress(v.prefix+"/signed-out", [2]string{"client", v.client.Name})
	if ended != nil {
		state := v.sealState(stateOfLogout, b.begin(v.client.Name, "", false, v.now))
		address = ownAddress(v.prefix+"/signed-out", [2]string{"state", state})
		v.revoke(oidc.Grant{
			Identity:     oidc.Identity{Issuer: oidc.Issuer(ended.Issuer), Subject: oidc.Subject(ended.Subject), SID: ended.SID},
			AccessToken:  oidc.RawToken(ended.AccessToken),
			RefreshToken: oidc.RawToken(ended.RefreshToken),
			IDToken:      oidc.RawToken(ended.IDToken),
		})
		hint := oidc.RawToken(ended.IDToken)
		if len(sessions.unaccepted) > 0 || oidc.Issuer(ended.Issuer) != v.client.Party.Issuer() {
			// Of two sessions, this may be the one that somebody else put there; and the
			// provider that a client had before is none of the present one's business.
			hint = ""
		}
		if there, ok := v.client.endSession(hint, state); ok {
			address = there
		}
		v.succeed(ended.Subject)
	}
	redirect(v.w, v.r, address)
	return nil
}

// forget takes the cookies from a browser that asks to be logged out while the store
// can't say what they are worth. Somebody else's copy of them lives on with the store.
func (v *visit) forget(refusal *audit.Refusal) {
	if refusal.Reason != audit.SessionStoreUnavailable || v.ownOrigins.Check(v.r) != nil {
		return
	}
	ctx, cancel := v.detached(endTimeout)
	defer cancel()
	_, deletions := v.sessions.End(ctx, v.client.Name, v.cookies(), v.now)
	for _, cookie := range deletions {
		v.w.Header().Add("Set-Cookie", cookie)
	}
}

// endTimeout is how long a store may take to forget a session.
const endTimeout = 5 * time.Second

// confirmed says whether the person asked for the logout: the request comes from a
// page of ours, and has the token of the page for this session. Without a session
// there is nothing to protect, and the page alone is asked for.
//
// A page of ours is told by Sec-Fetch-Site. Where a browser has only Origin to send,
// it sends null, since our pages have Referrer-Policy no-referrer; then it is too
// old to be told apart from another site, and is refused.
func (v *visit) confirmed(token string, sessions []found) *audit.Refusal {
	if err := v.ownOrigins.Check(v.r); err != nil {
		return &audit.Refusal{Reason: audit.LogoutUnconfirmed, Err: err}
	}
	if len(sessions) > 0 && !v.isFormToken(token, sessions[0]) {
		return refuse(audit.LogoutUnconfirmed, "the form's token is missing, too old, or of another session")
	}
	return nil
}

const (
	formTokenUse  = "logout"
	formTokenLife = time.Hour
	maxFormToken  = 1 << 10
)

// formToken seals for which session a page was made, and when.
func (v *visit) formToken(s found) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(v.now.Unix()))
	plain = append(plain, s.record.ID[:]...)
	return v.ring.Seal(session.PurposeForm, formTokenUse, append(plain, s.client.Name...))
}

func (v *visit) isFormToken(token string, s found) bool {
	if token == "" || len(token) > maxFormToken {
		return false
	}
	plain, err := v.ring.Open(session.PurposeForm, formTokenUse, token)
	if err != nil || len(plain) < 8 {
		return false
	}
	age := v.now.Sub(time.Unix(int64(binary.BigEndian.Uint64(plain)), 0))
	// Plain comparison: whoever can choose what is compared has the key.
	return age < formTokenLife && string(plain[8:]) == string(s.record.ID[:])+s.client.Name
}

// signedOut answers GET signed-out, where a logout ends. A state that comes with it
// has to be that of a logout which this browser began (OpenID Connect RP-Initiated
// Logout 1.0, 3): without one the page promises nothing about the provider.
func (v *visit) signedOut() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	state, found := p["state"]
	if !found {
		return v.showSignedOut(providerUnknown, p["client"])
	}
	a, refusal := v.openState(stateOfLogout, state)
	if refusal != nil {
		return &audit.Refusal{Reason: audit.LogoutUnconfirmed, Err: refusal}
	}
	if b := v.binding(); b == nil || !b.began(a) {
		return refuse(audit.LogoutUnconfirmed, "the logout was begun in another browser")
	}
	if !a.young(v.now) {
		return refuse(audit.LogoutUnconfirmed, "the logout began %v ago", v.now.Sub(a.made).Round(time.Second))
	}
	text := ""
	if _, there := v.client.endSession("", ""); !there {
		text = "You may still be logged in at " + v.client.Provider + "."
	}
	return v.showSignedOut(text, v.client.Name)
}

// showSignedOut says that the browser has no session, if that is so: where it has none
// of the client, it may still have one of another.
func (v *visit) showSignedOut(text, client string) *audit.Refusal {
	sessions, refusal := v.present(client)
	if refusal != nil {
		return refusal
	}
	if client != "" && sessions.none() {
		others, refusal := v.present("")
		if refusal != nil {
			return refusal
		}
		if !others.none() {
			v.showOthers(text, client, others)
			return nil
		}
	}
	data := Page{Title: "You are logged out", Message: "This browser has no session here.", Advice: text, Continue: "/", ContinueText: "Go to the start page"}
	if v.client != nil {
		data.Continue, data.ContinueText = v.loginAddress(), "Log in again"
	}
	toLogout := ownAddress(v.prefix+"/logout", [2]string{"client", client})
	switch {
	case len(sessions.live) > 0:
		data = Page{Title: "You are logged in", Message: "This browser still has a session here.", Continue: toLogout, ContinueText: "Log out"}
	case len(sessions.unaccepted) > 0:
		data = Page{
			Title: unacceptedTitle, Message: "This browser sends session cookies that aren’t accepted here.",
			Advice: deleteCookies, Continue: toLogout, ContinueText: "Log out",
		}
	}
	v.show(v.w, http.StatusOK, "signed-out.html", data)
	return nil
}

const deleteCookies = "Log out to delete them. If they come back, delete this site’s cookies in your browser."

// showOthers says what the browser has of other clients, where it has nothing of this one.
func (v *visit) showOthers(text, client string, others present) {
	data := Page{Continue: v.prefix + "/logout", ContinueText: "Log out"}
	var names []string
	if len(others.live) > 0 {
		for _, s := range others.live {
			names = append(names, s.client.Name)
		}
		data.Title, data.Advice = "You are still logged in", text
		data.Message = "This browser has no session of " + client + ", but still one of " + strings.Join(names, ", one of ") + "."
	} else {
		for _, c := range others.unaccepted {
			names = append(names, c.Name)
		}
		data.Title, data.Advice = unacceptedTitle, deleteCookies
		data.Message = "This browser has no session of " + client + ", but sends session cookies of " + strings.Join(names, ", ") + " that aren’t accepted here."
	}
	v.show(v.w, http.StatusOK, "signed-out.html", data)
}

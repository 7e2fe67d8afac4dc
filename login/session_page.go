package login

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// showSession answers GET session: who am I, and until when. A program that accepts
// JSON gets one object, of the client it names or of the first that has a session:
//
//	{"active": true, "client": "web", "subject": "…", "claims": {…}, "logged_in": "2026-01-02T15:04:05Z", "expires": "…"}
//
// and 401 with {"active": false} where there is none. Looking doesn't prolong a
// session, and no token is shown.
func (v *visit) showSession() *audit.Refusal {
	p, refusal := v.parameters()
	if refusal != nil {
		return refusal
	}
	sessions, refusal := v.present(p["client"])
	if refusal != nil {
		return refusal
	}
	if wantsJSON(v.r) {
		if len(sessions.live) == 0 {
			v.answerJSON(http.StatusUnauthorized, sessionJSON{})
			return nil
		}
		v.answerJSON(http.StatusOK, sessions.live[0].json())
		return nil
	}
	data := Page{Title: "You are logged in", LogoutAddress: v.prefix + "/logout"}
	for _, s := range sessions.live {
		data.Sessions = append(data.Sessions, s.page())
	}
	data.Unaccepted = sessions.unacceptedOnPage()
	if len(sessions.live) > 0 {
		data.Continue, data.ContinueText = sessions.live[0].client.home, "Back to the application"
	} else {
		data.Title = "You are logged out"
		if len(sessions.unaccepted) > 0 {
			data.Title = unacceptedTitle
		}
		data.Continue, data.ContinueText = ownAddress(v.prefix+"/login", [2]string{"client", p["client"]}), "Log in"
	}
	v.show(v.w, http.StatusOK, "session.html", data)
	return nil
}

// wantsJSON says whether the request is a program's.
func wantsJSON(r *http.Request) bool {
	accept := strings.Join(r.Header["Accept"], ",")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

type sessionJSON struct {
	Active   bool            `json:"active"`
	Client   string          `json:"client,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	Claims   json.RawMessage `json:"claims,omitempty"`
	LoggedIn *time.Time      `json:"logged_in,omitempty"`
	Expires  *time.Time      `json:"expires,omitempty"`
}

func (s found) json() sessionJSON {
	return sessionJSON{
		Active: true, Client: s.client.Name, Subject: s.record.Subject, Claims: s.claimsJSON(),
		LoggedIn: new(s.record.LoggedIn.UTC()), Expires: new(s.end.UTC()),
	}
}

func (s found) claimsJSON() json.RawMessage {
	b := []byte{'{'}
	for name, value := range s.shown {
		if len(b) > 1 {
			b = append(b, ',')
		}
		quoted, _ := json.Marshal(name) // a string always can be
		b = append(append(b, quoted...), ':')
		b = value.AppendJSON(b)
	}
	return append(b, '}')
}

// shown yields the claims that the client's configuration shows, as far as they
// are there.
func (s found) shown(yield func(string, oidc.Value) bool) {
	claims := oidc.UnflattenClaims(s.record.Claims)
	for _, name := range s.client.ShownClaims {
		if value := claims.Lookup(name); value.Exists() && !yield(name, value) {
			return
		}
	}
}

// page is the session as pages show it.
func (s found) page() PageSession {
	p := PageSession{
		Client: s.client.Name, Provider: s.client.Provider, Subject: s.record.Subject,
		LoggedIn: s.record.LoggedIn.UTC(), Expires: s.end.UTC(),
	}
	for name, value := range s.shown {
		text, isText := value.Text()
		if isText && p.Name == "" {
			p.Name = text
		}
		if !isText {
			text = plainText(value)
		}
		p.Claims = append(p.Claims, PageClaim{name, clip(text)})
	}
	if p.Name == "" {
		p.Name = p.Subject
	}
	p.Name = clip(p.Name)
	return p
}

// plainText is a list as people write one, and anything else as JSON.
func plainText(value oidc.Value) string {
	var list []string
	for e := range value.Elements() {
		text, isText := e.Text()
		if !isText {
			return string(value.AppendJSON(nil))
		}
		list = append(list, text)
	}
	if list == nil {
		return string(value.AppendJSON(nil))
	}
	return strings.Join(list, ", ")
}

const maxClaimText = 1 << 10

// clip bounds what one claim takes of a page.
func clip(text string) string {
	if len(text) <= maxClaimText {
		return text
	}
	return strings.ToValidUTF8(text[:maxClaimText], "") + "…"
}

package login

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// fail answers with a page that says what went wrong, as far as that is anybody's
// business, has a reference to its cause, and a way on.
func (v *visit) fail(refusal *audit.Refusal) { v.failWith(refusal.Reason.Class().Status(), refusal) }

func (v *visit) failWith(status int, refusal *audit.Refusal) {
	v.note(refusal)
	if refusal.Reason.Class() == audit.ClassUnavailable && !lasts(refusal) {
		seconds := max(1, int((refusal.RetryAfter+time.Second-1)/time.Second))
		v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if wantsJSON(v.r) {
		v.answerJSON(status, problem{Error: refusal.Reason.String(), Message: refusal.Reason.Public(), Reference: v.reference})
		return
	}
	data := Page{
		Title:     "The login didn’t work",
		Reference: v.reference,
		Reason:    refusal.Reason.String(),
		Message:   sentence(refusal.Reason.Public()),
		Advice:    advice(refusal),
	}
	switch v.record.Event {
	case audit.Logout:
		data.Title = "The logout isn’t complete"
	case unaudited: // no login, whatever the reason says
		data.Title, data.Message = "There is nothing here", "No page has this address."
		if status == http.StatusMethodNotAllowed {
			data.Title, data.Message = "This can’t be done here", "The page at this address doesn’t take a request of this kind."
		}
	}
	data.Continue, data.ContinueText = v.wayOn()
	v.show(v.w, status, "error.html", data)
}

// problem is a failure as JSON.
type problem struct {
	Error     string `json:"error"`
	Message   string `json:"message"`
	Reference string `json:"reference"`
}

func (v *visit) answerJSON(status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic("login: " + err.Error()) // only types of ours
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	v.w.Write(append(data, '\n'))
}

// wayOn is where a page leads that has nothing better: to a new login, which ends
// where this one would have, or to the start of the site; after a logout, to what
// is left of it.
func (v *visit) wayOn() (address, text string) {
	switch {
	case v.record.Event == audit.Logout:
		return v.prefix + "/session", "See whether you are logged in"
	case v.client == nil:
		return "/", "Go to the start page"
	}
	return v.loginAddress(), "Log in again"
}

// loginAddress is where a login of the client begins.
func (v *visit) loginAddress() string {
	return ownAddress(v.client.base+"/login", [2]string{"client", v.client.Name}, [2]string{"return_to", v.returnTo})
}

// sentence makes one of a reason's short text, for people.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.ReplaceAll(text[1:], "'", "’") + "."
}

// lasts says whether a provider that can't be used stays so until somebody changes the
// configuration: it doesn't take our credentials, so that nobody knows when to try again.
func lasts(refusal *audit.Refusal) bool {
	return refusal.Reason == audit.ProviderUnavailable && refusal.RetryAfter == 0
}

const forOperators = "This is for the people who run this site to solve."

// advice tells people what they can do.
func advice(refusal *audit.Refusal) string {
	switch refusal.Reason {
	case audit.LoginLoop:
		return "Your browser completed the login three times in a row, and each time came back without a session: it doesn’t keep or doesn’t send this site’s cookies. Allow cookies for this site, check that you opened it by its usual address, then log in again."
	case audit.LoginOtherBrowser:
		return "A login has to end in the browser and the profile in which it began. If it was this one, allow cookies for this site, then log in again. If you followed a link that somebody sent you, don’t."
	case audit.LoginExpired:
		return "A login has to be finished within 15 minutes, and can be finished once."
	case audit.LoginDenied:
		return "You may have cancelled it, or your account may not be allowed to use this site."
	case audit.SessionTooLarge:
		return forOperators
	}
	switch {
	case lasts(refusal):
		return forOperators
	case refusal.Reason.Class() == audit.ClassUnavailable:
		return "This is often over in a moment. Please try again."
	}
	return ""
}

// wrongMethod refuses methods other than these.
func wrongMethod(allow string) endpoint {
	return func(v *visit) *audit.Refusal {
		v.w.Header().Set("Allow", allow)
		v.failWith(http.StatusMethodNotAllowed, refuse(audit.LoginMalformed, "the method isn't one of %s", allow))
		return nil
	}
}

func noSuchPage(v *visit) *audit.Refusal {
	v.failWith(http.StatusNotFound, refuse(audit.LoginMalformed, "there is no such page"))
	return nil
}

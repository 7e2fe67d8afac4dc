package login

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

// FuzzCallback: whatever comes to the callback, by query or body, is answered by a
// page: without the right state no code goes anywhere, and no session begins.
func FuzzCallback(f *testing.F) {
	ring := must(session.NewRing(session.RingOptions{}))
	h := must(New(Options{
		Prefix: "/.credence", Ring: ring, Sessions: must(session.New(session.Options{Ring: ring})),
		Clients: []Client{{Name: "web", Party: strangerAt(base + "/callback")}},
	}))
	b := newBinding(noon)
	state := ring.Seal(session.PurposeState, stateOfLogin, b.begin("web", app+"/", false, noon).appendTo(nil))
	f.Add("state=a&code=b", false, "")
	f.Add("state="+state+"&code=b&iss=https://issuer.test", true, "__Host-credence-binding=x")
	f.Add("error=access_denied&state="+state, false, "a=b; __Host-credence.web=1abc")
	f.Fuzz(func(t *testing.T, text string, post bool, cookie string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, base+"/callback", nil)
		r.URL.RawQuery = text
		if post {
			r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, base+"/callback", strings.NewReader(text))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != audit.ClassLogin.Status() || w.Header().Get("Set-Cookie") != "" || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "Reference") {
			t.Errorf("got %d, %v: %s", w.Code, w.Header(), w.Body)
		}
	})
}

package login

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

// TestPanicIsNotWritten: a panic's value may hold a token, so that only its kind is
// written down.
func TestPanicIsNotWritten(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.secret("panic's value", "panic-canary")
		var none []int
		for want, fault := range map[string]func(){
			`panic="of type string"`:              func() { panic("panic-canary") },
			`panic="of type *errors.errorString"`: func() { panic(errors.New("panic-canary")) },
			`index out of range [0]`:              func() { none[0]++ },
		} {
			h := r.handler.serve(audit.Login, func(*visit) *audit.Refusal { fault(); return nil })
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", base+"/login", nil))
			r.checkSecrets("page", w.Body.String())
			if w.Code != audit.InternalError.Class().Status() || !strings.Contains(r.log.String(), want) {
				t.Errorf("%s: got %d, log: %s", want, w.Code, r.log.String())
			}
		}
	})
}

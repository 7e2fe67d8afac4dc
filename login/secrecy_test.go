package login

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"testing"
)

// TestSEC_O8_TokensStayHere: a browser gets none of the provider's tokens to read, not
// in a cookie either. That none is on a page or in a log is held of every answer.
func TestSEC_O8_TokensStayHere(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		tokens := 0
		for secret, what := range r.secrets {
			switch what {
			case "access_token", "refresh_token", "id_token":
				tokens++
			default:
				continue
			}
			for _, c := range b.jar.Cookies(must(url.Parse(app))) {
				r.checkCookie(c.Name, c.Value, what, secret)
			}
		}
		if tokens != 3 {
			t.Errorf("looked for %d tokens, want 3", tokens)
		}
	})
}

// checkCookie looks for a secret in a cookie, as it is and behind base64.
func (r *rig) checkCookie(name, value, what, secret string) {
	r.t.Helper()
	for skip := range min(2, len(value)) { // the first character may be a count
		plain, _ := base64.RawURLEncoding.DecodeString(value[skip:])
		if bytes.Contains([]byte(value), []byte(secret)) || bytes.Contains(plain, []byte(secret)) {
			r.t.Errorf("cookie %s has the %s", name, what)
		}
	}
}

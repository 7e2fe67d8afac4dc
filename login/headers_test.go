package login

import (
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
)

// TestHeadersOfEveryAnswer: pages, redirects and refusals alike. What is held of every
// answer in other tests as well is here by the name of what asks for it (OWASP ASVS 5.0,
// V3.4; RFC 9700, 4.2.4 and 4.16).
func TestHeadersOfEveryAnswer(t *testing.T) {
	var answers map[string]*response
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		answers = map[string]*response{
			"a redirect": b.start(app + "/"), "a page": b.open(base + "/signed-out"), "a refusal": b.fails(b.open(base+"/callback"), audit.LoginMalformed),
			"nothing there": b.open(base + "/nowhere"), "a wrong method": b.post(base+"/session", nil),
		}
	})
	for _, row := range []struct{ name, header, holds string }{
		{"SEC-O10: no page in a frame", "Content-Security-Policy", "; frame-ancestors 'none';"},
		{"SEC-O10: no address told to others", "Referrer-Policy", "no-referrer"},
		{"SEC-V3.4.1: only over TLS", "Strict-Transport-Security", "max-age=31536000"},
		{"SEC-V3.4.3: no scripts", "Content-Security-Policy", "default-src 'none'; style-src "},
		{"SEC-V3.4.4: no guesses at what a page is", "X-Content-Type-Options", "nosniff"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for name, answer := range answers {
				if got := answer.header.Get(row.header); !strings.Contains(got, row.holds) {
					t.Errorf("%s: got %s %q", name, row.header, got)
				}
			}
		})
	}
}

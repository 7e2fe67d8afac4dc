package login

import (
	"net/http"
	"strings"
)

// secureHeaders is on every answer, redirects too: a browser obeys most of these on
// any of them. A page replaces the policy by its own.
func (h *Handler) secureHeaders(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", contentPolicy("'none'", nil))
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	header.Set("Referrer-Policy", "no-referrer") // a callback's address holds the code
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	if h.overTLS {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// contentPolicy is a Content-Security-Policy without scripts. Forms lead to us, and
// to the origins that we redirect them on to: some browsers hold a form's redirects
// to form-action as well.
func contentPolicy(style string, formTargets []string) string {
	targets := strings.Join(append([]string{"'self'"}, formTargets...), " ")
	return "default-src 'none'; style-src " + style + "; form-action " + targets + "; frame-ancestors 'none'; base-uri 'none'"
}

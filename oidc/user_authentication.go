package oidc

import (
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// UserAuthentication is what a resource asks of the login of the user behind a token
// (RFC 9470). It says nothing of whether the token is good, and what it says changes as
// time goes by, so it is asked at each request, of remembered tokens too. The zero
// UserAuthentication asks nothing.
type UserAuthentication struct {
	// ACRValues are the values of acr that are enough, any of them; empty means any
	// and none.
	ACRValues []string

	// MaxAge is how long ago auth_time may be; zero means however long, or not known.
	MaxAge time.Duration
}

// Judge refuses a good token as InsufficientUserAuthentication where its claims, or the
// provider's answer about it, don't say that its user logged in as asked (RFC 9470, 6).
// The clocks may differ by the provider's clock skew. It allocates nothing where it
// doesn't refuse.
func (u *UserAuthentication) Judge(token *Result, now time.Time) *audit.Refusal {
	if len(u.ACRValues) > 0 {
		if refusal := u.judgeACR(token.Claims.Lookup("acr")); refusal != nil {
			return refusal
		}
	}
	if u.MaxAge > 0 {
		return u.judgeAge(token.Claims.Lookup("auth_time"), now.UnixMilli(), token.Provider.options.ClockSkew.Milliseconds())
	}
	return nil
}

func (u *UserAuthentication) judgeACR(acr Value) *audit.Refusal {
	text, ok := acr.Text()
	switch {
	case !acr.Exists():
		return refuse(audit.InsufficientUserAuthentication, "acr is missing")
	case !ok:
		return refuse(audit.InsufficientUserAuthentication, "acr isn't a string")
	case !slices.Contains(u.ACRValues, text):
		return refuse(audit.InsufficientUserAuthentication, "acr "+quote(text)+" is none of "+strings.Join(u.ACRValues, ", "))
	}
	return nil
}

func (u *UserAuthentication) judgeAge(authTime Value, now, skew int64) *audit.Refusal {
	at, ok := authTime.date()
	switch {
	case !authTime.Exists():
		return refuse(audit.InsufficientUserAuthentication, "auth_time is missing")
	case !ok:
		return refuse(audit.InsufficientUserAuthentication, "auth_time isn't a date")
	case at > now+skew:
		return refuse(audit.InsufficientUserAuthentication, "auth_time "+distance(at, now))
	case at < now-u.MaxAge.Milliseconds()-skew:
		return refuse(audit.InsufficientUserAuthentication, "auth_time "+distance(at, now)+": longer ago than max_age, "+span(u.MaxAge.Milliseconds()))
	}
	return nil
}

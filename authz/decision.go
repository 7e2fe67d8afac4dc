package authz

import (
	"slices"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// Decision is what was decided about a request and all that a front needs to say
// so. It is a plain value; the zero Decision denies, with an internal error.
type Decision struct {
	// Allow is the verdict. It is true only where Reason's class is ClassAllow.
	Allow bool

	Reason audit.Reason
	Detail string // for the operator: never for the client
	Rule   string // that decided; empty where none matched

	Provider string       // whose token it was, once it was believed
	Subject  oidc.Subject // of the token, once it was believed
	ClientID string       // of the token, once it was believed
	Client   string       // of the configuration, whose session was looked for; empty for a bearer
	Cached   bool         // the token's verdict was remembered

	// For an allowed request, on its way to the application. Remove is applied
	// after Set.
	Set, SetQuery       []Header
	Remove, RemoveQuery []string

	// For the client, beside the application's answer.
	ResponseHeaders []Header

	// SetCookies are Set-Cookie values for the client, on allows and on denials. An
	// answer that has them isn't for caches to keep.
	SetCookies []string

	// Metadata for the proxy's later filters: JSON-like values.
	Metadata map[string]any

	// Denial is the answer to a denied request; nil for an allowed one.
	Denial *Denial
}

// Denial is an HTTP answer in place of the application's.
type Denial struct {
	Status  int // 400 to 599; 302 sends a browser to the login
	Headers []Header
	Body    string
}

func (d *Denial) redirects() bool {
	return slices.ContainsFunc(d.Headers, func(h Header) bool { return h.Name == "location" })
}

// deny makes a decision of a refusal.
func deny(refusal *audit.Refusal) Decision {
	d := Decision{Reason: refusal.Reason, Detail: refusal.Detail}
	if refusal.Err != nil {
		if d.Detail != "" {
			d.Detail += ": "
		}
		d.Detail += refusal.Err.Error()
	}
	return d
}

func refuse(reason audit.Reason, detail string) *audit.Refusal {
	return &audit.Refusal{Reason: reason, Detail: detail}
}

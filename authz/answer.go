package authz

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// errorCode is the error of RFC 6750, 3.1, where it has one, else one of RFC 6749's,
// and "unauthenticated" where nothing was presented that could be in error.
func errorCode(reason audit.Reason) string {
	switch reason.Class() {
	case audit.ClassMalformed:
		return "invalid_request"
	case audit.ClassUnauthenticated:
		if reason == audit.NoCredential || ofSession(reason) {
			return "unauthenticated"
		}
		switch reason {
		case audit.DPoPProofInvalid:
			return "invalid_dpop_proof"
		case audit.DPoPNonceRequired:
			return "use_dpop_nonce"
		case audit.InsufficientUserAuthentication:
			return "insufficient_user_authentication" // RFC 9470, 3
		}
		return "invalid_token"
	case audit.ClassForbidden:
		if reason == audit.InsufficientScope {
			return "insufficient_scope"
		}
		return "access_denied"
	case audit.ClassUnavailable:
		return "temporarily_unavailable"
	default:
		return "server_error"
	}
}

// defaultRetry is Retry-After where nobody knows better.
const defaultRetry = 5 * time.Second

// denial renders a refusal for the client. What it says comes from the closed
// set of reasons and from the configuration, never from the request or a token.
func (e *Engine) denial(r *Request, matched *rule, refusal *audit.Refusal) *Denial {
	if d := e.loginDenial(r, matched, refusal.Reason); d != nil {
		return d
	}
	class := refusal.Reason.Class()
	d := &Denial{Status: class.Status()}
	switch {
	case matched == nil:
	case class == audit.ClassUnauthenticated && matched.ForbidUnauthenticated:
		d.Status = 403
	case matched.otherResource(refusal.Reason):
		d.Status = 401
	}
	d.Headers = append(d.Headers, Header{"cache-control", "no-store"})
	if challenge := e.challenge(matched, refusal.Reason); challenge != "" && d.Status != 403 || refusal.Reason == audit.InsufficientScope {
		d.Headers = append(d.Headers, Header{"www-authenticate", challenge})
	}
	if challenge := e.dpopChallenge(matched, refusal.Reason); challenge != "" && d.Status != 403 {
		d.Headers = append(d.Headers, Header{"www-authenticate", challenge})
	}
	if nonce := e.dpop.Nonce(r.Time); nonce != "" && refusal.Reason == audit.DPoPNonceRequired {
		d.Headers = append(d.Headers, Header{"dpop-nonce", nonce})
	}
	if class == audit.ClassUnavailable {
		after := cmp.Or(refusal.RetryAfter, defaultRetry)
		seconds := max(1, int64((after+time.Second-1)/time.Second))
		d.Headers = append(d.Headers, Header{"retry-after", strconv.FormatInt(seconds, 10)})
	}
	if r.isGRPC() {
		d.Body = message(refusal.Reason) // the proxy makes grpc-message of it
		return d
	}
	d.Headers = append(d.Headers, Header{"content-type", "application/json"})
	d.Body = bodies[refusal.Reason]
	e.forPeople(d, r, matched, refusal.Reason)
	return d
}

func message(reason audit.Reason) string {
	return cmp.Or(reason.Public(), "authentication is required")
}

// bodies are the bodies of denials by reason; what is no reason has that of a fault
// of ours.
var bodies = func() (all [256]string) {
	for i := range all {
		reason := audit.Reason(i)
		body, err := json.Marshal(struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
			Reason      string `json:"reason"`
		}{errorCode(reason), message(reason), reason.String()})
		if err != nil {
			panic("authz: " + err.Error())
		}
		all[reason] = string(body) + "\n"
	}
	return all
}()

// challenge is WWW-Authenticate for a rule that takes bearer tokens (RFC 6750, 3;
// RFC 9728, 5.1). Without a credential there is no error code, since nothing was
// wrong with what the client sent.
func (e *Engine) challenge(matched *rule, reason audit.Reason) string {
	var bearer *Bearer
	if matched != nil {
		bearer = matched.Bearer
	}
	switch reason.Class() {
	case audit.ClassUnauthenticated:
		if bearer == nil {
			return ""
		}
	case audit.ClassMalformed:
		if reason != audit.MalformedAuthorization {
			return ""
		}
	case audit.ClassForbidden:
		if reason != audit.InsufficientScope && !matched.otherResource(reason) {
			return ""
		}
	default:
		return ""
	}
	challenge := `Bearer realm="` + e.realm + `"`
	if reason != audit.NoCredential && !ofSession(reason) {
		code := errorCode(reason)
		if matched.otherResource(reason) {
			code = "invalid_token"
		}
		challenge += `, error="` + code + `", error_description="` + reason.Public() + `"`
	}
	if bearer != nil {
		challenge += matched.told(reason)
	}
	return challenge
}

// told is what a challenge says of the rule.
func (r *rule) told(reason audit.Reason) string {
	if reason == audit.InsufficientUserAuthentication {
		return r.stepUp + r.challenge
	}
	return r.challenge
}

// otherResource says whether a good token is for another resource than the rule's, and
// the rule can tell where to get one for this (RFC 9728, 5.1). An agent then learns it
// by a 401, since to a 403 it has no answer.
func (r *rule) otherResource(reason audit.Reason) bool {
	return reason == audit.AudienceNotAccepted && r != nil && r.Bearer != nil && r.Bearer.ResourceMetadata != ""
}

// stepUp is what a challenge says of the login that is needed (RFC 9470, 3): all of it,
// whichever the token lacks, so that one login is enough.
func (b *Bearer) stepUp() string {
	text := ""
	if values := b.UserAuthentication.ACRValues; len(values) > 0 {
		text += `, acr_values="` + strings.Join(values, " ") + `"`
	}
	if age := b.UserAuthentication.MaxAge; age > 0 {
		text += `, max_age="` + strconv.FormatInt(int64(age/time.Second), 10) + `"`
	}
	return text
}

// parameters are what every challenge says of the rule, made once.
func (b *Bearer) parameters() string {
	text := ""
	if len(b.Scopes) > 0 {
		text += `, scope="` + strings.Join(b.Scopes, " ") + `"`
	}
	if b.ResourceMetadata != "" {
		text += `, resource_metadata="` + b.ResourceMetadata + `"`
	}
	return text
}

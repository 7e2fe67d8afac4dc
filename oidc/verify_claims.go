package oidc

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// The checks of what a token claims, once its signature is known to be good.

// foreignKinds are claims that an access token never has, and whose token is of
// another kind (RFC 8725, 3.12): a logout or other security event token (RFC 8417),
// a DPoP proof (RFC 9449, 4.2), an introspection answer (RFC 9701, 5). idTokenKind
// are those of an ID token (OpenID Connect Core 1.0, 3.1.3.6 and 3.3.2.11).
var (
	foreignKinds = [...]string{"events", "htm", "htu", "token_introspection"}
	idTokenKind  = [...]string{"at_hash", "c_hash", "s_hash"}
)

// kind tells access tokens from the provider's other tokens, which its keys sign
// too. Where a provider says in a claim what the token is, that is believed as
// well: typ of Keycloak, token_use of Cognito.
func (t *verification) kind(context.Context) *audit.Refusal {
	for _, name := range foreignKinds {
		if t.Claims.Lookup(name).Exists() {
			return refuse(audit.NotAnAccessToken, "it has the claim "+name)
		}
	}
	ids := t.Provider.options.AcceptIDTokens
	for _, name := range idTokenKind {
		if !ids && t.Claims.Lookup(name).Exists() {
			return refuse(audit.NotAnAccessToken, "it has the claim "+name)
		}
	}
	if !ids && !t.Provider.options.AcceptNonce && t.Claims.Lookup("nonce").Exists() {
		return refuse(audit.NotAnAccessToken, "it has the claim nonce")
	}
	switch typ, _ := t.Claims.Lookup("typ").Text(); {
	case typ == "Refresh", typ == "Offline", typ == "Logout", typ == "ID" && !ids:
		return refuse(audit.NotAnAccessToken, "its claim typ is "+typ)
	}
	switch use, ok := t.Claims.Lookup("token_use").Text(); {
	case !ok, use == "access", use == "access_token" && t.Introspected, use == "id" && ids:
		return nil
	default:
		return refuse(audit.NotAnAccessToken, "its claim token_use is "+quote(use))
	}
}

func (t *verification) audience(context.Context) *audit.Refusal {
	aud := t.Claims.Lookup("aud")
	switch aud.Kind() {
	case KindAbsent:
		return refuse(audit.AudienceMismatch, "aud is missing")
	case KindString:
	case KindArray:
		for e := range aud.Elements() {
			if e.Kind() != KindString {
				return refuse(audit.TokenClaimsInvalid, "aud holds something else than strings")
			}
		}
	default:
		return refuse(audit.TokenClaimsInvalid, "aud is neither a string nor an array")
	}
	if slices.ContainsFunc(t.Provider.options.Audiences, aud.Has) {
		return nil
	}
	return refuse(audit.AudienceMismatch, "aud "+aud.shown()+" names none of "+strings.Join(t.Provider.options.Audiences, ", "))
}

// shown is the value for people: clipped, and quoted as JSON is.
func (v Value) shown() string {
	start, more := clip(string(v.AppendJSON(nil)))
	return start + more
}

// date reads a registered date claim. Absent is fine unless required.
func (t *verification) date(name string, required bool) (ms int64, present bool, refusal *audit.Refusal) {
	v := t.Claims.Lookup(name)
	if !v.Exists() {
		if required {
			return 0, false, refuse(audit.RequiredClaimMissing, name)
		}
		return 0, false, nil
	}
	ms, ok := v.date()
	if !ok {
		return 0, false, refuse(audit.TokenClaimsInvalid, name+" isn't a date")
	}
	return ms, true, nil
}

// until narrows the time in which the verdict stands to what is before ms, and
// says whether now is.
func (t *verification) until(ms int64) bool {
	if t.now < ms {
		t.Until = min(t.Until, ms)
		return true
	}
	t.From = max(t.From, ms)
	return false
}

func (t *verification) expiry(context.Context) *audit.Refusal {
	exp, _, refusal := t.date("exp", true)
	if refusal != nil {
		return refusal
	}
	if t.until(exp + t.skew()) {
		return nil
	}
	return refuse(audit.TokenExpired, "exp "+t.distance(exp))
}

func (t *verification) notBefore(context.Context) *audit.Refusal {
	nbf, present, refusal := t.date("nbf", false)
	if !present {
		return refusal
	}
	if t.until(nbf - t.skew()) {
		return refuse(audit.TokenNotYetValid, "nbf "+t.distance(nbf))
	}
	return nil
}

func (t *verification) issuedAt(context.Context) *audit.Refusal {
	iat, present, refusal := t.date("iat", t.Provider.options.StrictType)
	if !present {
		return refusal
	}
	if t.until(iat - t.skew()) {
		return refuse(audit.TokenIssuedInFuture, "iat "+t.distance(iat))
	}
	return nil
}

func (t *verification) subject(context.Context) *audit.Refusal {
	sub := t.Claims.Lookup("sub")
	if text, ok := sub.Text(); ok && text != "" {
		return nil
	}
	if sub.Exists() && sub.Kind() != KindString {
		return refuse(audit.TokenClaimsInvalid, "sub isn't a string")
	}
	if t.Provider.options.AcceptMissingSubject {
		return nil
	}
	return refuse(audit.SubjectMissing, "")
}

// strictClaims are what RFC 9068, 2.2 requires beyond what is judged above.
var strictClaims = [...]string{"client_id", "jti"}

func (t *verification) requiredClaims(context.Context) *audit.Refusal {
	if t.Provider.options.StrictType {
		for _, name := range strictClaims {
			if text, ok := t.Claims.Lookup(name).Text(); !ok || text == "" {
				return refuse(audit.RequiredClaimMissing, name)
			}
		}
	}
	for _, name := range t.Provider.options.RequiredClaims {
		if v := t.Claims.Lookup(name); !v.Exists() || v.Kind() == KindNull {
			return refuse(audit.RequiredClaimMissing, name)
		}
	}
	return nil
}

// confirmation refuses a token that is bound to a key: taking it without a proof
// of that key would undo the binding (RFC 9449, 7.2; RFC 8705, 3). Where the caller
// asks for that proof, it refuses what no proof is known for.
func (t *verification) confirmation(context.Context) *audit.Refusal {
	if !t.Provider.options.CallerChecksConstraints && t.Claims.Lookup("cnf").Exists() {
		return refuse(audit.ConstraintUnproven, "it has the claim cnf")
	}
	_, refusal := t.Claims.Constraint()
	return refusal
}

func (t *verification) skew() int64 { return t.Provider.options.ClockSkew.Milliseconds() }

func (t *verification) distance(ms int64) string { return distance(ms, t.now) }

// distance says how far a date is from our clock: "1702389660 is 59 s ahead of
// this clock".
func distance(ms, now int64) string {
	d, where := ms-now, " ahead of this clock"
	if d <= 0 {
		d, where = -d, " behind this clock"
	}
	return strconv.FormatInt(ms/1000, 10) + " is " + span(d) + where
}

// span writes milliseconds as people say it. They aren't a time.Duration, which
// ends after 292 years: dates may be further away.
func span(ms int64) string {
	switch s := ms / 1000; {
	case s == 0:
		return strconv.FormatInt(ms, 10) + " ms"
	case s < 120:
		return strconv.FormatInt(s, 10) + " s"
	case s < 2*3600:
		return strconv.FormatInt(s/60, 10) + " min"
	case s < 48*3600:
		return strconv.FormatInt(s/3600, 10) + " h"
	default:
		return strconv.FormatInt(s/86400, 10) + " days"
	}
}

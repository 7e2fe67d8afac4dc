package oidc

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/credence-authz/credence/audit"
)

// introspectionChecks is the order in which a token is judged that the provider is
// asked about. What it answers stands in for the claims of a JWT, and for its
// signature; the token itself isn't looked at. All that RFC 7662, 2.2 leaves
// optional is judged where it is present, as in a JWT.
var introspectionChecks = [...]check{
	{"introspection", (*verification).introspection, true, (*verification).foundIntrospection},
	{"issuer", (*verification).introspectedIssuer, false, (*verification).foundIssuer},
	{"kind", (*verification).introspectedKind, false, nil},
	{"audience", (*verification).introspectedAudience, false, (*verification).foundAudience},
	{"expiry", (*verification).introspectedExpiry, false, (*verification).foundExpiry},
	{"not before", (*verification).notBefore, false, nil},
	{"issued at", (*verification).issuedAt, false, (*verification).foundIssuedAt},
	{"subject", (*verification).subject, false, (*verification).foundSubject},
	{"required claims", (*verification).requiredClaims, false, nil},
	{"confirmation", (*verification).confirmation, false, nil},
}

// Introspect judges a token at the time now by asking the provider, which has to
// have an Introspector, and waits no longer than ctx. The answer's claims are then
// the token's, whatever the token itself may say. Length and form of the token are
// the caller's to bound. The question counts for the address that the token came from;
// those of the zero Addr aren't shared out.
//
// The verdict stands for the Introspector's TTL, and no longer than until exp.
func (p *Provider) Introspect(ctx context.Context, raw RawToken, now time.Time, from netip.Addr) Result {
	t := p.begin(raw, now)
	t.from = from
	return t.verdict(ctx)
}

func (p *Provider) begin(raw RawToken, now time.Time) *verification {
	t := newVerification(raw, now)
	t.Provider, t.checks = p, introspectionChecks[:]
	t.andUserInfo()
	return t
}

// Undecided says that another provider may know the token: this one was asked and
// doesn't, or couldn't be asked. One that knows it decides, also where its userinfo
// can't be had.
func (r *Result) Undecided() bool {
	return r.Refusal != nil && (r.Refusal.Reason == audit.TokenInactive || r.Refusal.Reason.Class() == audit.ClassUnavailable && !r.Introspected)
}

// OrElse is the first of two undecided results, which may be none yet, unless it
// says no more than that the token isn't known: whoever couldn't be asked may know
// it.
func (r Result) OrElse(other Result) Result {
	if r.Refusal == nil || r.Refusal.Reason == audit.TokenInactive {
		return other
	}
	return r
}

// clockBack is how far the clock may be set back without ending verdicts that
// depend on when the provider was asked. Requests that came at the same time read
// the clock at slightly different times.
const clockBack = time.Minute

func (t *verification) introspection(ctx context.Context) *audit.Refusal {
	i := t.Provider.options.Introspector
	answer, refusal := i.ask(ctx, t.raw, t.now, t.from)
	t.Claims = answer
	t.Introspected = refusal == nil || refusal.Reason == audit.TokenInactive
	t.Until = min(t.Until, t.now+i.options.TTL.Milliseconds())
	t.From = max(t.From, t.now-clockBack.Milliseconds())
	return refusal
}

// introspectedIssuer judges an iss that the answer may have: an endpoint that
// serves several issuers would let a token of one pass for another's.
func (t *verification) introspectedIssuer(context.Context) *audit.Refusal {
	iss := t.Claims.Lookup("iss")
	if !iss.Exists() {
		return nil
	}
	text, ok := iss.Text()
	if !ok {
		return refuse(audit.TokenClaimsInvalid, "iss isn't a string")
	}
	if Issuer(text) != t.Provider.options.Issuer {
		return refuse(audit.IssuerUnknown, "the answer's iss is "+quote(text)+", not "+quote(string(t.Provider.options.Issuer)))
	}
	return nil
}

// introspectedKind tells access tokens from refresh tokens and others that a
// provider may also call active. token_type is Bearer in whatever case (RFC 6749,
// 5.1), N_A of a token that isn't for access (RFC 8693, 2.2.1), or that of a token
// bound to a key, which only a proof may use. token_use is that of Cognito or Hydra.
func (t *verification) introspectedKind(ctx context.Context) *audit.Refusal {
	kind := t.Claims.Lookup("token_type")
	text, ok := kind.Text()
	switch folded := lower(text); {
	case kind.Exists() && !ok:
		return refuse(audit.TokenClaimsInvalid, "token_type isn't a string")
	case folded == "pop" || folded == "dpop" && !t.boundToDPoP():
		return refuse(audit.ConstraintUnproven, "its token_type is "+quote(text))
	case ok && folded != "bearer" && folded != "dpop":
		return refuse(audit.NotAnAccessToken, "its token_type is "+quote(text))
	}
	return t.kind(ctx)
}

// boundToDPoP says whether the caller is told that the token needs a DPoP proof.
func (t *verification) boundToDPoP() bool {
	bound, refusal := t.Claims.Constraint()
	return refusal == nil && bound.byKey && t.Provider.options.CallerChecksConstraints
}

func (t *verification) introspectedAudience(ctx context.Context) *audit.Refusal {
	if !t.Claims.Lookup("aud").Exists() && t.Provider.options.Introspector.options.AcceptMissingAudience {
		return nil
	}
	return t.audience(ctx)
}

// introspectedExpiry judges exp with the usual leeway, but a remembered answer ends
// at exp itself: within the leeway the provider can be asked again. Without exp the
// verdict stands for the time that any answer does.
func (t *verification) introspectedExpiry(ctx context.Context) *audit.Refusal {
	exp, present, refusal := t.date("exp", false)
	if !present {
		return refusal
	}
	if refusal := t.expiry(ctx); refusal != nil {
		return refusal
	}
	t.Until = min(t.Until, max(exp, t.now))
	return nil
}

func (t *verification) foundIntrospection() string {
	o := &t.Provider.options.Introspector.options
	return "active, says provider " + t.Provider.Name() + " to client " + quote(o.Auth.options.ID) + " (" + strconv.Itoa(t.Claims.Len()) + " members)"
}

package authz

import (
	"strings"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// proven asks for the proofs of a token that is bound to a key: a client certificate
// (RFC 8705) or DPoP (RFC 9449). Each request brings its own, whether the token's
// verdict was remembered or not. Explain asks for no DPoP proof, because that would
// use it up.
func (j *judgement) proven(presented credential) *audit.Refusal {
	e, r := j.engine, j.request
	bound, refusal := j.token.Claims.Constraint()
	if refusal != nil || !bound.Bound() && !presented.dpop {
		return refusal
	}
	p := oidc.Presentation{
		Token: presented.token, DPoP: presented.dpop, Proofs: r.Values("dpop"), Method: r.Method, Host: r.host, Target: r.Target,
	}
	if !e.distrustCertificates {
		p.Certificate = r.Certificate
	}
	if j.inspect != nil {
		return bound.CheckCertificate(p.Certificate)
	}
	refusal = bound.Check(&p, e.dpop, r.Time)
	if nonce := e.dpop.Nonce(r.Time); refusal == nil && presented.dpop && nonce != "" {
		j.nonce = nonce
	}
	return refusal
}

// dpopChallenge is WWW-Authenticate for DPoP (RFC 9449, 7.1), beside that for bearer
// tokens; empty where DPoP isn't configured.
func (e *Engine) dpopChallenge(matched *rule, reason audit.Reason) string {
	if e.dpop == nil || matched == nil || matched.Bearer == nil || reason.Class() != audit.ClassUnauthenticated {
		return ""
	}
	challenge := `DPoP realm="` + e.realm + `", algs="` + strings.Join(e.dpop.Algorithms(), " ") + `"`
	if reason != audit.NoCredential && !ofSession(reason) {
		challenge += `, error="` + errorCode(reason) + `", error_description="` + reason.Public() + `"`
	}
	return challenge + matched.told(reason)
}

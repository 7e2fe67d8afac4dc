package authz

import (
	"cmp"
	"context"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// Explanation is how a decision came about, for people.
type Explanation struct {
	Decision Decision

	// What the rules were matched with; empty where the request is malformed.
	Host, Path string
	Ambiguous  bool // the path has more than one reading

	Rules      []Trial        // of the host, in order, up to the one that fits
	Credential string         // what the request presents
	Token      []oidc.Finding // nil where no token was judged
	Policy     []Trial        // nil where policy wasn't reached
}

// Trial is one thing that was tried, and why it failed; Failure is empty where it
// didn't.
type Trial struct{ Name, Failure string }

// Explain judges a request like [Engine.Decide] and tells each step. It neither
// counts the decision nor writes it down, and takes no token's verdict from
// memory for what it tells.
func (e *Engine) Explain(ctx context.Context, r *Request) Explanation {
	var told inspection
	j := e.judge(ctx, r, &told)
	defer j.release()
	matched := j.rule
	x := Explanation{Decision: j.Decision, Host: r.host, Path: r.path, Ambiguous: r.ambiguous, Token: told.findings}
	if r.path == "" {
		return x
	}
	for _, candidate := range e.index.lookup(r.host) {
		why := candidate.match.mismatch(r)
		if why == "" && r.ambiguous && !candidate.AllowAmbiguousPath {
			why = "it refuses ambiguous paths"
		}
		x.Rules = append(x.Rules, Trial{candidate.Name, why})
		if candidate == matched || why != "" && candidate.match.fits(r) {
			break
		}
	}
	presented, malformed := r.presented()
	malformed = cmp.Or(malformed, presented.judge())
	switch {
	case malformed != nil:
		x.Credential = malformed.Error()
	case presented.token == "" && e.presentsSession(r):
		x.Credential = "a session cookie"
	case presented.token == "":
		x.Credential = "none"
	case presented.dpop:
		x.Credential = "a DPoP token, whose proof isn't judged here"
	default:
		x.Credential = "a bearer token"
	}
	if matched == nil || malformed != nil || !matched.Public && !told.identified {
		return x
	}
	in := &input{request: r, claims: told.token.Claims}
	for _, check := range policyChecks {
		if told.token.Provider == nil && (check.name != "require" || matched.require == nil) {
			continue // there is nothing that it would be asked of
		}
		refusal := check.judge(matched, &told.token, in)
		x.Policy = append(x.Policy, Trial{check.name, failure(refusal)})
	}
	return x
}

// inspection is what judging a token told, check by check.
type inspection struct {
	findings   []oidc.Finding
	token      oidc.Result // that was judged, or the claims of a session
	identified bool        // and believed
}

func failure(refusal *audit.Refusal) string {
	if refusal == nil {
		return ""
	}
	return refusal.Error()
}

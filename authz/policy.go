package authz

import (
	"errors"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// policyChecks are what a rule asks of a good identity, in order. They are judged
// on every request, whether a token's verdict was remembered or not, unless a template
// says how that went (template.go). All but require are about tokens: a session and a
// public rule's nobody have no Provider here.
var policyChecks = [...]struct {
	name  string
	judge func(*rule, *oidc.Result, *input) *audit.Refusal
}{
	{"provider", (*rule).judgeProvider},
	{"audience", (*rule).judgeAudience},
	{"user authentication", (*rule).judgeUserAuthentication}, // before scopes, whose lack its challenge tells too
	{"scopes", (*rule).judgeScopes},
	{"require", (*rule).judgeRequire},
}

func (r *rule) judgeProvider(token *oidc.Result, _ *input) *audit.Refusal {
	if token.Provider == nil || slices.Contains(r.Bearer.Providers, token.Provider.Name()) {
		return nil
	}
	return refuse(audit.ProviderNotAccepted, token.Provider.Name()+" isn't among "+strings.Join(r.Bearer.Providers, ", "))
}

func (r *rule) judgeAudience(token *oidc.Result, _ *input) *audit.Refusal {
	if token.Provider == nil || len(r.Bearer.Audiences) == 0 || slices.ContainsFunc(r.Bearer.Audiences, token.Claims.Lookup("aud").Has) {
		return nil
	}
	return refuse(audit.AudienceNotAccepted, "aud names none of "+strings.Join(r.Bearer.Audiences, ", "))
}

func (r *rule) judgeUserAuthentication(token *oidc.Result, in *input) *audit.Refusal {
	if token.Provider == nil {
		return nil
	}
	return r.Bearer.UserAuthentication.Judge(token, in.request.Time)
}

func (r *rule) judgeScopes(token *oidc.Result, _ *input) *audit.Refusal {
	if token.Provider == nil {
		return nil
	}
	missing, ok := token.Claims.Scopes(r.Bearer.Scopes)
	if ok {
		return nil
	}
	return refuse(audit.InsufficientScope, "it lacks "+missing)
}

func (r *rule) judgeRequire(_ *oidc.Result, in *input) *audit.Refusal {
	if r.require == nil {
		return nil
	}
	v, err := r.require.evaluate(in)
	if name, missing := errors.AsType[missingClaimError](err); missing {
		if in.claims.LeavesOut(string(name)) {
			return refuse(audit.ClaimOverage, err.Error())
		}
		return refuse(audit.ClaimMissing, err.Error())
	}
	if err != nil {
		return &audit.Refusal{Reason: audit.RequirementFailed, Err: err}
	}
	// Where the type was only known now, anything but true is false.
	if v != types.True {
		return refuse(audit.RequirementFalse, "")
	}
	return nil
}

// mutations fills in what an allowed request takes with it.
func (r *rule) mutations(d *Decision, in *input) *audit.Refusal {
	var refusal *audit.Refusal
	in.request.text = in.request.text[:0]
	if d.Set, refusal = texts(in.request.set[:0], r.headers, in, (*expression).headerText); refusal != nil {
		return refusal
	}
	in.request.set = d.Set // its memory is used again
	if d.ResponseHeaders, refusal = texts(nil, r.responseHeaders, in, (*expression).headerText); refusal != nil {
		return refusal
	}
	if d.SetQuery, refusal = texts(nil, r.query, in, (*expression).queryText); refusal != nil {
		return refusal
	}
	r.cleanQuery(d, in.request.query)
	for _, x := range r.metadata {
		v, err := x.evaluate(in)
		if _, missing := errors.AsType[missingClaimError](err); missing {
			continue
		}
		var value any
		if err == nil {
			value, err = metadataValue(v)
		}
		if err != nil {
			return &audit.Refusal{Reason: audit.RequirementFailed, Detail: "metadata " + x.name, Err: err}
		}
		if d.Metadata == nil {
			d.Metadata = make(map[string]any, len(r.metadata))
		}
		d.Metadata[x.name] = value
	}
	return nil
}

// texts appends the names and values of expressions that have a text.
func texts(list []Header, from []namedExpression, in *input, textOf func(*expression, *input) (string, bool, error)) ([]Header, *audit.Refusal) {
	for _, x := range from {
		text, ok, err := textOf(x.expression, in)
		if err != nil {
			// An identity that can't be told is no identity: the application would
			// take the request for somebody else's.
			return nil, &audit.Refusal{Reason: audit.RequirementFailed, Detail: x.name, Err: err}
		}
		if ok {
			list = append(list, Header{x.name, text})
		}
	}
	return list, nil
}

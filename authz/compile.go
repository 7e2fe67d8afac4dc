package authz

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
)

// rule is a Rule made ready: all that doesn't depend on the request is done.
type rule struct {
	Rule
	match           matcher
	require         *expression // nil if nothing is required
	headers         []namedExpression
	responseHeaders []namedExpression
	query           []namedExpression
	metadata        []namedExpression
	challenge       string    // of WWW-Authenticate, what doesn't depend on the reason
	stepUp          string    // of WWW-Authenticate, where another login is needed
	login           *login    // nil without one
	own             bool      // it is for our own endpoints
	asked           []askable // about tokens that name no issuer; none where no provider can be
	counters        *audit.RuleCounters

	templates bool      // there may be templates of its answers
	salt      cache.Key // where they are
}

// expressions yields all of a rule's.
func (r *rule) expressions() iter.Seq[*expression] {
	return func(yield func(*expression) bool) {
		if r.require != nil && !yield(r.require) {
			return
		}
		for _, list := range [...][]namedExpression{r.headers, r.responseHeaders, r.query, r.metadata} {
			for _, x := range list {
				if !yield(x.expression) {
					return
				}
			}
		}
	}
}

type namedExpression struct {
	name    string
	escaped string // name as it stands in a query string
	*expression
}

// RuleError is a rule that can't be compiled. Its position is that of the
// configuration, so that it can be shown as file and line.
type RuleError struct {
	Rule  int    // index
	Field string // as in the configuration: require, headers, query.set, …
	Key   string // of a map; empty for other fields
	Err   error
}

func (e *RuleError) Error() string {
	field := e.Field
	if e.Key != "" {
		field += fmt.Sprintf("[%q]", e.Key)
	}
	return fmt.Sprintf("rules[%d].%s: %v", e.Rule, field, e.Err)
}

// Unwrap gives the cause.
func (e *RuleError) Unwrap() error { return e.Err }

// textKinds are the types that a header or a query parameter can hold.
var textKinds = []types.Kind{types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.ListKind}

// compileRules makes rules ready, or gives every [*RuleError].
func compileRules(o Options) ([]*rule, []error) {
	withClaims, err := newEnvironment(true)
	if err != nil {
		return nil, []error{err}
	}
	public, err := newEnvironment(false)
	if err != nil {
		return nil, []error{err}
	}
	var compiled []*rule
	var problems []error
	logins := map[string]*login{}
	for _, c := range o.Clients {
		l, err := newLogin(c)
		if err != nil {
			problems = append(problems, fmt.Errorf("client %q: %w", c.Name, err))
			continue
		}
		logins[c.Name] = l
	}
	for _, own := range ownEndpoints(o) {
		compiled = append(compiled, &rule{Rule: own, match: compileMatch(own.Match), counters: o.Counters.Rule(own.Name), own: true})
	}
	for i, from := range o.Rules {
		env := withClaims
		if from.Public {
			env = public
		}
		fail := func(field, key string, err error) {
			problems = append(problems, &RuleError{Rule: i, Field: field, Key: key, Err: err})
		}
		each := func(field string, from map[string]string, fold func(string) string, kinds ...types.Kind) (list []namedExpression) {
			for _, name := range slices.Sorted(maps.Keys(from)) {
				x, err := env.compile(from[name], kinds...)
				if err != nil {
					fail(field, name, err)
					continue
				}
				list = append(list, namedExpression{fold(name), escapeQuery(name), x})
			}
			return list
		}
		if from.Public && (from.Bearer != nil || from.Login != "") {
			fail("public", "", errors.New("a rule that asks for a credential isn't public"))
		}
		r := &rule{Rule: from, match: compileMatch(from.Match), counters: o.Counters.Rule(from.Name)}
		if from.Login != "" && from.Bearer != nil && from.Bearer.stepUp() != "" {
			fail("login", "", errors.New("a session would be a way around what the rule's bearer asks of the user's login"))
		}
		if from.Login != "" {
			if r.login = logins[from.Login]; r.login == nil {
				fail("login", "", fmt.Errorf("there is no client %q", from.Login))
			}
		}
		if from.Bearer != nil {
			if strings.ContainsFunc(from.Bearer.ResourceMetadata, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }) {
				fail("bearer.resource_metadata", "", errors.New("it holds a character that a header can't; percent-encode it"))
			}
			r.challenge, r.stepUp = from.Bearer.parameters(), from.Bearer.stepUp()
		}
		if from.Require != "" {
			if r.require, err = env.compile(from.Require, types.BoolKind); err != nil {
				fail("require", "", err)
			}
		}
		same := func(name string) string { return name }
		r.headers = each("headers", from.Headers, strings.ToLower, textKinds...)
		r.responseHeaders = each("response_headers", from.ResponseHeaders, strings.ToLower, textKinds...)
		r.query = each("query.set", from.SetQuery, same, textKinds...)
		r.metadata = each("metadata", from.Metadata, same, append([]types.Kind{types.MapKind}, textKinds...)...)
		r.newSalt()
		compiled = append(compiled, r)
	}
	return compiled, problems
}

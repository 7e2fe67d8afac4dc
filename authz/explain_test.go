package authz

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestExplain(t *testing.T) {
	corp := newIssuer(t, "corp")
	counters := audit.NewCounters()
	path := func(p string) Match { return Match{Hosts: []string{"api.example.com"}, Paths: []string{p}} }
	e := newEngine(t, Options{Counters: counters, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})), Rules: []Rule{
		{Name: "elsewhere", Match: Match{Hosts: []string{"other.test"}}, Public: true},
		{Name: "post", Match: Match{Methods: []string{"POST"}}, Public: true},
		{Name: "public", Match: path("/public"), Public: true},
		{Name: "guarded", Match: path("/guarded"), Public: true, Require: `request.method == "PUT"`},
		{Name: "odd", Match: path("/odd/**"), Public: true, AllowAmbiguousPath: true},
		{Name: "neither", Match: path("/neither")},
		{Name: "write", Match: path("/write"), Bearer: &Bearer{Providers: []string{"corp"}, Scopes: []string{"orders.write"}}, Require: `claims.sub == "alice"`},
		{Name: "pay", Match: path("/pay"), Bearer: &Bearer{Providers: []string{"corp"}, UserAuthentication: oidc.UserAuthentication{MaxAge: time.Hour}}},
	}})
	fine, expired := bearer(corp.Sign(oidctest.Token{})), bearer(corp.Sign(oidctest.Token{TTL: -time.Hour}))
	upTo := func(last Trial) []Trial {
		all := []Trial{{"post", "method"}, {"public", "path"}, {"guarded", "path"}, {"odd", "path"}, {"neither", "path"}, {"write", "path"}, {"pay", "path"}}
		for i := range all {
			if all[i].Name == last.Name {
				return append(all[:i], last)
			}
		}
		return all
	}
	rows := []struct {
		name       string
		r          *Request
		reason     audit.Reason
		rules      []Trial
		credential string
		checks     int // of the token that were judged
		policy     []Trial
	}{
		{"a malformed request", &Request{}, audit.MalformedRequest, nil, "", 0, nil},
		{"no rule", get("/nothing"), audit.NoRule, upTo(Trial{}), "none", 0, nil},
		{"a public rule", get("/public", fine), audit.PublicRule, upTo(Trial{"public", ""}), "a bearer token", 0, nil},
		{"a public rule that requires something", get("/guarded"), audit.RequirementFalse, upTo(Trial{"guarded", ""}), "none", 0, []Trial{{"require", "requirement_false"}}},
		{"an ambiguous path", get("/write/../public"), audit.AmbiguousPath, upTo(Trial{}), "none", 0, nil},
		{"an ambiguous path that a rule fits", get("/%2e%2e/public"), audit.AmbiguousPath, upTo(Trial{}), "none", 0, nil},
		{"an ambiguous path that a rule takes", get("/odd/a%2fb"), audit.PublicRule, upTo(Trial{"odd", ""}), "none", 0, nil},
		{"two credentials", get("/write", fine, fine), audit.MalformedAuthorization, upTo(Trial{"write", ""}), "malformed_authorization: ", 0, nil},
		{"no credential", get("/write"), audit.NoCredential, upTo(Trial{"write", ""}), "none", 0, nil},
		{"a rule that wants nothing", get("/neither", fine), audit.NoCredential, upTo(Trial{"neither", ""}), "a bearer token", 0, nil},
		{"a bad token", get("/write", expired), audit.TokenExpired, upTo(Trial{"write", ""}), "a bearer token", 15, nil},
		{"a good token that isn't enough", get("/write", fine), audit.InsufficientScope, upTo(Trial{"write", ""}), "a bearer token", 15,
			[]Trial{{"provider", ""}, {"audience", ""}, {"user authentication", ""}, {"scopes", "insufficient_scope: "}, {"require", ""}}},
		{"a login that isn't enough", get("/pay", fine), audit.InsufficientUserAuthentication, upTo(Trial{"pay", ""}), "a bearer token", 15,
			[]Trial{{"provider", ""}, {"audience", ""}, {"user authentication", "insufficient_user_authentication: auth_time is missing"}, {"scopes", ""}, {"require", ""}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := e.Explain(t.Context(), row.r)
			if x.Decision.Reason != row.reason {
				t.Errorf("got %v, want %v", x.Decision.Reason, row.reason)
			}
			same := func(got, want Trial) bool {
				return got.Name == want.Name && strings.HasPrefix(got.Failure, want.Failure) && (got.Failure == "") == (want.Failure == "")
			}
			if !slices.EqualFunc(x.Rules, row.rules, same) {
				t.Errorf("got rules %q, want %q", x.Rules, row.rules)
			}
			if !strings.HasPrefix(x.Credential, row.credential) || (x.Credential == "") != (row.credential == "") {
				t.Errorf("got credential %q, want %q", x.Credential, row.credential)
			}
			if got := len(slices.DeleteFunc(x.Token, func(f oidc.Finding) bool { return !f.Judged })); got != row.checks {
				t.Errorf("got %d checks of the token, want %d", got, row.checks)
			}
			if !slices.EqualFunc(x.Policy, row.policy, same) {
				t.Errorf("got policy %q, want %q", x.Policy, row.policy)
			}
			// The same decision as without explaining.
			d := e.Decide(t.Context(), row.r)
			wantReason(t, d, row.reason)
			if x.Decision.Rule != d.Rule || x.Decision.Subject != d.Subject || x.Host != row.r.host || x.Path != row.r.path || x.Ambiguous != row.r.ambiguous {
				t.Errorf("got %+v for %+v", x, d)
			}
		})
	}
	var counted uint64
	counters.Each(func(_ string, _ audit.Reason, n uint64) { counted += n })
	if counted != uint64(len(rows)) {
		t.Errorf("%d decisions were counted: explaining counts", counted)
	}
	// An explained token is judged, not remembered.
	if entries := e.bearer.tokens.good.Stats().Entries; entries != 1 {
		t.Errorf("%d tokens are remembered", entries)
	}
}

// TestExplainStopsAtTheRuleThatRefuses: the first rule that fits decides, also where
// it refuses an ambiguous path.
func TestExplainStopsAtTheRuleThatRefuses(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{{Name: "first", Public: true}, {Name: "second", Public: true, AllowAmbiguousPath: true}}})
	x := e.Explain(t.Context(), get("/a//b"))
	if want := []Trial{{"first", "it refuses ambiguous paths"}}; !slices.Equal(x.Rules, want) || !x.Ambiguous {
		t.Errorf("got %q, want %q", x.Rules, want)
	}
}

package authz

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// hits is how many answers came from templates.
func hits(e *Engine) uint64 { return e.bearer.tokens.Templates.Stats().Hits }

// TestTemplateIsTheAnswer: with templates and without, every request gets the same, and
// only rules that read nothing but claims have any.
func TestTemplateIsTheAnswer(t *testing.T) {
	corp := newIssuer(t, "corp")
	verifier := newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{CallerChecksConstraints: true}))
	rule := func(change func(*Rule)) Rule {
		r := orders
		r.Headers = map[string]string{"x-user": "claims.sub", "x-groups": "claims.groups", "x-absent": "claims.absent", "x-count": "size(claims.groups)"}
		change(&r)
		return r
	}
	alice := oidctest.Token{Claims: map[string]any{"groups": []string{"staff", "ä\n"}, "jti": "1", "sid": "2"}}
	for _, row := range []struct {
		name  string
		rule  Rule
		token oidctest.Token
		want  audit.Reason
		hits  uint64
	}{
		{"headers", rule(func(*Rule) {}), alice, audit.Allowed, 3},
		{"no headers", orders, alice, audit.Allowed, 3},
		{"a requirement", rule(func(r *Rule) { r.Require = `claims.groups.exists(g, g == "staff")` }), alice, audit.Allowed, 3},
		{"response headers", rule(func(r *Rule) {
			r.ResponseHeaders = map[string]string{"x-who": "claims.sub", "x-no": "claims.absent", "x-fixed": `"1"`}
		}), alice, audit.Allowed, 3},
		{"the token goes on", rule(func(r *Rule) { r.ForwardAuthorization = true }), alice, audit.Allowed, 3},
		{"how the user logged in", rule(func(r *Rule) {
			b := *r.Bearer
			b.UserAuthentication = oidc.UserAuthentication{ACRValues: []string{"gold"}}
			r.Bearer = &b
		}), oidctest.Token{Claims: map[string]any{"acr": "gold"}}, audit.Allowed, 3},
		{"no iat", rule(func(*Rule) {}), oidctest.Token{Claims: map[string]any{"iat": nil}}, audit.Allowed, 3},
		{"a denied one has none", rule(func(r *Rule) { r.Require = `"boss" in claims.groups` }), alice, audit.RequirementFalse, 0},
		{"a requirement on the request", rule(func(r *Rule) { r.Require = `request.method == "GET"` }), alice, audit.Allowed, 0},
		{"a header of the request", rule(func(r *Rule) { r.Headers["x-path"] = "request.path" }), alice, audit.Allowed, 0},
		{"a response header of the request", rule(func(r *Rule) { r.ResponseHeaders = map[string]string{"x-path": "request.path"} }), alice, audit.Allowed, 0},
		{"how long ago the user logged in", rule(func(r *Rule) {
			b := *r.Bearer
			b.UserAuthentication = oidc.UserAuthentication{MaxAge: time.Hour}
			r.Bearer = &b
		}), oidctest.Token{Claims: map[string]any{"auth_time": time.Now().Unix()}}, audit.Allowed, 0},
		{"query parameters", rule(func(r *Rule) { r.SetQuery = map[string]string{"user": "claims.sub"} }), alice, audit.Allowed, 0},
		{"query parameters that are removed", rule(func(r *Rule) { r.RemoveQuery = []string{"user"} }), alice, audit.Allowed, 0},
		{"metadata", rule(func(r *Rule) { r.Metadata = map[string]string{"user": "claims.sub"} }), alice, audit.Allowed, 0},
		{"a public rule", Rule{Name: "public", Public: true}, alice, audit.PublicRule, 0},
		{"a token that is bound to a key", rule(func(*Rule) {}), oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)}}}, audit.CertificateMismatch, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			with, without := newTokens(t), newTokens(t)
			without.Templates = nil
			got := newEngine(t, Options{Rules: []Rule{row.rule}, Verifier: verifier, Tokens: with})
			want := newEngine(t, Options{Rules: []Rule{row.rule}, Verifier: verifier, Tokens: without})
			token := bearer(corp.Sign(row.token))
			for i, headers := range [][]Header{{token}, {token, {"x_user", "root"}}, {token, {"x.groups", "root"}}, {{"x-user", "root"}, token}, {token, {"X_USER", "a"}, {"x_user", "b"}}} {
				target := "/" + strings.Repeat("x", i)
				a, b := got.Decide(t.Context(), get(target, headers...)), want.Decide(t.Context(), get(target, headers...))
				wantReason(t, a, row.want)
				if !reflect.DeepEqual(a, b) {
					t.Errorf("request %d: got %+v, want %+v", i, a, b)
				}
			}
			if n := hits(got); n != row.hits {
				t.Errorf("got %d answers from templates, want %d", n, row.hits)
			}
		})
	}
}

// TestOnlyClaimsAreSteady: every variable of the request makes an expression unsteady.
func TestOnlyClaimsAreSteady(t *testing.T) {
	env, err := newEnvironment(true)
	if err != nil {
		t.Fatal(err)
	}
	unsteady := []string{`has(request.headers.x) || true`, `claims.groups.exists(g, g == request.host)`, `request.headers["a"] == "b"`}
	for _, name := range []string{"method", "scheme", "host", "path", "query", "headers", "context_extensions", "time"} {
		unsteady = append(unsteady, "request."+name+" == request."+name, "claims.sub == 'a' || [request."+name+"].size() == 1")
	}
	if len(requestVariables) != 8 {
		t.Error("a variable isn't tried here")
	}
	for want, list := range map[bool][]string{
		false: unsteady,
		true:  {`claims.sub == "request.path"`, `claims.request.path == "a"`, `claims.groups.exists(request, request == "x")`, `"a" in claims.groups`, "true"},
	} {
		for _, text := range list {
			x, err := env.compile(text, types.BoolKind)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			} else if x.steady != want {
				t.Errorf("%s: got %t", text, x.steady)
			}
		}
	}
}

// remembered is an engine that has a template for the token.
func remembered(t *testing.T) (*issuer, *Engine, string) {
	t.Helper()
	corp, e := newCorp(t, orders)
	token := corp.Sign(oidctest.Token{KeyID: "ed-1", TTL: 10 * time.Minute})
	for range 3 {
		wantReason(t, asks(t, e, token, time.Now()), audit.Allowed)
	}
	if hits(e) != 1 {
		t.Fatalf("got %d answers from templates, want 1", hits(e))
	}
	return corp, e, token
}

// TestTemplateEndsWithItsVerdict: it has no life of its own.
func TestTemplateEndsWithItsVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, token := remembered(t)
		now := time.Now()
		wantReason(t, asks(t, e, token, now.Add(10*time.Minute+31*time.Second)), audit.TokenExpired)
		wantReason(t, asks(t, e, token, now.Add(-time.Hour)), audit.TokenIssuedInFuture)
		wantReason(t, asks(t, e, token, now), audit.Allowed)
	})
	synctest.Test(t, func(t *testing.T) {
		corp, e, token := remembered(t)
		corp.RetireKey("ed-1")
		if err := corp.keys.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := asks(t, e, token, time.Now()); d.Allow {
			t.Error("its key is gone, and it was allowed")
		}
	})
}

// TestTemplateIsOneTokensAndOneRules: nobody else gets it, in no later configuration.
func TestTemplateIsOneTokensAndOneRules(t *testing.T) {
	corp, e, token := remembered(t)
	now := time.Now()
	strict := orders
	strict.Bearer = &Bearer{Providers: []string{"corp"}, Scopes: []string{"orders.delete"}}
	later := newEngine(t, Options{Rules: []Rule{strict}, Verifier: e.bearer.verifier, Tokens: e.bearer.tokens})
	d := asks(t, later, token, now)
	wantCached(t, d, audit.InsufficientScope, true)

	for _, other := range []string{token + "A", token[:len(token)-1], "x" + token, strings.ToUpper(token)} {
		if d := asks(t, e, other, now); d.Allow {
			t.Errorf("%q was allowed", other)
		}
	}
	wantReason(t, e.Decide(t.Context(), get("/", Header{"authorization", "DPoP " + token})), audit.DPoPProofInvalid)
	wantReason(t, e.Decide(t.Context(), get("/", bearer(token), bearer(token))), audit.MalformedAuthorization)
	if d := asks(t, e, corp.Sign(oidctest.Token{Claims: map[string]any{"sub": "bob"}}), now); d.Subject != "bob" {
		t.Errorf("got %q", d.Subject)
	}
}

// TestTemplateOfWhatWasWrong: what was made of a verdict that a recheck finds wrong
// doesn't outlive it.
func TestTemplateOfWhatWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		now, expired := time.Now(), w.corp.Sign(oidctest.Token{TTL: -time.Hour})
		w.bearer.tokens.Recheck = nil
		w.confuse(t, expired, w.corp.Sign(oidctest.Token{}), now)
		for range 3 {
			wantCached(t, asks(t, w.Engine, expired, now), audit.Allowed, true)
		}
		if hits(w.Engine) == 0 {
			t.Fatal("there is no template")
		}
		w.bearer.tokens.Recheck = w.watch
		wantCached(t, asks(t, w.Engine, expired, now), audit.Allowed, true)
		w.wantCounts(t, 1, 1)
		w.bearer.tokens.Recheck = nil
		wantReason(t, asks(t, w.Engine, expired, now), audit.TokenExpired)
	})
}

// TestTemplateThatIsTooLong isn't kept.
func TestTemplateThatIsTooLong(t *testing.T) {
	rule := orders
	rule.Headers = map[string]string{}
	for name := range strings.SplitSeq("abcdefghij", "") {
		rule.Headers["x-"+name] = "claims.long"
	}
	corp, e := newCorp(t, rule)
	roomy, err := cache.New(cache.Options{MiB: 4, MaxValue: 200 << 10, MaxLife: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer roomy.Close()
	e.bearer.tokens.Templates = roomy
	token := corp.Sign(oidctest.Token{Claims: map[string]any{"long": strings.Repeat("l", 8000)}})
	for range 4 {
		d := asks(t, e, token, time.Now())
		wantReason(t, d, audit.Allowed)
		if len(d.Set) != 10 || len(d.Set[9].Value) != 8000 {
			t.Error("not all of it is there")
		}
	}
	if hits(e) != 0 {
		t.Error("it came from a template")
	}
}

// TestTemplateThatIsntWhole is none.
func TestTemplateThatIsntWhole(t *testing.T) {
	rule := orders
	rule.Headers, rule.ResponseHeaders = map[string]string{"x-user": "claims.sub"}, map[string]string{"x-who": "claims.sub"}
	corp, e := newCorp(t, rule)
	now, r := time.Now(), get("/", bearer(corp.Sign(oidctest.Token{})))
	for range 3 {
		wantReason(t, e.Decide(t.Context(), r), audit.Allowed)
	}
	tokens := e.bearer.tokens
	token, _ := r.presented()
	key := e.index.first(r).templateKey(tokens.keyer.Key(string(token.token)))
	whole, ok := tokens.Templates.Get(key, now)
	if !ok {
		t.Fatal("there is no template")
	}
	for n := range len(whole) {
		tokens.Templates.Put(key, whole[:n], now, now.Add(time.Minute))
		d := e.Decide(t.Context(), r)
		wantReason(t, d, audit.Allowed)
		if value(t, d.Set, "x-user") != "alice" || value(t, d.ResponseHeaders, "x-who") != "alice" || d.Subject != "alice" {
			t.Errorf("%d bytes: got %+v", n, d)
		}
	}
}

// TestExplainKnowsNoTemplates: it tells what is checked, and so has it checked.
func TestExplainKnowsNoTemplates(t *testing.T) {
	_, e, token := remembered(t)
	before := hits(e)
	x := e.Explain(t.Context(), get("/", bearer(token)))
	if len(x.Token) == 0 || len(x.Policy) == 0 || hits(e) != before {
		t.Errorf("got %+v, %d answers from templates", x, hits(e)-before)
	}
}

// TestBoundTokensHaveNoTemplates: what one request proved, the next has to prove again.
func TestBoundTokensHaveNoTemplates(t *testing.T) {
	told, thumbprint := newCertificate(t)
	corp, e := newBound(t, Options{})
	token := bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint}}}))
	for range 4 {
		r := get("/", token)
		r.Certificate = told
		wantReason(t, e.Decide(t.Context(), r), audit.Allowed)
	}
	wantReason(t, e.Decide(t.Context(), get("/", token)), audit.CertificateMismatch)
	if hits(e) != 0 {
		t.Errorf("got %d answers from templates", hits(e))
	}
}

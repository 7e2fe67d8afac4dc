package authz

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestZeroDecisionDenies(t *testing.T) {
	var d Decision
	if d.Allow || d.Reason.Class() == audit.ClassAllow {
		t.Errorf("got %+v", d)
	}
}

func TestRules(t *testing.T) {
	corp, e := newCorp(t,
		Rule{Name: "neither", Match: Match{Paths: []string{"/neither"}}},
		Rule{Name: "public", Match: Match{Paths: []string{"/public"}}, Public: true},
		Rule{Name: "never", Match: Match{Paths: []string{"/never"}}, Public: true, Require: "false"},
		Rule{Name: "secret", Match: Match{Paths: []string{"/secret"}}, Public: true, Require: `request.headers["x-secret"] == "yes"`},
		orders,
	)
	token := corp.Sign(oidctest.Token{})
	rows := []struct {
		name string
		r    *Request
		want audit.Reason
		rule string
	}{
		{"a good token passes", get("/", bearer(token)), audit.Allowed, "orders"},
		{"the scheme's case doesn't matter", get("/", Header{"authorization", "bEaReR " + token}), audit.Allowed, "orders"},
		{"no token is no pass", get("/"), audit.NoCredential, "orders"},
		{"SEC-B1: a token elsewhere is no token", get("/?access_token="+token, Header{"cookie", "access_token=" + token}, Header{"x-authorization", "Bearer " + token}), audit.NoCredential, "orders"},
		{"a rule that wants nothing lets nobody through", get("/neither", bearer(token)), audit.NoCredential, "neither"},
		{"a public rule asks nobody", get("/public"), audit.PublicRule, "public"},
		{"and looks at no token", get("/public", bearer("nonsense")), audit.PublicRule, "public"},
		{"two credentials aren't passed on, even there", get("/public", bearer("one"), bearer("two")), audit.MalformedAuthorization, "public"},
		{"a public rule may still require something", get("/never"), audit.RequirementFalse, "never"},
		{"of the request", get("/secret", Header{"x-secret", "yes"}), audit.PublicRule, "secret"},
		{"that is there", get("/secret"), audit.RequirementFailed, "secret"},
		{"the query is no part of the path", get("/public?/../x"), audit.PublicRule, "public"},
		{"the host is that of the request, not of a header", get("/", Header{"x-forwarded-host", "x"}, Header{"x-original-url", "/public"}, Header{"x-envoy-original-path", "/public"}), audit.NoCredential, "orders"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := e.Decide(t.Context(), row.r)
			wantReason(t, d, row.want)
			if d.Rule != row.rule {
				t.Errorf("got rule %q, want %q", d.Rule, row.rule)
			}
		})
	}
}

func TestDecisionSaysWhoItWas(t *testing.T) {
	corp, e := newCorp(t, Rule{Name: "root", Match: Match{Paths: []string{"/root"}}, Bearer: orders.Bearer, Require: `claims.sub == "root"`}, orders)
	rows := []struct {
		name    string
		claims  map[string]any
		subject oidc.Subject
		client  string
	}{
		{"client_id (RFC 9068, 2.2)", map[string]any{"client_id": "cli", "azp": "azp"}, "alice", "cli"},
		{"azp where there is none", map[string]any{"client_id": nil, "azp": "azp"}, "alice", "azp"},
		{"or an empty one", map[string]any{"client_id": "", "azp": "azp"}, "alice", "azp"},
		{"or one that isn't text", map[string]any{"client_id": 7}, "alice", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			token := corp.Sign(oidctest.Token{Claims: row.claims})
			for _, path := range []string{"/", "/root"} { // denied or not
				d := e.Decide(t.Context(), get(path, bearer(token)))
				if d.Provider != "corp" || d.Subject != row.subject || d.ClientID != row.client {
					t.Errorf("%s: got provider %q, subject %q, client %q", path, d.Provider, d.Subject, d.ClientID)
				}
			}
		})
	}
	d := e.Decide(t.Context(), get("/", bearer(corp.Sign(oidctest.Token{TTL: -time.Hour}))))
	if d.Provider != "" || d.Subject != "" || d.ClientID != "" {
		t.Errorf("a refused token is believed: %+v", d)
	}
}

func TestAuthorizationIsPassedOnOnlyWhereTheRuleSaysSo(t *testing.T) {
	forward := Rule{Name: "forward", Match: Match{Paths: []string{"/forward"}}, Bearer: orders.Bearer, ForwardAuthorization: true}
	public := Rule{Name: "public", Match: Match{Paths: []string{"/public"}}, Public: true}
	corp, e := newCorp(t, forward, public, orders)
	token := corp.Sign(oidctest.Token{})
	rows := []struct {
		name    string
		r       *Request
		removed bool
	}{
		{"a bearer token is removed", get("/", bearer(token)), true},
		{"also on a public rule", get("/public", bearer("anything")), true},
		{"but not where the rule forwards it", get("/forward", bearer(token)), false},
		{"other schemes aren't ours", get("/public", Header{"authorization", "Basic YTpi"}), false},
		{"nor is what isn't there", get("/public"), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := e.Decide(t.Context(), row.r)
			if !d.Allow {
				t.Fatalf("denied: %v", d.Reason)
			}
			if got := slices.Contains(d.Remove, "authorization"); got != row.removed {
				t.Errorf("removed %q: got %t, want %t", d.Remove, got, row.removed)
			}
		})
	}
}

// TestSEC_5_3_PanicDenies: a proxy takes a broken call for an outage, and may be set to
// let requests pass in one.
func TestSEC_5_3_PanicDenies(t *testing.T) {
	corp := newIssuer(t, "corp")
	verifier := newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))
	token := corp.Sign(oidctest.Token{})
	var log lines
	e := newEngine(t, Options{Rules: []Rule{orders}, Verifier: verifier, Tokens: &Tokens{keyer: cache.NewKeyer()}, Log: newTextLog(&log)})
	d := e.Decide(t.Context(), get("/", bearer(token)))
	wantReason(t, d, audit.InternalError)
	if got := d.Denial.Status; got != 500 {
		t.Errorf("got status %d", got)
	}
	if got := log.String(); !strings.Contains(got, "stack=") || !strings.Contains(got, "authenticate.go") || strings.Contains(got, token) {
		t.Errorf("got log %q", got)
	}
}

// TestPanicValueIsntLogged: whoever panics may do so with a token in hand.
func TestPanicValueIsntLogged(t *testing.T) {
	var log lines
	e := newEngine(t, Options{Rules: []Rule{{Public: true}}, Log: newTextLog(&log)})
	d := e.judge(panicking{t.Context()}, get("/"), nil).Decision
	wantReason(t, d, audit.InternalError)
	if got := log.String(); strings.Contains(got, canary) || !strings.Contains(got, "panic of type") {
		t.Errorf("got log %q", got)
	}
}

// panicking is a context that is no good: asked for its end, it panics.
type panicking struct{ context.Context }

func (panicking) Err() error { panic(errors.New(canary)) }

func TestPanicInAVerificationIsLoggedWhereItHappened(t *testing.T) {
	faulty, err := oidc.NewProvider(oidc.ProviderOptions{Name: "corp", Issuer: "https://corp.test", Audiences: []string{"api"}, Keys: new(oidc.KeySet)})
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	e := newEngine(t, Options{Rules: []Rule{orders}, Verifier: newVerifier(faulty), Log: newTextLog(&log)})
	corp := oidctest.New(oidctest.Options{Issuer: "https://corp.test"})
	defer corp.Close()
	wantReason(t, e.Decide(t.Context(), get("/", bearer(corp.Sign(oidctest.Token{})))), audit.InternalError)
	if got := log.String(); !strings.Contains(got, "verify_token.go") || !strings.Contains(got, "nil pointer") {
		t.Errorf("the log doesn't say where: %q", got)
	}
}

func TestEndedContextDenies(t *testing.T) {
	corp, e := newCorp(t, Rule{Name: "public", Match: Match{Paths: []string{"/public"}}, Public: true}, orders)
	remembered := get("/", bearer(corp.Sign(oidctest.Token{})))
	e.Decide(t.Context(), remembered)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	rows := []struct {
		name string
		r    *Request
		want audit.Reason // while it lasts
	}{
		{"a public rule", get("/public"), audit.PublicRule},
		{"a remembered token", remembered, audit.Allowed},
		{"a new token", get("/", bearer(corp.Sign(oidctest.Token{}))), audit.Allowed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			wantReason(t, e.Decide(cancelled, row.r), audit.Cancelled)
			d := e.Decide(late, row.r)
			wantReason(t, d, audit.DeadlineExceeded)
			if len(d.Set)+len(d.Remove) > 0 {
				t.Errorf("what was prepared for an allow is still there: %+v", d)
			}
			wantReason(t, e.Decide(t.Context(), row.r), row.want) //nolint:contextcheck // each row has a context of its own
		})
	}
}

// TestWaitEndsWithTheContext: only a key that isn't known makes a request wait.
func TestWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCorp(t, orders)
		corp.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		ask := func(ctx context.Context) (Decision, time.Duration) {
			began := time.Now()
			d := e.Decide(ctx, get("/", bearer(corp.Sign(oidctest.Token{KeyID: "new"}))))
			return d, time.Since(began)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		d, waited := ask(ctx)
		wantReason(t, d, audit.DeadlineExceeded)
		if waited != 200*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		d, waited = ask(ctx)
		wantReason(t, d, audit.Cancelled)
		if waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		// Where nobody else sets a limit, ours does.
		d, waited = ask(t.Context())
		wantReason(t, d, audit.DeadlineExceeded)
		if waited != verifyLimit {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestDecideLooksAtTheRequestAnew(t *testing.T) {
	_, e := newCorp(t, Rule{Name: "public", Match: Match{Paths: []string{"/public"}}, Public: true})
	r := get("/public/%2e%2e")
	wantReason(t, e.Decide(t.Context(), r), audit.AmbiguousPath)
	r.Target = "/public?x"
	wantReason(t, e.Decide(t.Context(), r), audit.PublicRule)
	if got := r.Path(); got != "/public" {
		t.Errorf("got path %q", got)
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	rules := []Rule{
		{Name: "both", Public: true, Bearer: orders.Bearer},
		{Name: "many", Bearer: orders.Bearer, Require: "claims.sub ==", Headers: map[string]string{"x-b": "nope", "x-a": "request.time"}},
		{Name: "fine", Bearer: orders.Bearer, Require: "claims.sub == 'a'"},
		{Name: "quoted", Bearer: &Bearer{Providers: orders.Bearer.Providers, ResourceMetadata: `https://a.test/", x="`}},
		{Name: "public", Public: true, ResponseHeaders: map[string]string{"x": "claims.sub"}, SetQuery: map[string]string{"q": "{}"}, Metadata: map[string]string{"m": "request.nope"}},
	}
	want := []string{
		`rules[0].public: `, `rules[1].require: column `, `rules[1].headers["x-a"]: its value is `, `rules[1].headers["x-b"]: column 1: undeclared reference to 'nope'`,
		`rules[3].bearer.resource_metadata: it holds `,
		`rules[4].response_headers["x"]: column 1: undeclared reference to 'claims'`, `rules[4].query.set["q"]: its value is map`, `rules[4].metadata["m"]: column `,
	}
	_, err := New(Options{Rules: rules, Verifier: newVerifier(), Tokens: newTokens(t), Counters: audit.NewCounters()})
	for _, err := range []error{err, checkRules(rules)} {
		got := problems(err)
		if len(got) != len(want) {
			t.Fatalf("got %d problems, want %d: %v", len(got), len(want), err)
		}
		for i, problem := range got {
			if !strings.HasPrefix(problem.Error(), want[i]) || !errAs[*RuleError](problem) || errors.Unwrap(problem) == nil {
				t.Errorf("got %q, want %q…", problem, want[i])
			}
		}
	}
	if err := checkRules(rules[2:3]); err != nil {
		t.Error(err)
	}
}

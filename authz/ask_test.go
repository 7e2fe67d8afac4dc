package authz

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// introspected makes a provider that asks the issuer about tokens, as the client
// credence, as o says beyond that.
func (i *issuer) introspected(t testing.TB, name string, o oidc.IntrospectorOptions, p oidc.ProviderOptions) *oidc.Provider {
	t.Helper()
	i.AddClient("credence", "secret", oidctest.Token{})
	auth, err := oidc.NewClientAuth(oidc.ClientAuthOptions{ID: "credence", Secret: func() (string, error) { return "secret", nil }})
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Issuer, o.Auth, o.Client = name, oidc.Issuer(i.Issuer()), auth, &http.Client{Transport: i.Transport()}
	if o.URL == "" {
		o.URL = i.Issuer() + "/introspect"
	}
	if p.Introspector, err = oidc.NewIntrospector(o); err != nil {
		t.Fatal(err)
	}
	return i.provider(t, name, p)
}

// newAsking makes an issuer that is asked, and an engine that asks it.
func newAsking(t testing.TB, o oidc.IntrospectorOptions, rules ...Rule) (*issuer, *Engine) {
	t.Helper()
	corp := newIssuer(t, "corp")
	return corp, newEngine(t, Options{Rules: rules, Verifier: newVerifier(corp.introspected(t, "corp", o, oidc.ProviderOptions{ClockSkew: 30 * time.Second}))})
}

func TestAnswerIsRemembered(t *testing.T) {
	corp, e := newAsking(t, oidc.IntrospectorOptions{}, orders)
	now := time.Now()
	fine, gone := corp.IssueOpaque(oidctest.Token{}), corp.IssueOpaque(oidctest.Token{})
	foreign := corp.IssueOpaque(oidctest.Token{Claims: map[string]any{"aud": "other"}})
	corp.Revoke(gone)
	for i := range 3 {
		d := asks(t, e, fine, now)
		wantCached(t, d, audit.Allowed, i > 0)
		if d.Provider != "corp" || d.Subject != "alice" || d.ClientID != "web" {
			t.Errorf("got %+v", d)
		}
		wantCached(t, asks(t, e, gone, now), audit.TokenInactive, i > 0)
		wantCached(t, asks(t, e, foreign, now), audit.AudienceMismatch, i > 0)
	}
	if got := corp.Requests(oidctest.Introspection); got != 3 {
		t.Errorf("%d questions, want one for each token", got)
	}
	// A JWT goes its own way, by the same rule.
	wantCached(t, asks(t, e, corp.Sign(oidctest.Token{}), now), audit.Allowed, false)
	if got := corp.Requests(oidctest.Introspection); got != 3 {
		t.Errorf("%d questions, after a JWT", got)
	}
}

// TestSEC_T6_AnswersEnd: at exp, and at the times that are configured, whichever
// comes first; and what a token does that was revoked since.
func TestSEC_T6_AnswersEnd(t *testing.T) {
	corp, e := newAsking(t, oidc.IntrospectorOptions{}, orders)
	now := time.Now()
	fine, short := corp.IssueOpaque(oidctest.Token{}), corp.IssueOpaque(oidctest.Token{Claims: map[string]any{"exp": now.Unix() + 20}})
	const minute = time.Minute
	for _, row := range []struct {
		name, token string
		after       time.Duration
		want        audit.Reason
		cached      bool
	}{
		{"asked", fine, 0, audit.Allowed, false},
		{"asked, for a short time", short, 0, audit.Allowed, false},
		{"before exp", short, 18 * time.Second, audit.Allowed, true},
		{"after exp, within the leeway", short, 20 * time.Second, audit.Allowed, false}, // asked again
		{"and again", short, 20 * time.Second, audit.Allowed, false},
		{"after the leeway", short, 50 * time.Second, audit.TokenExpired, false},
		{"before the time to live", fine, minute - time.Second, audit.Allowed, true},
		{"after it", fine, minute, audit.Allowed, false},
	} {
		wantCached(t, asks(t, e, row.token, now.Add(row.after)), row.want, row.cached)
	}
	corp.Revoke(fine)
	wantCached(t, asks(t, e, fine, now.Add(2*minute-time.Second)), audit.Allowed, true)
	wantCached(t, asks(t, e, fine, now.Add(2*minute)), audit.TokenInactive, false)
	wantCached(t, asks(t, e, fine, now.Add(2*minute+9*time.Second)), audit.TokenInactive, true)
	wantCached(t, asks(t, e, fine, now.Add(2*minute+10*time.Second)), audit.TokenInactive, false)
}

// TestSEC_T6_ProvidersDontShareAnswers: the same token, asked about
// for two rules with different providers, endpoints or clients.
// Held as well: SEC-5.16, SEC-5.17.
func TestSEC_T6_ProvidersDontShareAnswers(t *testing.T) {
	first, second := newIssuer(t, "first"), newIssuer(t, "second")
	a := first.introspected(t, "first", oidc.IntrospectorOptions{}, oidc.ProviderOptions{})
	b := second.introspected(t, "second", oidc.IntrospectorOptions{}, oidc.ProviderOptions{})
	rule := func(path, require string, providers ...string) Rule {
		return Rule{Name: path, Match: Match{Paths: []string{path}}, Bearer: &Bearer{Providers: providers}, Require: require}
	}
	e := newEngine(t, Options{Verifier: newVerifier(a, b), Rules: []Rule{
		rule("/first", "", "first"), rule("/second", "", "second"), rule("/both", "", "second", "first"), rule("/root", `claims.sub == "root"`, "first"),
	}})
	token := first.IssueOpaque(oidctest.Token{})
	asking := func(path string, want audit.Reason, cached bool) {
		t.Helper()
		wantCached(t, e.Decide(t.Context(), get(path, bearer(token))), want, cached)
	}
	asking("/first", audit.Allowed, false)
	asking("/second", audit.TokenInactive, false)
	asking("/second", audit.TokenInactive, true)
	asking("/first", audit.Allowed, true)
	asking("/both", audit.Allowed, true) // one of its own providers has said so
	asking("/root", audit.RequirementFalse, true)
	if x, y := first.Requests(oidctest.Introspection), second.Requests(oidctest.Introspection); x != 1 || y != 1 {
		t.Errorf("%d and %d questions", x, y)
	}
	// After a reload, with another endpoint: what the first said isn't believed.
	moved := first.introspected(t, "first", oidc.IntrospectorOptions{URL: first.Issuer() + "/introspect?v=2"}, oidc.ProviderOptions{})
	again := newEngine(t, Options{Verifier: newVerifier(moved), Tokens: e.bearer.tokens, Rules: []Rule{rule("/first", "", "first")}})
	wantCached(t, again.Decide(t.Context(), get("/first", bearer(token))), audit.Allowed, false)
	same := newEngine(t, Options{Verifier: newVerifier(a), Tokens: e.bearer.tokens, Rules: []Rule{rule("/first", "", "first")}})
	wantCached(t, same.Decide(t.Context(), get("/first", bearer(token))), audit.Allowed, true)
}

// TestProvidersAreAskedInTurn: the first that knows the token decides; one that is
// down neither lets a token in nor keeps another's out.
func TestProvidersAreAskedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := newIssuer(t, "first"), newIssuer(t, "second"), newIssuer(t, "third")
		plain := newIssuer(t, "plain") // can't be asked
		e := newEngine(t, Options{
			Verifier: newVerifier(plain.provider(t, "plain", oidc.ProviderOptions{}),
				third.introspected(t, "third", oidc.IntrospectorOptions{}, oidc.ProviderOptions{}),
				second.introspected(t, "second", oidc.IntrospectorOptions{}, oidc.ProviderOptions{}),
				first.introspected(t, "first", oidc.IntrospectorOptions{}, oidc.ProviderOptions{})),
			Rules: []Rule{{Name: "all", Bearer: &Bearer{Providers: []string{"plain", "first", "second", "third"}}}},
		})
		questions := func(want ...int) {
			t.Helper()
			for i, p := range []*issuer{first, second, third, plain} {
				if got := p.Requests(oidctest.Introspection); got != want[i] {
					t.Errorf("%s was asked %d times, want %d", p.Issuer(), got, want[i])
				}
			}
		}
		wrong := second.IssueOpaque(oidctest.Token{Claims: map[string]any{"aud": "other"}})
		mine := second.IssueOpaque(oidctest.Token{})
		wantCached(t, asks(t, e, mine, time.Now()), audit.Allowed, false)
		questions(1, 1, 0, 0)
		wantCached(t, asks(t, e, wrong, time.Now()), audit.AudienceMismatch, false)
		questions(2, 2, 0, 0)
		wantCached(t, asks(t, e, wrong, time.Now()), audit.AudienceMismatch, true)
		wantCached(t, asks(t, e, "nobodys", time.Now()), audit.TokenInactive, false)
		questions(3, 3, 1, 0)
		time.Sleep(30 * time.Second) // refusals are forgotten, the good answer isn't
		wantCached(t, asks(t, e, mine, time.Now()), audit.Allowed, true)
		questions(3, 3, 1, 0)

		first.Break(oidctest.Introspection, oidctest.Fault{Status: 503})
		wantCached(t, asks(t, e, third.IssueOpaque(oidctest.Token{}), time.Now()), audit.Allowed, false)
		questions(4, 4, 2, 0)
		for range 2 {
			wantCached(t, asks(t, e, "nobodys", time.Now()), audit.IntrospectionUnavailable, false)
		}
		questions(6, 5, 3, 0) // who doesn't know it isn't asked again so soon
	})
}

// TestOneQuestionForManyCallers (T9).
func TestOneQuestionForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newAsking(t, oidc.IntrospectorOptions{}, orders)
		corp.Break(oidctest.Introspection, oidctest.Fault{Delay: time.Second})
		token := corp.IssueOpaque(oidctest.Token{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wantCached(t, asks(t, e, token, time.Now()), audit.Allowed, false) })
		}
		wg.Wait()
		if got := corp.Requests(oidctest.Introspection); got != 1 {
			t.Errorf("%d questions", got)
		}
		// A caller that gives up does so alone.
		other := corp.IssueOpaque(oidctest.Token{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantReason(t, e.Decide(ctx, get("/", bearer(other))), audit.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		wantCached(t, asks(t, e, other, time.Now()), audit.Allowed, true)
	})
}

// TestSEC_5_20_OpaqueTokensNearAnother: a token is the whole of it, and each other
// spelling is asked about.
func TestSEC_5_20_OpaqueTokensNearAnother(t *testing.T) {
	corp, e := newAsking(t, oidc.IntrospectorOptions{}, orders)
	now := time.Now()
	one := corp.IssueOpaque(oidctest.Token{})
	wantReason(t, asks(t, e, one, now), audit.Allowed)
	near := []string{one[:len(one)-1], one[1:], one + "A", one + "=", "A" + one, strings.ToLower(one), one + "." + one, one + "." + one + "." + one, one + one}
	for range 2 {
		for _, token := range near {
			wantReason(t, asks(t, e, token, now), audit.TokenInactive)
		}
	}
	wantCached(t, asks(t, e, one, now), audit.Allowed, true)
	if got, want := corp.Requests(oidctest.Introspection), 1+len(near); got != want {
		t.Errorf("%d questions, want %d", got, want)
	}
	wantReason(t, asks(t, e, strings.Repeat("a", maxTokenBytes+1), now), audit.TokenTooLarge)
	if got, want := corp.Requests(oidctest.Introspection), 1+len(near); got != want {
		t.Errorf("%d questions, after a token that is too large", got)
	}
}

// TestProviderDown (R2): what is remembered works on, to its end; nothing else is
// let in, and nothing is remembered of it.
func TestProviderDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newAsking(t, oidc.IntrospectorOptions{}, orders)
		known, fresh := corp.IssueOpaque(oidctest.Token{}), corp.IssueOpaque(oidctest.Token{})
		wantCached(t, asks(t, e, known, time.Now()), audit.Allowed, false)
		corp.Break(oidctest.Introspection, oidctest.Fault{Hang: true})
		d := asks(t, e, fresh, time.Now())
		wantCached(t, d, audit.IntrospectionUnavailable, false)
		if value(t, d.Denial.Headers, "retry-after") == "" {
			t.Errorf("got %v", d.Denial)
		}
		wantCached(t, asks(t, e, known, time.Now()), audit.Allowed, true)
		time.Sleep(time.Minute)
		wantCached(t, asks(t, e, known, time.Now()), audit.IntrospectionUnavailable, false)
		corp.Mend(oidctest.Introspection)
		wantCached(t, asks(t, e, fresh, time.Now()), audit.Allowed, false)
		wantCached(t, asks(t, e, known, time.Now()), audit.Allowed, false)
	})
}

// TestJWTsThatAreAskedAbout: the issuer names whom to ask, and what it says counts.
func TestJWTsThatAreAskedAbout(t *testing.T) {
	corp := newIssuer(t, "corp")
	p := corp.introspected(t, "corp", oidc.IntrospectorOptions{}, oidc.ProviderOptions{IntrospectJWTs: true})
	e := newEngine(t, Options{Rules: []Rule{orders}, Verifier: newVerifier(p)})
	now := time.Now()
	known, unknown := corp.IssueJWT(oidctest.Token{}), corp.Sign(oidctest.Token{})
	for i := range 2 {
		wantCached(t, asks(t, e, known, now), audit.Allowed, i > 0)
		wantCached(t, asks(t, e, unknown, now), audit.TokenInactive, i > 0)
	}
	corp.Revoke(known)
	wantCached(t, asks(t, e, known, now.Add(time.Minute)), audit.TokenInactive, false)
	forged := corp.Sign(oidctest.Token{Alg: "none"})
	wantCached(t, asks(t, e, forged, now), audit.TokenInactive, false)
	foreign := corp.Sign(oidctest.Token{Claims: map[string]any{"iss": "https://other.test"}})
	wantCached(t, asks(t, e, foreign, now), audit.IssuerUnknown, false)
	if got := corp.Requests(oidctest.Introspection); got != 4 {
		t.Errorf("%d questions", got)
	}
}

// TestFloodOfUnknownTokens (R5): the provider is asked no more than the budget says.
func TestFloodOfUnknownTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newAsking(t, oidc.IntrospectorOptions{MaxConcurrent: 3, MaxPerSecond: 10}, orders)
		known := corp.IssueOpaque(oidctest.Token{})
		wantCached(t, asks(t, e, known, time.Now()), audit.Allowed, false)
		reasons := map[audit.Reason]int{}
		for i := range 1000 { // ten seconds of it
			reasons[asks(t, e, "made-up-"+strings.Repeat("x", i), time.Now()).Reason]++
			time.Sleep(10 * time.Millisecond)
		}
		// The first second's worth, less the one above, and ten in each second.
		if n := reasons[audit.TokenInactive]; n < 105 || n > 110 || n+reasons[audit.IntrospectionBusy] != 1000 {
			t.Errorf("got %v", reasons)
		}
		wantCached(t, asks(t, e, known, time.Now()), audit.Allowed, true)

		corp.Break(oidctest.Introspection, oidctest.Fault{Delay: time.Second})
		time.Sleep(time.Second)
		clear(reasons)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				d := asks(t, e, "at-once-"+strings.Repeat("x", i), time.Now())
				mu.Lock()
				defer mu.Unlock()
				reasons[d.Reason]++
			})
		}
		wg.Wait()
		if reasons[audit.TokenInactive] != 3 || reasons[audit.IntrospectionBusy] != 5 {
			t.Errorf("got %v", reasons)
		}
	})
}

func TestExplainTellsOfIntrospection(t *testing.T) {
	first, second := newIssuer(t, "first"), newIssuer(t, "second")
	e := newEngine(t, Options{
		Verifier: newVerifier(first.introspected(t, "first", oidc.IntrospectorOptions{}, oidc.ProviderOptions{}), second.introspected(t, "second", oidc.IntrospectorOptions{}, oidc.ProviderOptions{})),
		Rules:    []Rule{{Name: "all", Bearer: &Bearer{Providers: []string{"first", "second"}}, Require: `claims.sub == "alice"`}},
	})
	var got []string
	for _, token := range []string{second.IssueOpaque(oidctest.Token{}), "nobodys"} {
		x := e.Explain(t.Context(), get("/", bearer(token)))
		for _, f := range x.Token {
			if f.Check == "introspection" {
				got = append(got, f.Detail+failure(f.Refusal))
			}
		}
		got = append(got, x.Decision.Reason.String())
	}
	text := strings.Join(got, "|")
	if !strings.Contains(text, `active, says provider second to client "credence"`) || strings.Count(text, "token_inactive") != 4 {
		t.Errorf("got %s", text)
	}
}

// TestQuestionsAreSharedOutByAddress (R5): one address can't use up what all may ask.
func TestQuestionsAreSharedOutByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := newIssuer(t, "asked")
		e := newEngine(t, Options{
			Rules: []Rule{{Name: "asked", Bearer: &Bearer{Providers: []string{"asked"}}}}, TrustedHops: 1,
			Verifier: newVerifier(asked.introspected(t, "asked", oidc.IntrospectorOptions{MaxConcurrent: 100, MaxPerSecond: 40}, oidc.ProviderOptions{})),
		})
		// The client's own words come first; the proxy's come last.
		ask := func(i int, address string) audit.Reason {
			return e.Decide(t.Context(), get("/", bearer("token"+strconv.Itoa(i)), Header{"x-forwarded-for", "198.51.100." + strconv.Itoa(i) + ", " + address})).Reason
		}
		got := map[audit.Reason]int{}
		for i := range 30 {
			got[ask(i, "203.0.113.1")]++
		}
		if got[audit.TokenInactive] != 10 || got[audit.IntrospectionBusy] != 20 {
			t.Errorf("a flood from one address: got %v, want a quarter of 40 asked about", got)
		}
		// Several, since two addresses may fall into one place of the budget.
		clear(got)
		for i := range 4 {
			got[ask(100+i, "203.0.113."+strconv.Itoa(200+i))]++
		}
		if got[audit.TokenInactive] < 2 {
			t.Errorf("other addresses meanwhile: got %v", got)
		}
	})
}

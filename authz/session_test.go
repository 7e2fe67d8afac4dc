package authz

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// logIn begins a session of alice and gives the Cookie line that a browser sends.
func logIn(t testing.TB, s *session.Sessions, r session.Record) string {
	t.Helper()
	if r.Client == "" {
		r.Client = "web"
	}
	if r.Claims == "" {
		r.Claims = claimsOf(t, `{"iss":"https://corp.test","sub":"alice","groups":["staff"],"email":"alice@example.com"}`).Flat()
	}
	r.Issuer, r.Subject = "https://corp.test", "alice"
	set, refusal := s.Begin(t.Context(), r, slices.Values([]string(nil)), time.Now())
	if refusal != nil {
		t.Fatal(refusal)
	}
	return cookieLine(set)
}

// cookieLine is what a browser sends after these Set-Cookie values.
func cookieLine(set []string) string {
	var pairs []string
	for _, c := range set {
		pair, _, _ := strings.Cut(c, ";")
		if !strings.HasSuffix(pair, "=") {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "; ")
}

func TestASessionIsAnIdentity(t *testing.T) {
	engine, sessions := newSite(t, session.Options{}, Rule{
		Name: "app", Login: "web", Require: `"staff" in claims.groups`,
		Headers: map[string]string{"x-user": "claims.sub", "x-groups": "claims.groups", "x-none": "claims.none"},
	})
	d := engine.Decide(t.Context(), get("/", Header{"cookie", logIn(t, sessions, session.Record{})}, Header{"x-none", "forged"}))
	wantReason(t, d, audit.Allowed)
	if d.Provider != "corp" || d.Subject != "alice" || d.Client != "web" || d.ClientID != "" || d.Cached {
		t.Errorf("got %+v", d)
	}
	if got := value(t, d.Set, "x-user") + " " + value(t, d.Set, "x-groups"); got != "alice staff" {
		t.Errorf("the application gets %q", got)
	}
	if !slices.Contains(d.Remove, "x-none") {
		t.Error("a forged identity header stays")
	}
	if len(d.SetCookies) > 0 {
		t.Errorf("a fresh session is renewed: %q", d.SetCookies)
	}
}

func TestSEC_K8_OwnCookiesEndHere(t *testing.T) {
	public := Rule{Name: "public", Public: true, Match: Match{Paths: []string{"/public"}}}
	engine, sessions := newSite(t, session.Options{}, public, app)
	ours := logIn(t, sessions, session.Record{})
	for _, row := range []struct {
		name  string
		lines []string
		want  string // empty: the header is removed
	}{
		{"ours alone", []string{ours}, ""},
		{"before another", []string{ours + "; theme=dark"}, "theme=dark"},
		{"after another", []string{"theme=dark; " + ours}, "theme=dark"},
		{"between others", []string{"a=1; " + ours + "; b=2"}, "a=1; b=2"},
		{"on two lines", []string{"a=1", ours + "; b=2"}, "a=1; b=2"},
		{"two lines that a proxy joined", []string{ours + ",a=1"}, "a=1"},
		{"beside bytes that aren't text", []string{"n=\xe9; " + ours + "; a=1", "\xff"}, "a=1"},
		{"beside nothing but such bytes", []string{"n=\xe9; " + ours}, ""},
		{"one planted behind a comma", []string{ours + "; a=1,__Host-credence.web=abc"}, "a=1"},
		{"one that can't be opened beside it", []string{ours + "; __Host-credence.other=abc; a=1"}, "a=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, target := range []string{"/", "/public"} {
				var lines []Header
				for _, line := range row.lines {
					lines = append(lines, Header{"cookie", line})
				}
				d := engine.Decide(t.Context(), get(target, lines...))
				if !d.Allow {
					t.Fatalf("%s: got %v %s", target, d.Reason, d.Detail)
				}
				if got := value(t, d.Set, "cookie"); got != row.want || slices.Contains(d.Remove, "cookie") != (row.want == "") {
					t.Errorf("%s: the application gets %q, want %q; removed %q", target, got, row.want, d.Remove)
				}
			}
		})
	}
	d := engine.Decide(t.Context(), get("/public", Header{"cookie", "a=1; b=2"}))
	if value(t, d.Set, "cookie") != "" || slices.Contains(d.Remove, "cookie") {
		t.Errorf("cookies that aren't ours are touched: %+v", d)
	}
}

func TestABearerDecidesBeforeASession(t *testing.T) {
	corp := newIssuer(t, "corp")
	sessions := newSessions(t, session.Options{})
	engine := newEngine(t, Options{
		Rules: []Rule{{Name: "both", Login: "web", Bearer: &Bearer{Providers: []string{"corp"}}}}, Sessions: sessions, Clients: []Client{web},
		Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
	})
	cookie := Header{"cookie", logIn(t, sessions, session.Record{})}
	for _, row := range []struct {
		name    string
		headers []Header
		want    audit.Reason
		subject string
	}{
		{"a session", []Header{cookie}, audit.Allowed, "alice"},
		{"a token", []Header{bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"sub": "bob"}}))}, audit.Allowed, "bob"},
		{"both", []Header{cookie, bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"sub": "bob"}}))}, audit.Allowed, "bob"},
		{"a bad token beside a good session", []Header{cookie, bearer(corp.Sign(oidctest.Token{TTL: -time.Hour}))}, audit.TokenExpired, ""},
		{"a bad token that navigates", append([]Header{bearer("a.b.c")}, navigate...), audit.TokenMalformed, ""},
		{"neither", nil, audit.NoCredential, ""},
		{"a password", []Header{{"authorization", "Basic YTpi"}, cookie}, audit.Allowed, "alice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := engine.Decide(t.Context(), get("/", row.headers...))
			wantReason(t, d, row.want)
			if string(d.Subject) != row.subject {
				t.Errorf("got subject %q, want %q", d.Subject, row.subject)
			}
			if d.Denial == nil {
				return
			}
			challenge := value(t, d.Denial.Headers, "www-authenticate")
			if d.Denial.Status != 401 || !strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("got %d with %q", d.Denial.Status, challenge)
			}
		})
	}
}

func TestASessionIsItsClientsAlone(t *testing.T) {
	engine, sessions := newSite(t, session.Options{}, app)
	foreign := logIn(t, sessions, session.Record{Client: "other"})
	wantReason(t, engine.Decide(t.Context(), get("/", Header{"cookie", foreign})), audit.NoCredential)
	renamed := strings.Replace(foreign, ".other=", ".web=", 1)
	wantReason(t, engine.Decide(t.Context(), get("/", Header{"cookie", renamed})), audit.SessionInvalid)
}

func TestPolicyIsJudgedOnSessions(t *testing.T) {
	rule := app
	for require, want := range map[string]audit.Reason{
		`claims.sub == "alice"`: audit.Allowed,
		`claims.sub == "bob"`:   audit.RequirementFalse,
		`claims.none == "x"`:    audit.ClaimMissing,
		`claims.sub > 5`:        audit.RequirementFailed,
		`request.method == "GET" && claims.email != "root"`: audit.Allowed,
	} {
		rule.Require = require
		engine, sessions := newSite(t, session.Options{}, rule)
		d := engine.Decide(t.Context(), get("/", append([]Header{{"cookie", logIn(t, sessions, session.Record{})}}, navigate...)...))
		wantReason(t, d, want)
		if d.Denial != nil && (d.Denial.Status != 403 || d.Subject != "alice") {
			t.Errorf("%s: got %d for %q: a login wouldn't help", require, d.Denial.Status, d.Subject)
		}
	}
}

func TestEndedSessionsLogInAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		engine, sessions := newSite(t, session.Options{Idle: time.Minute, Lifetime: time.Hour}, app)
		line := logIn(t, sessions, session.Record{})
		ended = append(ended, line)
		time.Sleep(2 * time.Minute)
		fresh := logIn(t, sessions, session.Record{})
		_, _ = sessions.End(t.Context(), "web", slices.Values([]string{fresh}), time.Now())
		ended = append(ended, fresh, fresh+"AAAA")
		for i, want := range []audit.Reason{audit.SessionExpired, audit.SessionRevoked, audit.SessionInvalid} {
			cookie := Header{"cookie", ended[i]}
			d := engine.Decide(t.Context(), get("/", append([]Header{cookie}, navigate...)...))
			wantReason(t, d, want)
			if d.Denial.Status != 302 {
				t.Errorf("%v: a browser gets %d, want 302", want, d.Denial.Status)
			}
			d = engine.Decide(t.Context(), get("/", cookie))
			wantReason(t, d, want)
			var body struct{ Error, Reason string }
			if err := json.Unmarshal([]byte(d.Denial.Body), &body); err != nil || body.Error != "unauthenticated" || body.Reason != want.String() {
				t.Errorf("%v: a program gets %s", want, d.Denial.Body)
			}
		}
	})
}

// refreshing is a session whose access token has ended, and how renewing it ends.
// It wants a bubble of time.
func refreshing(t *testing.T, refusal *audit.Refusal, rule Rule) (*Engine, Header) {
	t.Helper()
	engine, sessions := newSite(t, session.Options{Refresh: map[string]session.RefreshFunc{
		"web": func(_ context.Context, r *session.Record) *audit.Refusal {
			r.AccessExpires = time.Now().Add(time.Hour)
			return refusal
		},
	}}, rule)
	line := logIn(t, sessions, session.Record{RefreshToken: "refresh", AccessToken: "access", AccessExpires: time.Now().Add(time.Minute)})
	time.Sleep(2 * time.Minute)
	return engine, Header{"cookie", line}
}

func TestARenewedSessionReachesTheBrowser(t *testing.T) { synctest.Test(t, renewedSession) }

func renewedSession(t *testing.T) {
	engine, cookie := refreshing(t, nil, app)
	d := engine.Decide(t.Context(), get("/", cookie))
	wantReason(t, d, audit.Allowed)
	if len(d.SetCookies) == 0 || !strings.HasPrefix(d.SetCookies[0], "__Host-credence.web=") {
		t.Fatalf("got %q", d.SetCookies)
	}
	answer := allowResponse(&d).GetOkResponse().GetResponseHeadersToAdd()
	found := map[string]int{}
	for _, h := range answer {
		found[h.GetHeader().GetKey()+" "+h.GetAppendAction().String()]++
	}
	if found["set-cookie APPEND_IF_EXISTS_OR_ADD"] != len(d.SetCookies) || found["cache-control OVERWRITE_IF_EXISTS_OR_ADD"] != 1 {
		t.Errorf("got %v", found)
	}

	// Policy may say no, but the tokens were renewed all the same.
	rule := app
	rule.Require = "false"
	engine, cookie = refreshing(t, nil, rule)
	d = engine.Decide(t.Context(), get("/", cookie))
	wantReason(t, d, audit.RequirementFalse)
	if len(d.SetCookies) == 0 {
		t.Error("a denial loses the renewed session")
	}
}

func TestSessionsThatCannotBeRenewed(t *testing.T) { synctest.Test(t, unrenewedSessions) }

func unrenewedSessions(t *testing.T) {
	for _, row := range []struct {
		refusal *audit.Refusal
		status  int
	}{
		{refuse(audit.SessionEnded, ""), 302},
		{refuse(audit.RefreshUnavailable, ""), 503},
	} {
		engine, cookie := refreshing(t, row.refusal, app)
		d := engine.Decide(t.Context(), get("/", append([]Header{cookie}, navigate...)...))
		wantReason(t, d, row.refusal.Reason)
		if d.Denial.Status != row.status || len(d.SetCookies) > 0 {
			t.Errorf("%v: got %d, cookies %q", row.refusal, d.Denial.Status, d.SetCookies)
		}
	}
}

func TestExplainTellsOfASession(t *testing.T) { synctest.Test(t, explainedSession) }

func explainedSession(t *testing.T) {
	rule := app
	rule.Require = `claims.sub == "alice"`
	engine, cookie := refreshing(t, refuse(audit.SessionEnded, ""), rule)
	x := engine.Explain(t.Context(), get("/", cookie))
	if x.Credential != "a session cookie" || !x.Decision.Allow || len(x.Policy) != 1 || x.Policy[0] != (Trial{"require", ""}) {
		t.Errorf("got %+v", x)
	}
	if x := engine.Explain(t.Context(), get("/", Header{"cookie", "__Host-credence.web=abc"})); x.Decision.Reason != audit.SessionInvalid || x.Policy != nil {
		t.Errorf("got %+v", x)
	}
}

// downStore is a session store that can't be reached.
type downStore struct{ session.Store }

func (downStore) Get(context.Context, session.Key) ([]byte, error) {
	return nil, errors.New("connection refused")
}

func TestAStoreThatIsDownKeepsTheCookie(t *testing.T) {
	memory := session.NewMemory(10)
	ring, err := session.NewRing(session.RingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	for _, store := range []session.Store{memory, downStore{memory}} {
		sessions, err := session.New(session.Options{Ring: ring, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		if line == "" {
			line = logIn(t, sessions, session.Record{})
			continue
		}
		engine := newEngine(t, Options{Rules: []Rule{app}, Sessions: sessions, Clients: []Client{web}})
		d := engine.Decide(t.Context(), get("/", append([]Header{{"cookie", line}}, navigate...)...))
		wantReason(t, d, audit.SessionStoreUnavailable)
		if d.Denial.Status != 503 || len(d.SetCookies) > 0 || value(t, d.Denial.Headers, "retry-after") == "" {
			t.Errorf("got %+v, cookies %q", d.Denial, d.SetCookies)
		}
	}
}

func TestSEC_V10_3_3_ASessionOfAnotherProviderIsNone(t *testing.T) {
	sessions := newSessions(t, session.Options{Issuers: map[string]string{"web": "https://new.test"}})
	engine := newEngine(t, Options{Rules: []Rule{app}, Sessions: sessions, Clients: []Client{web}})
	d := engine.Decide(t.Context(), get("/", Header{"cookie", logIn(t, sessions, session.Record{})}))
	wantReason(t, d, audit.SessionInvalid)
}

// TestSEC_O9_AProgramIsNobody: a token that a program got for itself, whose sub is what
// somebody's could be, opens no rule that people log in for; where a rule takes tokens,
// what it requires tells the two apart (RFC 9700, 4.15; RFC 9068, 2.2).
func TestSEC_O9_AProgramIsNobody(t *testing.T) {
	corp := newIssuer(t, "corp")
	people := Rule{Name: "people", Match: Match{Paths: []string{"/people"}}, Bearer: orders.Bearer, Require: "claims.sub != claims.client_id"}
	programs := Rule{Name: "programs", Match: Match{Paths: []string{"/programs"}}, Bearer: orders.Bearer}
	engine := newEngine(t, Options{
		Rules: []Rule{people, programs, app}, Sessions: newSessions(t, session.Options{}), Clients: []Client{web},
		Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
	})
	program := bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"sub": "alice", "client_id": "alice"}}))
	person := bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"sub": "alice", "client_id": "cli"}}))
	for _, row := range []struct {
		name   string
		r      *Request
		want   audit.Reason
		client string // id
	}{
		{"a program where people log in", get("/", program), audit.NoCredential, ""},
		{"a program where tokens of people are taken", get("/people", program), audit.RequirementFalse, "alice"},
		{"a person there", get("/people", person), audit.Allowed, "cli"},
		{"a program where programs are", get("/programs", program), audit.Allowed, "alice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := engine.Decide(t.Context(), row.r)
			wantReason(t, d, row.want)
			if d.ClientID != row.client {
				t.Errorf("got client id %q, want %q", d.ClientID, row.client)
			}
		})
	}
}

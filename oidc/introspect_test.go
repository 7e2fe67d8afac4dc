package oidc

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// asking is an introspector that is right for nobody.
func asking(client string, edit func(*IntrospectorOptions)) *Introspector {
	o := IntrospectorOptions{URL: "https://issuer.test/introspect", Auth: mustMake(NewClientAuth(ClientAuthOptions{ID: client, Secret: secret("s")}))}
	if edit != nil {
		edit(&o)
	}
	return mustMake(NewIntrospector(o))
}

func secret(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

// desk is a provider that is asked, and what asks it.
type desk struct {
	*Provider
	idp *oidctest.Provider
	log logBuffer
}

// newDesk makes the issuer https://issuer.test, which is asked at its usual address
// about tokens for the audience api, with 30 s of leeway.
func newDesk(t testing.TB, edit func(*ProviderOptions, *IntrospectorOptions)) *desk {
	t.Helper()
	d := &desk{idp: oidctest.New(oidctest.Options{Issuer: "https://issuer.test"})}
	t.Cleanup(d.idp.Close)
	d.idp.AddClient("credence", "s:e+c r%t", oidctest.Token{})
	o := IntrospectorOptions{
		Name: "corp", Issuer: "https://issuer.test", URL: "https://issuer.test/introspect",
		Auth:   mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Secret: secret("s:e+c r%t")})),
		Client: mustMake(NewClient(ClientOptions{Transport: d.idp.Transport()})), Log: slog.New(slog.NewTextHandler(&d.log, nil)),
	}
	p := ProviderOptions{Name: "corp", Issuer: "https://issuer.test", Audiences: []string{"api"}, ClockSkew: 30 * time.Second, IntrospectJWTs: true}
	if edit != nil {
		edit(&p, &o)
	}
	p.Introspector = mustMake(NewIntrospector(o))
	d.Provider = mustMake(NewProvider(p))
	return d
}

func (d *desk) ask(t testing.TB, token string) Result {
	t.Helper()
	return d.Introspect(t.Context(), RawToken(token), time.Unix(clock, 0), nobody)
}

// answers has the endpoint say this to everybody, in place of what is true.
func (d *desk) answers(members string) {
	d.idp.Break(oidctest.Introspection, oidctest.Fault{Body: "{" + members + "}"})
}

const (
	alive  = `"active":true,"iss":"https://issuer.test","sub":"alice","client_id":"web","aud":"api","iat":1702389000,"exp":1702393201`
	canary = "canary-7f3a"
)

// TestSEC_T5_Answers is every answer that decides on a token.
func TestSEC_T5_Answers(t *testing.T) {
	without := func(members ...string) string {
		kept := alive
		for _, m := range members {
			kept = strings.Replace(kept, ","+m, "", 1)
		}
		return kept
	}
	const sub, aud, exp, iss = `"sub":"alice"`, `"aud":"api"`, `"exp":1702393201`, `"iss":"https://issuer.test"`
	no := func(*ProviderOptions, *IntrospectorOptions) {}
	for _, row := range []struct {
		name, answer, want string
		how                func(*ProviderOptions, *IntrospectorOptions)
	}{
		{"active", alive, "good", no},
		{"active, and no more than has to be", without(iss, exp, `"iat":1702389000`, `"client_id":"web"`), "good", no},
		{"aud in a list", without(aud) + `,"aud":["x","api"]`, "good", no},
		{"members that nobody knows", alive + `,"username":"al","ext":{"a":[1]}`, "good", no},
		{"token_type in small letters", alive + `,"token_type":"bearer"`, "good", no},
		{"token_use of Hydra", alive + `,"token_use":"access_token"`, "good", no},
		{"typ of Keycloak", alive + `,"typ":"Bearer","token_type":"Bearer"`, "good", no},
		{"expired within the leeway", without(exp) + `,"exp":1702389572`, "good", no},

		{"inactive", `"active":false`, "token_inactive", no},
		{"inactive, and chatty", strings.Replace(alive, "true", "false", 1), "token_inactive", no},
		{"no active", `"sub":"alice","aud":"api"`, "token_inactive: the answer has no active", no},
		{"Active", `"Active":true,"sub":"alice","aud":"api"`, "token_inactive: the answer has no active", no},
		{"active in quotes", strings.Replace(alive, "true", `"true"`, 1), "token_inactive: the answer's active isn't a boolean", no},
		{"active as a number", strings.Replace(alive, "true", "1", 1), "token_inactive: the answer's active isn't a boolean", no},
		{"active is null", strings.Replace(alive, "true", "null", 1), "token_inactive: the answer's active isn't a boolean", no},
		{"an error", `"error":"invalid_request"`, "token_inactive: the answer has no active", no},

		{"active twice", `"active":false,` + alive, "introspection_unavailable: the answer isn't a JSON object that reads only one way", no},
		{"another issuer", without(iss) + `,"iss":"https://evil.test"`, `issuer_unknown: the answer's iss is "https://evil.test", not "https://issuer.test"`, no},
		{"an issuer with a slash", without(iss) + `,"iss":"https://issuer.test/"`, `issuer_unknown: the answer's iss is "https://issuer.test/", not "https://issuer.test"`, no},
		{"an issuer that isn't text", without(iss) + `,"iss":["https://issuer.test"]`, "token_claims_invalid: iss isn't a string", no},

		{"a token that isn't for access", alive + `,"token_type":"N_A"`, `not_an_access_token: its token_type is "N_A"`, no},
		{"a refresh token", alive + `,"token_type":"refresh_token"`, `not_an_access_token: its token_type is "refresh_token"`, no},
		{"a token_type that isn't text", alive + `,"token_type":1`, "token_claims_invalid: token_type isn't a string", no},
		{"a refresh token of Keycloak", alive + `,"typ":"Refresh"`, "not_an_access_token: its claim typ is Refresh", no},
		{"a refresh token of Hydra", alive + `,"token_use":"refresh_token"`, `not_an_access_token: its claim token_use is "refresh_token"`, no},
		{"an ID token", alive + `,"at_hash":"x"`, "not_an_access_token: it has the claim at_hash", no},
		{"a DPoP token", alive + `,"token_type":"DPoP"`, `constraint_unproven: its token_type is "DPoP"`, no},
		{"a proof of possession", alive + `,"token_type":"pop"`, `constraint_unproven: its token_type is "pop"`, no},
		{"a bound token", alive + `,"cnf":{"x5t#S256":"x"}`, "constraint_unproven: it has the claim cnf", no},

		{"no aud", without(aud), "audience_mismatch: aud is missing", no},
		{"no aud, where that is accepted", without(aud), "good", func(_ *ProviderOptions, o *IntrospectorOptions) { o.AcceptMissingAudience = true }},
		{"another aud, where none is accepted", without(aud) + `,"aud":"other"`, `audience_mismatch: aud "other" names none of api`, func(_ *ProviderOptions, o *IntrospectorOptions) { o.AcceptMissingAudience = true }},
		{"aud is null, where none is accepted", without(aud) + `,"aud":null`, "token_claims_invalid: aud is neither a string nor an array", func(_ *ProviderOptions, o *IntrospectorOptions) { o.AcceptMissingAudience = true }},
		{"another aud", without(aud) + `,"aud":"API"`, `audience_mismatch: aud "API" names none of api`, no},
		{"expired", without(exp) + `,"exp":1702389000`, "token_expired: exp 1702389000 is 10 min behind this clock", no},
		{"exp in quotes", without(exp) + `,"exp":"1702393201"`, "token_claims_invalid: exp isn't a date", no},
		{"exp is endless", without(exp) + `,"exp":1e300`, "token_claims_invalid: exp isn't a date", no},
		{"not yet valid", alive + `,"nbf":1702390000`, "token_not_yet_valid: nbf 1702390000 is 6 min ahead of this clock", no},
		{"issued tomorrow", without(`"iat":1702389000`) + `,"iat":1702480000`, "token_issued_in_future: iat 1702480000 is 25 h ahead of this clock", no},
		{"no sub", without(sub), "subject_missing", no},
		{"no sub, where that is accepted", without(sub), "good", func(p *ProviderOptions, _ *IntrospectorOptions) { p.AcceptMissingSubject = true }},
		{"sub isn't text", without(sub) + `,"sub":1`, "token_claims_invalid: sub isn't a string", no},
		{"a claim that is required", alive, "required_claim_missing: tenant", func(p *ProviderOptions, _ *IntrospectorOptions) { p.RequiredClaims = []string{"tenant"} }},
	} {
		d := newDesk(t, row.how)
		d.answers(row.answer)
		got := d.ask(t, canary)
		if v := verdict(got); v != row.want {
			t.Errorf("%s: %s, want %s", row.name, v, row.want)
		}
		unavailable := strings.HasPrefix(row.want, "introspection_unavailable")
		if got.Introspected == unavailable || got.KeysVersion != 0 || got.Provider != d.Provider {
			t.Errorf("%s: introspected %t, of keys %d, provider %v", row.name, got.Introspected, got.KeysVersion, got.Provider)
		}
		if sub, _ := got.Claims.Lookup("sub").Text(); got.Good() && sub != "alice" && !strings.Contains(row.name, "no sub") {
			t.Errorf("%s: the claims are %s", row.name, got.Claims.AppendJSON(nil))
		}
	}
}

// TestSEC_T5_NoAnswer is every way in which there is none: can't be decided, and
// nothing of token, secret or answer is told.
func TestSEC_T5_NoAnswer(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault oidctest.Fault
		says  string
	}{
		{"500", oidctest.Fault{Status: 500, Body: canary}, "status 500"},
		{"404", oidctest.Fault{Status: 404}, "status 404"},
		{"201", oidctest.Fault{Status: 201, Body: "{" + alive + "}"}, "status 201"},
		{"401", oidctest.Fault{Status: 401}, "status 401: it doesn't take our client credentials"},
		{"403", oidctest.Fault{Status: 403}, "status 403: it doesn't take our client credentials"},
		{"a redirect", oidctest.Fault{Status: 307, Redirect: "https://issuer.test/introspect?again"}, "status 307: redirects aren't followed"},
		{"a redirect to elsewhere", oidctest.Fault{Redirect: "https://evil.test/"}, "status 302: redirects aren't followed"},
		{"HTML", oidctest.Fault{Body: "<html>" + canary}, "isn't a JSON object"},
		{"a list", oidctest.Fault{Body: `[{` + alive + `}]`}, "isn't a JSON object"},
		{"a signed answer", oidctest.Fault{Body: "eyJ.eyJ." + canary}, "isn't a JSON object"},
		{"two objects", oidctest.Fault{Body: "{" + alive + "}{}"}, "isn't a JSON object"},
		{"a member that is the token", oidctest.Fault{Body: `{"` + canary + `":1,"` + canary + `":2}`}, "isn't a JSON object"},
		{"nothing", oidctest.Fault{Status: 204}, "status 204"},
		{"cut off", oidctest.Fault{Truncate: 10}, "ends early"},
		{"endless", oidctest.Fault{Huge: 1 << 30}, "over 65536 bytes"},
		{"no connection", oidctest.Fault{Refuse: true}, "closed without an answer"},
		{"too slow", oidctest.Fault{Delay: time.Minute}, "deadline exceeded"},
		{"hanging", oidctest.Fault{Hang: true}, "deadline exceeded"},
		{"hanging in the middle", oidctest.Fault{Hang: true, Truncate: 10}, "ends early"},
	} {
		bubble(t, row.name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.idp.Break(oidctest.Introspection, row.fault)
			token := d.idp.IssueOpaque(oidctest.Token{})
			for _, raw := range []string{token, canary} {
				got := d.ask(t, raw)
				if got.Good() || got.Introspected || got.Refusal.Reason != audit.IntrospectionUnavailable || got.Refusal.RetryAfter <= 0 {
					t.Fatalf("got %s, retry after %v", verdict(got), got.Refusal.RetryAfter)
				}
				text := fmt.Sprintf("%v %+v %s", got.Refusal, got, &d.log.text)
				if !strings.Contains(text, row.says) {
					t.Errorf("got %s, want %q", text, row.says)
				}
				for _, hidden := range []string{canary, token, "s:e+c", "s%3Ae"} {
					if strings.Contains(text, hidden) {
						t.Errorf("%q is told: %s", hidden, text)
					}
				}
			}
			if got := d.idp.Requests(oidctest.Introspection); got != 2 {
				t.Errorf("%d requests", got)
			}
			if got := d.Introspector().Stats(); got != (IntrospectorStats{Unavailable: 2}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestRetryAfterOfTheEndpoint(t *testing.T) {
	d := newDesk(t, nil)
	for header, want := range map[string]time.Duration{"": retryAfterFailure, "7": 7 * time.Second, "0": time.Second, "86400": time.Minute, "soon": retryAfterFailure, "-1": retryAfterFailure} {
		d.idp.Break(oidctest.Introspection, oidctest.Fault{Status: 429, Header: map[string]string{"Retry-After": header}})
		if got := d.ask(t, "x").Refusal.RetryAfter; got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

// TestSEC_T5_Question is what goes over the wire (RFC 7662, 2.1): the token in the body
// alone.
func TestSEC_T5_Question(t *testing.T) {
	var asked []*http.Request
	var body string
	d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) {
		inner := o.Client.Transport
		o.URL += "?v=2"
		o.Client = mustMake(NewClient(ClientOptions{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			var b bytes.Buffer
			_, _ = b.ReadFrom(r.Body) // of memory
			body = b.String()
			asked = append(asked, r)
			again := r.Clone(r.Context())
			again.Body = http.NoBody
			return inner.RoundTrip(again)
		})}))
	})
	d.ask(t, "a+b/c==")
	if len(asked) != 1 {
		t.Fatalf("%d requests", len(asked))
	}
	r := asked[0]
	if r.Method != "POST" || r.URL.String() != "https://issuer.test/introspect?v=2" || body != "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token" {
		t.Errorf("got %s %s %q", r.Method, r.URL, body)
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" {
		t.Errorf("got %v", r.Header)
	}
	if id, password, ok := r.BasicAuth(); !ok || id != "credence" || password != "s%3Ae%2Bc+r%25t" {
		t.Errorf("got client %q", id)
	}
}

func TestIntrospectionOfRealTokens(t *testing.T) {
	d := newDesk(t, nil)
	now := time.Now()
	ask := func(token string) string { return verdict(d.Introspect(t.Context(), RawToken(token), now, nobody)) }
	token, jwt := d.idp.IssueOpaque(oidctest.Token{}), d.idp.IssueJWT(oidctest.Token{})
	for _, live := range []string{token, jwt} {
		if got := ask(live); got != "good" {
			t.Errorf("got %s", got)
		}
		d.idp.Revoke(live)
		if got := ask(live); got != "token_inactive" {
			t.Errorf("revoked: got %s", got)
		}
	}
	if got := d.Introspector().Stats(); got != (IntrospectorStats{Active: 2, Inactive: 2}) {
		t.Errorf("got %+v", got)
	}
}

// TestSEC_T6_VerdictOfAnAnswerStands for the time to live, and no longer than until exp.
func TestSEC_T6_VerdictOfAnAnswerStands(t *testing.T) {
	const now = clock * 1000
	for _, row := range []struct {
		name, answer string
		from, until  int64
	}{
		{"active", alive, now - 60_000, now + 60_000},
		{"inactive", `"active":false`, now - 60_000, now + 60_000},
		{"expires sooner", strings.Replace(alive, "1702393201", "1702389621", 1), now - 60_000, now + 20_000},
		{"expired, within the leeway", strings.Replace(alive, "1702393201", "1702389572", 1), now - 60_000, now},
		{"expired", strings.Replace(alive, "1702393201", "1702389500", 1), 1702389530_000, now + 60_000},
		{"valid soon", alive + `,"nbf":1702389651`, now - 60_000, now + 20_000},
	} {
		d := newDesk(t, nil)
		d.answers(row.answer)
		// The later of the two limits counts, of those before.
		if got := d.ask(t, "x"); got.From != max(row.from, now-60_000) || got.Until != row.until {
			t.Errorf("%s: stands from %d until %d, want %d and %d", row.name, got.From-now, got.Until-now, row.from-now, row.until-now)
		}
	}
}

func TestSEC_T5_IntrospectorOptionsAreChecked(t *testing.T) {
	auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Secret: secret("s")}))
	for says, o := range map[string]IntrospectorOptions{
		"needs client credentials": {},
		"is plain http":            {Auth: auth, URL: "http://issuer.test/introspect"},
		"isn't an absolute URL":    {Auth: auth, URL: "introspect"},
	} {
		_, err := NewIntrospector(o)
		wantError(t, err, says)
	}
	i := mustMake(NewIntrospector(IntrospectorOptions{Auth: auth, TTL: -1, MaxConcurrent: -1, MaxPerSecond: -1}))
	if i.options.TTL != time.Minute || i.options.MaxConcurrent != 64 || i.options.MaxPerSecond != 200 {
		t.Errorf("got %+v", i.options)
	}
	_, err := NewProvider(ProviderOptions{Name: "x", Issuer: "https://x.test", Audiences: []string{"api"}, IntrospectJWTs: true})
	wantError(t, err, "an introspector is missing")
}

func TestFormOfAJWT(t *testing.T) {
	for token, want := range map[string]bool{
		"eyJhbGciOiJub25lIn0.e30.": true, "e30.e30.x": true, "ewogIA.e30.x": true, "eyA.x.y": true,
		"": false, "e": false, "ey": false, "eyJ": false, "eyJ.x": false, "eyJ.x.y.z": false, "eyJ.a.b.c.d": false,
		"opaque": false, "abc.def.ghi": false, "ya29.a0AfH6": false, "..": false, "EyJ.x.y": false, "ezJ.x.y": false, ".eyJ.x": false,
	} {
		if got := RawToken(token).IsJWT(); got != want {
			t.Errorf("%q: got %t, want %t", token, got, want)
		}
	}
}

// TestInspectAsksInTurn up to the provider that knows the token.
func TestInspectAsksInTurn(t *testing.T) {
	named := func(name string) func(*ProviderOptions, *IntrospectorOptions) {
		return func(p *ProviderOptions, _ *IntrospectorOptions) { p.Name = name }
	}
	down, first, second := newDesk(t, named("down")), newDesk(t, named("first")), newDesk(t, named("second"))
	down.idp.Break(oidctest.Introspection, oidctest.Fault{Status: 500})
	v := NewVerifier(nil, 1000)
	for _, row := range []struct {
		name, token, want string
		asked             []*Provider
		findings          int
	}{
		{"known to the second", second.idp.IssueOpaque(oidctest.Token{}), "good", []*Provider{first.Provider, second.Provider}, 2 * len(introspectionChecks)},
		{"known to the second, the first being down", second.idp.IssueOpaque(oidctest.Token{}), "good", []*Provider{down.Provider, second.Provider}, 2 * len(introspectionChecks)},
		{"known to the first", first.idp.IssueOpaque(oidctest.Token{}), "good", []*Provider{first.Provider, second.Provider}, len(introspectionChecks)},
		{"known to nobody", "x", "token_inactive", []*Provider{first.Provider, second.Provider}, 2 * len(introspectionChecks)},
		{"known to nobody who answers", "x", "introspection_unavailable", []*Provider{first.Provider, down.Provider, second.Provider}, 3 * len(introspectionChecks)},
		{"for another audience", first.idp.IssueOpaque(oidctest.Token{Claims: map[string]any{"aud": "x"}}), "audience_mismatch", []*Provider{first.Provider, second.Provider}, len(introspectionChecks)},
		{"nobody to ask", "x", "token_opaque", nil, len(checks)},
		{"a JWT", "eyJ.x.y", "token_malformed", []*Provider{first.Provider}, len(checks)},
		{"too long", strings.Repeat("x", 1001), "token_too_large", []*Provider{first.Provider}, len(checks)},
	} {
		got, findings := v.Inspect(t.Context(), RawToken(row.token), time.Now(), row.asked...)
		if name, _, _ := strings.Cut(verdict(got), ":"); name != row.want || len(findings) != row.findings {
			t.Errorf("%s: %s after %d findings, want %s after %d", row.name, verdict(got), len(findings), row.want, row.findings)
		}
	}
}

// TestCredentialsThatCantBeHad aren't a verdict on the token.
func TestCredentialsThatCantBeHad(t *testing.T) {
	d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) {
		o.Auth = mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Secret: func() (string, error) { return "", errors.New("no such file") }}))
	})
	if got := verdict(d.ask(t, "x")); got != "introspection_unavailable: our client credentials: no such file" || d.idp.Requests(oidctest.Introspection) != 0 {
		t.Errorf("got %s", got)
	}
}

// mustMake gives what is only wrong if the test is.
func mustMake[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

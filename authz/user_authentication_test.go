package authz

import (
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_A6_StepUpChallenges: a challenge tells all of what is needed of the login, and
// the scopes, so that one more login is enough (RFC 9470, 3).
func TestSEC_A6_StepUpChallenges(t *testing.T) {
	rule := func(name string, b Bearer, forbid bool) Rule {
		b.Providers = []string{"corp"}
		return Rule{Name: name, Match: Match{Paths: []string{"/" + name}}, Bearer: &b, ForbidUnauthenticated: forbid}
	}
	const metadata = "https://api.example.com/.well-known/oauth-protected-resource"
	gold := oidc.UserAuthentication{ACRValues: []string{"gold", "urn:example:silver"}}
	both := oidc.UserAuthentication{ACRValues: []string{"gold"}, MaxAge: 5 * time.Minute}
	corp, e := newCorp(t,
		rule("acr", Bearer{UserAuthentication: gold}, false),
		rule("age", Bearer{UserAuthentication: oidc.UserAuthentication{MaxAge: 5 * time.Minute}}, false),
		rule("both", Bearer{UserAuthentication: both, Scopes: []string{"orders.write"}, ResourceMetadata: metadata}, false),
		rule("elsewhere", Bearer{UserAuthentication: both, Audiences: []string{"other"}}, false),
		rule("forbid", Bearer{UserAuthentication: both}, true),
	)
	const (
		realm = `Bearer realm="credence"`
		more  = realm + `, error="insufficient_user_authentication", error_description="a stronger or a more recent login is needed"`
		rest  = `, scope="orders.write", resource_metadata="` + metadata + `"`
	)
	token := func(acr string, ago time.Duration, scope string) Header {
		return bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"acr": acr, "auth_time": time.Now().Add(-ago).Unix(), "scope": scope}}))
	}
	fine := bearer(corp.Sign(oidctest.Token{}))
	for _, row := range []struct {
		name      string
		r         *Request
		reason    audit.Reason
		status    int
		challenge string
	}{
		{"acr is missing", get("/acr", fine), audit.InsufficientUserAuthentication, 401, more + `, acr_values="gold urn:example:silver"`},
		{"auth_time is missing", get("/age", fine), audit.InsufficientUserAuthentication, 401, more + `, max_age="300"`},
		{"an old login of the right kind, and too little scope", get("/both", token("gold", time.Hour, "")), audit.InsufficientUserAuthentication, 401, more + `, acr_values="gold", max_age="300"` + rest},
		{"too little scope alone", get("/both", token("gold", 0, "")), audit.InsufficientScope, 403, realm + `, error="insufficient_scope", error_description="the token's scope isn't sufficient"` + rest},
		{"no credential", get("/both"), audit.NoCredential, 401, realm + rest},
		{"a bad token", get("/both", bearer("opaque")), audit.TokenOpaque, 401, realm + `, error="invalid_token", error_description="the token isn't a JWT"` + rest},
		{"a token for somebody else", get("/elsewhere", fine), audit.AudienceNotAccepted, 403, ""},
		{"403 in place of 401", get("/forbid", fine), audit.InsufficientUserAuthentication, 403, ""},
		{"enough", get("/both", token("gold", time.Minute, "orders.write")), audit.Allowed, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := e.Decide(t.Context(), row.r)
			wantReason(t, d, row.reason)
			if d.Denial == nil {
				return
			}
			if d.Denial.Status != row.status || value(t, d.Denial.Headers, "www-authenticate") != row.challenge {
				t.Errorf("got %d\n%q, want %d\n%q", d.Denial.Status, value(t, d.Denial.Headers, "www-authenticate"), row.status, row.challenge)
			}
		})
	}
}

// TestSEC_A6_ALoginGrowsOld: a token whose verdict is remembered, of a JWT or by
// introspection, is enough no longer than its login is.
func TestSEC_A6_ALoginGrowsOld(t *testing.T) {
	corp := newIssuer(t, "corp")
	rule := Rule{Name: "pay", Bearer: &Bearer{Providers: []string{"corp"}, UserAuthentication: oidc.UserAuthentication{MaxAge: 2 * time.Minute}}}
	now := time.Now()
	claims := oidctest.Token{Claims: map[string]any{"auth_time": now.Unix()}}
	for name, row := range map[string]struct {
		provider *oidc.Provider
		token    string
	}{
		"a JWT":        {corp.provider(t, "corp", oidc.ProviderOptions{}), corp.Sign(claims)},
		"introspected": {corp.introspected(t, "corp", oidc.IntrospectorOptions{TTL: time.Hour}, oidc.ProviderOptions{}), corp.IssueOpaque(claims)},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, Options{Rules: []Rule{rule, orders}, Verifier: newVerifier(row.provider)})
			for i, at := range []struct {
				after time.Duration
				want  audit.Reason
			}{
				{0, audit.Allowed}, {2 * time.Minute, audit.Allowed}, {2*time.Minute + 31*time.Second, audit.InsufficientUserAuthentication}, {time.Minute, audit.Allowed},
			} {
				r := get("/", bearer(row.token))
				r.Time = now.Add(at.after)
				d := e.Decide(t.Context(), r)
				wantReason(t, d, at.want)
				if d.Cached != (i > 0) {
					t.Errorf("after %v: remembered %t", at.after, d.Cached)
				}
			}
		})
	}
}

// TestSEC_A6_ProofsDontReplaceALogin: the challenge for DPoP tells it as well.
func TestSEC_A6_ProofsDontReplaceALogin(t *testing.T) {
	corp, engine := newBound(t, Options{Rules: []Rule{{Name: "pay", Bearer: &Bearer{Providers: []string{"corp"}, UserAuthentication: oidc.UserAuthentication{ACRValues: []string{"gold"}}}}}})
	h := newHolder(t, corp)
	d := engine.Decide(t.Context(), get("/orders", Header{"authorization", "DPoP " + h.token}, h.proof(nil)))
	wantReason(t, d, audit.InsufficientUserAuthentication)
	told := 0
	for _, header := range d.Denial.Headers {
		if header.Name != "www-authenticate" {
			continue
		}
		told++
		if !strings.HasSuffix(header.Value, `error="insufficient_user_authentication", error_description="a stronger or a more recent login is needed", acr_values="gold"`) {
			t.Errorf("got %q", header.Value)
		}
	}
	if told != 2 {
		t.Errorf("got %d challenges, want one for each scheme", told)
	}
}

// TestSEC_A6_NoWayAroundByASession: it isn't asked of sessions, so a rule can't take both.
func TestSEC_A6_NoWayAroundByASession(t *testing.T) {
	client := Client{Name: "web", LoginURL: "https://app.example.com/.credence/login", ReturnTo: []string{"https://app.example.com"}}
	rule := Rule{Name: "pay", Login: "web", Bearer: &Bearer{Providers: []string{"corp"}, UserAuthentication: oidc.UserAuthentication{MaxAge: time.Hour}}}
	_, problems := compileRules(Options{Rules: []Rule{rule}, Clients: []Client{client}, Counters: audit.NewCounters()})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "rules[0].login: a session would be a way around") {
		t.Errorf("got %v", problems)
	}
}

// TestSEC_A6_ByRequirement is what the manual says to write where sessions are asked too.
func TestSEC_A6_ByRequirement(t *testing.T) {
	corp, e := newCorp(t, Rule{Name: "pay", Bearer: orders.Bearer, Require: `claims.acr == "phr" && request.time - timestamp(claims.auth_time) < duration("5m")`})
	for _, row := range []struct {
		claims map[string]any
		want   audit.Reason
	}{
		{map[string]any{"acr": "phr", "auth_time": time.Now().Add(-4 * time.Minute).Unix()}, audit.Allowed},
		{map[string]any{"acr": "phr", "auth_time": time.Now().Add(-6 * time.Minute).Unix()}, audit.RequirementFalse},
		{map[string]any{"acr": "pwd", "auth_time": time.Now().Unix()}, audit.RequirementFalse},
		{map[string]any{"acr": "phr"}, audit.ClaimMissing},
	} {
		wantReason(t, e.Decide(t.Context(), get("/", bearer(corp.Sign(oidctest.Token{Claims: row.claims})))), row.want)
	}
}

package authz

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// canary stands in everything that a client sends, and must not come back.
const canary = "canary-7f3a"

// scene has a rule or a provider for every reason.
type scene struct {
	*Engine
	issuers map[string]*issuer
	spend   func() // uses up what the provider busy may be asked at once

	spendInfo func() // and what the userinfo of the provider crowded may be
}

func newScene(t *testing.T, o Options) *scene {
	s := &scene{issuers: map[string]*issuer{"down": newBrokenIssuer(t, "down", oidctest.Fault{Status: 503})}}
	for _, name := range []string{"corp", "other", "many", "pending"} {
		s.issuers[name] = newIssuer(t, name)
	}
	for i := range 4 {
		s.issuers["many"].AddKey("ES256", "ec-"+strconv.Itoa(i+2))
	}
	s.issuers["many"].refresh(t)
	faulty, err := oidc.NewProvider(oidc.ProviderOptions{Name: "faulty", Issuer: "https://faulty.test", Audiences: []string{"api"}, Keys: new(oidc.KeySet)})
	if err != nil {
		t.Fatal(err)
	}
	providers := []*oidc.Provider{faulty}
	for name, i := range s.issuers {
		providers = append(providers, i.provider(t, name, oidc.ProviderOptions{RequiredClaims: []string{"email"}}))
	}
	for _, name := range []string{"asked", "mute", "busy"} {
		s.issuers[name] = newIssuer(t, name)
		providers = append(providers, s.issuers[name].introspected(t, name, oidc.IntrospectorOptions{MaxConcurrent: 1}, oidc.ProviderOptions{}))
	}
	busy := providers[len(providers)-1]
	for _, name := range []string{"unknowing", "silent", "crowded"} { // their userinfo
		s.issuers[name] = newIssuer(t, name)
		providers = append(providers, s.issuers[name].completed(t, name, oidc.UserInfoOptions{MaxConcurrent: 1, When: oidc.UserInfoAlways}))
	}
	s.issuers["silent"].Break(oidctest.UserInfo, oidctest.Fault{Status: 500, Body: canary})
	s.issuers["crowded"].Break(oidctest.UserInfo, oidctest.Fault{Hang: true})
	s.spendInfo = spending(t, s.issuers["crowded"], oidctest.UserInfo, func(ctx context.Context) {
		oidc.NewVerifier(providers[len(providers)-1:], maxTokenBytes).Verify(ctx, oidc.RawToken(s.issuers["crowded"].Sign(oidctest.Token{})), time.Now(), netip.Addr{})
	})
	s.issuers["mute"].Break(oidctest.Introspection, oidctest.Fault{Status: 500, Body: canary})
	s.issuers["busy"].Break(oidctest.Introspection, oidctest.Fault{Hang: true})
	s.spend = spending(t, s.issuers["busy"], oidctest.Introspection, func(ctx context.Context) { busy.Introspect(ctx, canary, time.Now(), netip.Addr{}) })
	o.Verifier = newVerifier(providers...)
	all := []string{"corp", "many", "pending", "down", "faulty", "unknowing", "silent", "crowded"}
	path := func(p string) Match { return Match{Paths: []string{p}} }
	o.Rules = []Rule{
		{Name: "public", Match: path("/public"), Public: true, Headers: map[string]string{"x-user": `"nobody"`}},
		{Name: "orders", Match: path("/orders"), Bearer: &Bearer{Providers: all}, Headers: map[string]string{"x-user": "claims.sub"}},
		{Name: "asked", Match: path("/asked"), Bearer: &Bearer{Providers: []string{"asked"}}},
		{Name: "mute", Match: path("/mute"), Bearer: &Bearer{Providers: []string{"mute"}}},
		{Name: "busy", Match: path("/busy"), Bearer: &Bearer{Providers: []string{"busy"}}},
		{Name: "write", Match: path("/write"), Bearer: &Bearer{Providers: all, Scopes: []string{"orders.read", "orders.write"}}},
		{Name: "audience", Match: path("/audience"), Bearer: &Bearer{Providers: all, Audiences: []string{"another"}}},
		{Name: "step-up", Match: path("/step-up"), Bearer: &Bearer{Providers: all, UserAuthentication: oidc.UserAuthentication{ACRValues: []string{"gold"}}}},
		{Name: "false", Match: path("/false"), Bearer: &Bearer{Providers: all}, Require: `claims.sub == "root"`},
		{Name: "missing", Match: path("/missing"), Bearer: &Bearer{Providers: all}, Require: `claims.department == "ops"`},
		{Name: "failed", Match: path("/failed"), Bearer: &Bearer{Providers: all}, Require: `claims.sub > 5`},
	}
	s.Engine = newEngine(t, o)
	return s
}

// spending gives what asks at an issuer's endpoint and is left waiting for the answer
// until the test ends.
func spending(t *testing.T, i *issuer, e oidctest.Endpoint, ask func(context.Context)) func() {
	ctx, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	t.Cleanup(func() { stop(); asking.Wait() })
	return func() {
		asking.Go(func() { ask(ctx) })
		for i.Requests(e) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// token is a good one of an issuer, with the canary in it, changed as t says.
func (s *scene) token(issuer string, t oidctest.Token) string {
	claims := map[string]any{"sub": canary, "email": canary + "@example.com", "jti": canary}
	maps.Copy(claims, t.Claims)
	t.Claims = claims
	return s.issuers[issuer].Sign(t)
}

func (s *scene) get(path string, headers ...Header) *Request {
	return &Request{
		ID: canary, Method: "GET", Scheme: "https", Host: canary + ".example.com", Target: path + "?q=" + canary,
		Headers: append(headers, Header{"cookie", canary}, Header{"x-user", canary}),
	}
}

// asked makes the request of a row.
type asked func(*scene, context.Context) (context.Context, *Request)

// from is a request for the orders with a token of an issuer.
func from(issuer string, t oidctest.Token) asked {
	return func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get("/orders", bearer(s.token(issuer, t)))
	}
}

// presents is one with a token of corp.
func presents(t oidctest.Token) asked { return from("corp", t) }

// sends is one with this for a token.
func sends(token string) asked {
	return func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get("/orders", bearer(token))
	}
}

// about is a request for a path with a token that somebody has to be asked about.
func about(path string) asked {
	return func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get(path, bearer(canary))
	}
}

// good is a request for a path with a token that nothing is wrong with.
func good(path string) asked {
	return func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get(path, bearer(s.token("corp", oidctest.Token{})))
	}
}

func claim(name string, v any) oidctest.Token {
	return oidctest.Token{Claims: map[string]any{name: v}}
}

func header(name string, v any) oidctest.Token {
	return oidctest.Token{Header: map[string]any{name: v}}
}

var reasonRows = []struct {
	reason audit.Reason
	rule   string // that is said to have decided
	status int    // 0 for an allowed request
	error  string // in the body
	ask    asked
}{
	{audit.Allowed, "orders", 0, "", good("/orders")},
	{audit.PublicRule, "public", 0, "", func(s *scene, ctx context.Context) (context.Context, *Request) { return ctx, s.get("/public") }},

	{audit.MalformedRequest, "", 400, "invalid_request", func(s *scene, ctx context.Context) (context.Context, *Request) { return ctx, &Request{Method: canary} }},
	{audit.AmbiguousPath, "", 400, "invalid_request", good("/public/%2e%2e/" + canary)},
	{audit.MalformedHost, "", 400, "invalid_request", func(s *scene, ctx context.Context) (context.Context, *Request) {
		r := s.get("/orders")
		r.Host = canary + "," + canary
		return ctx, r
	}},
	{audit.MalformedAuthorization, "orders", 400, "invalid_request", sends(canary + "," + canary)},

	{audit.NoCredential, "orders", 401, "unauthenticated", func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get("/orders", Header{"authorization", "Basic " + canary})
	}},
	{audit.TokenTooLarge, "orders", 401, "invalid_token", sends(strings.Repeat("a", maxTokenBytes+1))},
	{audit.TokenMalformed, "orders", 401, "invalid_token", sends(canary + "." + canary)},
	{audit.TokenOpaque, "orders", 401, "invalid_token", sends(canary)},
	{audit.TokenEncrypted, "orders", 401, "invalid_token", sends("a.b." + canary + ".d.e")},
	{audit.TokenHeaderInvalid, "orders", 401, "invalid_token", presents(header("kid", 5))},
	{audit.TokenClaimsInvalid, "orders", 401, "invalid_token", presents(oidctest.Token{RawClaims: `{"iss":"https://corp.test","iss":"` + canary + `"}`})},
	{audit.CriticalHeader, "orders", 401, "invalid_token", presents(header("crit", []string{canary}))},
	{audit.AlgorithmNotAllowed, "orders", 401, "invalid_token", presents(oidctest.Token{Alg: "none"})},
	{audit.TokenTypeNotAllowed, "orders", 401, "invalid_token", presents(header("typ", canary))},
	{audit.NotAnAccessToken, "orders", 401, "invalid_token", presents(claim("at_hash", canary))},
	{audit.IssuerUnknown, "orders", 401, "invalid_token", presents(claim("iss", "https://"+canary))},
	{audit.KeyUnknown, "orders", 401, "invalid_token", presents(oidctest.Token{KeyID: canary})},
	{audit.KeyAmbiguous, "orders", 401, "invalid_token", from("many", oidctest.Token{Alg: "ES256", KeyID: "-"})},
	{audit.SignatureInvalid, "orders", 401, "invalid_token", from("other", claim("iss", "https://corp.test"))},
	{audit.AudienceMismatch, "orders", 401, "invalid_token", presents(claim("aud", canary))},
	{audit.TokenExpired, "orders", 401, "invalid_token", presents(oidctest.Token{TTL: -time.Minute})},
	{audit.TokenNotYetValid, "orders", 401, "invalid_token", presents(claim("nbf", time.Now().Add(time.Hour).Unix()))},
	{audit.TokenIssuedInFuture, "orders", 401, "invalid_token", presents(claim("iat", time.Now().Add(time.Hour).Unix()))},
	{audit.SubjectMissing, "orders", 401, "invalid_token", presents(claim("sub", nil))},
	{audit.RequiredClaimMissing, "orders", 401, "invalid_token", presents(claim("email", nil))},
	{audit.ConstraintUnproven, "orders", 401, "invalid_token", presents(claim("cnf", map[string]any{"jkt": canary}))},

	{audit.TokenInactive, "asked", 401, "invalid_token", about("/asked")},
	{audit.InsufficientUserAuthentication, "step-up", 401, "insufficient_user_authentication", func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get("/step-up", bearer(s.token("corp", claim("acr", canary))))
	}},
	{audit.UserInfoRefused, "orders", 401, "invalid_token", from("unknowing", oidctest.Token{})},

	{audit.NoRule, "", 403, "access_denied", good("/" + canary)},
	{audit.ProviderNotAccepted, "orders", 403, "access_denied", from("other", oidctest.Token{})},
	{audit.AudienceNotAccepted, "audience", 403, "access_denied", good("/audience")},
	{audit.InsufficientScope, "write", 403, "insufficient_scope", good("/write")},
	{audit.ClaimMissing, "missing", 403, "access_denied", good("/missing")},
	{audit.ClaimOverage, "missing", 403, "access_denied", func(s *scene, ctx context.Context) (context.Context, *Request) {
		return ctx, s.get("/missing", bearer(s.token("corp", claim("_claim_names", map[string]string{"department": canary}))))
	}},
	{audit.RequirementFalse, "false", 403, "access_denied", good("/false")},
	{audit.RequirementFailed, "failed", 403, "access_denied", good("/failed")},

	{audit.HeadersNotSent, "", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		r := s.get("/orders")
		r.ContextExtensions = []Header{{HeadersExtension, "authorization / " + canary}}
		return ctx, r
	}},
	{audit.KeysUnavailable, "orders", 503, "temporarily_unavailable", from("down", oidctest.Token{})},
	{audit.KeyRefreshPending, "orders", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		// The first unknown kid causes the fetch after which there is none for a while.
		_, _ = s.issuers["pending"].keys.Await(ctx, "first")
		return ctx, s.get("/orders", bearer(s.token("pending", oidctest.Token{KeyID: canary})))
	}},
	{audit.IntrospectionUnavailable, "mute", 503, "temporarily_unavailable", about("/mute")},
	{audit.IntrospectionBusy, "busy", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		s.spend()
		return about("/busy")(s, ctx)
	}},
	{audit.UserInfoUnavailable, "orders", 503, "temporarily_unavailable", from("silent", oidctest.Token{})},
	{audit.UserInfoBusy, "orders", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		s.spendInfo()
		return from("crowded", oidctest.Token{})(s, ctx)
	}},
	{audit.DeadlineExceeded, "orders", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		cancel()
		return good("/orders")(s, ctx)
	}},
	{audit.Cancelled, "public", 503, "temporarily_unavailable", func(s *scene, ctx context.Context) (context.Context, *Request) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, s.get("/public")
	}},

	// A key set that nobody made panics when it is asked.
	{audit.InternalError, "orders", 500, "server_error", presents(claim("iss", "https://faulty.test"))},
}

// TestSEC_B8_EveryReasonHasItsAnswer produces each reason of the closed set by a request,
// and judges the answer as the client gets it.
func TestSEC_B8_EveryReasonHasItsAnswer(t *testing.T) {
	var written, ownLog lines
	log := audit.NewLog(&written, audit.AllowsAll)
	counters := audit.NewCounters()
	s := newScene(t, Options{Audit: log, Counters: counters, Log: newTextLog(&ownLog)})
	var tokens []string
	produced := map[audit.Reason]bool{}
	for _, row := range reasonRows {
		t.Run(row.reason.String(), func(t *testing.T) {
			produced[row.reason] = true
			ctx, r := row.ask(s, t.Context())
			if v := r.First("authorization"); v != "" {
				tokens = append(tokens, strings.TrimPrefix(v, "Bearer "))
			}
			d := s.Decide(ctx, r)
			wantReason(t, d, row.reason)
			if d.Rule != row.rule {
				t.Errorf("got rule %q, want %q", d.Rule, row.rule)
			}
			if row.status == 0 {
				if !slices.Contains(d.Remove, "x-user") && value(t, d.Set, "x-user") == "" {
					t.Error("the client's x-user reaches the application")
				}
				return
			}
			wantDenial(t, d.Denial, row.reason, row.status, row.error)
			if len(d.Set)+len(d.SetQuery)+len(d.Remove)+len(d.RemoveQuery)+len(d.ResponseHeaders)+len(d.Metadata) > 0 {
				t.Errorf("a denial carries mutations: %+v", d)
			}
		})
	}
	for _, reason := range audit.Reasons() {
		if !produced[reason] && !shownElsewhere(reason) {
			t.Errorf("no row produces %v", reason)
		}
	}
	wantCounted(t, counters)
	log.Close()
	wantWritten(t, written.String(), tokens)
	if strings.Contains(ownLog.String(), canary) {
		t.Errorf("the log of faults has something of the request: %s", ownLog.String())
	}
}

// shownElsewhere are the reasons that need more around them than a scene has, and
// those that no check ends in but a login does.
func shownElsewhere(reason audit.Reason) bool {
	switch reason {
	case audit.OwnEndpoint: // login_test.go
		return true
	case audit.TokenRevoked: // revoked_test.go
		return true
	case audit.ProviderUnavailable, audit.LoginBusy: // package login
		return true
	case audit.DPoPProofMissing, audit.DPoPProofInvalid, audit.DPoPNonceRequired, audit.DPoPBusy, audit.CertificateMismatch: // proof_test.go
		return true
	}
	return ofSession(reason) || reason.Class() == audit.ClassLogin // session_test.go; package login
}

// wantDenial judges an answer against what RFC 6750, 3 and RFC 9110 ask of it.
func wantDenial(t *testing.T, denial *Denial, reason audit.Reason, status int, code string) {
	t.Helper()
	if denial.Status != status {
		t.Errorf("got status %d, want %d", denial.Status, status)
	}
	if got := value(t, denial.Headers, "cache-control"); got != "no-store" { // SEC-B8
		t.Errorf("got Cache-Control %q", got)
	}
	challenge := ""
	switch {
	case reason == audit.NoCredential:
		challenge = `Bearer realm="credence"`
	case reason == audit.InsufficientScope:
		challenge = `Bearer realm="credence", error="insufficient_scope", error_description="the token's scope isn't sufficient", scope="orders.read orders.write"`
	case status == 401 || reason == audit.MalformedAuthorization:
		challenge = `Bearer realm="credence", error="` + code + `", error_description="` + reason.Public() + `"`
		if reason == audit.InsufficientUserAuthentication {
			challenge += `, acr_values="gold"`
		}
	}
	if got := value(t, denial.Headers, "www-authenticate"); got != challenge {
		t.Errorf("got challenge %q, want %q", got, challenge)
	}
	retry, err := strconv.Atoi(value(t, denial.Headers, "retry-after"))
	if wants := status == 503; wants != (err == nil) || wants && retry < 1 {
		t.Errorf("got Retry-After %q with status %d", value(t, denial.Headers, "retry-after"), status)
	}
	if got := value(t, denial.Headers, "content-type"); got != "application/json" {
		t.Errorf("got Content-Type %q", got)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(denial.Body), &body); err != nil || len(body) != 3 {
		t.Fatalf("got body %q: %v", denial.Body, err)
	}
	message := reason.Public()
	if reason == audit.NoCredential {
		message = "authentication is required"
	}
	if body["error"] != code || body["error_description"] != message || body["reason"] != reason.String() {
		t.Errorf("got body %q, want error %q, description %q, reason %q", denial.Body, code, message, reason)
	}
	if all := denial.Body + headerLines(denial.Headers); strings.Contains(all, canary) {
		t.Errorf("the answer has something of the request: %q", all)
	}
}

func headerLines(headers []Header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.Name + ": " + h.Value + "\n")
	}
	return b.String()
}

// wantCounted asserts that each decision was counted once, with its rule.
func wantCounted(t *testing.T, counters *audit.Counters) {
	t.Helper()
	type cell struct {
		rule   string
		reason audit.Reason
	}
	got := map[cell]uint64{}
	counters.Each(func(rule string, reason audit.Reason, n uint64) { got[cell{rule, reason}] = n })
	for _, row := range reasonRows {
		rule := row.rule
		if rule == "" {
			rule = audit.NoRuleName
		}
		if n := got[cell{rule, row.reason}]; n != 1 {
			t.Errorf("%v of %s was counted %d times", row.reason, rule, n)
		}
	}
	if len(got) != len(reasonRows) {
		t.Errorf("got counts %v, want one for each of %d rows", got, len(reasonRows))
	}
}

// wantWritten asserts that each decision is one line of JSON, without any token.
func wantWritten(t *testing.T, written string, tokens []string) {
	t.Helper()
	written = strings.TrimSpace(written)
	n := 0
	for line := range strings.Lines(written) {
		var record struct{ Verdict, Reason, Rule, Subject string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		row := reasonRows[n]
		verdict := "deny"
		if row.status == 0 {
			verdict = "allow"
		}
		if record.Reason != row.reason.String() || record.Verdict != verdict || record.Rule != row.rule {
			t.Errorf("got line %q, want %s by %q for %v", line, verdict, row.rule, row.reason)
		}
		n++
	}
	if n != len(reasonRows) {
		t.Errorf("got %d lines, want %d", n, len(reasonRows))
	}
	for _, token := range tokens {
		// Each segment, because half a token is as secret as a whole one.
		for segment := range strings.SplitSeq(token, ".") {
			if len(segment) > 20 && strings.Contains(written, segment) {
				t.Errorf("the audit log has a part of a token: %.30q", segment)
			}
		}
	}
}

package authz

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestChallenges(t *testing.T) {
	const metadata = "https://api.example.com/.well-known/oauth-protected-resource"
	path := func(p string) Match { return Match{Paths: []string{p}} }
	corp := []string{"corp"}
	issuer, e := newCorp(t,
		Rule{Name: "public", Match: path("/public"), Public: true},
		Rule{Name: "scopes", Match: path("/scopes"), Bearer: &Bearer{Providers: corp, Scopes: []string{"orders.read", "orders.write"}, ResourceMetadata: metadata}},
		Rule{Name: "forbid", Match: path("/forbid"), Bearer: &Bearer{Providers: corp, Scopes: []string{"admin"}, ResourceMetadata: metadata}, ForbidUnauthenticated: true},
		Rule{Name: "metadata", Match: path("/metadata"), Bearer: &Bearer{Providers: corp, ResourceMetadata: metadata}, Require: "false"},
		Rule{Name: "neither", Match: path("/neither")},
		Rule{Name: "plain", Match: path("/plain"), Bearer: &Bearer{Providers: corp}},
	)
	fine, expired := issuer.Sign(oidctest.Token{}), issuer.Sign(oidctest.Token{TTL: -time.Hour})
	const (
		realm   = `Bearer realm="credence"`
		isOver  = realm + `, error="invalid_token", error_description="the token has expired"`
		scopes  = `, scope="orders.read orders.write"`
		url     = `, resource_metadata="` + metadata + `"`
		lacking = `, error="insufficient_scope", error_description="the token's scope isn't sufficient"`
		twice   = `, error="invalid_request", error_description="the Authorization header can't be understood"`
	)
	rows := []struct {
		name   string
		r      *Request
		status int
		want   string
	}{
		{"SEC-B3: without a credential there is no error", get("/plain"), 401, realm},
		{"SEC-B4: a bad token is invalid_token", get("/plain", bearer(expired)), 401, isOver},
		{"SEC-B5: too little scope is 403, and says what is needed", get("/scopes", bearer(fine)), 403, realm + lacking + scopes + url},
		{"SEC-B6: two credentials are a bad request", get("/plain", bearer(fine), bearer(fine)), 400, realm + twice},
		{"also on a public rule", get("/public", bearer(fine), bearer(fine)), 400, realm + twice},
		{"SEC-P3: the metadata's address is told", get("/metadata"), 401, realm + url},
		{"beside scopes", get("/scopes"), 401, realm + scopes + url},
		{"and an error", get("/scopes", bearer(expired)), 401, isOver + scopes + url},
		{"what a better credential wouldn't help has no challenge", get("/metadata", bearer(fine)), 403, ""},
		{"nor has what no rule allows", get("/nothing"), 403, ""},
		{"403 in place of 401 has none", get("/forbid"), 403, ""},
		{"for a bad token either", get("/forbid", bearer(expired)), 403, ""},
		{"but one for scopes all the same", get("/forbid", bearer(fine)), 403, realm + lacking + `, scope="admin"` + url},
		{"400 stays 400 there", get("/forbid", bearer("a"), bearer("b")), 400, realm + twice + `, scope="admin"` + url},
		{"a rule that takes nothing has nothing to ask for", get("/neither"), 401, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := e.Decide(t.Context(), row.r)
			if d.Allow || d.Denial == nil {
				t.Fatalf("got %+v", d)
			}
			if got := d.Denial.Status; got != row.status {
				t.Errorf("got status %d, want %d", got, row.status)
			}
			if got := value(t, d.Denial.Headers, "www-authenticate"); got != row.want {
				t.Errorf("got challenge\n%s, want\n%s", got, row.want)
			}
		})
	}
}

func TestRealm(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{orders}, Realm: "the house"})
	d := e.Decide(t.Context(), get("/"))
	if got := value(t, d.Denial.Headers, "www-authenticate"); got != `Bearer realm="the house"` {
		t.Errorf("got %q", got)
	}
}

// TestSEC_B7_ChallengeIsWellFormed: whatever the reason, the challenge is a list of
// parameters whose values need no escapes (RFC 9110, 11.6.1; RFC 6750, 3).
func TestSEC_B7_ChallengeIsWellFormed(t *testing.T) {
	wellFormed := regexp.MustCompile(`^Bearer [a-z_]+="[ !#-\[\]-~]*"(, [a-z_]+="[ !#-\[\]-~]*")*$`)
	e := newEngine(t, Options{})
	matched := &rule{Rule: Rule{Bearer: &Bearer{Scopes: []string{"a", "b:c/d"}, ResourceMetadata: "https://x.test/"}}}
	for _, reason := range audit.Reasons() {
		got := e.challenge(matched, reason)
		if got != "" && !wellFormed.MatchString(got) {
			t.Errorf("%v: got %q", reason, got)
		}
		if has := got != ""; has != (reason.Class() == audit.ClassUnauthenticated || reason == audit.InsufficientScope || reason == audit.AudienceNotAccepted || reason == audit.MalformedAuthorization) {
			t.Errorf("%v: got challenge %q", reason, got)
		}
	}
}

// TestDenialIsNeverAnAnswer: to a client, a status below 400 would be the
// application's word.
func TestDenialIsNeverAnAnswer(t *testing.T) {
	e := newEngine(t, Options{})
	for reason := range audit.Reason(255) {
		for _, matched := range []*rule{nil, {}, {Rule: Rule{ForbidUnauthenticated: true}}} {
			d := e.denial(&Request{}, matched, &audit.Refusal{Reason: reason})
			if d.Status < 400 || d.Status > 599 || d.Body == "" {
				t.Errorf("%v: got %+v", reason, d)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	e := newEngine(t, Options{})
	rows := []struct {
		name  string
		after time.Duration
		want  string
	}{
		{"not known", 0, "5"},
		{"whole seconds", 30 * time.Second, "30"},
		{"rounded up, so that nobody comes too early", 1100 * time.Millisecond, "2"},
		{"never none", time.Nanosecond, "1"},
		{"never in the past", -time.Hour, "1"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := e.denial(&Request{}, nil, &audit.Refusal{Reason: audit.KeyRefreshPending, RetryAfter: row.after})
			if got := value(t, d.Headers, "retry-after"); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// TestGRPCClientGetsText: Envoy makes grpc-message of the body, and grpc-status
// of the HTTP status (C9).
func TestGRPCClientGetsText(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{orders}})
	rows := []struct {
		contentType string
		text        bool
	}{
		{"application/grpc", true}, {"application/grpc+proto", true}, {"application/grpc;charset=utf-8", true},
		{"application/grpc-web", false}, {"application/grpc-web+proto", false}, {"application/grpcx", false}, {"application/json", false}, {"", false},
	}
	for _, row := range rows {
		t.Run(row.contentType, func(t *testing.T) {
			for _, token := range []string{"", "opaque"} {
				r := get("/", Header{"content-type", row.contentType})
				if token != "" {
					r.Headers = append(r.Headers, bearer(token))
				}
				d := e.Decide(t.Context(), r).Denial
				contentType := value(t, d.Headers, "content-type")
				if isText := contentType == "" && !strings.HasPrefix(d.Body, "{"); isText != row.text {
					t.Errorf("got %q as %q", d.Body, contentType)
				}
				if d.Status != 401 || d.Body == "" || strings.TrimFunc(d.Body, func(r rune) bool { return ' ' <= r && r <= '~' || !row.text }) != "" {
					t.Errorf("got %d %q", d.Status, d.Body)
				}
			}
		})
	}
}

func TestATokenForAnotherResource(t *testing.T) {
	for metadata, status := range map[string]int{"": 403, "https://api.example.com/.well-known/oauth-protected-resource": 401} {
		corp, e := newCorp(t, Rule{Name: "mcp", Bearer: &Bearer{Providers: []string{"corp"}, Audiences: []string{"other"}, ResourceMetadata: metadata}})
		d := e.Decide(t.Context(), get("/", bearer(corp.Sign(oidctest.Token{}))))
		wantReason(t, d, audit.AudienceNotAccepted)
		challenge := value(t, d.Denial.Headers, "www-authenticate")
		told := strings.Contains(challenge, `error="invalid_token"`) && strings.Contains(challenge, `resource_metadata="`+metadata+`"`)
		if d.Denial.Status != status || told != (metadata != "") {
			t.Errorf("%q: got %d, %q", metadata, d.Denial.Status, challenge)
		}
	}
}

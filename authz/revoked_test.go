package authz

import (
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

func TestSEC_5_19_RevokedTokensAreRefusedAlsoFromMemory(t *testing.T) {
	const issuer = "https://corp.test"
	now := time.Now()
	later := now.Add(time.Hour)
	for _, row := range []struct {
		name   string
		revoke func(*session.Revocations)
		want   audit.Reason
	}{
		{"nothing", func(*session.Revocations) {}, audit.Allowed},
		{"the token", func(v *session.Revocations) { v.Token(issuer, "id-1", later) }, audit.TokenRevoked},
		{"another token", func(v *session.Revocations) { v.Token(issuer, "id-2", later) }, audit.Allowed},
		{"a token of another issuer", func(v *session.Revocations) { v.Token("https://other.test", "id-1", later) }, audit.Allowed},
		{"the subject", func(v *session.Revocations) { v.Subject(issuer, "alice", now, later) }, audit.TokenRevoked},
		{"the subject, before the token was issued", func(v *session.Revocations) { v.Subject(issuer, "alice", now.Add(-time.Hour), later) }, audit.Allowed},
		{"another subject", func(v *session.Revocations) { v.Subject(issuer, "bob", now, later) }, audit.Allowed},
		{"the provider's session", func(v *session.Revocations) { v.SID(issuer, "sid-1", now, later) }, audit.TokenRevoked},
		{"the client", func(v *session.Revocations) { v.Client(issuer, "web", now, later) }, audit.TokenRevoked},
		{"another client", func(v *session.Revocations) { v.Client(issuer, "app", now, later) }, audit.Allowed},
	} {
		t.Run(row.name, func(t *testing.T) {
			corp := newIssuer(t, "corp")
			var revocations session.Revocations
			engine := newEngine(t, Options{
				Rules: []Rule{orders}, Revocations: &revocations, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
			})
			token := bearer(corp.Sign(oidctest.Token{Claims: map[string]any{"jti": "id-1", "sid": "sid-1", "iat": now.Add(-time.Minute).Unix()}}))
			for range 3 { // verified, from memory, from a template
				wantReason(t, engine.Decide(t.Context(), get("/", token)), audit.Allowed)
			}
			row.revoke(&revocations)
			if n := hits(engine); n != 1 {
				t.Errorf("got %d answers from templates, want 1", n)
			}
			d := engine.Decide(t.Context(), get("/", token))
			wantReason(t, d, row.want)
			if !d.Cached {
				t.Error("the verdict wasn't remembered")
			}
		})
	}
}

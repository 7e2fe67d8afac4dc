package authz

import (
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

func TestGroupsThatATokenLeavesOut(t *testing.T) {
	for claims, want := range map[string]audit.Reason{
		`{"sub":"a"}`: audit.ClaimMissing,
		`{"sub":"a","_claim_names":{"groups":"src1"}}`:    audit.ClaimOverage,
		`{"sub":"a","_claim_names":{"roles":"src1"}}`:     audit.ClaimMissing,
		`{"sub":"a","_claim_names":"groups"}`:             audit.ClaimMissing,
		`{"sub":"a","hasgroups":true}`:                    audit.ClaimOverage,
		`{"sub":"a","hasgroups":false}`:                   audit.ClaimMissing,
		`{"sub":"a","hasgroups":"true"}`:                  audit.ClaimMissing,
		`{"sub":"a","groups":["staff"],"hasgroups":true}`: audit.Allowed,
	} {
		rule := app
		rule.Require = `"staff" in claims.groups`
		engine, sessions := newSite(t, session.Options{}, rule)
		d := engine.Decide(t.Context(), get("/", Header{"cookie", logIn(t, sessions, session.Record{Claims: claimsOf(t, claims).Flat()})}))
		if d.Reason != want {
			t.Errorf("%s: got %v, want %v", claims, d.Reason, want)
		}
	}
}

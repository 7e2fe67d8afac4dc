package oidc

import (
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestSEC_A6_UserAuthentication(t *testing.T) {
	p := mustMake(NewProvider(ProviderOptions{Issuer: "https://corp.test", Audiences: []string{"api"}, Keys: new(KeySet), ClockSkew: 30 * time.Second}))
	now := time.UnixMilli(1_702_389_601_500)
	gold := []string{"silver", "urn:example:gold"}
	const age = 5 * time.Minute // so that auth_time may be from 1702389271.5 to 1702389631.5
	for _, row := range []struct {
		name   string
		values []string
		age    time.Duration
		claims string
		says   string // empty where it is enough
	}{
		{"nothing is asked", nil, 0, `{}`, ""},
		{"nothing is asked of odd claims", nil, 0, `{"acr":5,"auth_time":"x"}`, ""},
		{"one of the values", gold, 0, `{"acr":"silver"}`, ""},
		{"another one", gold, 0, `{"acr":"urn:example:gold"}`, ""},
		{"none of them", gold, 0, `{"acr":"bronze"}`, `acr "bronze" is none of silver, urn:example:gold`},
		{"a part of one", gold, 0, `{"acr":"gold"}`, `acr "gold" is none`},
		{"in capitals", gold, 0, `{"acr":"Silver"}`, `acr "Silver" is none`},
		{"two in one", gold, 0, `{"acr":"silver gold"}`, `acr "silver gold" is none`},
		{"empty", gold, 0, `{"acr":""}`, `acr "" is none`},
		{"a list", gold, 0, `{"acr":["silver"]}`, "acr isn't a string"},
		{"null", gold, 0, `{"acr":null}`, "acr isn't a string"},
		{"a number", []string{"1"}, 0, `{"acr":1}`, "acr isn't a string"},
		{"no acr", gold, 0, `{"ACR":"silver"}`, "acr is missing"},
		{"just now", nil, age, `{"auth_time":1702389601}`, ""},
		{"as old as may be, and the skew", nil, age, `{"auth_time":1702389271.5}`, ""},
		{"older", nil, age, `{"auth_time":1702389271.49}`, "auth_time 1702389271 is 5 min behind this clock: longer ago than max_age, 5 min"},
		{"as far ahead as clocks may be", nil, age, `{"auth_time":1702389631.5}`, ""},
		{"further ahead", nil, age, `{"auth_time":1702389631.51}`, "auth_time 1702389631 is 30 s ahead of this clock"},
		{"long ago", nil, age, `{"auth_time":0}`, "longer ago than max_age"},
		{"before 1970", nil, age, `{"auth_time":-253402300799}`, "longer ago than max_age"},
		{"in milliseconds", nil, age, `{"auth_time":1702389601000}`, "auth_time isn't a date"},
		{"beyond every date", nil, age, `{"auth_time":1e300}`, "auth_time isn't a date"},
		{"a string", nil, age, `{"auth_time":"1702389601"}`, "auth_time isn't a date"},
		{"no auth_time", nil, age, `{"iat":1702389601}`, "auth_time is missing"},
		{"both", gold, age, `{"acr":"silver","auth_time":1702389601}`, ""},
		{"one of two", gold, age, `{"acr":"silver"}`, "auth_time is missing"},
		{"the other of two", gold, age, `{"auth_time":1702389601}`, "acr is missing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := UserAuthentication{ACRValues: row.values, MaxAge: row.age}
			result := Result{Provider: p, Claims: mustRead(t, row.claims)}
			refusal := asked.Judge(&result, now)
			if refusal == nil {
				if row.says != "" {
					t.Errorf("got none, want %q", row.says)
				}
				if n := testing.AllocsPerRun(100, func() { _ = asked.Judge(&result, now) }); n != 0 {
					t.Errorf("%v allocations", n)
				}
				return
			}
			if row.says == "" || refusal.Reason != audit.InsufficientUserAuthentication || !strings.Contains(refusal.Detail, row.says) {
				t.Errorf("got %v, want %q", refusal, row.says)
			}
		})
	}
}

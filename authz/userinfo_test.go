package authz

import (
	"maps"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// completed makes a provider that asks the issuer's userinfo, as o says beyond that.
func (i *issuer) completed(t testing.TB, name string, o oidc.UserInfoOptions) *oidc.Provider {
	t.Helper()
	o.Name, o.Issuer, o.URL, o.Client = name, oidc.Issuer(i.Issuer()), i.Issuer()+"/userinfo", &http.Client{Transport: i.Transport()}
	info, err := oidc.NewUserInfo(o)
	if err != nil {
		t.Fatal(err)
	}
	return i.provider(t, name, oidc.ProviderOptions{UserInfo: info, CallerChecksConstraints: true})
}

// tells has userinfo say this to everybody.
func (i *issuer) tells(text string) {
	i.Break(oidctest.UserInfo, oidctest.Fault{Status: http.StatusOK, Body: text})
}

// staff lets in who is in the group staff, and tells the application their team.
var staff = Rule{Name: "staff", Bearer: &Bearer{Providers: []string{"corp"}}, Require: `"staff" in claims.groups`, Headers: map[string]string{"x-team": "claims.team"}}

// newCompleted makes an issuer whose userinfo is asked, and an engine that asks it.
func newCompleted(t testing.TB, o oidc.UserInfoOptions, rules ...Rule) (*issuer, *Engine) {
	t.Helper()
	corp := newIssuer(t, "corp")
	return corp, newEngine(t, Options{Rules: rules, Verifier: newVerifier(corp.completed(t, "corp", o))})
}

// thin is a token without groups, changed as claims say.
func thin(claims map[string]any) oidctest.Token {
	all := map[string]any{"groups": nil, "scope": "openid"}
	maps.Copy(all, claims)
	return oidctest.Token{Claims: all}
}

// TestT13_UserInfoIsRemembered with the token's verdict: it is asked once in ttl.
func TestT13_UserInfoIsRemembered(t *testing.T) {
	corp, e := newCompleted(t, oidc.UserInfoOptions{TTL: 2 * time.Minute}, staff)
	corp.tells(`{"sub":"alice","groups":["staff"],"team":"t1"}`)
	now := time.Now()
	token, short := corp.Sign(thin(nil)), thin(nil)
	short.TTL = time.Minute
	ending := corp.Sign(short)
	for _, row := range []struct {
		name, token string
		after       time.Duration
		want        audit.Reason
		cached      bool
		asked       int
	}{
		{"at first", token, 0, audit.Allowed, false, 1},
		{"again", token, time.Second, audit.Allowed, true, 1},
		{"until ttl", token, 2*time.Minute - time.Second, audit.Allowed, true, 1},
		{"after ttl", token, 2 * time.Minute, audit.Allowed, false, 2},
		{"another token", ending, 0, audit.Allowed, false, 3},
		{"within its leeway", ending, time.Minute + 20*time.Second, audit.Allowed, true, 3},
		{"expired", ending, 2 * time.Minute, audit.TokenExpired, false, 3},
		{"another's groups", corp.Sign(thin(map[string]any{"sub": "bob"})), 0, audit.UserInfoRefused, false, 4},
		{"not asked about", corp.Sign(thin(map[string]any{"scope": "orders.read"})), 0, audit.ClaimMissing, false, 4},
	} {
		d := asks(t, e, row.token, now.Add(row.after))
		if d.Reason != row.want || d.Cached != row.cached || corp.Requests(oidctest.UserInfo) != row.asked {
			t.Errorf("%s: %v, cached %t, asked %d times", row.name, d.Reason, d.Cached, corp.Requests(oidctest.UserInfo))
		}
		if d.Allow && value(t, d.Set, "x-team") != "t1" {
			t.Errorf("%s: got %v", row.name, d.Set)
		}
	}
}

// TestT13_OneQuestionToUserInfo for a token that many bring at once.
func TestT13_OneQuestionToUserInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCompleted(t, oidc.UserInfoOptions{}, staff)
		corp.Break(oidctest.UserInfo, oidctest.Fault{Status: http.StatusOK, Body: `{"sub":"alice","groups":["staff"]}`, Delay: time.Second})
		token := corp.Sign(thin(nil))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantReason(t, asks(t, e, token, time.Now()), audit.Allowed) })
		}
		wg.Wait()
		if got := corp.Requests(oidctest.UserInfo); got != 1 {
			t.Errorf("%d questions", got)
		}
	})
}

// TestT13_UserInfoDown: no allow without the claims, and no refusal that outlives the
// outage.
func TestT13_UserInfoDown(t *testing.T) {
	corp, e := newCompleted(t, oidc.UserInfoOptions{}, Rule{Name: "all", Bearer: &Bearer{Providers: []string{"corp"}}, Require: "!has(claims.suspended)"})
	token, now := corp.Sign(thin(nil)), time.Now()
	for _, fault := range []oidctest.Fault{{Status: 500}, {Status: 429}, {Status: 200, Body: "<html>"}, {Refuse: true}} {
		corp.Break(oidctest.UserInfo, fault)
		wantCached(t, asks(t, e, token, now), audit.UserInfoUnavailable, false)
	}
	corp.tells(`{"sub":"alice","suspended":true}`)
	wantCached(t, asks(t, e, token, now), audit.RequirementFalse, false)
	corp.Break(oidctest.UserInfo, oidctest.Fault{Status: 500})
	wantCached(t, asks(t, e, token, now), audit.RequirementFalse, true)
}

// TestT13_Overage: groups that a token leaves out come from userinfo, or are denied by
// their own reason.
func TestT13_Overage(t *testing.T) {
	elsewhere := map[string]any{"groups": "src1"}
	for _, row := range []struct {
		name   string
		claims map[string]any
		info   string
		want   audit.Reason
	}{
		{"distributed, and userinfo has them", map[string]any{"_claim_names": elsewhere}, `{"sub":"alice","groups":["staff"]}`, audit.Allowed},
		{"distributed, and userinfo has others", map[string]any{"_claim_names": elsewhere}, `{"sub":"alice","groups":["x"]}`, audit.RequirementFalse},
		{"distributed, and userinfo lacks them", map[string]any{"_claim_names": elsewhere}, `{"sub":"alice"}`, audit.ClaimOverage},
		{"distributed by userinfo too", map[string]any{"_claim_names": elsewhere}, `{"sub":"alice","_claim_names":{"groups":"b"}}`, audit.ClaimOverage},
		{"distributed by userinfo alone", map[string]any{"hasgroups": true}, `{"sub":"alice","_claim_names":{"groups":"b"}}`, audit.ClaimOverage},
		{"as Entra ID says it", map[string]any{"hasgroups": true}, `{"sub":"alice","groups":["staff"]}`, audit.Allowed},
		{"as Entra ID says it, and userinfo lacks them", map[string]any{"hasgroups": true}, `{"sub":"alice","hasgroups":false}`, audit.ClaimOverage},
		{"not left out", nil, `{"sub":"alice","groups":["staff"]}`, audit.ClaimMissing},
	} {
		corp, e := newCompleted(t, oidc.UserInfoOptions{When: oidc.UserInfoLeftOut}, staff)
		corp.tells(row.info)
		d := asks(t, e, corp.Sign(thin(row.claims)), time.Now())
		if d.Reason != row.want {
			t.Errorf("%s: got %v (%s), want %v", row.name, d.Reason, d.Detail, row.want)
		}
	}
}

// TestT13_AnotherConfigurationAsksAgain: what was remembered without userinfo isn't used
// with it.
func TestT13_AnotherConfigurationAsksAgain(t *testing.T) {
	corp := newIssuer(t, "corp")
	corp.tells(`{"sub":"alice","groups":["staff"]}`)
	plain := newEngine(t, Options{Rules: []Rule{staff}, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{}))})
	token, now := corp.Sign(thin(nil)), time.Now()
	wantCached(t, asks(t, plain, token, now), audit.ClaimMissing, false)
	e := newEngine(t, Options{Rules: []Rule{staff}, Tokens: plain.bearer.tokens, Verifier: newVerifier(corp.completed(t, "corp", oidc.UserInfoOptions{}))})
	wantCached(t, asks(t, e, token, now), audit.Allowed, false)
	wantCached(t, asks(t, e, token, now), audit.Allowed, true)
}

// TestT13_TheWatchAsksNobody: tokens are verified again, and userinfo isn't asked for it;
// a token that memory takes for another is found all the same.
func TestT13_TheWatchAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{corp: newIssuer(t, "corp")}
		w.watch = NewRecheck(1, newTextLog(&w.said))
		tokens := newTokens(t)
		tokens.Recheck = w.watch
		w.Engine = newEngine(t, Options{Rules: []Rule{staff}, Tokens: tokens, Verifier: newVerifier(w.corp.completed(t, "corp", oidc.UserInfoOptions{}))})
		w.corp.tells(`{"sub":"alice","groups":["staff"]}`)
		token, now := w.corp.Sign(thin(nil)), time.Now()
		for i := range 4 {
			wantCached(t, asks(t, w.Engine, token, now), audit.Allowed, i > 0)
			w.wantCounts(t, uint64(i), 0)
		}
		if got := w.corp.Requests(oidctest.UserInfo); got != 1 {
			t.Errorf("%d questions", got)
		}
		stranger := w.corp.Sign(thin(map[string]any{"sub": "bob"}))
		w.confuse(t, stranger, token, now)
		wantCached(t, asks(t, w.Engine, stranger, now), audit.Allowed, true)
		w.wantCounts(t, 4, 1)
	})
}

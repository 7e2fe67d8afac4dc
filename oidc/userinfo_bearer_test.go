package oidc

import (
	"context"
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// telling is userinfo of nobody's.
func telling(edit func(*UserInfoOptions)) *UserInfo {
	o := UserInfoOptions{Name: "corp", Issuer: "https://issuer.test"}
	if edit != nil {
		edit(&o)
	}
	return mustMake(NewUserInfo(o))
}

// asksUserInfo has the realm's provider ask its userinfo, at the usual address.
func (r *realm) asksUserInfo(t testing.TB, edit func(*UserInfoOptions)) {
	t.Helper()
	r.options.CallerChecksConstraints = true
	r.options.UserInfo = telling(func(o *UserInfoOptions) {
		o.URL, o.Keys, o.Client = r.idp.Issuer()+"/userinfo", r.keys, mustMake(NewClient(ClientOptions{Transport: r.idp.Transport()}))
		if edit != nil {
			edit(o)
		}
	})
}

// tells has userinfo say this to everybody.
func (r *realm) tells(text string) { r.idp.Break(oidctest.UserInfo, says(text)) }

// says is an answer to tokens that the endpoint doesn't know as well.
func says(text string) oidctest.Fault { return oidctest.Fault{Status: 200, Body: text} }

// openID are claims of a token that a login gave.
func openID(more members) members {
	claims := members{"scope": "openid orders.read", "email": nil, "groups": nil}
	maps.Copy(claims, more)
	return claims
}

const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

// TestT13_WhenUserInfoIsAsked: about which tokens, and what becomes of the others.
func TestT13_WhenUserInfoIsAsked(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	elsewhere := members{"_claim_names": members{"groups": "a"}, "_claim_sources": members{"a": members{"endpoint": "https://evil.test/"}}}
	nobody := func(claims members) members { claims["sub"] = nil; return claims }
	const refused = "user_info_refused: userinfo can't be asked: the token "
	for _, row := range []struct {
		name                     string
		claims                   members
		openID, leftOut, ifAsked string // "asked", "not asked", or a refusal
	}{
		{"of a login", openID(nil), "asked", "not asked", "asked"},
		{"of a login, with scp", openID(members{"scope": nil, "scp": []string{"openid"}}), "asked", "not asked", "asked"},
		{"of a machine", openID(members{"scope": "orders.read"}), "not asked", "not asked", "asked"},
		{"with a scope that only looks like it", openID(members{"scope": "xopenid openid2 OpenID"}), "not asked", "not asked", "asked"},
		{"without scope", openID(members{"scope": nil}), "not asked", "not asked", "asked"},
		{"that leaves out groups", openID(elsewhere), "asked", "asked", "asked"},
		{"that leaves out groups, without scope", members{"scope": nil, "_claim_names": elsewhere["_claim_names"]}, "not asked", "asked", "asked"},
		{"of Entra ID", openID(members{"hasgroups": true}), "asked", "asked", "asked"},
		{"that leaves out nothing", openID(members{"hasgroups": false, "_claim_names": members{}}), "asked", "not asked", "asked"},
		{"bound to a DPoP key", openID(members{"hasgroups": true, "cnf": members{"jkt": jkt}}), "not asked", "not asked", refused + "is bound to a key, and only its client can use it"},
		{"bound to a certificate", openID(members{"hasgroups": true, "cnf": members{"x5t#S256": jkt}}), "not asked", "not asked", refused + "is bound to a key, and only its client can use it"},
		{"of nobody", nobody(openID(members{"hasgroups": true})), "not asked", "not asked", refused + "has no sub to compare with"},
	} {
		for when, want := range map[UserInfoWhen]string{UserInfoOpenID: row.openID, UserInfoLeftOut: row.leftOut, UserInfoAlways: row.ifAsked} {
			r.asksUserInfo(t, func(o *UserInfoOptions) { o.When = when })
			r.tells(`{"sub":"alice","team":"t1"}`)
			before := r.idp.Requests(oidctest.UserInfo)
			result := r.verify(t, r.claiming(row.claims), func(o *ProviderOptions) { o.AcceptMissingSubject = true })
			asked := r.idp.Requests(oidctest.UserInfo) - before
			got := verdict(result)
			if result.Good() {
				got = []string{"not asked", "asked"}[asked]
			}
			if got != want || result.Good() && result.Claims.Lookup("team").Exists() != (want == "asked") || !result.Good() && asked > 0 {
				t.Errorf("a token %s, by %d: %s, want %s; %s", row.name, when, got, want, result.Claims.AppendJSON(nil))
			}
		}
	}
}

// TestT13_UserInfoAnswers is every answer about a good token.
func TestT13_UserInfoAnswers(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.asksUserInfo(t, nil)
	signed := func(claims members) oidctest.Fault {
		return oidctest.Fault{Status: 200, Body: r.idp.Sign(oidctest.Token{Claims: claims, KeyID: "ec-1"}), ContentType: "application/jwt"}
	}
	const refused, down = "user_info_refused: ", "user_info_unavailable: "
	for _, row := range []struct {
		name  string
		fault oidctest.Fault
		want  string
	}{
		{"as usual", says(`{"sub":"alice","team":"t1"}`), "good"},
		{"signed for the token's client", signed(members{"aud": "web", "team": "t1"}), "good"},
		{"signed for us", signed(members{"aud": "api", "team": "t1"}), "good"},

		{"the token isn't taken", oidctest.Fault{Status: 401, Body: canary}, refused + "userinfo doesn't take the access token: status 401"},
		{"too little scope", oidctest.Fault{Status: 403, Body: canary}, refused + "userinfo doesn't take the access token: status 403"},
		{"the token isn't taken, with another status", oidctest.Fault{Status: 400, Body: `{"error":"invalid_token"}`}, refused + "userinfo doesn't take the access token: status 400"},
		{"another subject", says(`{"sub":"bob"}`), refused + `userinfo is about sub "bob", the token about "alice": the subjects differ`},
		{"another subject, signed", signed(members{"aud": "web", "sub": "bob"}), refused + `userinfo is about sub "bob"`},

		{"no subject", says(`{"team":"t1"}`), down + "userinfo has no sub"},
		{"HTML", says("<html>" + canary), down + "userinfo isn't a JSON object"},
		{"two subjects", says(`{"sub":"bob","sub":"alice"}`), down + "userinfo isn't a JSON object"},
		{"not found", oidctest.Fault{Status: 404, Body: canary}, down + "userinfo: status 404"},
		{"a bad request", oidctest.Fault{Status: 400, Body: `{"error":"invalid_request"}`}, down + "userinfo: status 400, invalid_request"},
		{"broken", oidctest.Fault{Status: 500, Body: canary}, down + "userinfo: status 500"},
		{"too many requests", oidctest.Fault{Status: 429}, down + "userinfo: status 429"},
		{"a redirect", oidctest.Fault{Redirect: "https://evil.test/"}, down + "userinfo: status 302: redirects aren't followed"},
		{"too long", oidctest.Fault{Status: 200, Body: `{"sub":"alice"}`, Huge: MaxUserInfo + 1}, down + "userinfo: the answer is over 65536 bytes"},
		{"far too long", oidctest.Fault{Status: 200, Body: `{"sub":"alice"}`, Huge: maxEndpointAnswer + 1}, down + "userinfo: the answer is over"},
		{"cut short", oidctest.Fault{Status: 200, Body: `{"sub":"alice"}`, Truncate: 3}, down + "userinfo: the answer ends early"},
		{"no answer", oidctest.Fault{Refuse: true}, down + "userinfo: "},
		{"signed for another", signed(members{"aud": "other"}), down + "signed userinfo: audience_mismatch"},
		{"signed by nobody", oidctest.Fault{Status: 200, Body: r.idp.Sign(oidctest.Token{Alg: "none"}), ContentType: "application/jwt"}, down + "signed userinfo: algorithm_not_allowed"},
	} {
		r.idp.Break(oidctest.UserInfo, row.fault)
		result := r.verify(t, r.claiming(openID(nil)))
		if got := verdict(result); !strings.HasPrefix(got, row.want) || strings.Contains(got, canary) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if team, _ := result.Claims.Lookup("team").Text(); result.Good() && team != "t1" {
			t.Errorf("%s: claims %s", row.name, result.Claims.AppendJSON(nil))
		}
		if unavailable := strings.HasPrefix(row.want, down); unavailable != (result.Refusal != nil && result.Refusal.RetryAfter > 0) {
			t.Errorf("%s: retry %+v", row.name, result.Refusal)
		}
	}
	if got, want := r.options.UserInfo.Stats(), (UserInfoStats{Answered: 3, Refused: 5, Unavailable: 14}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.asksUserInfo(t, func(o *UserInfoOptions) { o.Keys = nil })
	r.idp.Break(oidctest.UserInfo, signed(members{"aud": "web"}))
	if got := verdict(r.verify(t, r.claiming(openID(nil)))); !strings.HasPrefix(got, down+"userinfo is signed, and there are no keys") {
		t.Errorf("signed, without keys: %s", got)
	}
}

// TestT13_SlowUserInfo is given up, within the time that a proxy may wait.
func TestT13_SlowUserInfo(t *testing.T) {
	bubble(t, "hangs", func(t *testing.T) {
		r := newRealm(t, "https://issuer.test")
		r.asksUserInfo(t, nil)
		r.idp.Break(oidctest.UserInfo, oidctest.Fault{Hang: true})
		began := time.Now()
		if got := verdict(r.verify(t, r.claiming(openID(nil)))); !strings.HasPrefix(got, "user_info_unavailable: userinfo: ") {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took != userInfoTimeout {
			t.Errorf("took %v", took)
		}
	})
}

// TestT13_UserInfoIsAskedLast: nobody is shown a token that isn't good.
func TestT13_UserInfoIsAskedLast(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.asksUserInfo(t, func(o *UserInfoOptions) { o.When = UserInfoAlways })
	v := r.verifier(t, func(o *ProviderOptions) { o.RequiredClaims = []string{"team"} })
	good := r.claiming(openID(members{"team": 1}))
	for name, raw := range map[string]RawToken{
		"altered":          resigned(good, "AAAA"),
		"unsigned":         r.sign(oidctest.Token{Alg: "none"}),
		"expired":          r.claiming(openID(members{"team": 1, "exp": clock - 3600})),
		"for another":      r.claiming(openID(members{"team": 1, "aud": "other"})),
		"lacking a claim":  r.claiming(openID(nil)), // userinfo would bring it, but tokens have to have it
		"bound to nothing": r.claiming(openID(members{"team": 1, "cnf": members{}})),
	} {
		if got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody); got.Good() {
			t.Errorf("%s: good", name)
		}
		_, findings := v.Inspect(t.Context(), raw, time.Unix(clock, 0))
		if last := findings[len(findings)-1]; last.Check != "userinfo" || last.Judged {
			t.Errorf("%s: %+v", name, last)
		}
	}
	if got := r.idp.Requests(oidctest.UserInfo); got != 0 {
		t.Errorf("%d requests", got)
	}
	r.tells(`{"sub":"alice","groups":["staff"],"b":1}`)
	result, findings := v.Inspect(t.Context(), good, time.Unix(clock, 0))
	if text := told(findings); !result.Good() || !strings.HasSuffix(text, `+ userinfo: 2 more: "groups, b"`+"\n") {
		t.Errorf("got %s", text)
	}
	r.tells(`{"sub":"alice"}`)
	if _, findings := v.Inspect(t.Context(), good, time.Unix(clock, 0)); !strings.HasSuffix(told(findings), "+ userinfo: nothing that the token doesn't say\n") {
		t.Errorf("got %s", told(findings))
	}
	r.asksUserInfo(t, nil)
	if _, findings := r.verifier(t).Inspect(t.Context(), r.claiming(members{"scope": nil}), time.Unix(clock, 0)); !strings.HasSuffix(told(findings), "+ userinfo: not asked: the token's scope lacks openid\n") {
		t.Errorf("got %s", told(findings))
	}
}

// TestT13_WhatATokenSaysStands, and userinfo says the rest.
func TestT13_WhatATokenSaysStands(t *testing.T) {
	for _, row := range []struct{ name, own, info, want string }{
		{"both", `{"sub":"a","x":1}`, `{"sub":"a","y":2}`, `{"sub":"a","x":1,"y":2}`},
		{"the same", `{"sub":"a","groups":["x"]}`, `{"sub":"a","groups":["x","admin"]}`, `{"sub":"a","groups":["x"]}`},
		{"rights", `{"sub":"a"}`, `{"iss":"e","aud":"e","exp":9,"nbf":9,"iat":9,"jti":"e","azp":"e","sid":"e","client_id":"e","scope":"e","scp":"e","cnf":{},"act":{},"may_act":{},"authorization_details":[]}`, `{"sub":"a"}`},
		{"an address and that it is verified", `{"sub":"a"}`, `{"email":"b","email_verified":true}`, `{"sub":"a","email":"b","email_verified":true}`},
		{"that the same address is verified", `{"email":"b"}`, `{"email":"b","email_verified":true}`, `{"email":"b","email_verified":true}`},
		{"that another address is verified", `{"email":"a"}`, `{"email":"b","email_verified":true}`, `{"email":"a"}`},
		{"that an address is verified, without it", `{"email":"a"}`, `{"email_verified":true}`, `{"email":"a"}`},
		{"that an address is verified which it doesn't name", `{"email_verified":true}`, `{"email":"b","email_verified":false}`, `{"email":"b","email_verified":false}`},
		{"the same, and userinfo doesn't say", `{"email_verified":true}`, `{"email":"b"}`, `{"email":"b"}`},
		{"that an address is verified which nobody names", `{"email_verified":true}`, `{"email_verified":false}`, `{"email_verified":true}`},
		{"nothing", `{"sub":"a"}`, `{}`, `{"sub":"a"}`},
	} {
		got, _ := mustRead(t, row.own).completedBy(mustRead(t, row.info))
		if text := string(got.AppendJSON(nil)); text != row.want {
			t.Errorf("%s: %s, want %s", row.name, text, row.want)
		}
	}
}

// TestT13_HowLongUserInfoStands: as long as the token does, and no longer than ttl.
func TestT13_HowLongUserInfoStands(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.asksUserInfo(t, func(o *UserInfoOptions) { o.TTL = 10 * time.Minute })
	const leeway = 30
	for _, row := range []struct {
		name         string
		fault        oidctest.Fault
		claims       members
		until, since int64 // seconds from the clock
	}{
		{"asked", says(`{"sub":"alice"}`), openID(nil), 600, -60},
		{"asked, shortly before the end", says(`{"sub":"alice"}`), openID(members{"exp": clock + 90}), 90 + leeway, -60},
		{"refused", oidctest.Fault{Status: 401}, openID(nil), 600, -60},
		{"not asked", oidctest.Fault{}, members{"scope": nil}, 3600 + leeway, -60 - leeway},
	} {
		r.idp.Break(oidctest.UserInfo, row.fault)
		got := r.verify(t, r.claiming(row.claims))
		if got.Until != (clock+row.until)*1000 || got.From != (clock+row.since)*1000 {
			t.Errorf("%s: from %d until %d", row.name, got.From/1000-clock, got.Until/1000-clock)
		}
	}
}

// TestT13_UserInfoBudget (R5): one address can't use up what all may ask.
func TestT13_UserInfoBudget(t *testing.T) {
	bubble(t, "budget", func(t *testing.T) {
		r := newRealm(t, "https://issuer.test")
		r.asksUserInfo(t, func(o *UserInfoOptions) { o.MaxConcurrent, o.MaxPerSecond = 8, 40 })
		r.tells(`{"sub":"alice"}`)
		v := r.verifier(t)
		one := netip.MustParseAddr("192.0.2.1")
		reasons := map[audit.Reason]int{}
		verify := func(from netip.Addr) {
			result := v.Verify(t.Context(), r.claiming(openID(nil)), time.Unix(clock, 0), from)
			if result.Good() {
				reasons[audit.Allowed]++
				return
			}
			reasons[result.Refusal.Reason]++
			if result.Refusal.RetryAfter == 0 {
				t.Errorf("got %+v", result.Refusal)
			}
		}
		for range 30 {
			verify(one)
		}
		if want := (map[audit.Reason]int{audit.Allowed: 10, audit.UserInfoBusy: 20}); !reflect.DeepEqual(reasons, want) {
			t.Errorf("of one address: got %v, want %v", reasons, want)
		}
		clear(reasons)
		verify(netip.Addr{})
		if reasons[audit.Allowed] != 1 || r.options.UserInfo.Stats().Busy != 20 || r.idp.Requests(oidctest.UserInfo) != 11 {
			t.Errorf("got %v, %+v", reasons, r.options.UserInfo.Stats())
		}
	})
}

// TestT13_UserInfoIsDiscovered in the background; without it nothing is decided.
func TestT13_UserInfoIsDiscovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealm(t, "https://issuer.test")
		r.asksUserInfo(t, func(o *UserInfoOptions) { o.URL = "" })
		r.tells(`{"sub":"alice"}`)
		r.idp.DiscoveryMember("userinfo_endpoint", "http://issuer.test/userinfo")
		ask := func() string { return verdict(r.verify(t, r.claiming(openID(nil)))) }
		if got := ask(); got != "user_info_unavailable: the userinfo endpoint wasn't discovered yet" {
			t.Errorf("got %s", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.options.UserInfo.Run(ctx) })
		synctest.Wait()
		if got := ask(); !strings.Contains(got, `the userinfo endpoint can't be discovered: userinfo_endpoint: "http://issuer.test/userinfo" is plain http`) {
			t.Errorf("got %s", got)
		}
		r.idp.DiscoveryMember("userinfo_endpoint", "https://issuer.test/userinfo")
		time.Sleep(time.Minute)
		if got := ask(); got != "good" || r.options.UserInfo.Ready() != nil {
			t.Errorf("got %s, ready %v", got, r.options.UserInfo.Ready())
		}
		stop()
		running.Wait()
	})
	if _, err := NewUserInfo(UserInfoOptions{URL: "http://issuer.test/userinfo"}); err == nil || !strings.Contains(err.Error(), "userinfo: ") {
		t.Errorf("got %v", err)
	}
}

// TestT13_OpaqueTokensHaveUserInfo: the provider that knows a token decides, also where
// its userinfo can't be had.
func TestT13_OpaqueTokensHaveUserInfo(t *testing.T) {
	client := func(d *oidctest.Provider) func(*UserInfoOptions) {
		return func(o *UserInfoOptions) {
			o.URL, o.Client = "https://issuer.test/userinfo", mustMake(NewClient(ClientOptions{Transport: d.Transport()}))
		}
	}
	d := newDesk(t, nil)
	o := d.options
	o.UserInfo = telling(client(d.idp))
	d.Provider = mustMake(NewProvider(o))
	d.answers(alive + `,"scope":"openid"`)
	d.idp.Break(oidctest.UserInfo, says(`{"sub":"alice","team":"t1","scope":"root","active":false}`))
	got := d.ask(t, "opaque")
	if team, _ := got.Claims.Lookup("team").Text(); !got.Good() || team != "t1" || got.Claims.Lookup("scope").Has("root") || got.Until != (clock+60)*1000 {
		t.Errorf("got %s, %s", verdict(got), got.Claims.AppendJSON(nil))
	}
	d.answers(`"active":false`)
	if got := d.ask(t, "opaque"); verdict(got) != "token_inactive" || d.idp.Requests(oidctest.UserInfo) != 1 {
		t.Errorf("got %s", verdict(got))
	}
	d.answers(alive + `,"scope":"openid"`)
	d.idp.Break(oidctest.UserInfo, oidctest.Fault{Status: 500})
	if got := d.ask(t, "opaque"); !strings.HasPrefix(verdict(got), "user_info_unavailable") || got.Undecided() || !got.Introspected {
		t.Errorf("got %s, undecided %t", verdict(got), got.Undecided())
	}
}

// TestT13_Reverify compares what userinfo can't have said, and asks nobody.
func TestT13_Reverify(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	raw, now := r.claiming(openID(nil)), time.Unix(clock, 0)
	asked := func() int { return r.idp.Requests(oidctest.UserInfo) }
	same := func(v *Verifier, raw RawToken, remembered Result) bool {
		_, same := v.Reverify(t.Context(), raw, now, &remembered)
		return same
	}
	plain := r.verifier(t)
	remembered := plain.Verify(t.Context(), raw, now, nobody)
	fewer := remembered
	fewer.Claims = remembered.Claims.with(mustRead(t, `{"x":1}`), func(string) bool { return true })
	if !same(plain, raw, remembered) || same(plain, raw, fewer) || same(r.verifier(t), raw, remembered) {
		t.Error("without userinfo, the claims have to be the same, and the provider")
	}
	r.asksUserInfo(t, nil)
	r.tells(`{"sub":"alice","team":"t1"}`)
	v := r.verifier(t)
	remembered = v.Verify(t.Context(), raw, now, nobody)
	before := asked()
	other := r.claiming(openID(members{"jti": "two"}))
	if !same(v, raw, remembered) || same(v, other, remembered) || same(v, resigned(raw, "AAAA"), remembered) || asked() != before {
		t.Errorf("with userinfo, which was asked %d times more", asked()-before)
	}
}

package login

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

func formPost(s *setup) {
	s.party.FormPost = true
}

func oidcParty(s *setup) (*oidc.RelyingParty, error) { return oidc.NewRelyingParty(s.party) }

// TestSEC_O6_FormPost: the answer is posted from the provider's page, no code is in an
// address, and none is posted on.
func TestSEC_O6_FormPost(t *testing.T) {
	bubble(t, formPost, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/a?b"), "alice")
		if back.Form == nil {
			t.Fatal("the answer wasn't posted")
		}
		b.header.Set("Sec-Fetch-Site", "cross-site")
		b.header.Set("Origin", "https://issuer.test")
		got := b.back(back).leadsTo(app + "/a?b")
		if got.status != 303 {
			t.Errorf("got %d, want 303", got.status)
		}
		// The same by a query isn't what was asked for.
		back = b.at(b.open(base+"/login?client=web&prompt=login"), "alice")
		b.fails(b.open(back.URL+"?"+back.Form.Encode()), audit.LoginMalformed)
		// An error by a query is read all the same.
		back = b.at(b.open(base+"/login?client=web&prompt=login"), "")
		b.fails(b.open(back.URL+"?"+back.Form.Encode()), audit.LoginDenied)
	})
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		b.fails(b.post(base+"/callback", back.Values()), audit.LoginMalformed)
	})
}

// TestStrictCookies: the way back to the application begins on a page of ours, or the
// browser wouldn't send the session there.
func TestStrictCookies(t *testing.T) {
	bubble(t, func(s *setup) { s.session.Cookie.SameSite = http.SameSiteStrictMode }, func(r *rig) {
		b := r.browser()
		page := b.back(b.at(b.start(app+"/a?b=c;d&e"), "alice"))
		if page.status != 200 || page.header.Get("Refresh") != "0; url="+app+"/a?b=c;d&e" || !strings.Contains(page.body, `href="https://app.example.com/a?b=c;d&amp;e"`) {
			t.Errorf("got %d, %v: %s", page.status, page.header, page.body)
		}
	})
}

// TestSEC_O2_ForeignCallback: a login that somebody else began puts nobody into
// their account.
func TestSEC_O2_ForeignCallback(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		eve, victim, fresh := r.browser(), r.browser(), r.browser()
		victim.start(app + "/")
		time.Sleep(2 * time.Minute) // longer than first tabs are apart
		back := eve.at(eve.start(app+"/eve"), "eve")
		fresh.fails(fresh.back(back), audit.LoginOtherBrowser)
		page := victim.fails(victim.back(back), audit.LoginOtherBrowser)
		if !strings.Contains(page.body, "return_to=https%3A%2F%2Fapp.example.com%2Feve") {
			t.Errorf("no way on: %s", page.body)
		}
		if status, _ := victim.session(); status != 401 {
			t.Errorf("the victim has a session")
		}
		if r.idp.Requests(oidctest.TokenEndpoint) != 0 {
			t.Error("the code went somewhere")
		}
		// The one who began it can still finish it.
		eve.back(back).leadsTo(app + "/eve")
	})
}

// TestForeignCallbackSoon: made at the same time as the victim's own cookie it can't
// be told from a first tab; then the victim begins a login of their own.
func TestForeignCallbackSoon(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		eve, victim := r.browser(), r.browser()
		victim.start(app + "/")
		back := eve.at(eve.start(app+"/eve"), "eve")
		own := victim.at(victim.back(back), "victim")
		if strings.Contains(own.URL, back.Values().Get("code")) {
			t.Error("eve's code is used")
		}
		victim.back(own).leadsTo(app + "/eve")
		if _, m := victim.session(); m["subject"] != "victim" {
			t.Errorf("got %v", m)
		}
	})
}

// TestSEC_O2_5_25_ReplayedCallback: the back button.
func TestSEC_O2_5_25_ReplayedCallback(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/a"), "alice")
		b.back(back).leadsTo(app + "/a")
		b.back(back).leadsTo(app + "/a") // there is a session
		b.forget("__Host-credence.web")
		again := b.back(back).leadsBelow(authorization) // there is none: once more
		second := b.at(again, "alice")
		b.back(second).leadsTo(app + "/a")
		b.forget("__Host-credence.web")
		b.fails(b.back(second), audit.LoginExpired)
		if got := r.idp.Requests(oidctest.TokenEndpoint); got != 2 {
			t.Errorf("%d codes were redeemed, want 2", got)
		}
	})
}

func TestExpiredState(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		late := b.at(b.start(app+"/a"), "alice")
		time.Sleep(attemptLife)
		again := b.at(b.back(late), "alice")
		time.Sleep(attemptLife)
		b.fails(b.back(again), audit.LoginExpired)
		b.login(app + "/b")
		b.back(late).leadsTo(app + "/a")
	})
}

// TestDeadStateWhileTheProviderIsDown: a restart that can't be is a page.
func TestDeadStateWhileTheStoreIsDown(t *testing.T) {
	store := &brokenStore{Store: session.NewMemory(10)}
	bubble(t, func(s *setup) { s.session.Store, store.down = store, false }, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		late := b.at(b.open(base+"/login?client=web&prompt=login"), "alice")
		time.Sleep(attemptLife)
		store.down = true
		b.fails(b.back(late), audit.SessionStoreUnavailable)
		b.fails(b.start(app+"/"), audit.SessionStoreUnavailable)
		b.fails(b.open(base+"/logout"), audit.SessionStoreUnavailable)
		b.fails(b.open(base+"/signed-out"), audit.SessionStoreUnavailable)
		b.fails(b.open(base+"/session"), audit.SessionStoreUnavailable)
		if status, m := b.session(); status != 503 || m["error"] != "session_store_unavailable" || m["reference"] == "" {
			t.Errorf("got %d, %v", status, m)
		}
		// What can be done is done: this browser's cookies are gone.
		b.fails(b.post(base+"/logout", url.Values{"client": {"web"}}), audit.SessionStoreUnavailable)
		store.down = false
		if status, m := b.session(); status != 401 {
			t.Errorf("after a logout while the store was down: got %d, %v", status, m)
		}
	})
}

// TestSEC_5_25_5_66_BadCallbacks: a page each, and no code goes anywhere.
func TestSEC_5_25_5_66_BadCallbacks(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		state := back.Values().Get("state")
		tampered := []byte(state)
		tampered[len(state)/2] ^= 1
		other := must(session.NewRing(session.RingOptions{})).Seal(session.PurposeState, stateOfLogin, newBinding(time.Now()).begin("web", "", false, time.Now()).appendTo(nil))
		ours := func(use string, plain []byte) string {
			return r.handler.ring.Seal(session.PurposeState, use, plain)
		}
		gone := newBinding(time.Now()).begin("gone", "", false, time.Now())
		for name, c := range map[string]struct {
			address string
			want    audit.Reason
		}{
			"no parameters":        {base + "/callback", audit.LoginMalformed},
			"no state":             {changed(back, "state", ""), audit.LoginMalformed},
			"empty state":          {base + "/callback?code=a&state=", audit.LoginMalformed},
			"state twice":          {back.URL + "&state=" + state, audit.LoginMalformed},
			"code twice":           {back.URL + "&code=a", audit.LoginMalformed},
			"iss twice":            {back.URL + "&iss=https://evil.test", audit.LoginMalformed},
			"huge state":           {changed(back, "state", strings.Repeat("a", 8000)), audit.LoginMalformed},
			"huge query":           {back.URL + "&a=" + strings.Repeat("a", 100_000), audit.LoginMalformed},
			"made-up state":        {changed(back, "state", "abc"), audit.LoginStateInvalid},
			"tampered state":       {changed(back, "state", string(tampered)), audit.LoginStateInvalid},
			"shorter state":        {changed(back, "state", state[:len(state)-1]), audit.LoginStateInvalid},
			"state of another key": {changed(back, "state", other), audit.LoginStateInvalid},
			"state of a logout":    {changed(back, "state", ours(stateOfLogout, newBinding(time.Now()).begin("web", "", false, time.Now()).appendTo(nil))), audit.LoginStateInvalid},
			"state of a version":   {changed(back, "state", ours(stateOfLogin, []byte{99})), audit.LoginStateInvalid},
			"client that is gone":  {changed(back, "state", ours(stateOfLogin, gone.appendTo(nil))), audit.LoginMalformed},
		} {
			b.doing = name
			b.fails(b.open(c.address), c.want)
		}
		if got := r.idp.Requests(oidctest.TokenEndpoint); got != 0 {
			t.Errorf("%d codes went to the provider", got)
		}
		b.back(back).leadsTo(app + "/") // none of it ended the login
	})
}

// TestProviderSaysNo: what becomes of each answer that isn't a code.
func TestProviderSaysNo(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.fails(b.back(b.at(b.start(app+"/"), "")), audit.LoginDenied)
		if log := r.log.String(); !strings.Contains(log, "access_denied") {
			t.Errorf("the log doesn't say what the provider said: %s", log)
		}
		for _, hostile := range []string{"<script>alert(1)</script>", "a\r\nb\x1b[31m\u2028", strings.Repeat("x", 4000), ""} {
			back := b.at(b.start(app+"/"), "")
			b.fails(b.open(changed(back, "error_description", hostile)+"&error_uri=https://evil.test"), audit.LoginDenied)
			back = b.at(b.start(app+"/"), "")
			u := must(url.Parse(back.URL))
			q := u.Query()
			q.Set("error", hostile)
			u.RawQuery = q.Encode()
			b.fails(b.open(u.String()), audit.LoginDenied)
		}
		// Neither a code nor an error.
		b.fails(b.open(changed(b.at(b.start(app+"/"), "alice"), "code", "")), audit.LoginMalformed)
	})
}

// TestAnotherTabWasQuicker: Keycloak ends the other tabs' logins by an error.
func TestAnotherTabWasQuicker(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		one, two := b.start(app+"/1"), b.start(app+"/2")
		denied := b.at(two, "")
		restarted := b.open(changed(denied, "error", "temporarily_unavailable")).leadsBelow(authorization)
		b.fails(b.open(changed(b.at(restarted, ""), "error", "temporarily_unavailable")), audit.LoginDenied)
		three := b.start(app + "/3")
		denied = b.at(three, "")
		b.back(b.at(one, "alice")).leadsTo(app + "/1")
		b.open(changed(denied, "error", "temporarily_unavailable")).leadsTo(app + "/3")
	})
}

// TestBadCodes: what the provider's endpoints can answer.
func TestBadCodes(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*setup)
		fault oidctest.Fault
		at    oidctest.Endpoint
		want  audit.Reason
	}{
		"code refused":       {nil, oidctest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, oidctest.TokenEndpoint, audit.CodeRejected},
		"no ID token":        {nil, oidctest.Fault{Body: `{"access_token":"a","token_type":"Bearer"}`}, oidctest.TokenEndpoint, audit.IDTokenInvalid},
		"not an ID token":    {nil, oidctest.Fault{Body: `{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}`}, oidctest.TokenEndpoint, audit.IDTokenInvalid},
		"down":               {nil, oidctest.Fault{Status: 503}, oidctest.TokenEndpoint, audit.ProviderUnavailable},
		"refuses the client": {nil, oidctest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, oidctest.TokenEndpoint, audit.ProviderUnavailable},
		"userinfo of another": {func(s *setup) { s.party.UserInfo = true }, oidctest.Fault{Status: 200, Body: `{"sub":"mallory"}`, ContentType: "application/json"}, oidctest.UserInfo,
			audit.UserInfoInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.edit, func(r *rig) {
				b := r.browser()
				r.idp.Break(c.at, c.fault)
				b.fails(b.back(b.at(b.start(app+"/"), "alice")), c.want)
				if status, _ := b.session(); status != 401 {
					t.Error("there is a session")
				}
			})
		})
	}
}

// TestAdviceFitsTheTrouble: what passes by itself is to be tried again; that our secret
// is wrong at the provider doesn't pass.
func TestAdviceFitsTheTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		fault oidctest.Fault
		want  string
		retry bool
	}{
		"down":           {oidctest.Fault{Status: 503}, "over in a moment", true},
		"a wrong secret": {oidctest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, "for the people who run this site", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(r *rig) {
				b := r.browser()
				r.idp.Break(oidctest.TokenEndpoint, c.fault)
				page := b.fails(b.back(b.at(b.start(app+"/"), "alice")), audit.ProviderUnavailable)
				if _, advice, _ := strings.Cut(page.body, `<p class="lead">`); !strings.Contains(advice, c.want) || strings.Contains(advice, "moment") != c.retry || (page.header.Get("Retry-After") != "") != c.retry {
					t.Errorf("got Retry-After %q: %s", page.header.Get("Retry-After"), page.body)
				}
			})
		})
	}
}

// TestR5_CodesAreBounded: one address can't have the provider asked without end.
func TestR5_CodesAreBounded(t *testing.T) {
	bubble(t, func(s *setup) { s.party.MaxPerSecond = 8 }, func(r *rig) {
		b := r.browser()
		busy := 0
		for range 20 {
			back := b.at(b.start(app+"/"), "alice")
			if got := b.open(changed(back, "code", "made-up-code")); got.status == 503 {
				b.fails(got, audit.LoginBusy)
				busy++
			}
		}
		if asked := r.idp.Requests(oidctest.TokenEndpoint); asked != 2 || busy != 18 {
			t.Errorf("the provider was asked %d times, %d were refused; want 2 and 18", asked, busy)
		}
		// Several others, since two addresses may fall into one place of the budget.
		others := []string{"198.51.100.7", "198.51.100.8", "198.51.100.9", "198.51.100.10"}
		if !slices.ContainsFunc(others, func(address string) bool {
			other := r.browser()
			other.header.Set("X-Forwarded-For", address)
			return other.back(other.at(other.start(app+"/"), "alice")).location == app+"/"
		}) {
			t.Error("nobody else can log in")
		}
	})
}

// TestSessionTooLarge: the tokens are given back, and no old session stays.
func TestSessionTooLarge(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		big := make([]string, 1500)
		for i := range big {
			big[i] = rand.Text() // can't be compressed
		}
		r.idp.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"groups": big}})
		b.fails(b.back(b.at(b.open(base+"/login?client=web&prompt=login"), "alice")), audit.SessionTooLarge)
		if status, _ := b.session(); status != 401 {
			t.Errorf("the old session is still there")
		}
		r.handler.Close()
		if got := r.idp.Requests(oidctest.Revocation); got == 0 {
			t.Error("the tokens weren't given back")
		}
	})
}

// TestSEC_5_46_NothingSecretIsWritten: every story looks for what is secret on
// its pages and in its logs; this one holds that there is something to look for.
func TestSEC_5_46_NothingSecretIsWritten(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.login(app + "/")
		b.open(base + "/session")
		b.logout()
		r.idp.Break(oidctest.TokenEndpoint, oidctest.Fault{Status: 500})
		b.fails(b.back(b.at(b.start(app+"/"), "alice")), audit.ProviderUnavailable)
		found := map[string]int{}
		for _, what := range r.secrets {
			found[what]++
		}
		for _, what := range []string{"access_token", "refresh_token", "id_token", "client secret", "claim that isn't shown", "code", "state", "cookie"} {
			if found[what] == 0 {
				t.Errorf("no %s was looked for", what)
			}
		}
	})
}

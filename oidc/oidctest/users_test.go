package oidctest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestEndedAndDisabledUsers(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(*oidctest.Provider)
		status int    // of a refresh
		silent string // error of a login without a page
		login  string // error of a login with one; "" for a code
	}{
		{"nothing happened", func(*oidctest.Provider) {}, 200, "", ""},
		{"another's session ended", func(p *oidctest.Provider) { p.EndSession("bob") }, 200, "", ""},
		{"the session ended", func(p *oidctest.Provider) { p.EndSession("alice") }, 400, "login_required", ""},
		{"disabled", func(p *oidctest.Provider) { p.Disable("alice") }, 400, "login_required", "alice may not log in."},
		{"disabled and added again", func(p *oidctest.Provider) { p.Disable("alice"); p.AddUser(oidctest.User{Subject: "alice"}) }, 400, "login_required", ""},
	} {
		r := newParty(t, nil)
		m, code := r.tokens(""), r.login("alice", "").Get("code")
		row.do(r.p)
		answer, refused := r.refresh(m["refresh_token"])
		if answer.status != row.status || answer.status != 200 && refused["error"] != "invalid_grant" {
			t.Errorf("%s: refresh: got %d, %v", row.name, answer.status, refused)
		}
		if answer, _ := r.redeem(code); answer.status != row.status {
			t.Errorf("%s: an older code: got %d, want %d", row.name, answer.status, row.status)
		}
		if answer, _ := r.userInfo(m["access_token"]); (answer.status == 200) != (row.status == 200) {
			t.Errorf("%s: userinfo: got %d", row.name, answer.status)
		}
		if got := r.login("alice", "prompt=none").Get("error"); got != row.silent {
			t.Errorf("%s: silent login: got %q, want %q", row.name, got, row.silent)
		}
		_, err := r.p.Login(t.Context(), r.browser, r.p.Issuer()+"/authorize?"+r.request(""), "alice")
		if (err != nil) != (row.login != "") || err != nil && !strings.Contains(err.Error(), row.login) {
			t.Errorf("%s: login: got %v, want %q", row.name, err, row.login)
		}
	}
}

func TestUsersOnTheLoginPage(t *testing.T) {
	r := newParty(t, nil)
	r.p.AddUser(oidctest.User{Subject: "b<b>", Claims: map[string]any{"name": "<i>Bob</i>"}})
	r.p.AddUser(oidctest.User{Subject: "carol"})
	r.p.AddUser(oidctest.User{Subject: "alice", Claims: map[string]any{"name": "Alice the Second"}})
	page, err := get(t, r.browser, r.p.Issuer()+"/authorize?"+r.request("login_hint="+url.QueryEscape(`"><script>`)))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page.body)
	for _, want := range []string{
		`value="alice"><span>Alice the Second<`, `value="carol"><span>carol<`, `value="b&lt;b&gt;"><span>&lt;i&gt;Bob&lt;/i&gt;<`,
		`value="&#34;&gt;&lt;script&gt;"`, "This is a test provider",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%d times %s in %s", strings.Count(text, want), want, text)
		}
	}
	if strings.Contains(text, "<script>") || strings.Index(text, "Alice the Second") > strings.Index(text, "carol") {
		t.Error(text)
	}
}

// A name that is typed has to be short; one that was added may be any.
func TestAddedUserOfALongName(t *testing.T) {
	r, name := newParty(t, nil), strings.Repeat("x", 255)
	r.p.AddUser(oidctest.User{Subject: name})
	if got := r.login(name, ""); got.Get("code") == "" {
		t.Errorf("got %v", got)
	}
}

func TestClaimsThatAreNoJSON(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "oidctest: user u: ") {
			t.Errorf("got %q", text)
		}
	}()
	newProvider(t, oidctest.Options{}).AddUser(oidctest.User{Subject: "u", Claims: map[string]any{"f": func() {}}})
}

package oidctest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestLoginBothWays(t *testing.T) {
	for _, w := range bothWays(t) {
		r := newPartyAt(t, w.p, nil)
		r.browser.Transport = w.client.Transport
		for _, mode := range []string{"", "query", "form_post"} {
			back, err := w.p.Login(t.Context(), r.browser, w.base+"/authorize?"+r.request("response_mode="+mode), "alice")
			if err != nil {
				t.Fatalf("%s: %s: %v", w.name, mode, err)
			}
			got := back.Values()
			if got.Get("state") != "a+b&c" || got.Get("iss") != w.base || len(got["code"]) != 1 || got.Has("error") {
				t.Errorf("%s: %q: got %v", w.name, mode, got)
			}
			request, err := back.Request(t.Context())
			if err != nil || (request.Method == http.MethodPost) != (mode == "form_post") || !strings.HasPrefix(request.URL.String(), callbackURI) {
				t.Errorf("%s: %q: got %v, %v", w.name, mode, request, err)
			}
			answer, m := r.redeem(got.Get("code"))
			if answer.status != 200 || m["token_type"] != "Bearer" || m["expires_in"] != 300.0 || m["refresh_token"] == nil {
				t.Errorf("%s: %q: got %d, %v", w.name, mode, answer.status, m)
			}
		}
		if pages, forms := w.p.Requests(oidctest.Authorize), w.p.Requests(oidctest.SignIn); pages != 3 || forms != 1 {
			t.Errorf("%s: %d authorizations, %d forms sent, want 3 and 1: the second login is silent", w.name, pages, forms)
		}
		if got := w.p.Grants("authorization_code"); got != 3 || w.p.Grants("made_up") != 0 {
			t.Errorf("%s: %d codes redeemed, want 3", w.name, got)
		}
	}
}

func TestAuthorizationErrors(t *testing.T) {
	for _, row := range []struct{ name, changes, want string }{
		{"nobody is logged in", "prompt=none", "login_required"},
		{"prompt=none with another", "prompt=none+login", "invalid_request"},
		{"an unknown prompt", "prompt=please", "invalid_request"},
		{"no response_type", "response_type=", "invalid_request"},
		{"another response_type", "response_type=code+id_token", "unsupported_response_type"},
		{"an unknown response_mode", "response_mode=fragment", "invalid_request"},
		{"not OpenID Connect", "scope=profile", "invalid_scope"},
		{"no PKCE", "code_challenge=", "invalid_request"},
		{"plain PKCE", "code_challenge_method=plain", "invalid_request"},
		{"a challenge that is no hash", "code_challenge=abc", "invalid_request"},
		{"max_age isn't a number", "max_age=x", "invalid_request"},
		{"max_age is negative", "max_age=-1", "invalid_request"},
		{"a request object", "request=e30", "request_not_supported"},
		{"a request object elsewhere", "request_uri=https://app.test/r", "request_uri_not_supported"},
		{"the person cancels", "", "access_denied"},
	} {
		got := newParty(t, nil).login("", row.changes)
		if got.Get("error") != row.want || got.Get("state") != "a+b&c" || got.Get("iss") == "" || got.Has("code") {
			t.Errorf("%s: got %v, want %s", row.name, got, row.want)
		}
	}
}

// As long as the client and its address aren't known, nobody is sent anywhere.
func TestAuthorizationPages(t *testing.T) {
	r := newParty(t, nil)
	for _, row := range []struct{ name, query, want string }{
		{"nothing at all", "", "No client has the id “”."},
		{"an unknown client", "client_id=<script>", "No client has the id “<script>”."},
		{"an address that isn't registered", r.request("redirect_uri=" + callbackURI + "/"), "is not a redirect URI"},
		{"a parameter twice", r.request("") + "&state=2", "holds a parameter twice"},
		{"a long request", r.request("nonce=" + strings.Repeat("n", 16<<10)), "too long"},
		{"not a query", "a=%zz", "can’t be read"},
	} {
		back, err := r.p.Login(t.Context(), r.browser, r.p.Issuer()+"/authorize?"+row.query, "alice")
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, %v, want %s", row.name, back, err, row.want)
		}
	}
}

func TestAuthorizationByPost(t *testing.T) {
	r := newParty(t, nil)
	for _, row := range []struct {
		name, path, form string
		status           int
	}{
		{"a request", "/authorize", r.request(""), 200},
		{"twice a parameter", "/authorize", r.request("") + "&state=2", 400},
		{"a login without a request", "/sign-in", "name=alice", 400},
		{"a login with a broken request", "/sign-in", "name=alice&request=%25zz", 400},
		{"a login twice a parameter", "/sign-in", "name=alice&name=bob", 400},
		{"a login by nobody", "/sign-in", "request=" + url.QueryEscape(r.request("")), 422},
		{"a login by a long name", "/sign-in", "name=" + strings.Repeat("x", 65) + "&request=" + url.QueryEscape(r.request("")), 422},
		{"a login by a control character", "/sign-in", "name=a%00&request=" + url.QueryEscape(r.request("")), 422},
		{"a login", "/sign-in", "user=alice&request=" + url.QueryEscape(r.request("")), 303},
	} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.p.Issuer()+row.path, strings.NewReader(row.form))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := do(noRedirects(r.p.Transport()), request)
		if err != nil || got.status != row.status {
			t.Errorf("%s: got %d, %v, want %d", row.name, got.status, err, row.status)
		}
	}
}

func TestOtherMethodsForBrowsers(t *testing.T) {
	r := newParty(t, nil)
	for _, path := range []string{"/authorize?" + r.request(""), "/end_session"} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, r.p.Issuer()+path, nil)
		if got, err := do(r.browser, request); err != nil || got.status != 405 || got.header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: got %d, %v, %v", path, got.status, got.header, err)
		}
	}
}

func TestSilentLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newParty(t, nil)
		for _, row := range []struct {
			name, subject, changes string
			after                  time.Duration
			want, error            string // who it is then
		}{
			{"the first login asks", "alice", "", 0, "alice", ""},
			{"the second doesn't", "bob", "", time.Hour, "alice", ""},
			{"nor does it without a page", "bob", "prompt=none", time.Hour, "alice", ""},
			{"it asks when told to", "bob", "prompt=login", time.Second, "bob", ""},
			{"and when an account is to be chosen", "carol", "prompt=select_account", time.Second, "carol", ""},
			{"young enough", "alice", "max_age=10", 10 * time.Second, "carol", ""},
			{"too old", "alice", "max_age=10", time.Second, "alice", ""},
			{"too old, without a page", "", "max_age=10&prompt=none", 11 * time.Second, "", "login_required"},
			{"never young enough", "bob", "max_age=0", 0, "bob", ""},
			{"a year later", "alice", "prompt=consent", 365 * 24 * time.Hour, "bob", ""},
		} {
			time.Sleep(row.after)
			got := r.login(row.subject, row.changes)
			if got.Get("error") != row.error {
				t.Errorf("%s: got %v", row.name, got)
			}
			if row.error != "" {
				continue
			}
			_, m := r.redeem(got.Get("code"))
			if c := claims(t, m["id_token"].(string)); c["sub"] != row.want {
				t.Errorf("%s: got %v, want %s", row.name, c, row.want)
			}
		}
	})
}

func TestSessionIDStaysWithThePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newParty(t, nil)
		first := claims(t, r.tokens("")["id_token"].(string))
		time.Sleep(time.Minute)
		silent, again := claims(t, r.tokens("")["id_token"].(string)), claims(t, r.tokens("prompt=login")["id_token"].(string))
		if first["sid"] == "" || silent["sid"] != first["sid"] || again["sid"] != first["sid"] {
			t.Errorf("sid: got %v, %v, %v", first["sid"], silent["sid"], again["sid"])
		}
		if silent["auth_time"] != first["auth_time"] || again["auth_time"] != first["auth_time"].(float64)+60 {
			t.Errorf("auth_time: got %v, %v, %v", first["auth_time"], silent["auth_time"], again["auth_time"])
		}
		_, m := r.redeem(r.login("bob", "prompt=login").Get("code"))
		if c := claims(t, m["id_token"].(string)); c["sid"] == first["sid"] {
			t.Error("another person has the same sid")
		}
	})
}

func TestRedirectURIWithAQuery(t *testing.T) {
	const uri = callbackURI + "?tenant=a"
	for _, mode := range []string{"query", "form_post"} {
		r := newParty(t, func(c *oidctest.LoginClient) { c.RedirectURIs = []string{uri} })
		back, err := r.p.Login(t.Context(), nil, r.p.Issuer()+"/authorize?"+r.request("response_mode="+mode+"&redirect_uri="+url.QueryEscape(uri)), "alice")
		if err != nil || !strings.HasPrefix(back.URL, uri) || back.Values().Get("code") == "" {
			t.Errorf("%s: got %v, %v", mode, back, err)
		}
	}
}

func TestFormPostByRegistration(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) { c.FormPost = true })
	for mode, posts := range map[string]bool{"": true, "form_post": true, "query": false} {
		back, err := r.p.Login(t.Context(), r.browser, r.p.Issuer()+"/authorize?"+r.request("response_mode="+mode), "alice")
		if err != nil || (back.Form != nil) != posts {
			t.Errorf("%q: got %v, %v", mode, back, err)
		}
	}
}

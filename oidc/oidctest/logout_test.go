package oidctest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestLogout(t *testing.T) {
	back := url.QueryEscape(signedOutURI)
	for _, row := range []struct {
		name, query string // HINT is alice's ID token, BOB one of another browser's
		want        string // where the person ends; "" for the provider's page
		fails       string // what the page says, of a logout that isn't one
		asks        bool   // before it happens
	}{
		{"with a hint", "id_token_hint=HINT&post_logout_redirect_uri=" + back + "&state=s%261", signedOutURI + "&state=s%261", "", false},
		{"with a hint and the client", "id_token_hint=HINT&client_id=web&post_logout_redirect_uri=" + back, signedOutURI, "", false},
		{"with a hint, to nowhere", "id_token_hint=HINT&state=s", "", "", false},
		{"without anything", "", "", "", true},
		{"without a hint", "client_id=web&state=s&post_logout_redirect_uri=" + back, signedOutURI + "&state=s", "", true},
		{"with another's hint", "id_token_hint=BOB&state=s&post_logout_redirect_uri=" + back, signedOutURI + "&state=s", "", true},
		{"with a hint that isn't ours", "id_token_hint=e30.e30.&client_id=web&post_logout_redirect_uri=" + back, signedOutURI, "", true},
		{"with another client than the hint's", "id_token_hint=HINT&client_id=other", "", "not one of client “other”", false},
		{"to an unknown address", "id_token_hint=HINT&post_logout_redirect_uri=" + back + "2", "", "is not a post-logout redirect URI", false},
		{"to an address of nobody's", "post_logout_redirect_uri=" + back, "", "is not a post-logout redirect URI", false},
		{"twice a parameter", "state=1&state=2", "", "holds a parameter twice", false},
	} {
		r := newParty(t, nil)
		hint := r.tokens("")["id_token"].(string)
		other := newPartyAt(t, r.p, nil)
		_, bob := other.redeem(other.login("bob", "").Get("code"))
		query := strings.NewReplacer("HINT", hint, "BOB", bob["id_token"].(string)).Replace(row.query)

		got, err := r.p.Logout(t.Context(), r.browser, r.p.Issuer()+"/end_session?"+query)
		if (err != nil) != (row.fails != "") || err != nil && !strings.Contains(err.Error(), row.fails) || got.URL != row.want {
			t.Errorf("%s: got %v, %v, want %q", row.name, got, err, row.want)
		}
		if n := r.p.Requests(oidctest.EndSession); (n == 2) != row.asks {
			t.Errorf("%s: %d requests; asked, which makes it two: %v", row.name, n, row.asks)
		}
		if in := r.login("alice", "prompt=none").Get("code") != ""; in != (row.fails != "") {
			t.Errorf("%s: logged in afterwards: %v", row.name, in)
		}
		if other.login("bob", "prompt=none").Get("code") == "" {
			t.Errorf("%s: another browser's session ended", row.name)
		}
	}
}

func TestLogoutEndsWhatTheLoginGave(t *testing.T) {
	r := newParty(t, nil)
	m := r.tokens("")
	// From a server, say, without the browser's cookie.
	if _, err := r.p.Logout(t.Context(), nil, r.p.Issuer()+"/end_session?id_token_hint="+m["id_token"].(string)); err != nil {
		t.Fatal(err)
	}
	if answer, refused := r.refresh(m["refresh_token"]); answer.status != 400 || refused["error"] != "invalid_grant" {
		t.Errorf("got %d, %v", answer.status, refused)
	}
	if got := r.login("alice", "prompt=none").Get("error"); got != "login_required" {
		t.Errorf("got %q", got)
	}
}

// A form of another site's doesn't bring the cookie, which is SameSite=Lax.
func TestConfirmedWithoutACookie(t *testing.T) {
	r := newParty(t, nil)
	r.login("alice", "")
	answer := r.post("/end_session", url.Values{"confirm": {"yes"}})
	if answer.status != 200 || answer.header.Get("Set-Cookie") != "" {
		t.Errorf("got %d, %v", answer.status, answer.header)
	}
	if r.login("alice", "prompt=none").Get("code") == "" {
		t.Error("the session ended")
	}
}

func TestRevocation(t *testing.T) {
	for _, row := range []struct {
		name, id, token string
		status          int
		access, refresh bool // still good
	}{
		{"a refresh token ends the login's tokens", "web", "refresh_token", 200, false, false},
		{"an access token ends alone", "web", "access_token", 200, false, true},
		{"what isn't a token", "web", "made-up", 200, true, true},
		{"no token", "web", "", 400, true, true},
		{"another client's refresh token", "other", "refresh_token", 400, true, true},
		{"another client's access token", "other", "access_token", 400, true, true},
		{"an unknown client", "nobody", "refresh_token", 401, true, true},
	} {
		r := newParty(t, nil)
		r.p.AddLoginClient(oidctest.LoginClient{ID: "other", Secret: "hush"})
		m := r.tokens("")
		token, _ := m[row.token].(string)
		if token == "" {
			token = row.token
		}
		answer := r.post("/revoke", url.Values{"client_id": {row.id}, "client_secret": {"hush"}, "token": {token}})
		if answer.status != row.status {
			t.Errorf("%s: got %d, want %d", row.name, answer.status, row.status)
		}
		if answer, _ := r.userInfo(m["access_token"]); (answer.status == 200) != row.access {
			t.Errorf("%s: access token: got %d", row.name, answer.status)
		}
		if answer, _ := r.refresh(m["refresh_token"]); (answer.status == 200) != row.refresh {
			t.Errorf("%s: refresh token: got %d", row.name, answer.status)
		}
	}
}

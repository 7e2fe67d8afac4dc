package oidctest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestIDToken(t *testing.T) {
	for _, row := range []struct{ name, alg, kid string }{
		{"by default", "", "rsa-1"}, {"ES256", "ES256", "ec-1"}, {"EdDSA", "EdDSA", "ed-1"},
	} {
		r := newParty(t, func(c *oidctest.LoginClient) { c.IDTokenAlg = row.alg })
		m := r.tokens("")
		if h := header(t, m["id_token"].(string)); h["kid"] != row.kid || h["typ"] != "JWT" {
			t.Errorf("%s: header %v", row.name, h)
		}
		c := claims(t, m["id_token"].(string))
		if c["iss"] != r.p.Issuer() || c["sub"] != "alice" || c["aud"] != "web" || c["nonce"] != "n-1" || c["email"] != "alice@example.com" || c["client_id"] != nil {
			t.Errorf("%s: claims %v", row.name, c)
		}
		sum := sha256.Sum256([]byte(m["access_token"].(string)))
		if got, want := c["at_hash"], base64.RawURLEncoding.EncodeToString(sum[:16]); got != want && row.alg != "EdDSA" {
			t.Errorf("%s: at_hash: got %v, want %s", row.name, got, want)
		}
		a := claims(t, m["access_token"].(string))
		if a["aud"] != "api" || a["client_id"] != "web" || a["sub"] != "alice" || a["scope"] != m["scope"] || a["sid"] != c["sid"] || a["email"] != "alice@example.com" {
			t.Errorf("%s: access token %v", row.name, a)
		}
	}
}

func TestClaimsFollowScopes(t *testing.T) {
	for _, row := range []struct {
		name, subject, scope string
		want                 map[string]any // of which nil isn't there
	}{
		{"all that alice has", "alice", "openid profile email", map[string]any{"name": "Alice", "email": "alice@example.com", "email_verified": true}},
		{"not what wasn't asked for", "alice", "openid", map[string]any{"name": nil, "email": nil, "email_verified": nil}},
		{"a name that was typed", "dora", "openid profile", map[string]any{"sub": "dora", "name": "dora", "preferred_username": "dora", "email": nil}},
		{"somebody without claims", "bare", "openid profile", map[string]any{"sub": "bare", "name": nil}},
		{"claims that aren't a user's to have", "liar", "openid", map[string]any{"sub": "liar", "aud": "web", "iss": "https://issuer.test", "role": "cook"}},
	} {
		r := newParty(t, nil)
		r.p.AddUser(oidctest.User{Subject: "bare"})
		r.p.AddUser(oidctest.User{Subject: "liar", Claims: map[string]any{"sub": "alice", "iss": "https://other.test", "aud": "other", "exp": 1, "role": "cook"}})
		_, m := r.redeem(r.login(row.subject, "scope="+url.QueryEscape(row.scope)).Get("code"))
		_, info := r.userInfo(m["access_token"])
		token := claims(t, m["id_token"].(string))
		for name, want := range row.want {
			if got := token[name]; got != want {
				t.Errorf("%s: ID token: %s: got %v, want %v", row.name, name, got, want)
			}
			if got := info[name]; got != want && name != "aud" && name != "iss" {
				t.Errorf("%s: userinfo: %s: got %v, want %v", row.name, name, got, want)
			}
		}
		if m["refresh_token"] != nil {
			t.Errorf("%s: a refresh token without offline_access", row.name)
		}
	}
}

func TestClaimsOfTheClientsChoice(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) {
		c.IDTokenClaims = map[string]any{"azp": "other", "aud": []string{"web", "other"}, "auth_time": nil}
	})
	if c := claims(t, r.tokens("")["id_token"].(string)); c["azp"] != "other" || len(c["aud"].([]any)) != 2 || c["auth_time"] != nil {
		t.Errorf("got %v", c)
	}
}

func TestThinIDToken(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) { c.ThinIDToken = true })
	m := r.tokens("")
	_, info := r.userInfo(m["access_token"])
	if c := claims(t, m["id_token"].(string)); c["email"] != nil || c["groups"] != nil || c["sub"] != "alice" || info["email"] != "alice@example.com" {
		t.Errorf("got %v, %v", c, info)
	}
}

func TestCodeErrors(t *testing.T) {
	for _, row := range []struct {
		name, changes string
		edit          func(url.Values)
		wait          time.Duration
	}{
		{"no code", "", func(f url.Values) { f.Del("code") }, 0},
		{"another code", "", func(f url.Values) { f.Set("code", "made-up") }, 0},
		{"another redirect_uri", "", func(f url.Values) { f.Set("redirect_uri", callbackURI+"/") }, 0},
		{"no redirect_uri", "", func(f url.Values) { f.Del("redirect_uri") }, 0},
		{"no verifier", "", func(f url.Values) { f.Del("code_verifier") }, 0},
		{"another verifier", "", func(f url.Values) { f.Set("code_verifier", strings.Repeat("w", 43)) }, 0},
		{"too late", "", func(url.Values) {}, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newParty(t, nil)
			form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callbackURI}, "code_verifier": {r.verifier}}
			form.Set("code", r.login("alice", row.changes).Get("code"))
			row.edit(form)
			time.Sleep(row.wait)
			if answer, m := r.token(form); answer.status != 400 || m["error"] != "invalid_grant" {
				t.Errorf("%s: got %d, %v", row.name, answer.status, m)
			}
		})
	}
}

func TestShortVerifier(t *testing.T) {
	r := newParty(t, nil)
	r.verifier = strings.Repeat("v", 42)
	if answer, _ := r.redeem(r.login("alice", "").Get("code")); answer.status != 400 {
		t.Errorf("got %d, want 400", answer.status)
	}
}

func TestSecondUseOfACodeEndsWhatItGave(t *testing.T) {
	r := newParty(t, nil)
	code := r.login("alice", "").Get("code")
	_, m := r.redeem(code)
	if answer, _ := r.userInfo(m["access_token"]); answer.status != 200 {
		t.Fatalf("before: got %d", answer.status)
	}
	if answer, again := r.redeem(code); answer.status != 400 || again["error"] != "invalid_grant" {
		t.Errorf("the second use: got %d, %v", answer.status, again)
	}
	if answer, _ := r.userInfo(m["access_token"]); answer.status != 401 {
		t.Errorf("the access token: got %d, want 401", answer.status)
	}
	if answer, _ := r.refresh(m["refresh_token"]); answer.status != 400 {
		t.Errorf("the refresh token: got %d, want 400", answer.status)
	}
}

func TestCodeOfAnotherClient(t *testing.T) {
	r := newParty(t, nil)
	r.p.AddLoginClient(oidctest.LoginClient{ID: "other", Secret: "o"})
	code := r.login("alice", "").Get("code")
	form := "grant_type=authorization_code&code=" + code + "&redirect_uri=" + url.QueryEscape(callbackURI) + "&code_verifier=" + r.verifier
	if answer, m := ask(t, r.browser, r.p.Issuer()+"/token", "other", "o", form); answer.status != 400 || m["error"] != "invalid_grant" {
		t.Errorf("got %d, %v", answer.status, m)
	}
	if answer, m := r.redeem(code); answer.status != 200 {
		t.Errorf("its own client's: got %d, %v", answer.status, m)
	}
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newParty(t, nil)
		first := r.tokens("")
		time.Sleep(time.Hour)
		answer, second := r.refresh(first["refresh_token"])
		if answer.status != 200 || second["refresh_token"] == first["refresh_token"] || second["refresh_token"] == nil {
			t.Fatalf("got %d, %v", answer.status, second)
		}
		was, is := claims(t, first["id_token"].(string)), claims(t, second["id_token"].(string))
		for _, name := range []string{"iss", "sub", "aud", "sid", "auth_time", "email"} {
			if is[name] != was[name] {
				t.Errorf("%s: got %v, want %v", name, is[name], was[name])
			}
		}
		if is["nonce"] != nil || is["iat"] != was["iat"].(float64)+3600 {
			t.Errorf("got %v", is)
		}
		if answer, _ := r.refresh(first["refresh_token"]); answer.status != 400 {
			t.Errorf("the used one: got %d, want 400", answer.status)
		}
		if answer, _ := r.refresh(second["refresh_token"]); answer.status != 400 {
			t.Errorf("the new one after the used one came again: got %d, want 400", answer.status)
		}
		if got := r.p.Grants("refresh_token"); got != 3 {
			t.Errorf("%d requests to refresh, want 3", got)
		}
	})
}

func TestRefreshTokenThatStays(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) { c.KeepRefreshToken = true })
	first := r.tokens("")
	for range 2 {
		if answer, m := r.refresh(first["refresh_token"]); answer.status != 200 || m["refresh_token"] != nil || m["id_token"] == nil {
			t.Errorf("got %d, %v", answer.status, m)
		}
	}
}

func TestRefreshedScope(t *testing.T) {
	r := newParty(t, func(c *oidctest.LoginClient) { c.KeepRefreshToken = true })
	token := r.tokens("")["refresh_token"].(string)
	for _, row := range []struct {
		name, scope string
		status      int
		granted     any
	}{
		{"all of it", "", 200, "openid profile email offline_access"},
		{"less", "openid", 200, "openid"},
		{"all of it again", "", 200, "openid profile email offline_access"},
		{"more", "openid phone", 400, nil},
	} {
		answer, m := r.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {row.scope}})
		if answer.status != row.status || m["scope"] != row.granted {
			t.Errorf("%s: got %d, %v", row.name, answer.status, m)
		}
	}
}

func TestLifetimeIsConfigured(t *testing.T) {
	for _, row := range []struct {
		name       string
		ttl        time.Duration
		want       any
		good, over time.Duration
	}{
		{"by default", 0, 300.0, 299 * time.Second, 301 * time.Second},
		{"as asked", time.Hour, 3600.0, time.Hour - time.Second, time.Hour + time.Second},
		{"not said", -1, nil, 299 * time.Second, 301 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newParty(t, func(c *oidctest.LoginClient) { c.AccessTTL = row.ttl })
			m := r.tokens("")
			if got := m["expires_in"]; got != row.want {
				t.Errorf("%s: got %v, want %v", row.name, got, row.want)
			}
			time.Sleep(row.good)
			if answer, _ := r.userInfo(m["access_token"]); answer.status != 200 {
				t.Errorf("%s: before its end: got %d", row.name, answer.status)
			}
			time.Sleep(row.over - row.good)
			if answer, _ := r.userInfo(m["access_token"]); answer.status != 401 {
				t.Errorf("%s: after its end: got %d", row.name, answer.status)
			}
		})
	}
}

func TestClientAuthentication(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	assertion := func() string {
		encode := base64.RawURLEncoding.EncodeToString
		payload, _ := json.Marshal(map[string]any{"iss": "web", "sub": "web", "aud": "https://issuer.test", "exp": time.Now().Unix() + 60, "jti": rand.Text()})
		input := encode([]byte(`{"alg":"ES256"}`)) + "." + encode(payload)
		digest := sha256.Sum256([]byte(input))
		a, b, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		signature := make([]byte, 64)
		a.FillBytes(signature[:32])
		b.FillBytes(signature[32:])
		return "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=" + input + "." + encode(signature)
	}
	secret := func(method string) oidctest.LoginClient {
		return oidctest.LoginClient{Secret: "hush", AuthMethod: method}
	}
	keyed := oidctest.LoginClient{Key: private.Public()}
	for _, row := range []struct {
		name, id, form string
		client         oidctest.LoginClient
		status         int
	}{
		{"basic", "web", "", secret(""), 200},
		{"post", "", "&client_id=web&client_secret=hush", secret(""), 200},
		{"basic as registered", "web", "", secret("client_secret_basic"), 200},
		{"post as registered", "", "&client_id=web&client_secret=hush", secret("client_secret_post"), 200},
		{"post where basic is registered", "", "&client_id=web&client_secret=hush", secret("client_secret_basic"), 401},
		{"basic where post is registered", "web", "", secret("client_secret_post"), 401},
		{"no secret where there is one", "", "&client_id=web", secret(""), 401},
		{"public", "", "&client_id=web", oidctest.LoginClient{}, 200},
		{"public as registered", "", "&client_id=web", oidctest.LoginClient{AuthMethod: "none"}, 200},
		{"a secret where there is none", "web", "", oidctest.LoginClient{}, 401},
		{"a key", "", assertion(), keyed, 200},
		{"a secret where there is a key", "web", "", keyed, 401},
		{"a key where a secret is registered", "", assertion(), secret(""), 401},
		{"a key where another way is registered", "", assertion(), oidctest.LoginClient{Key: private.Public(), AuthMethod: "none"}, 401},
	} {
		r := newParty(t, func(c *oidctest.LoginClient) {
			c.Secret, c.Key, c.AuthMethod = row.client.Secret, row.client.Key, row.client.AuthMethod
		})
		form := "grant_type=authorization_code&code=" + r.login("alice", "").Get("code") + "&redirect_uri=" + url.QueryEscape(callbackURI) + "&code_verifier=" + r.verifier
		if answer, m := ask(t, r.browser, r.p.Issuer()+"/token", row.id, "hush", form+row.form); answer.status != row.status {
			t.Errorf("%s: got %d, %v, want %d", row.name, answer.status, m, row.status)
		}
	}
}

func TestGrantsAreForTheirClients(t *testing.T) {
	r := newParty(t, nil)
	r.p.AddClient("robot", "secret", oidctest.Token{})
	for _, row := range []struct{ name, id, secret, form string }{
		{"a login client for itself", "web", "hush", "grant_type=client_credentials"},
		{"a robot with a code", "robot", "secret", "grant_type=authorization_code&code=x"},
		{"a robot that refreshes", "robot", "secret", "grant_type=refresh_token&refresh_token=x"},
	} {
		if answer, m := ask(t, r.browser, r.p.Issuer()+"/token", row.id, row.secret, row.form); answer.status != 400 || m["error"] != "unauthorized_client" {
			t.Errorf("%s: got %d, %v", row.name, answer.status, m)
		}
	}
	back, err := r.p.Login(t.Context(), r.browser, r.p.Issuer()+"/authorize?"+r.request("client_id=robot"), "alice")
	if err == nil {
		t.Errorf("a robot logs somebody in: %v", back)
	}
}

func TestTokensThatCannotBeMade(t *testing.T) {
	for _, row := range []struct{ name, alg, userInfoAlg string }{
		{"an ID token without a key for it", "ES384", ""},
		{"an ID token of an unknown algorithm", "XS256", ""},
		{"a userinfo answer without a key for it", "", "ES384"},
	} {
		r := newParty(t, func(c *oidctest.LoginClient) { c.IDTokenAlg, c.UserInfoAlg = row.alg, row.userInfoAlg })
		form := url.Values{"grant_type": {"authorization_code"}, "code": {r.login("alice", "").Get("code")}, "redirect_uri": {callbackURI}, "code_verifier": {r.verifier}, "client_id": {"web"}, "client_secret": {"hush"}}
		answer := r.post("/token", form)
		if row.userInfoAlg != "" {
			var m map[string]any
			if err := json.Unmarshal(answer.body, &m); err != nil {
				t.Fatal(err)
			}
			answer, _ = r.userInfo(m["access_token"])
		}
		if answer.status != 500 {
			t.Errorf("%s: got %d, want 500", row.name, answer.status)
		}
	}
}

package oidc

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestRedeem is a login that goes well, and what was asked for it.
func TestRedeem(t *testing.T) {
	for _, row := range []struct {
		name   string
		auth   *ClientAuth
		header string // of the request
		form   map[string]string
	}{
		{"with a password", mustMake(NewClientAuth(ClientAuthOptions{ID: "web", Secret: secret("s:e+c r%t")})), "Basic d2ViOnMlM0FlJTJCYytyJTI1dA==", map[string]string{"client_id": "", "client_secret": ""}},
		{"with a posted secret", mustMake(NewClientAuth(ClientAuthOptions{ID: "web", Method: ClientSecretPost, Secret: secret("s")})), "", map[string]string{"client_id": "web", "client_secret": "s"}},
		{"as a public client", nil, "", map[string]string{"client_id": "web", "client_secret": ""}},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.Auth, o.ClientID = row.auth, "web" })
		before := time.Now()
		g, refusal := r.login(t)
		if refusal != nil {
			t.Fatalf("%s: %v", row.name, refusal)
		}
		if g.Identity != (Identity{"https://issuer.test", "alice", "s1"}) || g.AccessToken != "access-"+canary || g.RefreshToken != "refresh-"+canary {
			t.Errorf("%s: got %v", row.name, g.Identity)
		}
		if left := g.Expires.Sub(before); left < 300*time.Second || left > 6*time.Minute {
			t.Errorf("%s: the access token ends in %v", row.name, left)
		}
		if email, _ := g.Claims.Lookup("email").Text(); email != "alice@example.com" || !g.IDToken.IsJWT() {
			t.Errorf("%s: claims %s", row.name, g.Claims.AppendJSON(nil))
		}
		if text := fmt.Sprintf("%v %+v %s", g, g, g); strings.Contains(text, canary) {
			t.Errorf("%s: a token is in %s", row.name, text)
		}
		q := r.asked[0]
		for name, want := range map[string]string{
			"grant_type": "authorization_code", "code": "code-" + canary, "code_verifier": verifier, "redirect_uri": "https://app.test/.credence/callback",
		} {
			if q.form.Get(name) != want {
				t.Errorf("%s: %s is %q", row.name, name, q.form.Get(name))
			}
		}
		for name, want := range row.form {
			if q.form.Get(name) != want {
				t.Errorf("%s: %s is %q", row.name, name, q.form.Get(name))
			}
		}
		if q.header.Get("Authorization") != row.header || len(r.asked) != 1 {
			t.Errorf("%s: Authorization %q, %d requests", row.name, q.header.Get("Authorization"), len(r.asked))
		}
	}
}

// TestTokenAnswers is every answer of the token endpoint.
func TestTokenAnswers(t *testing.T) {
	for _, row := range []struct {
		name  string
		reply reply
		want  string
	}{
		{"a code that was used", reply{status: 400, body: `{"error":"invalid_grant","error_description":"` + canary + `"}`}, "code_rejected: status 400, invalid_grant"},
		{"a wrong redirect_uri", reply{status: 400, body: `{"error":"invalid_request"}`}, "code_rejected: status 400, invalid_request"},
		{"a client that may not", reply{status: 403, body: `{"error":"unauthorized_client"}`}, "code_rejected: status 403, unauthorized_client"},
		{"a wrong secret", reply{status: 401, body: `{"error":"invalid_client"}`}, "provider_unavailable: token endpoint: status 401, invalid_client: it doesn't take our client credentials"},
		{"a wrong secret, in few words", reply{status: 401}, "provider_unavailable: token endpoint: status 401: it doesn't take our client credentials"},
		{"a wrong secret, as Keycloak says it", reply{status: 401, body: `{"error":"unauthorized_client"}`}, "provider_unavailable: token endpoint: status 401, unauthorized_client: it doesn't take our client credentials"},
		{"an error code that may be a token", reply{status: 400, body: `{"error":"` + canary + `"}`}, "provider_unavailable: token endpoint: status 400"},
		{"an error code that isn't text", reply{status: 400, body: `{"error":1}`}, "provider_unavailable: token endpoint: status 400"},
		{"an error that reads two ways", reply{status: 400, body: `{"error":"invalid_grant","error":"x"}`}, "provider_unavailable: token endpoint: status 400"},
		{"busy", reply{status: 503, body: `{"error":"temporarily_unavailable"}`, header: map[string]string{"Retry-After": "7"}}, "provider_unavailable: token endpoint: status 503"},
		{"too many", reply{status: 429, body: `{"error":"slow"}`, header: map[string]string{"Retry-After": "7"}}, "provider_unavailable: token endpoint: status 429"},
		{"broken", reply{status: 500, body: `{"error":"invalid_grant"}`}, "provider_unavailable: token endpoint: status 500"},
		{"201", reply{status: 201, body: `{}`}, "provider_unavailable: token endpoint: status 201"},
		{"HTML", reply{body: "<html>" + canary}, "provider_unavailable: token endpoint: the answer isn't a JSON object that reads only one way"},
		{"a form, as in the old days", reply{body: "access_token=" + canary}, "provider_unavailable: token endpoint: the answer isn't a JSON object"},
		{"too long", reply{body: strings.Repeat(" ", maxEndpointAnswer) + "{}"}, "provider_unavailable: token endpoint: the answer is over 262144 bytes"},
		{"an error with status 200", reply{body: `{"error":"invalid_grant"}`}, "provider_unavailable: token endpoint: the answer has no access_token"},
	} {
		r := newReception(t, nil)
		r.answer("/token", row.reply)
		_, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if retry := refusal.RetryAfter; row.reply.header != nil && retry != 7*time.Second {
			t.Errorf("%s: again in %v", row.name, retry)
		} else if lasts := strings.HasSuffix(row.want, "our client credentials"); refusal.Reason == audit.ProviderUnavailable && lasts != (retry == 0) {
			t.Errorf("%s: again in %v, and until somebody mends it %v", row.name, retry, lasts)
		}
	}
}

// TestTokenMembers is what an answer that is a success may and may not hold.
func TestTokenMembers(t *testing.T) {
	type m map[string]any
	for _, row := range []struct {
		name    string
		members m
		want    string
		expires time.Duration
	}{
		{"as usual", nil, "good", 300 * time.Second},
		{"bearer in small letters", m{"token_type": "bearer"}, "good", 300 * time.Second},
		{"members that nobody knows", m{"scope": "openid", "x": []int{1}}, "good", 300 * time.Second},
		{"no refresh token", m{"refresh_token": nil}, "good", 300 * time.Second},
		{"refresh_token is null", m{"refresh_token": verbatim("null")}, "good", 300 * time.Second},
		{"no end", m{"expires_in": nil}, "good", 0},
		{"an end that is null", m{"expires_in": verbatim("null")}, "good", 0},
		{"an end at once", m{"expires_in": 0}, "good", 0},
		{"an end in the past", m{"expires_in": -5}, "good", 0},
		{"an end long past", m{"expires_in": verbatim("-1e300")}, "good", 0},
		{"an end in a string", m{"expires_in": "3599"}, "good", 3599 * time.Second},
		{"an end within a second", m{"expires_in": 12.9}, "good", 12 * time.Second},
		{"an end in a long time", m{"expires_in": 1 << 62}, "good", longestExpiry},
		{"an end in a very long time", m{"expires_in": verbatim("1e300")}, "good", longestExpiry},
		{"an end in a very long time, in a string", m{"expires_in": "18446744073709551615"}, "good", longestExpiry},
		{"a number that no string holds", m{"expires_in": "18446744073709551616"}, "expires_in isn't a number of seconds", 0},
		{"a negative string", m{"expires_in": "-5"}, "expires_in isn't a number of seconds", 0},
		{"soon", m{"expires_in": "soon"}, "expires_in isn't a number of seconds", 0},
		{"true", m{"expires_in": true}, "expires_in isn't a number of seconds", 0},
		{"a list", m{"expires_in": []int{1}}, "expires_in isn't a number of seconds", 0},

		{"no access token", m{"access_token": nil}, "the answer has no access_token", 0},
		{"an empty access token", m{"access_token": ""}, "the answer has no access_token", 0},
		{"an access token that isn't text", m{"access_token": 1}, "access_token isn't a string", 0},
		{"an access token with a line break", m{"access_token": canary + "\r\nX: y"}, "access_token isn't printable ASCII", 0},
		{"a refresh token that isn't text", m{"refresh_token": m{}}, "refresh_token isn't a string", 0},
		{"no token_type", m{"token_type": nil}, "the answer has no token_type", 0},
		{"a DPoP token", m{"token_type": "DPoP"}, `token_type is "DPoP", not Bearer`, 0},
		{"a token that isn't for access", m{"token_type": "N_A"}, `token_type is "N_A", not Bearer`, 0},
		{"no ID token", m{"id_token": nil}, "id_token_invalid: the answer has no id_token", 0},
		{"an empty ID token", m{"id_token": ""}, "id_token_invalid: the answer has no id_token", 0},
		{"an ID token that isn't text", m{"id_token": 1}, "id_token isn't a string", 0},
	} {
		r := newReception(t, nil)
		r.replies["/token"] = r.tokens(nil, row.members)
		before := time.Now()
		g, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.Contains(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if refusal != nil {
			continue
		}
		if row.expires == 0 && !g.Expires.IsZero() || row.expires != 0 && g.Expires.Sub(before).Round(time.Minute) != row.expires.Round(time.Minute) {
			t.Errorf("%s: ends %v, want in %v", row.name, g.Expires, row.expires)
		}
	}
}

// TestProviderFaultsAtLogin are answered in bounded time, and no secret is told.
func TestProviderFaultsAtLogin(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault oidctest.Fault
		says  string
	}{
		{"no connection", oidctest.Fault{Refuse: true}, "closed without an answer"},
		{"slow", oidctest.Fault{Delay: time.Minute}, "deadline exceeded"},
		{"hanging", oidctest.Fault{Hang: true}, "deadline exceeded"},
		{"hanging in the middle", oidctest.Fault{Hang: true, Truncate: 10}, "ends early"},
		{"cut off", oidctest.Fault{Truncate: 10}, "ends early"},
		{"endless", oidctest.Fault{Huge: 1 << 30}, "over 262144 bytes"},
		{"a redirect", oidctest.Fault{Redirect: "https://issuer.test/token?again"}, "status 302: redirects aren't followed"},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newReception(t, func(r *reception, o *RelyingPartyOptions) { delete(r.replies, "/token") })
			r.idp.Break(oidctest.TokenEndpoint, row.fault)
			began := time.Now()
			_, refusal := r.login(t)
			got := outcome(t, refusal)
			if !strings.HasPrefix(got, "provider_unavailable: token endpoint: ") || !strings.Contains(got, row.says) || refusal.RetryAfter == 0 {
				t.Errorf("got %s, again in %v", got, refusal.RetryAfter)
			}
			_, refusal = r.Refresh(t.Context(), Grant{RefreshToken: "refresh-" + canary, Identity: Identity{Issuer: "https://issuer.test"}})
			got = outcome(t, refusal)
			if !strings.HasPrefix(got, "refresh_unavailable: token endpoint: ") || !strings.Contains(got, row.says) || refusal.RetryAfter == 0 {
				t.Errorf("refresh: %s, again in %v", got, refusal.RetryAfter)
			}
			if err := r.Revoke(t.Context(), Grant{Identity: Identity{Issuer: "https://issuer.test"}}); err != nil {
				t.Errorf("revoking nothing: %v", err)
			}
			if took := time.Since(began); took > 2*endpointTimeout {
				t.Errorf("took %v", took)
			}
			if r.logins.all.busy+r.refreshes.all.busy != 0 {
				t.Error("something is still busy")
			}
		})
	}
}

// TestSEC_5_60_SecretsDontFollowRedirects, with a status that keeps the body.
func TestSEC_5_60_SecretsDontFollowRedirects(t *testing.T) {
	r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.UserInfo = true })
	for _, path := range []string{"/token", "/revoke", "/userinfo"} {
		r.answer(path, reply{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": "https://issuer.test/caught"}})
	}
	r.answer("/caught", reply{})
	_, refusal := r.login(t)
	if got := outcome(t, refusal); !strings.Contains(got, "status 307: redirects aren't followed") {
		t.Errorf("got %s", got)
	}
	if err := r.Revoke(t.Context(), Grant{Identity: Identity{Issuer: "https://issuer.test"}, RefreshToken: canary}); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("revoking: %v", err)
	}
	r.replies["/token"] = r.tokens(nil, nil)
	_, refusal = r.login(t)
	if got := outcome(t, refusal); !strings.Contains(got, "userinfo: status 307: redirects aren't followed") {
		t.Errorf("got %s", got)
	}
	for _, q := range r.asked {
		if q.path == "/caught" {
			t.Errorf("%v followed", q.form)
		}
	}
}

// TestCredentialsAtLogin that can't be had aren't the person's fault.
func TestCredentialsAtLogin(t *testing.T) {
	r := newReception(t, func(_ *reception, o *RelyingPartyOptions) {
		o.Auth = mustMake(NewClientAuth(ClientAuthOptions{ID: "web", Method: PrivateKeyJWT, Audience: "https://issuer.test", Secret: secret(canary)}))
	})
	_, refusal := r.login(t)
	if got := outcome(t, refusal); !strings.HasPrefix(got, "provider_unavailable: token endpoint: our client credentials: ") || len(r.asked) != 0 {
		t.Errorf("got %s", got)
	}
}

// TestLoginsShareTheBudget: made-up callbacks reach the provider no more often than the
// budget says, one address no more than its share, and refreshes go on.
func TestLoginsShareTheBudget(t *testing.T) {
	bubble(t, "flood", func(t *testing.T) {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { o.MaxPerSecond, o.MaxConcurrent = 40, 40 })
		r.answer("/token", reply{status: 400, body: `{"error":"invalid_grant"}`})
		try := func(from netip.Addr) string {
			_, refusal := r.Redeem(t.Context(), "made-up", verifier, nonce, from)
			return refusal.Reason.String()
		}
		busy := 0
		for range 1000 {
			if try(visitor) == "login_busy" {
				busy++
			}
		}
		if busy != 990 || len(r.asked) != 10 {
			t.Errorf("%d busy, %d asked for one address", busy, len(r.asked))
		}
		for i := range 10_000 {
			try(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		if len(r.asked) != 40 {
			t.Errorf("%d asked for many addresses", len(r.asked))
		}
		r.replies["/token"] = r.tokens(nil, nil)
		g := Grant{Identity: Identity{Issuer: "https://issuer.test", Subject: "alice"}, RefreshToken: "r"}
		if _, refusal := r.Refresh(t.Context(), g); refusal != nil {
			t.Errorf("a refresh in the flood: %v", refusal)
		}
		refreshed := 1
		for range 1000 {
			if _, refusal := r.Refresh(t.Context(), g); refusal == nil {
				refreshed++
			} else if got := outcome(t, refusal); got != "refresh_unavailable: too many refreshes at once" || refusal.RetryAfter != time.Second {
				t.Fatalf("got %s", got)
			}
		}
		if refreshed != defaultMaxPerSecond {
			t.Errorf("%d refreshes", refreshed)
		}
	})
}

// TestSlowProvider: each of its answers comes just in time, and all of them together
// don't hold a login or a refresh up for longer than both may take.
func TestSlowProvider(t *testing.T) {
	const slow = endpointTimeout - time.Second
	for _, row := range []struct {
		name    string
		keys    time.Duration
		login   string
		refresh string
	}{
		{"userinfo is the last", slow, "provider_unavailable: userinfo: ", "good"},
		{"keys are the last", fetchTimeout - time.Millisecond, "provider_unavailable: the ID token: deadline_exceeded", "good"},
	} {
		bubble(t, row.name, func(t *testing.T) {
			r := newReception(t, func(r *reception, o *RelyingPartyOptions) {
				o.UserInfo = true
				// Fetched when a token asks for it, and at no other time.
				o.Keys = NewKeySet(KeySetOptions{Name: "corp", Issuer: "https://issuer.test", Client: o.Client, Refresh: 24 * time.Hour})
			})
			r.idp.Break(oidctest.UserInfo, oidctest.Fault{Status: 200, Body: `{"sub":"alice"}`, ContentType: "application/json"})
			was, refusal := r.login(t)
			if refusal != nil {
				t.Fatal(refusal)
			}
			for i, ask := range []func() *audit.Refusal{
				func() *audit.Refusal { _, refusal := r.login(t); return refusal },
				func() *audit.Refusal { _, refusal := r.Refresh(t.Context(), was); return refusal },
			} {
				time.Sleep(time.Hour / 2) // a new key is asked for at once
				kid := fmt.Sprint("rsa-", 2+i)
				r.idp.AddKey("RS256", kid)
				idToken := r.idp.Sign(oidctest.Token{KeyID: kid, Header: map[string]any{"typ": "JWT"}, Claims: map[string]any{
					"aud": "web", "nonce": nonce, "client_id": nil, "scope": nil, "jti": nil,
				}})
				r.mu.Lock()
				r.replies["/token"] = func(url.Values) reply { time.Sleep(slow); return r.tokensWith(idToken, nil) }
				r.mu.Unlock()
				r.idp.Break(oidctest.JWKS, oidctest.Fault{Delay: row.keys})
				r.idp.Break(oidctest.UserInfo, oidctest.Fault{Delay: slow, Status: 200, Body: `{"sub":"alice"}`, ContentType: "application/json"})
				began := time.Now()
				refusal := ask()
				if got, want := outcome(t, refusal), []string{row.login, row.refresh}[i]; !strings.HasPrefix(got, want) {
					t.Errorf("%d: %s, want %s", i, got, want)
				}
				if took := time.Since(began); took != exchangeTimeout {
					t.Errorf("%d: took %v, want %v", i, took, exchangeTimeout)
				}
			}
		})
	}
}

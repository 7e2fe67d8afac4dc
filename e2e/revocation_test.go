package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// listenForOperator is listenFreely with an admin socket.
func listenForOperator(socket string) string {
	return "listen: {check: 127.0.0.1:0, probe: 127.0.0.1:0, admin: 'unix:" + socket + "'}\n"
}

// What an operator revokes is refused from the next request on, although its verdict
// is remembered; what isn't meant, and what is issued later, passes.
func TestRevocation(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, socket := startProvider(t), startUpstream(t), socketPath(t)
	credence := startCredence(t, listenForOperator(socket)+corp(provider)+orderRules+"audit: {allows: none}\n")
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true"}}})
	c := e.client(t, "raw")
	revoke := func(flags ...string) {
		t.Helper()
		output(t, binary, append([]string{"revoke", "--timeout", "1m", "--socket", socket, "--provider", "corp"}, flags...)...)
	}
	sign := func(claims map[string]any) string { return bearer(provider, staff(claims)) }
	passes := func(tokens ...string) {
		t.Helper()
		for _, token := range tokens {
			if got := c.get(t, "/orders", token); got.status != 200 {
				t.Errorf("got %d %s, want 200", got.status, got.body)
			}
		}
	}
	refused := func(tokens ...string) {
		t.Helper()
		for _, token := range tokens {
			got := c.get(t, "/orders", token)
			if got.status != 401 || got.reason() != "token_revoked" || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("got %d %s %v, want 401 token_revoked", got.status, got.body, got.header["Www-Authenticate"])
			}
			checkDenial(t, got)
		}
	}

	for _, tt := range []struct {
		name          string
		flag, value   string
		about, others []map[string]any // claims
		ever          bool             // later tokens too
	}{
		{"subject", "--subject", "bob", []map[string]any{{"sub": "bob"}, {"sub": "bob", "client_id": "batch"}}, []map[string]any{{}, {"sub": "Bob"}}, false},
		{"provider's session", "--sid", "s1", []map[string]any{{"sid": "s1"}, {"sid": "s1", "sub": "carol"}}, []map[string]any{{}, {"sid": "s2"}}, false},
		{"token", "--token-id", "t1", []map[string]any{{"jti": "t1"}}, []map[string]any{{}, {"jti": "t2"}}, true},
		{"client", "--client-id", "mobile", []map[string]any{{"client_id": "mobile"}, {"client_id": nil, "azp": "mobile"}}, []map[string]any{{}, {"client_id": "mobile2"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var about, others []string
			for _, claims := range tt.about {
				about = append(about, sign(claims))
			}
			for _, claims := range tt.others {
				others = append(others, sign(claims))
			}
			for range 2 { // the second time it is remembered
				passes(append(about, others...)...)
			}
			unseen := sign(tt.about[0])
			revoke(tt.flag, tt.value)
			refused(append(about, unseen)...)
			refused(about...)
			passes(others...)

			later := map[string]any{"iat": time.Now().Unix() + 1}
			maps.Copy(later, tt.about[0])
			if tt.ever {
				refused(sign(later))
			} else {
				passes(sign(later))
			}
		})
	}

	if status, _ := credence.probed(t, "/revocations"); status != 404 {
		t.Errorf("the probe listener answered %d, want 404", status)
	}
	var revoked, cached int
	credence.await(t, "writes the revocations and what came of them", func() bool {
		revoked, cached = 0, 0
		for line := range strings.Lines(credence.stdout.String()) {
			var said struct {
				Msg, Reason string
				Cached      bool
			}
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "revocation" {
				revoked++
			}
			if said.Reason == "token_revoked" && said.Cached {
				cached++
			}
		}
		return revoked == 4 && cached >= 7
	})
}

// A person who is revoked is logged out at once, on pages and in what pages fetch, and
// may log in again.
func TestRevocationOfSessions(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, socket := startProvider(t), startUpstream(t), socketPath(t)
	const site = "http://localhost:9"
	provider.AddLoginClient(oidctest.LoginClient{ID: "shop", AuthMethod: "none", RedirectURIs: []string{site + "/.credence/callback"}})
	key := filepath.Join(t.TempDir(), "session-key")
	writeSecret(t, key, base64.StdEncoding.EncodeToString([]byte(rand.Text() + rand.Text())[:32]))
	credence := startCredence(t, strings.Replace(listenForOperator(socket), "}", ", login: 127.0.0.1:0}", 1)+`
providers: [{name: corp, issuer: `+provider.Issuer()+`}]
clients: [{name: web, provider: corp, client_id: shop, authentication: none, redirect_uri: "`+site+`/.credence/callback"}]
session: {keys: [{file: `+key+`}]}
rules: [{name: app, login: web, headers: {x-user-id: claims.sub}}]
`)
	credence.awaitReady(t)
	e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true"}}})
	c, pages := e.client(t, "raw"), &client{address: credence.login}
	navigation := []string{"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}

	// set adds the cookies of an answer to a browser's.
	set := func(cookies []string, got answer) []string {
		for _, line := range got.header.Values("Set-Cookie") {
			pair, _, _ := strings.Cut(line, ";")
			cookies = append(cookies, pair)
		}
		return cookies
	}
	logIn := func(person string) (cookie string) {
		t.Helper()
		begun := pages.send(t, request{host: "localhost:9", target: "/.credence/login?client=web&return_to=" + url.QueryEscape(site+"/"), headers: navigation})
		cookies := set(nil, begun)
		back, err := provider.Login(t.Context(), nil, begun.header.Get("Location"), person)
		if err != nil {
			t.Fatalf("%v after %d %s", err, begun.status, begun.body)
		}
		_, target, _ := strings.Cut(back.URL, "localhost:9")
		done := pages.send(t, request{host: "localhost:9", target: target, headers: append(navigation, "Cookie: "+strings.Join(cookies, "; "))})
		if done.header.Get("Location") != site+"/" {
			t.Fatalf("the login ended with %d %s", done.status, done.body)
		}
		return "Cookie: " + strings.Join(set(cookies, done), "; ")
	}
	is := func(cookie, person string) {
		t.Helper()
		if got := c.send(t, request{target: "/", host: "localhost:9", headers: []string{cookie}}); got.status != 200 || got.upstream(t).get("x-user-id") != person {
			t.Errorf("got %d %s, want %s", got.status, got.body, person)
		}
	}
	loggedOut := func(cookie string) {
		t.Helper()
		if got := c.send(t, request{target: "/", host: "localhost:9", headers: []string{cookie}}); got.status != 401 || got.reason() != "session_revoked" {
			t.Errorf("got %d %s, want 401 session_revoked", got.status, got.body)
		}
		if got := c.send(t, request{target: "/", host: "localhost:9", headers: append(navigation, cookie)}); got.status != 302 || !strings.HasPrefix(got.header.Get("Location"), site+"/.credence/login?") {
			t.Errorf("a navigation got %d %s, want the login", got.status, got.header.Get("Location"))
		}
	}

	alice, bob := logIn("alice"), logIn("bob")
	is(alice, "alice")
	is(bob, "bob")
	output(t, binary, "revoke", "--timeout", "1m", "--socket", socket, "--provider", "corp", "--subject", "alice")
	loggedOut(alice)
	is(bob, "bob")
	revoked := time.Now().Unix()
	await(t, "the next second", func() bool { return time.Now().Unix() > revoked })
	is(logIn("alice"), "alice")
	loggedOut(alice)
}

// A restart forgets what was revoked: what the manual says about several processes
// and about the end of one.
func TestRevocationEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	envoyPath(t)
	provider, upstream, socket := startProvider(t), startUpstream(t), socketPath(t)
	token := bearer(provider, oidctest.Token{Claims: map[string]any{"groups": []string{"staff"}}})
	ask := func(credence *credence) int {
		credence.awaitReady(t)
		e := startProxy(t, proxy{Authorizer: credence.check, Application: upstream.address, Ingresses: []ingress{{Name: "raw", Filter: "encode_raw_headers: true"}}})
		return e.client(t, "raw").get(t, "/orders", token).status
	}
	first := startCredence(t, listenForOperator(socket)+corp(provider)+orderRules)
	output(t, binary, "revoke", "--timeout", "1m", "-c", first.config, "--issuer", provider.Issuer(), "--subject", "alice")
	if got := ask(first); got != 401 {
		t.Errorf("got %d, want 401", got)
	}
	first.kill(t) // and leaves its socket behind
	second := restartCredence(t, first.config)
	if got := ask(second); got != 200 {
		t.Errorf("after a restart: got %d, want 200", got)
	}
}

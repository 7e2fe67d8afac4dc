package oidctest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

const (
	callbackURI  = "http://app.localhost:8080/callback"
	signedOutURI = "http://127.0.0.1:8080/signed-out?from=provider"
)

// party is a relying party and the browser of the person who uses it.
type party struct {
	*testing.T
	p        *oidctest.Provider
	browser  *http.Client
	verifier string
}

// newParty registers the client "web" with the secret "hush", as edited, at a
// provider in process.
func newParty(t *testing.T, edit func(*oidctest.LoginClient)) *party {
	t.Helper()
	return newPartyAt(t, newProvider(t, oidctest.Options{}), edit)
}

func newPartyAt(t *testing.T, p *oidctest.Provider, edit func(*oidctest.LoginClient)) *party {
	t.Helper()
	c := oidctest.LoginClient{ID: "web", Secret: "hush", RedirectURIs: []string{callbackURI}, PostLogoutRedirectURIs: []string{signedOutURI}}
	if edit != nil {
		edit(&c)
	}
	p.AddLoginClient(c)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &party{t, p, &http.Client{Transport: p.Transport(), Jar: jar}, strings.Repeat("v", 43)}
}

// request is a good authorization request, with changes as a query. A name with an
// empty value is left out.
func (r *party) request(changes string) string {
	r.Helper()
	sum := sha256.Sum256([]byte(r.verifier))
	q := url.Values{
		"client_id": {"web"}, "redirect_uri": {callbackURI}, "response_type": {"code"}, "scope": {"openid profile email offline_access"},
		"state": {"a+b&c"}, "nonce": {"n-1"}, "code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	changed, err := url.ParseQuery(changes)
	if err != nil {
		r.Fatal(err)
	}
	maps.Copy(q, changed)
	return q.Encode()
}

// login gives the answer that the client gets: values of the callback.
func (r *party) login(subject, changes string) url.Values {
	r.Helper()
	back, err := r.p.Login(r.Context(), r.browser, r.p.Issuer()+"/authorize?"+r.request(changes), subject)
	if err != nil {
		r.Fatal(err)
	}
	return back.Values()
}

// token asks the token endpoint, with Basic credentials.
func (r *party) token(form url.Values) (reply, map[string]any) {
	r.Helper()
	return ask(r.T, r.browser, r.p.Issuer()+"/token", "web", "hush", form.Encode())
}

func (r *party) redeem(code string) (reply, map[string]any) {
	r.Helper()
	return r.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callbackURI}, "code_verifier": {r.verifier}})
}

func (r *party) refresh(token any) (reply, map[string]any) {
	r.Helper()
	text, _ := token.(string)
	return r.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}})
}

// tokens logs alice in and gives what the token endpoint says.
func (r *party) tokens(changes string) map[string]any {
	r.Helper()
	answer, m := r.redeem(r.login("alice", changes).Get("code"))
	if answer.status != 200 {
		r.Fatalf("got %d, %v", answer.status, m)
	}
	return m
}

// post sends a form, without credentials beside it.
func (r *party) post(path string, form url.Values) reply {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.p.Issuer()+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := do(noRedirects(r.p.Transport()), request)
	if err != nil {
		r.Fatal(err)
	}
	return answer
}

// userInfo asks with this access token.
func (r *party) userInfo(token any) (reply, map[string]any) {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.p.Issuer()+"/userinfo", nil)
	if err != nil {
		r.Fatal(err)
	}
	text, _ := token.(string)
	request.Header.Set("Authorization", "Bearer "+text)
	answer, err := do(r.browser, request)
	if err != nil {
		r.Fatal(err)
	}
	var m map[string]any
	_ = json.Unmarshal(answer.body, &m) // a refusal, or a JWT, is none
	return answer, m
}

package oidctest_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// checker is a relying party that looks at everything: what it accepts and refuses
// shows that the modules do what they say.
type checker struct {
	*party
	keys    jose.JSONWebKeySet
	subject any // of the login
}

func (c *checker) discover() error {
	document, err := get(c.T, c.browser, c.p.Issuer()+"/.well-known/openid-configuration")
	if err != nil {
		return err
	}
	var m map[string]any
	if err := json.Unmarshal(document.body, &m); err != nil {
		return err
	}
	if m["issuer"] != c.p.Issuer() {
		return fmt.Errorf("metadata of another issuer, %v", m["issuer"])
	}
	return c.fetchKeys()
}

func (c *checker) fetchKeys() error {
	document, err := get(c.T, c.browser, c.p.Issuer()+"/jwks")
	if err != nil {
		return err
	}
	return json.Unmarshal(document.body, &c.keys)
}

// verify takes RS256 only, tries every key where there is no kid, and asks for the
// keys once more where it doesn't know one.
func (c *checker) verify(token string) (map[string]any, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	kid := signed.Signatures[0].Header.KeyID
	if kid != "" && len(c.keys.Key(kid)) == 0 {
		if err := c.fetchKeys(); err != nil {
			return nil, err
		}
	}
	for _, key := range c.keys.Keys {
		if kid != "" && key.KeyID != kid {
			continue
		}
		if payload, err := signed.Verify(key); err == nil {
			var m map[string]any
			return m, json.Unmarshal(payload, &m)
		}
	}
	return nil, errors.New("no key verifies the token")
}

func (c *checker) idToken(m map[string]any, nonce any) error {
	token, _ := m["id_token"].(string)
	got, err := c.verify(token)
	if err != nil {
		return err
	}
	access, _ := m["access_token"].(string)
	sum := sha256.Sum256([]byte(access))
	exp, _ := got["exp"].(float64)
	hash, hashed := got["at_hash"]
	switch {
	case got["iss"] != c.p.Issuer(), got["aud"] != "web", got["nonce"] != nonce, got["iat"] == nil:
		return fmt.Errorf("claims: %v", got)
	case got["sub"] == nil, c.subject != nil && got["sub"] != c.subject:
		return fmt.Errorf("sub: %v", got)
	case int64(exp) <= time.Now().Unix():
		return fmt.Errorf("exp: %v", got)
	case hashed && hash != base64.RawURLEncoding.EncodeToString(sum[:16]):
		return fmt.Errorf("at_hash: %v", got)
	}
	c.subject = got["sub"]
	return nil
}

// logIn gives the tokens of a login that was right in everything.
func (c *checker) logIn() (map[string]any, error) {
	c.subject = nil
	nonce := rand.Text()
	back := c.login("alice", "response_mode=form_post&nonce="+nonce)
	if back.Get("error") != "" || back.Get("iss") != c.p.Issuer() || back.Get("state") != "a+b&c" {
		return nil, fmt.Errorf("callback: %v", back)
	}
	answer, m := c.redeem(back.Get("code"))
	if answer.status != 200 {
		return nil, fmt.Errorf("token endpoint: %v", m)
	}
	if err := c.idToken(m, nonce); err != nil {
		return nil, err
	}
	answer, info := c.userInfo(m["access_token"])
	if answer.header.Get("Content-Type") == "application/jwt" {
		var err error
		if info, err = c.verify(string(answer.body)); err != nil {
			return nil, err
		}
	}
	if info["sub"] != c.subject || info["email"] != "alice@example.com" {
		return nil, fmt.Errorf("userinfo: %v", info)
	}
	return m, nil
}

// at does what a step is about, and gives the relying party's complaint.
func (c *checker) at(step oidctest.Step, m map[string]any) error {
	switch step {
	case oidctest.AtDiscovery:
		return c.discover()
	case oidctest.AtLogin, oidctest.AtSecondLogin:
		_, err := c.logIn()
		return err
	case oidctest.AtRefresh:
		answer, renewed := c.refresh(m["refresh_token"])
		if answer.status != 200 {
			return fmt.Errorf("token endpoint: %v", renewed)
		}
		return c.idToken(renewed, nil)
	case oidctest.AtLogout:
		back, err := c.p.Logout(c.Context(), c.browser, c.p.Issuer()+"/end_session?state=s&id_token_hint="+
			m["id_token"].(string)+"&post_logout_redirect_uri="+url.QueryEscape(signedOutURI))
		if err == nil && back.Values().Get("state") != "s" {
			err = fmt.Errorf("state: %v", back)
		}
		return err
	}
	return fmt.Errorf("no step %q", step)
}

func TestModules(t *testing.T) {
	steps := []oidctest.Step{oidctest.AtDiscovery, oidctest.AtLogin, oidctest.AtSecondLogin, oidctest.AtRefresh, oidctest.AtLogout}
	for _, module := range oidctest.Modules() {
		t.Run(module.Name, func(t *testing.T) {
			c := &checker{party: newParty(t, nil)}
			c.p.Misbehave(module.Name)
			var m map[string]any
			for _, step := range steps {
				if step == module.Step {
					break
				}
				switch step { // what comes before goes well
				case oidctest.AtDiscovery:
					if err := c.discover(); err != nil {
						t.Fatal(err)
					}
				case oidctest.AtLogin:
					var err error
					if m, err = c.logIn(); err != nil {
						t.Fatal(err)
					}
				}
			}
			err := c.at(module.Step, m)
			if module.Want == oidctest.Accept && err != nil || module.Want == oidctest.Refuse && err == nil {
				t.Errorf("%s: got %v, want it to %s", module.Story, err, module.Want)
			}
			c.p.Misbehave("")
			if _, err := c.logIn(); module.Step != oidctest.AtDiscovery && err != nil {
				t.Errorf("after the module: %v", err)
			}
			if n := c.p.Requests(oidctest.ClaimsSource); n != 0 {
				t.Errorf("%d requests to an address in an answer", n)
			}
		})
	}
}

func TestModulesAreComplete(t *testing.T) {
	count, names := map[string]int{}, map[string]bool{}
	for _, m := range oidctest.Modules() {
		if names[m.Name] || !strings.HasPrefix(m.Name, "oidcc-client-test") || m.Story == "" || len(m.Plans) == 0 {
			t.Errorf("got %+v", m)
		}
		names[m.Name] = true
		for _, plan := range m.Plans {
			count[plan]++
		}
		slices.Reverse(m.Plans) // a copy
	}
	for plan, want := range map[string]int{
		"oidcc-client-basic-certification-test-plan":          14,
		"oidcc-client-formpost-basic-certification-test-plan": 14,
		"oidcc-client-config-certification-test-plan":         6,
		"oidcc-client-refreshtoken-test-plan":                 3,
		"oidcc-client-test-3rd-party-init-login-test-plan":    1,
		"oidcc-client-rp-initiated-logout-rp-basic":           3,
	} {
		if count[plan] != want {
			t.Errorf("%s: got %d, want %d", plan, count[plan], want)
		}
	}
	if oidctest.Modules()[0].Plans[0] != "oidcc-client-basic-certification-test-plan" {
		t.Error("a caller can change the modules")
	}
}

func TestOnlyBasic(t *testing.T) {
	r := newParty(t, nil)
	r.p.Misbehave("oidcc-client-test-client-secret-basic")
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"web"}, "client_secret": {"hush"}, "code": {"x"}}
	if got := r.post("/token", form); got.status != 401 {
		t.Errorf("in the form: got %d, want 401", got.status)
	}
	document, err := get(t, r.browser, r.p.Issuer()+"/.well-known/openid-configuration")
	if err != nil || !strings.Contains(string(document.body), `"token_endpoint_auth_methods_supported":["client_secret_basic"]`) {
		t.Errorf("got %s, %v", document.body, err)
	}
}

func TestKeyIDsOfModules(t *testing.T) {
	for _, row := range []struct {
		name string
		kid  any // of the ID token
		want []string
	}{
		{"oidcc-client-test-kid-absent-single-jwks", nil, []string{"rsa-1"}},
		{"oidcc-client-test-kid-absent-multiple-jwks", nil, []string{"rsa-1", "ec-1", "ed-1", "another"}},
		{"oidcc-client-test-signing-key-rotation-just-before-signing", "next-rsa-1", []string{"next-rsa-1", "next-ec-1", "next-ed-1"}},
		{"oidcc-client-test-signing-key-rotation", "rsa-1", []string{"rsa-1", "ec-1", "ed-1"}},
	} {
		r := newParty(t, nil)
		r.p.Misbehave(row.name)
		if h := header(t, r.tokens("")["id_token"].(string)); h["kid"] != row.kid {
			t.Errorf("%s: got %v, want %v", row.name, h, row.kid)
		}
		if got := published(t, r.p); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestUnknownModule(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); text != `oidctest: no module "oidcc-client-test-none"` {
			t.Errorf("got %q", text)
		}
	}()
	newProvider(t, oidctest.Options{}).Misbehave("oidcc-client-test-none")
}

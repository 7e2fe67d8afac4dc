package oidctest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestIntrospection(t *testing.T) {
	for _, w := range bothWays(t) {
		w.p.AddClient("api", "secret", oidctest.Token{})
		about := func(token string) map[string]any {
			t.Helper()
			answer, m := ask(t, w.client, w.base+"/introspect", "api", "secret", url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode())
			if answer.status != 200 || answer.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got %d, %v", w.name, answer.status, answer.header)
			}
			return m
		}
		opaque := w.p.IssueOpaque(oidctest.Token{Claims: map[string]any{"sub": "bob", "email": nil}})
		jwt := w.p.IssueJWT(oidctest.Token{})
		if m := about(opaque); m["active"] != true || m["sub"] != "bob" || m["email"] != nil || m["aud"] != "api" || m["token_type"] != "Bearer" || m["exp"] == nil {
			t.Errorf("%s: got %v", w.name, m)
		}
		if m := about(jwt); m["active"] != true || m["sub"] != "alice" || strings.Count(jwt, ".") != 2 {
			t.Errorf("%s: got %v", w.name, m)
		}
		w.p.Revoke(opaque)
		for name, token := range map[string]string{
			"revoked": opaque, "made up": "x", "signed, but never issued": w.p.Sign(oidctest.Token{}), "expired": w.p.IssueOpaque(oidctest.Token{TTL: -time.Minute}),
			"in another case": strings.ToUpper(jwt), "cut": jwt[:len(jwt)-1],
		} {
			if m := about(token); len(m) != 1 || m["active"] != false {
				t.Errorf("%s: %s: got %v", w.name, name, m)
			}
		}
		for _, row := range []struct {
			name, id, secret, form, error string
			status                        int
		}{
			{"a wrong secret", "api", "x", "token=x", "invalid_client", 401},
			{"an unknown client", "nobody", "secret", "token=x", "invalid_client", 401},
			{"nobody", "", "", "token=x", "invalid_client", 401},
			{"no token", "api", "secret", "token_type_hint=access_token", "invalid_request", 400},
			{"two tokens", "api", "secret", "token=x&token=y", "invalid_request", 400},
		} {
			answer, m := ask(t, w.client, w.base+"/introspect", row.id, row.secret, row.form)
			if answer.status != row.status || m["error"] != row.error {
				t.Errorf("%s: %s: got %d %v", w.name, row.name, answer.status, m)
			}
		}
		if got := w.p.Requests(oidctest.Introspection); got != 13 {
			t.Errorf("%s: %d requests", w.name, got)
		}
	}
}

func TestWrongUseOfIntrospectionPanics(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	for name, call := range map[string]func(){
		"a claim that isn't JSON":    func() { p.IssueOpaque(oidctest.Token{Claims: map[string]any{"x": func() {}}}) },
		"a token that wasn't issued": func() { p.Revoke("x") },
	} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "oidctest: ") {
					t.Errorf("%s: got %q, want a panic that names the package", name, got)
				}
			}()
			call()
		}()
	}
	p.IssueOpaque(oidctest.Token{}) // a panic leaves no lock behind
}

func TestKeyClient(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, claims string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, w := range bothWays(t) {
		w.p.AddKeyClient("ec", ec.Public())
		w.p.AddKeyClient("rsa", rsaKey.Public())
		w.p.AddClient("secretive", "secret", oidctest.Token{})
		claims := func(id, jti string, life time.Duration) string {
			return `{"iss":"` + id + `","sub":"` + id + `","aud":"` + w.p.Issuer() + `","jti":"` + jti + `","exp":` + strconv.FormatInt(time.Now().Add(life).Unix(), 10) + `}`
		}
		good := sign(jose.ES256, ec, claims("ec", "1", time.Minute))
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims("ec", "n", time.Minute))) + "."
		for _, row := range []struct {
			name, assertion string
			status          int
		}{
			{"ES256", good, 200},
			{"the same again", good, 401},
			{"RS256", sign(jose.RS256, rsaKey, claims("rsa", "2", time.Minute)), 200},
			{"another client's key", sign(jose.ES256, ec, claims("rsa", "3", time.Minute)), 401},
			{"over", sign(jose.ES256, ec, claims("ec", "4", -time.Minute)), 401},
			{"too long", sign(jose.ES256, ec, claims("ec", "5", time.Hour)), 401},
			{"no jti", sign(jose.ES256, ec, claims("ec", "", time.Minute)), 401},
			{"for another", sign(jose.ES256, ec, strings.Replace(claims("ec", "6", time.Minute), w.p.Issuer(), "https://other.test", 1)), 401},
			{"an unknown client", sign(jose.ES256, ec, claims("nobody", "7", time.Minute)), 401},
			{"a client with a secret", sign(jose.ES256, ec, claims("secretive", "8", time.Minute)), 401},
			{"another algorithm", sign(jose.RS384, rsaKey, claims("rsa", "9", time.Minute)), 401},
			{"none", none, 401},
			{"no header", "." + strings.SplitN(none, ".", 2)[1], 401},
			{"no payload", "e30.x.x", 401},
			{"nonsense", "x", 401},
		} {
			form := url.Values{"token": {"x"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {row.assertion}}
			if answer, m := ask(t, w.client, w.base+"/introspect", "", "", form.Encode()); answer.status != row.status {
				t.Errorf("%s: %s: got %d %v, want %d", w.name, row.name, answer.status, m, row.status)
			}
		}
		if answer, _ := ask(t, w.client, w.base+"/introspect", "ec", "", "token=x"); answer.status != 401 {
			t.Errorf("%s: a key client without its key: got %d", w.name, answer.status)
		}
	}
}

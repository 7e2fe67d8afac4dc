package oidctest_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestDefaultToken(t *testing.T) {
	p := newProvider(t, oidctest.Options{Issuer: "https://idp.test/realms/corp", Audience: "orders"})
	token := p.Sign(oidctest.Token{})
	if got, want := header(t, token), (map[string]any{"alg": "RS256", "kid": "rsa-1", "typ": "at+jwt"}); !maps.Equal(got, want) {
		t.Errorf("header: got %v, want %v", got, want)
	}
	c := claims(t, token)
	for name, want := range map[string]any{
		"iss": "https://idp.test/realms/corp", "aud": "orders", "sub": "alice", "client_id": "web",
		"scope": "openid orders.read", "email": "alice@example.com",
	} {
		if got := c[name]; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if groups, _ := c["groups"].([]any); !slices.Equal(groups, []any{"staff"}) {
		t.Errorf("groups: got %v, want [staff]", groups)
	}
	if other := claims(t, p.Sign(oidctest.Token{})); c["jti"] == "" || c["jti"] == other["jti"] {
		t.Errorf("jti isn't random: %v, %v", c["jti"], other["jti"])
	}
}

func TestTokenLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, oidctest.Options{})
		now := time.Now()
		for _, row := range []struct {
			name        string
			ttl         time.Duration
			issued, exp time.Time
		}{
			{"an hour unless said otherwise", 0, now, now.Add(time.Hour)},
			{"as said", time.Minute, now, now.Add(time.Minute)},
			{"expired, and issued before that", -time.Minute, now.Add(-61 * time.Minute), now.Add(-time.Minute)},
		} {
			c := claims(t, p.Sign(oidctest.Token{TTL: row.ttl}))
			if got, want := c["iat"], float64(row.issued.Unix()); got != want {
				t.Errorf("%s: iat: got %v, want %v", row.name, got, want)
			}
			if got, want := c["exp"], float64(row.exp.Unix()); got != want {
				t.Errorf("%s: exp: got %v, want %v", row.name, got, want)
			}
		}
	})
}

func TestMembersAreReplacedAndRemoved(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	token := p.Sign(oidctest.Token{
		Header: map[string]any{"typ": nil, "alg": "HS256", "crit": []string{"exp"}},
		Claims: map[string]any{"sub": nil, "aud": []string{"a", "b"}, "exp": json.RawMessage("null"), "tenant": 7},
	})
	h, c := header(t, token), claims(t, token)
	if _, there := h["typ"]; there || h["alg"] != "HS256" || h["crit"] == nil {
		t.Errorf("header: %v", h)
	}
	if _, there := c["sub"]; there || c["tenant"] != 7.0 || len(c["aud"].([]any)) != 2 {
		t.Errorf("claims: %v", c)
	}
	if exp, there := c["exp"]; !there || exp != nil {
		t.Errorf("exp: got %v, %v, want null", exp, there)
	}
}

func TestRawPartsAreSignedVerbatim(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	const rawHeader = "{ \"kid\":\"rsa-1\",\n\"alg\":\"RS256\"}"
	const rawClaims = "{\"sub\":\"\xff\"} trailing"
	token := p.Sign(oidctest.Token{RawHeader: rawHeader, RawClaims: rawClaims, Header: map[string]any{"x": func() {}}})
	parts := strings.Split(token, ".")
	if got := string(decode(t, parts[0])); got != rawHeader {
		t.Errorf("header: got %q, want %q", got, rawHeader)
	}
	if got := string(decode(t, parts[1])); got != rawClaims {
		t.Errorf("claims: got %q, want %q", got, rawClaims)
	}
	if got := verifies(t, p, token); !slices.Contains(got, "rsa-1") {
		t.Errorf("the verbatim token is signed by %q, want rsa-1", got)
	}
}

func TestSigningKeyAndKeyID(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	p.AddKey("RS256", "rsa-2")
	p.AddHiddenKey("RS256", "rsa-3")
	p.AddKey("PS384", "ps")
	p.AddKey("ES384", "")
	for _, row := range []struct {
		name       string
		token      oidctest.Token
		kid        any // in the header
		alg, signs string
	}{
		{"nothing asked for", oidctest.Token{}, "rsa-1", "RS256", "rsa-1"},
		{"an algorithm's first key", oidctest.Token{Alg: "ES256"}, "ec-1", "ES256", "ec-1"},
		{"a published alg comes before another of its type", oidctest.Token{Alg: "PS384"}, "ps", "PS384", "ps"},
		{"another alg of the key's type", oidctest.Token{Alg: "PS512"}, "rsa-1", "PS512", "rsa-1"},
		{"a named key", oidctest.Token{KeyID: "rsa-2"}, "rsa-2", "RS256", "rsa-2"},
		{"a named key gives the algorithm", oidctest.Token{KeyID: "ec-1"}, "ec-1", "ES256", "ec-1"},
		{"a named key under another algorithm", oidctest.Token{Alg: "PS256", KeyID: "rsa-2"}, "rsa-2", "PS256", "rsa-2"},
		{"a named hidden key", oidctest.Token{KeyID: "rsa-3"}, "rsa-3", "RS256", "rsa-3"},
		{"an unknown kid", oidctest.Token{KeyID: "made-up"}, "made-up", "RS256", "rsa-1"},
		{"a kid of another type of key", oidctest.Token{Alg: "RS256", KeyID: "ec-1"}, "ec-1", "RS256", "rsa-1"},
		{"no kid", oidctest.Token{KeyID: "-"}, nil, "RS256", "rsa-1"},
		{"no kid, by removal", oidctest.Token{KeyID: "rsa-2", Header: map[string]any{"kid": nil}}, nil, "RS256", "rsa-2"},
		{"a key without a kid", oidctest.Token{Alg: "ES384"}, nil, "ES384", ""},
	} {
		token := p.Sign(row.token)
		h := header(t, token)
		if h["kid"] != row.kid || h["alg"] != row.alg {
			t.Errorf("%s: header: got %v %v, want %v %v", row.name, h["alg"], h["kid"], row.alg, row.kid)
		}
		if row.signs == "rsa-3" {
			p.PublishKey("rsa-3") // or nobody could verify it; the last row that needs it hidden
		}
		if got := verifies(t, p, token); !slices.Equal(got, []string{row.signs}) {
			t.Errorf("%s: signed by %q, want %q", row.name, got, row.signs)
		}
	}
}

// verifies gives the ids of the published keys under which the token is good,
// whatever alg each is published for.
func verifies(t *testing.T, p *oidctest.Provider, token string) (kids []string) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(p.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	var algs []jose.SignatureAlgorithm
	for _, alg := range asymmetric {
		algs = append(algs, jose.SignatureAlgorithm(alg))
	}
	jws, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if _, err := jws.Verify(k.Key); err == nil {
			kids = append(kids, k.KeyID)
		}
	}
	return kids
}

func TestWrongUsePanics(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	for _, row := range []struct {
		name string
		call func()
	}{
		{"an algorithm nobody knows", func() { p.Sign(oidctest.Token{Alg: "RS257"}) }},
		{"an algorithm without a key", func() { p.Sign(oidctest.Token{Alg: "ES384"}) }},
		{"a claim that isn't JSON", func() { p.Sign(oidctest.Token{Claims: map[string]any{"x": func() {}}}) }},
		{"a key for a symmetric algorithm", func() { p.AddKey("HS256", "hs") }},
		{"publishing no key", func() { p.PublishKey("nobody") }},
		{"retiring no key", func() { p.RetireKey("nobody") }},
		{"showing no key", func() { p.JWK("nobody") }},
		{"breaking no endpoint", func() { p.Break("jwk", oidctest.Fault{}) }},
		{"counting no endpoint", func() { p.Requests("jwk") }},
		{"a discovery member that isn't JSON", func() { p.DiscoveryMember("x", func() {}) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "oidctest: ") {
					t.Errorf("got %q, want a panic that names the package", got)
				}
			}()
			row.call()
		})
	}
	p.AddKey("RS256", "after") // a panic leaves no lock behind
}

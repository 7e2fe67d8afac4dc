package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// boundToken stands for a token that was verified. Its characters don't matter.
const boundToken RawToken = "a.bound.token"

// dpopClient has keys of every kind, makes proofs with them, and knows a service
// that takes them.
type dpopClient struct {
	keys    *oidctest.Provider
	service *DPoP
	options DPoPOptions
}

func newDPoPClient(t testing.TB, edit func(*DPoPOptions)) *dpopClient {
	t.Helper()
	c := &dpopClient{keys: oidctest.New(oidctest.Options{Issuer: "https://client.test"})}
	t.Cleanup(c.keys.Close)
	c.options = DPoPOptions{
		Origins:    []string{"https://api.example.com", "https://api.example.com:8443/", "HTTP://Plain.example.com:80", "https://other.example.com"},
		Algorithms: signatureAlgorithmNames, ClockSkew: 5 * time.Second,
	}
	if edit != nil {
		edit(&c.options)
	}
	c.service = mustMake(NewDPoP(c.options))
	return c
}

// bound is the constraint of a token that is bound to the key of this kid.
func (c *dpopClient) bound(kid string) *Constraint {
	public, err := parsePublic(mustMake(parseObject([]byte(c.keys.JWK(kid)))))
	if err != nil {
		panic(err)
	}
	thumbprint := keyThumbprint(public)
	claims := mustMake(parseObject([]byte(`{"cnf":{"jkt":"` + segment(thumbprint[:]) + `"}}`)))
	bound, refusal := claims.Constraint()
	if refusal != nil {
		panic(refusal)
	}
	return &bound
}

// proof is a good one of the clock's time, but for these members.
func (c *dpopClient) proof(kid string, header, claims members) string {
	all := members{"htm": "GET", "htu": "https://api.example.com/v1/orders", "iat": clock, "ath": athOf(boundToken), "jti": fmt.Sprint("jti-", proofs.Add(1))}
	if claims == nil {
		claims = members{}
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	h := members{"typ": "dpop+jwt", "kid": nil, "jwk": json.RawMessage(c.keys.JWK(kid))}
	if header != nil {
		maps.Copy(h, header)
	}
	return c.keys.Sign(oidctest.Token{KeyID: kid, Header: h, RawClaims: string(mustMake(json.Marshal(all)))})
}

// presenting is a good request with this proof.
func presenting(proofs ...string) *Presentation {
	return &Presentation{Token: boundToken, DPoP: true, Proofs: slices.Values(proofs), Method: "GET", Host: "api.example.com", Target: "/v1/orders?page=2"}
}

func (c *dpopClient) check(p *Presentation) string {
	return inWords(c.service.Check(c.bound("ec-1"), p, time.Unix(clock, 0)))
}

// A good proof by each algorithm, and by each way to write one address.
func TestSEC_T3_GoodProofs(t *testing.T) {
	c := newDPoPClient(t, nil)
	for _, alg := range signatureAlgorithmNames {
		c.keys.AddKey(alg, "key-"+alg)
		proof := c.proof("key-"+alg, nil, nil)
		if got := inWords(c.service.Check(c.bound("key-"+alg), presenting(proof), time.Unix(clock, 0))); got != "good" {
			t.Errorf("%s: %s", alg, got)
		}
	}
	for _, row := range []struct {
		name           string
		header, claims members
		target         string
	}{
		{"typ as a media type", members{"typ": "application/DPoP+JWT"}, nil, "/v1/orders"},
		{"a kid, which means nothing", members{"kid": "made-up"}, nil, "/v1/orders"},
		{"scheme and host in capitals", nil, members{"htu": "HTTPS://API.Example.com/v1/orders"}, "/v1/orders"},
		{"the default port", nil, members{"htu": "https://api.example.com:443/v1/orders"}, "/v1/orders"},
		{"another configured port", nil, members{"htu": "https://api.example.com:8443/v1/orders"}, "/v1/orders"},
		{"query and fragment, which are ignored", nil, members{"htu": "https://api.example.com/v1/orders?a=/b://c#d"}, "/v1/orders"},
		{"no path for a slash", nil, members{"htu": "https://api.example.com"}, "/"},
		{"no path but a query", nil, members{"htu": "https://api.example.com?x=/y"}, "/?x=/y"},
		{"escapes that need not be", nil, members{"htu": "https://api.example.com/%7Ealice/%61"}, "/~alice/a"},
		{"escapes in small letters", nil, members{"htu": "https://api.example.com/a%c3%a9"}, "/a%C3%A9"},
		{"what isn't an escape", nil, members{"htu": "https://api.example.com/a%25zz"}, "/a%25zz"},
		{"as old as may be", nil, members{"iat": clock - 65}, "/v1/orders"},
		{"as far ahead as may be", nil, members{"iat": clock + 5}, "/v1/orders"},
		{"a fraction of a second", nil, members{"iat": clock - 0.5}, "/v1/orders"},
		{"exp and nbf", nil, members{"exp": clock + 60, "nbf": clock}, "/v1/orders"},
		{"a nonce that nobody asked for", nil, members{"nonce": "x"}, "/v1/orders"},
	} {
		p := presenting(c.proof("ec-1", row.header, row.claims))
		p.Target = row.target
		if got := c.check(p); got != "good" {
			t.Errorf("%s: %s", row.name, got)
		}
	}
}

// Every proof that isn't one for this request, token, key and moment.
func TestSEC_T3_BadProofs(t *testing.T) {
	c := newDPoPClient(t, nil)
	const bad = "dpop_proof_invalid: "
	without := func(name string) members { return members{name: nil} }
	private := strings.Replace(c.keys.JWK("ec-1"), "{", `{"d":"AQ",`, 1)
	for _, row := range []struct {
		name           string
		header, claims members
		want           string
	}{
		{"no typ", without("typ"), nil, bad + `typ is "", not dpop+jwt`},
		{"typ of an access token", members{"typ": "at+jwt"}, nil, bad + `typ is "at+jwt", not dpop+jwt`},
		{"typ JWT", members{"typ": "JWT"}, nil, bad + `typ is "JWT", not dpop+jwt`},
		{"crit", members{"crit": []string{"htm"}}, nil, bad + "the proof is no JWT: critical_header: the header has crit"},
		{"b64", members{"b64": false}, nil, bad + "the proof is no JWT: critical_header: the header has b64"},
		{"alg none", members{"alg": "none"}, nil, bad + `alg "none" isn't among`},
		{"alg of a secret", members{"alg": "HS256"}, nil, bad + `alg "HS256" isn't among`},
		{"alg of another kind of key", members{"alg": "RS256"}, nil, bad + `alg "RS256" doesn't fit the proof's key`},
		{"alg that isn't the jwk's", members{"jwk": verbatim(strings.Replace(c.keys.JWK("ec-1"), `"ES256"`, `"ES384"`, 1))}, nil, bad + `alg "ES256" doesn't fit the proof's key`},
		{"no jwk", without("jwk"), nil, bad + "jwk: kty"},
		{"jwk as text", members{"jwk": c.keys.JWK("ec-1")}, nil, bad + "jwk: kty"},
		{"jwk with its private part", members{"jwk": verbatim(private)}, nil, bad + "jwk: it is published with its secret part (member d)"},
		{"jwk of a secret", members{"jwk": verbatim(`{"kty":"oct","k":"AQ"}`)}, nil, bad + "jwk: it is published with its secret part (member k)"},
		{"jwk for encryption", members{"jwk": verbatim(strings.Replace(c.keys.JWK("ec-1"), `"sig"`, `"enc"`, 1))}, nil, bad + `jwk: use is "enc", not sig`},
		{"jwk whose alg isn't text", members{"jwk": verbatim(strings.Replace(c.keys.JWK("ec-1"), `"ES256"`, `1`, 1))}, nil, bad + `jwk: alg isn't a string`},
		{"jwk off its curve", members{"jwk": verbatim(`{"kty":"EC","crv":"P-256","x":"` + segment(bytes.Repeat([]byte{1}, 32)) + `","y":"` + segment(bytes.Repeat([]byte{1}, 32)) + `"}`)}, nil, bad + "jwk: x and y aren't a point of P-256"},
		{"small RSA", members{"jwk": verbatim(`{"kty":"RSA","e":"AQAB","n":"` + segment(bytes.Repeat([]byte{255}, 128)) + `"}`)}, nil, bad + "jwk: RSA with 1024 bits"},
		{"another key", members{"jwk": verbatim(c.keys.JWK("ed-1")), "alg": "EdDSA"}, nil, bad + "the proof's key isn't the one that the token is bound to"},

		{"no htm", nil, without("htm"), bad + `htm is "", the request's method "GET"`},
		{"another method", nil, members{"htm": "POST"}, bad + `htm is "POST", the request's method "GET"`},
		{"method in small letters", nil, members{"htm": "get"}, bad + `htm is "get", the request's method "GET"`},
		{"no htu", nil, without("htu"), bad + "htu isn't an absolute URL"},
		{"htu in an array", nil, members{"htu": []string{"https://api.example.com/v1/orders"}}, bad + "htu isn't an absolute URL"},
		{"htu without origin", nil, members{"htu": "/v1/orders"}, bad + "htu isn't an absolute URL"},
		{"htu that isn't a URL", nil, members{"htu": "https://api.example.com/%zz"}, bad + "htu isn't an absolute URL"},
		{"htu without scheme", nil, members{"htu": "//api.example.com/v1/orders"}, bad + `htu is at`},
		{"htu with a user", nil, members{"htu": "https://u@api.example.com/v1/orders"}, bad + "htu isn't an absolute URL"},
		{"plain http", nil, members{"htu": "http://api.example.com/v1/orders"}, bad + `htu is at "http://api.example.com:80"`},
		{"another host", nil, members{"htu": "https://evil.test/v1/orders"}, bad + `htu is at "https://evil.test:443"`},
		{"another of our hosts", nil, members{"htu": "https://other.example.com/v1/orders"}, bad + `htu is at "https://other.example.com:443"`},
		{"a host that begins alike", nil, members{"htu": "https://api.example.com.evil.test/v1/orders"}, bad + "htu is at"},
		{"another port", nil, members{"htu": "https://api.example.com:444/v1/orders"}, bad + `htu is at "https://api.example.com:444"`},
		{"another path", nil, members{"htu": "https://api.example.com/v1/admin"}, bad + `htu's path is "/v1/admin", the request's "/v1/orders"`},
		{"a longer path", nil, members{"htu": "https://api.example.com/v1/orders/"}, bad + `htu's path is "/v1/orders/"`},
		{"path in capitals", nil, members{"htu": "https://api.example.com/V1/orders"}, bad + `htu's path is "/V1/orders"`},
		{"an escaped slash", nil, members{"htu": "https://api.example.com/v1%2forders"}, bad + `htu's path is "/v1%2Forders"`},
		{"dot segments", nil, members{"htu": "https://api.example.com/v1/x/../orders"}, bad + `htu's path is "/v1/x/../orders"`},

		{"no iat", nil, without("iat"), bad + "iat is missing or isn't a date"},
		{"iat as text", nil, members{"iat": "1702389601"}, bad + "iat is missing or isn't a date"},
		{"iat out of range", nil, members{"iat": 1e300}, bad + "iat is missing or isn't a date"},
		{"too old", nil, members{"iat": clock - 66}, bad + "iat 1702389535 is 66 s behind this clock"},
		{"made for later", nil, members{"iat": clock + 6}, bad + "iat 1702389607 is 6 s ahead of this clock"},
		{"expired", nil, members{"exp": clock - 5}, bad + "exp isn't a date that lets the proof be used now"},
		{"not valid yet", nil, members{"nbf": clock + 6}, bad + "nbf isn't a date that lets the proof be used now"},
		{"exp that isn't a date", nil, members{"exp": "never"}, bad + "exp isn't a date that lets the proof be used now"},

		{"no ath", nil, without("ath"), bad + "ath isn't the SHA-256 of the token"},
		{"ath of another token", nil, members{"ath": segment(make([]byte, 32))}, bad + "ath isn't the SHA-256 of the token"},
		{"ath with padding", nil, members{"ath": segment(make([]byte, 32)) + "="}, bad + "ath isn't the SHA-256 of the token"},
		{"no jti", nil, without("jti"), bad + "jti is missing"},
		{"empty jti", nil, members{"jti": ""}, bad + "jti is missing"},
		{"jti that isn't text", nil, members{"jti": 1}, bad + "jti is missing"},
	} {
		var proof string
		if row.header["alg"] == nil {
			proof = c.proof("ec-1", row.header, row.claims)
		} else {
			proof = compact(`{"typ":"dpop+jwt","alg":"`+row.header["alg"].(string)+`","jwk":`+c.keys.JWK("ec-1")+`}`, `{}`)
			if jwk, other := row.header["jwk"]; other {
				proof = compact(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+string(jwk.(json.RawMessage))+`}`, `{}`)
			}
		}
		if got := c.check(presenting(proof)); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if used := len(c.service.used.young.proofs); used != 0 {
		t.Errorf("%d bad proofs are remembered", used)
	}
}

// What comes in place of one proof, and how a token may and may not be presented.
func TestSEC_T1_T3_Presentations(t *testing.T) {
	c := newDPoPClient(t, nil)
	good := func() string { return c.proof("ec-1", nil, nil) }
	bound, unbound := c.bound("ec-1"), &Constraint{}
	request := func(edit func(*Presentation)) *Presentation {
		p := presenting(good())
		edit(p)
		return p
	}
	as := func(dpop bool, proofs ...string) *Presentation {
		return request(func(p *Presentation) { p.DPoP, p.Proofs = dpop, slices.Values(proofs) })
	}
	proof := good()
	altered := resigned(RawToken(good()), strings.Repeat("A", 86))
	for _, row := range []struct {
		name    string
		of      *DPoP
		bound   *Constraint
		request *Presentation
		want    string
	}{
		{"proven", c.service, bound, as(true, good()), "good"},
		{"neither bound nor proven", c.service, unbound, as(false), "good"},
		{"not bound, and a proof that nobody asked for", c.service, unbound, as(false, "x"), "good"},
		{"not bound, and no DPoP", nil, unbound, as(false), "good"},

		{"bound, as a bearer", c.service, bound, as(false), "dpop_proof_missing: the token is bound to a DPoP key and came under the scheme Bearer"},
		{"bound, as a bearer with a proof", c.service, bound, as(false, good()), "dpop_proof_missing: the token is bound to a DPoP key and came under the scheme Bearer"},
		{"bound, and no DPoP", nil, bound, as(true, good()), "constraint_unproven: it is bound to a DPoP key, and DPoP isn't configured"},
		{"not bound, under DPoP", c.service, unbound, as(true, good()), "dpop_proof_invalid: the token came under the scheme DPoP and is bound to no DPoP key"},
		{"not bound, under DPoP, and no DPoP", nil, unbound, as(true, good()), "dpop_proof_invalid: the token came under the scheme DPoP and is bound to no DPoP key"},
		{"bound to another key", c.service, c.bound("ed-1"), as(true, good()), "dpop_proof_invalid: the proof's key isn't the one that the token is bound to"},

		{"no proof", c.service, bound, as(true), "dpop_proof_missing: no DPoP header"},
		{"no headers", c.service, bound, request(func(p *Presentation) { p.Proofs = nil }), "dpop_proof_missing: no DPoP header"},
		{"two proofs", c.service, bound, as(true, good(), good()), "dpop_proof_invalid: more than one DPoP header"},
		{"one proof twice", c.service, bound, as(true, proof, proof), "dpop_proof_invalid: more than one DPoP header"},
		{"two proofs in a line", c.service, bound, as(true, good()+","+good()), "dpop_proof_invalid: the proof is no JWT: token_malformed: byte"},
		{"an empty proof", c.service, bound, as(true, ""), "dpop_proof_invalid: the proof is no JWT: token_opaque"},
		{"an encrypted proof", c.service, bound, as(true, "a.b.c.d.e"), "dpop_proof_invalid: the proof is no JWT: token_encrypted"},
		{"a long proof", c.service, bound, as(true, strings.Repeat("A", maxProof+1)), "dpop_proof_invalid: the proof has 8193 bytes, at most 8192"},
		{"the token as its own proof", c.service, bound, as(true, c.keys.Sign(oidctest.Token{KeyID: "ec-1"})), `dpop_proof_invalid: typ is "at+jwt", not dpop+jwt`},
		{"a wrong signature", c.service, bound, as(true, string(altered)), "dpop_proof_invalid: the signature is wrong"},
		{"claims that aren't JSON", c.service, bound, as(true, c.keys.Sign(oidctest.Token{KeyID: "ec-1", Header: members{"typ": "dpop+jwt", "jwk": verbatim(c.keys.JWK("ec-1"))}, RawClaims: `{"jti":"a","jti":"b"}`})), `dpop_proof_invalid: the proof's claims: byte`},

		{"another token", c.service, bound, request(func(p *Presentation) { p.Token += "x" }), "dpop_proof_invalid: ath isn't the SHA-256 of the token"},
		{"another method", c.service, bound, request(func(p *Presentation) { p.Method = "DELETE" }), `dpop_proof_invalid: htm is "GET", the request's method "DELETE"`},
		{"another path", c.service, bound, request(func(p *Presentation) { p.Target = "/v1/admin" }), `dpop_proof_invalid: htu's path is "/v1/orders", the request's "/v1/admin"`},
		{"another of our hosts", c.service, bound, request(func(p *Presentation) { p.Host = "other.example.com" }), `dpop_proof_invalid: htu is at "https://api.example.com:443", the request at https://other.example.com:443`},
		{"a host without a configured origin", c.service, bound, request(func(p *Presentation) { p.Host = "internal" }), `dpop_proof_invalid: host "internal" is none of the configured origins`},
	} {
		if got := inWords(row.of.Check(row.bound, row.request, time.Unix(clock, 0))); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestT12_BoundTokens goes the whole way: a provider binds a token to a client's key,
// signed or encrypted; whoever has only the token has nothing.
func TestT12_BoundTokens(t *testing.T) {
	r, c := newRealm(t, "https://issuer.test"), newDPoPClient(t, nil)
	key := c.bound("ec-1").key
	signed := r.claiming(members{"cnf": members{"jkt": segment(key[:])}})
	for name, raw := range map[string]RawToken{"signed": signed, "encrypted": envelope{}.seal(string(signed))} {
		result := r.verify(t, raw, bindable, decrypting("p-256"))
		bound, refusal := result.Claims.Constraint()
		if !result.Good() || refusal != nil || !bound.Bound() {
			t.Fatalf("%s: %s, %v", name, verdict(result), refusal)
		}
		ask := func(kid string, dpop bool) string {
			p := presenting(c.proof(kid, nil, members{"ath": athOf(raw)}))
			p.Token, p.DPoP = raw, dpop
			return inWords(bound.Check(p, c.service, time.Unix(clock, 0)))
		}
		for _, row := range []struct{ got, want string }{
			{ask("ec-1", true), "good"},
			{ask("ec-1", false), "dpop_proof_missing: the token is bound to a DPoP key and came under the scheme Bearer"},
			{ask("ed-1", true), "dpop_proof_invalid: the proof's key isn't the one that the token is bound to"},
		} {
			if row.got != row.want {
				t.Errorf("%s: %s, want %s", name, row.got, row.want)
			}
		}
	}
}

// Who is bound to both proves both, and a proof isn't used up where the certificate
// is wrong already.
func TestSEC_T1_BothProofs(t *testing.T) {
	c := newDPoPClient(t, nil)
	der := clientCertificate(t)
	bound := c.bound("ec-1")
	bound.certificate, bound.byCertificate = sha256.Sum256(der), true
	p := presenting(c.proof("ec-1", nil, nil))
	const no = "certificate_mismatch: the proxy tells of no client certificate"
	if got := inWords(bound.Check(p, c.service, time.Unix(clock, 0))); got != no {
		t.Errorf("without certificate: %s, want %s", got, no)
	}
	p.Certificate = likeEnvoy(der)
	if got := inWords(bound.Check(p, c.service, time.Unix(clock, 0))); got != "good" {
		t.Errorf("with both: %s", got)
	}
	p.Proofs = nil
	if got := inWords(bound.Check(p, c.service, time.Unix(clock, 0))); got != "dpop_proof_missing: no DPoP header" {
		t.Errorf("without proof: %s", got)
	}
	if got := inWords((&Constraint{}).Check(&Presentation{}, nil, time.Unix(clock, 0))); got != "good" {
		t.Errorf("bound to nothing, and no proof: %s", got)
	}
}

// Queries may hold secrets; so may tokens. Neither shows.
func TestRefusedProofsShowNoSecrets(t *testing.T) {
	c := newDPoPClient(t, nil)
	for _, htu := range []string{"https://evil.test/?code=" + canary, "https://api.example.com/x?code=" + canary + "#" + canary, canary + ":\x00", "https://" + canary + "@api.example.com/"} {
		p := presenting(c.proof("ec-1", nil, members{"htu": htu}))
		p.Target = "/v1/orders?code=" + canary
		if got := c.check(p); got == "good" || strings.Contains(got, canary) {
			t.Errorf("%q: %s", htu, got)
		}
	}
}

// TestSEC_J6_DPoPOptions is what a configuration is refused for.
func TestSEC_J6_DPoPOptions(t *testing.T) {
	for _, row := range []struct {
		name string
		edit func(*DPoPOptions)
		says string
	}{
		{"no origin", func(o *DPoPOptions) { o.Origins = nil }, "needs the origins"},
		{"an origin without scheme", func(o *DPoPOptions) { o.Origins = []string{"api.example.com"} }, `origin "api.example.com" isn't`},
		{"an origin with a path", func(o *DPoPOptions) { o.Origins = []string{"https://api.example.com/v1"} }, "isn't https://host"},
		{"an origin with a query", func(o *DPoPOptions) { o.Origins = []string{"https://api.example.com?a"} }, "isn't https://host"},
		{"an origin with a user", func(o *DPoPOptions) { o.Origins = []string{"https://u@api.example.com"} }, "isn't https://host"},
		{"an origin of another scheme", func(o *DPoPOptions) { o.Origins = []string{"ftp://api.example.com"} }, "isn't https://host"},
		{"an origin that isn't a URL", func(o *DPoPOptions) { o.Origins = []string{"https://a b"} }, "isn't https://host"},
		{"a symmetric algorithm", func(o *DPoPOptions) { o.Algorithms = []string{"HS256"} }, `algorithm "HS256" can't be verified`},
		{"none", func(o *DPoPOptions) { o.Algorithms = []string{"none"} }, `algorithm "none" can't be verified`},
		{"proofs that live long", func(o *DPoPOptions) { o.MaxAge = 2 * time.Hour }, "a proof's age of 2h0m0s"},
		{"proofs that never live", func(o *DPoPOptions) { o.MaxAge = -1 }, "a proof's age of"},
		{"a large skew", func(o *DPoPOptions) { o.ClockSkew = maxSkew }, "clock skew 5m0s"},
		{"a negative skew", func(o *DPoPOptions) { o.ClockSkew = -1 }, "clock skew"},
		{"less than no memory", func(o *DPoPOptions) { o.MaxProofs = -1 }, "negative"},
		{"nonces that live long", func(o *DPoPOptions) { o.NonceLife = 25 * time.Hour }, "a nonce's life of"},
		{"nonces that never live", func(o *DPoPOptions) { o.NonceLife = time.Millisecond }, "a nonce's life of"},
		{"a short key", func(o *DPoPOptions) { o.NonceKeys = [][]byte{make([]byte, 32), make([]byte, 31)} }, "a nonce key has 31 bytes; at least 32 are needed"},
	} {
		o := DPoPOptions{Origins: []string{"https://api.example.com"}}
		row.edit(&o)
		_, err := NewDPoP(o)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want an error that says %q", row.name, err, row.says)
		}
	}
	d := mustMake(NewDPoP(DPoPOptions{Origins: []string{"https://api.example.com"}}))
	if got := strings.Join(d.Algorithms(), " "); got != "ES256 PS256 RS256 EdDSA Ed25519" {
		t.Errorf("by default it takes %s", got)
	}
	if d.options.MaxAge != time.Minute || d.options.NonceLife != 5*time.Minute || d.used.most != 1<<18 || d.used.life != time.Minute {
		t.Errorf("the defaults are %+v", d.options)
	}
}

package oidc

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// ourKeys are private keys of ours, as JWKs would call them.
var ourKeys = sync.OnceValue(func() map[string]crypto.Signer {
	return map[string]crypto.Signer{
		"rsa":   mustMake(rsa.GenerateKey(rand.Reader, 2048)),
		"p-256": mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p-384": mustMake(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p-521": mustMake(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"old":   mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"lost":  mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	}
})

// inPEM writes private keys one after the other.
func inPEM(kids ...string) []byte {
	var b []byte
	for _, kid := range kids {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: mustMake(x509.MarshalPKCS8PrivateKey(ourKeys()[kid]))})...)
	}
	return b
}

// inJWK writes a private key, with its kid.
func inJWK(kid string) string {
	return string(mustMake((&jose.JSONWebKey{Key: ourKeys()[kid], KeyID: kid, Use: "enc"}).MarshalJSON()))
}

// decrypting gives a provider these keys, by their kids.
func decrypting(kids ...string) option {
	return func(o *ProviderOptions) {
		var jwks []string
		for _, kid := range kids {
			jwks = append(jwks, inJWK(kid))
		}
		o.DecryptionKeys = mustMake(ParseDecryptionKeys([]byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)))
	}
}

// envelope says how a token is encrypted; what is empty is good for our key p-256.
type envelope struct {
	kid, alg, enc string
	header        members
	zip           bool
}

// seal encrypts to a key of ours.
func (e envelope) seal(inner string) RawToken {
	kid := cmp.Or(e.kid, "p-256")
	alg, enc := cmp.Or(jose.KeyAlgorithm(e.alg), jose.ECDH_ES), cmp.Or(jose.ContentEncryption(e.enc), jose.A128GCM)
	options := (&jose.EncrypterOptions{}).WithContentType("JWT")
	if e.zip {
		options.Compression = jose.DEFLATE
	}
	for name, value := range e.header {
		if value == nil {
			delete(options.ExtraHeaders, jose.HeaderKey(name))
		} else {
			options.WithHeader(jose.HeaderKey(name), value)
		}
	}
	recipient := jose.Recipient{Algorithm: alg, Key: ourKeys()[kid].Public(), KeyID: kid}
	if id, other := e.header["kid"]; other {
		recipient.KeyID, _ = id.(string)
		delete(options.ExtraHeaders, "kid")
	}
	object := mustMake(mustMake(jose.NewEncrypter(enc, recipient, options)).Encrypt([]byte(inner)))
	return RawToken(mustMake(object.CompactSerialize()))
}

var (
	rsaEnvelope = envelope{kid: "rsa", alg: "RSA-OAEP-256"}
	everyEnc    = []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"}
)

// TestT11_EncryptedTokens reads a token by every algorithm that is allowed, with
// keys of every kind.
func TestT11_EncryptedTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t, decrypting("rsa", "p-256", "p-384", "p-521"))
	good := string(r.sign(oidctest.Token{}))
	plain := v.Verify(t.Context(), RawToken(good), time.Unix(clock, 0), nobody)
	for _, enc := range everyEnc {
		envelopes := []envelope{{kid: "rsa", alg: "RSA-OAEP-256", enc: enc}}
		for _, alg := range keyEncryption[1:] {
			for _, kid := range []string{"p-256", "p-384", "p-521"} {
				envelopes = append(envelopes, envelope{kid: kid, alg: string(alg), enc: enc})
			}
		}
		for _, e := range envelopes {
			got := v.Verify(t.Context(), e.seal(good), time.Unix(clock, 0), nobody)
			if verdict(got) != "good" || got.Claims != plain.Claims || got.Key != plain.Key || got.Until != plain.Until || got.KeysVersion != plain.KeysVersion {
				t.Errorf("%+v: %s", e, verdict(got))
			}
		}
	}
	if !plain.Good() {
		t.Errorf("a token that isn't encrypted: %s", verdict(plain))
	}
	unnamed := r.verifier(t, func(o *ProviderOptions) {
		o.DecryptionKeys = mustMake(ParseDecryptionKeys(slices.Concat(inPEM("p-256"), []byte("\n\n"), inPEM("old"))))
	})
	for _, row := range []struct {
		name string
		v    *Verifier
		e    envelope
	}{
		{"no kid", v, envelope{kid: "rsa", alg: "RSA-OAEP-256", header: members{"kid": nil}}},
		{"cty of an access token", v, envelope{header: members{"cty": "at+jwt"}}},
		{"cty as a media type", v, envelope{header: members{"cty": "application/JWT"}}},
		{"iss and aud repeated", v, envelope{header: members{"iss": "https://issuer.test", "aud": "api", "sub": "alice"}}},
		{"a key of another, which means nothing", v, envelope{header: members{"jku": "https://evil.test", "typ": "JWT"}}},
		{"keys without kid", unnamed, envelope{}},
		{"the old one of two", unnamed, envelope{kid: "old", header: members{"kid": "whatever"}}},
		{"the old one of two, no kid", unnamed, envelope{kid: "old", header: members{"kid": nil}}},
	} {
		if got := verdict(row.v.Verify(t.Context(), row.e.seal(good), time.Unix(clock, 0), nobody)); got != "good" {
			t.Errorf("%s: %s", row.name, got)
		}
	}
	result, findings := v.Inspect(t.Context(), rsaEnvelope.seal(good), time.Unix(clock, 0), nil)
	if want := "signed JWT, encrypted by RSA-OAEP-256 and A128GCM, "; verdict(result) != "good" || !strings.HasPrefix(findings[0].Detail, want) {
		t.Errorf("looking closer finds %q, want %q", findings[0].Detail, want)
	}
}

// TestSEC_J3_EncryptedTokens is every encrypted token that is refused.
// Held as well: SEC-J13, SEC-J15, SEC-5.1, SEC-5.2, SEC-5.3, SEC-5.6.
func TestSEC_J3_EncryptedTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t, decrypting("rsa", "p-256", "old"))
	unnamed := r.verifier(t, func(o *ProviderOptions) {
		o.DecryptionKeys = mustMake(ParseDecryptionKeys(inPEM("p-256", "old", "lost")))
	})
	good := string(r.sign(oidctest.Token{}))
	sealed := string(envelope{}.seal(good))
	segments := func(token string) []string { return strings.Split(token, ".") }
	with := func(token string, i int, segment string) RawToken {
		s := segments(token)
		s[i] = segment
		return RawToken(strings.Join(s, "."))
	}
	headed := func(header string) RawToken { return with(sealed, 0, segment(header)) }
	flipped := func(token string, i int) RawToken {
		b := mustMake(base64url.DecodeString(segments(token)[i]))
		b[len(b)/2] ^= 1
		return with(token, i, segment(b))
	}
	cbc, oaep := string(envelope{enc: "A128CBC-HS256"}.seal(good)), string(rsaEnvelope.seal(good))
	wrapped := string(envelope{alg: "ECDH-ES+A256KW"}.seal(good))
	const altered = "token_encrypted: it can't be decrypted: it was altered, or encrypted to another key"
	const lengths = "token_malformed: a part of the encryption hasn't the length that alg and enc give it"
	epk := strings.Replace(string(mustMake(base64url.DecodeString(segments(sealed)[0]))), `"crv":"P-256"`, `"crv":"P-384"`, 1)
	for _, row := range []struct {
		name  string
		token RawToken
		want  string
	}{
		{"to a key that is lost", envelope{kid: "lost"}.seal(good), `token_encrypted: no key to decrypt "ECDH-ES" with kid "lost"`},
		{"to a key that is lost, by the kid of ours", envelope{kid: "lost", header: members{"kid": "p-256"}}.seal(good), altered},
		{"compressed", envelope{zip: true}.seal(strings.Repeat(good, 5)), "token_encrypted: it is compressed (zip), which isn't undone here"},
		{"zip of another kind", headed(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","zip":null}`), "token_encrypted: it is compressed (zip), which isn't undone here"},
		{"PBES2 without end", headed(`{"alg":"PBES2-HS512+A256KW","enc":"A128GCM","cty":"JWT","p2s":"AAAAAAAAAAA","p2c":2147483647}`), `algorithm_not_allowed: tokens encrypted by alg "PBES2-HS512+A256KW" aren't decrypted`},
		{"PBES2 of the least", headed(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","cty":"JWT","p2s":"AAAAAAAAAAA","p2c":1}`), `algorithm_not_allowed: tokens encrypted by alg "PBES2-HS256+A128KW" aren't decrypted`},
		{"a shared secret", headed(`{"alg":"dir","enc":"A128GCM","cty":"JWT"}`), `algorithm_not_allowed: tokens encrypted by alg "dir" aren't decrypted`},
		{"a secret to wrap keys with", headed(`{"alg":"A128KW","enc":"A128GCM","cty":"JWT"}`), `algorithm_not_allowed: tokens encrypted by alg "A128KW" aren't decrypted`},
		{"PKCS #1 1.5", envelope{kid: "rsa", alg: "RSA1_5"}.seal(good), `algorithm_not_allowed: tokens encrypted by alg "RSA1_5" aren't decrypted`},
		{"OAEP with SHA-1", envelope{kid: "rsa", alg: "RSA-OAEP"}.seal(good), `algorithm_not_allowed: tokens encrypted by alg "RSA-OAEP" aren't decrypted`},
		{"no alg", headed(`{"enc":"A128GCM","cty":"JWT"}`), `algorithm_not_allowed: tokens encrypted by alg "" aren't decrypted`},
		{"enc that isn't known", headed(`{"alg":"ECDH-ES","enc":"none","cty":"JWT"}`), `algorithm_not_allowed: tokens encrypted by enc "none" aren't decrypted`},
		{"enc that isn't allowed", envelope{enc: "A192GCM"}.seal(good), `algorithm_not_allowed: tokens encrypted by enc "A192GCM" aren't decrypted`},
		{"no cty", headed(`{"alg":"ECDH-ES","enc":"A128GCM"}`), `token_type_not_allowed: cty "": only signed JWTs are decrypted`},
		{"cty of a key", envelope{header: members{"cty": "jwk+json"}}.seal(good), `token_type_not_allowed: cty "jwk+json": only signed JWTs are decrypted`},
		{"crit", envelope{header: members{"crit": []string{"exp"}}}.seal(good), "critical_header: the header has crit"},
		{"header that isn't an object", headed(`[]`), "token_header_invalid: not a JSON object"},
		{"header with a name twice", headed(`{"alg":"dir","alg":"ECDH-ES"}`), `token_header_invalid: byte 18: repeated member "alg"`},
		{"alg that isn't text", headed(`{"alg":["ECDH-ES"]}`), "token_header_invalid: alg isn't a string"},
		{"alg of another key of ours", envelope{kid: "p-256", header: members{"kid": "rsa"}}.seal(good), `token_encrypted: no key to decrypt "ECDH-ES" with kid "rsa"`},
		{"no kid, and two keys, of which none is right", envelope{kid: "lost", header: members{"kid": nil}}.seal(good), altered},

		{"no epk", headed(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT"}`), altered},
		{"epk on another curve", headed(epk), altered},
		{"epk that isn't one", headed(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","epk":1}`), altered},
		{"jwk that isn't one", headed(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","jwk":1}`), "token_header_invalid: the header of the encryption"},
		{"no encrypted key", with(wrapped, 1, ""), lengths},
		{"no encrypted key, RSA", with(oaep, 1, ""), lengths},
		{"a key where there is none", with(sealed, 1, "AAAA"), lengths},
		{"a short key", with(wrapped, 1, "AAAA"), altered},
		{"a short key, RSA", with(oaep, 1, "AAAA"), altered},
		{"no vector", with(sealed, 2, ""), lengths},
		{"a long vector", with(sealed, 2, segment(make([]byte, 16))), lengths},
		{"no tag", with(sealed, 4, ""), lengths},
		{"a short tag", with(sealed, 4, segment(make([]byte, 12))), lengths},
		{"no ciphertext", with(sealed, 3, ""), altered},
		{"no ciphertext, CBC", with(cbc, 3, ""), altered},
		{"half a block, CBC", with(cbc, 3, "AAAA"), altered},
		{"altered key", flipped(wrapped, 1), altered},
		{"altered key, RSA", flipped(oaep, 1), altered},
		{"altered vector", flipped(sealed, 2), altered},
		{"altered vector, CBC", flipped(cbc, 2), altered},
		{"altered ciphertext", flipped(sealed, 3), altered},
		{"altered ciphertext, CBC", flipped(cbc, 3), altered},
		{"altered tag", flipped(sealed, 4), altered},
		{"another spelling", RawToken(oaep[:len(oaep)-1] + string("BCDEFGHIJKLMNOP"[strings.IndexByte("AQgw", oaep[len(oaep)-1])])), "token_malformed: a segment isn't base64url"},

		{"claims that nobody signed", envelope{}.seal(r.good()), "token_malformed: what is encrypted isn't a signed JWT"},
		{"nothing", envelope{}.seal(""), "token_malformed: what is encrypted isn't a signed JWT"},
		{"encrypted twice", envelope{}.seal(sealed), "token_malformed: what is encrypted isn't a signed JWT"},
		{"JSON serialisation inside", envelope{}.seal(`{"payload":"` + good + `"}`), "token_malformed: what is encrypted isn't a signed JWT"},
		{"signed by nobody", envelope{}.seal(compact(`{"alg":"none"}`, r.good())), `algorithm_not_allowed: alg "none" isn't among`},
		{"crit inside", envelope{}.seal(string(r.headed(members{"crit": []string{"exp"}}))), "critical_header: the header has crit"},
		{"a bad signature inside", envelope{}.seal(string(resigned(RawToken(good), strings.Repeat("A", 86)))), `signature_invalid: under key "ec-1"`},
		{"expired inside", envelope{}.seal(string(r.claiming(members{"exp": clock - 60}))), "token_expired: exp"},
		{"an ID token inside", envelope{}.seal(string(r.claiming(members{"at_hash": "x"}))), "not_an_access_token: it has the claim at_hash"},
		{"iss that isn't the one inside", envelope{header: members{"iss": "https://evil.test"}}.seal(good), "token_header_invalid: iss of the encryption isn't that of the token inside"},
		{"aud that isn't the one inside", envelope{header: members{"aud": []string{"api"}}}.seal(good), "token_header_invalid: aud of the encryption isn't that of the token inside"},
		{"sub that isn't inside", envelope{header: members{"sub": "alice"}}.seal(string(r.claiming(members{"sub": nil}))), "token_header_invalid: sub of the encryption isn't that of the token inside"},
	} {
		if got := verdict(v.Verify(t.Context(), row.token, time.Unix(clock, 0), nobody)); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if got := verdict(r.verify(t, row.token)); got != "token_encrypted" {
			t.Errorf("%s, without keys: %s", row.name, got)
		}
	}
	only := r.verifier(t, func(o *ProviderOptions) {
		o.DecryptionKeys = mustMake(ParseDecryptionKeys([]byte(strings.Replace(inJWK("p-256"), "{", `{"alg":"ECDH-ES",`, 1))))
	})
	if got, want := verdict(only.Verify(t.Context(), RawToken(wrapped), time.Unix(clock, 0), nobody)), `token_encrypted: no key to decrypt "ECDH-ES+A256KW" with kid "p-256"`; got != want {
		t.Errorf("a key for another alg: %s, want %s", got, want)
	}
	if got, want := verdict(unnamed.Verify(t.Context(), envelope{}.seal(good), time.Unix(clock, 0), nobody)), `key_ambiguous: kid "p-256", and more than two keys to decrypt "ECDH-ES"`; got != want {
		t.Errorf("three keys that may fit: %s, want %s", got, want)
	}
}

// A token that is encrypted to the key of one provider isn't another's.
func TestSEC_J3_KeysToDecryptBelongToTheirProvider(t *testing.T) {
	a, b, c, d := newRealm(t, "https://a.test"), newRealm(t, "https://b.test"), newRealm(t, "https://c.test"), newRealm(t, "https://d.test")
	decrypting("p-256")(&a.options)
	decrypting("old", "p-256")(&b.options)
	d.options.DecryptionKeys = mustMake(ParseDecryptionKeys([]byte(strings.Replace(inJWK("p-256"), `"kid":"p-256"`, `"kid":"other"`, 1))))
	v := NewVerifier([]*Provider{mustMake(NewProvider(a.options)), mustMake(NewProvider(b.options)), mustMake(NewProvider(c.options)), mustMake(NewProvider(d.options))}, 16<<10)
	if len(v.decryption) != 3 {
		t.Errorf("%d keys, want three: one is the same", len(v.decryption))
	}
	for _, row := range []struct {
		name string
		of   *realm
		kid  string
		want string
	}{
		{"a's token to a's key", a, "p-256", "good"},
		{"b's token to the key that both have", b, "p-256", "good"},
		{"b's token to b's key", b, "old", "good"},
		{"a's token to b's key", a, "old", "token_encrypted: it is encrypted to a key that isn't for provider corp"},
		{"d's token to its key by the kid of others", d, "p-256", "good"},
		{"c's token, which has no key", c, "p-256", "token_encrypted: it is encrypted to a key that isn't for provider corp"},
	} {
		raw := envelope{kid: row.kid}.seal(string(row.of.sign(oidctest.Token{})))
		if got := verdict(v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if !v.Judges(raw) || v.Judges("opaque") || v.Judges(raw[1:]) {
			t.Errorf("%s: whether it can be judged isn't known", row.name)
		}
	}
	if without := c.verifier(t); without.Judges(envelope{}.seal("")) || !without.Judges(c.sign(oidctest.Token{})) {
		t.Error("without keys, an encrypted token isn't one to judge, and a signed one is")
	}
}

// Where JWTs are asked about, an encrypted one is asked about as it came.
func TestEncryptedTokensAreAskedAboutAsTheyCame(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	d := newDesk(t, func(p *ProviderOptions, _ *IntrospectorOptions) { decrypting("p-256")(p) })
	v := NewVerifier([]*Provider{d.Provider}, 16<<10)
	sealed := envelope{}.seal(string(r.sign(oidctest.Token{})))
	d.answers(alive)
	if got := verdict(v.Verify(t.Context(), sealed, time.Unix(clock, 0), nobody)); got != "good" {
		t.Errorf("a token that the provider knows: %s", got)
	}
	if got := d.idp.Requests(oidctest.Introspection); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

func TestDecryptionKeys(t *testing.T) {
	ec := ourKeys()["p-256"].(*ecdsa.PrivateKey)
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: mustMake(x509.MarshalECPrivateKey(ec))})
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(ourKeys()["rsa"].(*rsa.PrivateKey))})
	for name, good := range map[string][]byte{
		"PKCS 8": inPEM("rsa"), "SEC 1": sec1, "PKCS 1": pkcs1, "several": slices.Concat(inPEM("p-256", "old"), pkcs1), "spaced": []byte("\n\n" + string(sec1) + "\n"),
		"JWK": []byte(inJWK("rsa")), "JWK set": []byte(`{"keys":[` + inJWK("p-384") + `,` + inJWK("p-521") + `]}`),
		"JWK with alg": []byte(strings.Replace(inJWK("rsa"), "{", `{"alg":"RSA-OAEP-256",`, 1)),
	} {
		keys, err := ParseDecryptionKeys(good)
		if err != nil || len(keys) == 0 {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		for _, key := range keys {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
				if got := fmt.Sprintf(verb, key); got != "[decryption key]" {
					t.Errorf("%s: %s shows it as %q", name, verb, got)
				}
			}
		}
	}
	small := mustMake(x509.MarshalPKCS8PrivateKey(mustMake(rsa.GenerateKey(rand.Reader, 1024))))
	p224 := mustMake(x509.MarshalPKCS8PrivateKey(mustMake(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))))
	ed := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	x := func(kid string) string {
		jwk := mustMake(parseObject([]byte(inJWK(kid))))
		text, _ := jwk.Lookup("x").Text()
		return text
	}
	for _, row := range []struct{ name, given, says string }{
		{"nothing", "", "no private key"},
		{"an empty set", `{"keys":[]}`, "no private key"},
		{"text", "-----BEGIN " + canary, "not a PEM private key"},
		{"a public key", block("PUBLIC KEY", mustMake(x509.MarshalPKIXPublicKey(ec.Public()))), "not a PEM private key"},
		{"a broken key", block("PRIVATE KEY", []byte(canary)), "not a PEM private key"},
		{"a key and text", string(inPEM("p-256")) + canary, "not a PEM private key"},
		{"a small key", block("PRIVATE KEY", small), "RSA with 1024 bits isn't between 2048 and 4096"},
		{"another curve", block("PRIVATE KEY", p224), "on none of P-256, P-384 and P-521"},
		{"a key to sign", block("PRIVATE KEY", mustMake(x509.MarshalPKCS8PrivateKey(ed))), "not a private key of RSA or of an elliptic curve"},
		{"not JSON", "{" + canary, "not a JWK"},
		{"a secret", `{"kty":"oct","k":"` + canary + `"}`, "not a private key of RSA or of an elliptic curve"},
		{"a public JWK", strings.Replace(inJWK("p-256"), `"d":`, `"x-d":`, 1), "not a private key of RSA or of an elliptic curve"},
		{"no kind", `{"kty":"` + canary + `"}`, "key 0: not a private key"},
		{"a key to sign, as JWK", strings.Replace(inJWK("p-256"), `"enc"`, `"sig"`, 1), `use is "sig", not enc`},
		{"a kid that isn't text", strings.Replace(inJWK("p-256"), `"kid":"p-256"`, `"kid":1`, 1), "kid isn't a string"},
		{"an alg that isn't decrypted", strings.Replace(inJWK("rsa"), "{", `{"alg":"RSA1_5",`, 1), `alg "RSA1_5" isn't one`},
		{"an alg of other keys", strings.Replace(inJWK("rsa"), "{", `{"alg":"ECDH-ES",`, 1), `alg "ECDH-ES" isn't one`},
		{"halves that don't fit", strings.Replace(strings.Replace(inJWK("p-256"), x("p-256"), x("old"), 1), "zzz", "", 1), "key 0: "},
		{"too much", strings.Repeat(" ", 1) + "{" + strings.Repeat(" ", maxDecryptionKeys) + "}", "over 65536 bytes"},
	} {
		keys, err := ParseDecryptionKeys([]byte(row.given))
		if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %d keys, %v, want an error that says %q", row.name, len(keys), err, row.says)
		}
	}
	mixed := *ec
	mixed.PublicKey = *ourKeys()["old"].Public().(*ecdsa.PublicKey)
	_, err := newDecryptionKey("", "", &mixed)
	wantError(t, err, "the parts of the key don't belong together")
	broken := *ourKeys()["rsa"].(*rsa.PrivateKey)
	broken.D = broken.N
	broken.Precomputed = rsa.PrecomputedValues{}
	_, err = newDecryptionKey("", "", &broken)
	wantError(t, err, "the parts of the RSA key don't belong together")
	// Whoever sends us tokens chooses how often it is used.
	_, err = newDecryptionKey("", "", &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 4096), E: 65537}})
	wantError(t, err, "RSA with 4097 bits isn't between 2048 and 4096")
}

// FuzzJWE alters encrypted tokens. Anybody may encrypt, so any may be good; but none
// that says what was never signed.
func FuzzJWE(f *testing.F) {
	z := newFuzzed(f)
	private := mustMake(ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{9}, 32)))
	key := mustMake(newDecryptionKey("", "", private))
	for p := range z.verifier.Providers() {
		p.options.DecryptionKeys = []*DecryptionKey{key}
		z.verifier.decryption = p.options.DecryptionKeys
	}
	inner := z.signEd([]byte(`{"alg":"EdDSA","kid":"ed-1"}`), []byte(fuzzedClaims[0]))
	claims := mustMake(parseObject([]byte(fuzzedClaims[0])))
	for _, alg := range keyEncryption[1:] {
		for _, enc := range everyEnc {
			options := (&jose.EncrypterOptions{}).WithContentType("JWT")
			object := mustMake(mustMake(jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{Algorithm: alg, Key: private.Public()}, options)).Encrypt([]byte(inner)))
			token := mustMake(object.CompactSerialize())
			if got := z.judge(f, token, clock*1000); !got.Good() {
				f.Fatalf("%s: %s", token, verdict(got))
			}
			f.Add(token)
		}
	}
	f.Add("a.b.c.d.e")
	f.Add(segment(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","cty":"JWT","p2c":2147483647}`) + "....")
	f.Fuzz(func(t *testing.T, token string) {
		if got := z.judge(t, token, clock*1000); got.Good() && got.Claims != claims {
			t.Fatalf("%s is good, and says what was never signed", token)
		}
	})
}

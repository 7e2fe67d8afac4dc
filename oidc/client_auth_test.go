package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// pemOf writes a private key as PKCS #8.
func pemOf(key crypto.PrivateKey) string {
	return block("PRIVATE KEY", mustMake(x509.MarshalPKCS8PrivateKey(key)))
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// as edits a desk to ask as o says.
func as(o ClientAuthOptions) func(*ProviderOptions, *IntrospectorOptions) {
	return func(_ *ProviderOptions, i *IntrospectorOptions) { i.Auth = mustMake(NewClientAuth(o)) }
}

// TestClientAuthentication proves who asks in each way, to an endpoint that checks.
func TestClientAuthentication(t *testing.T) {
	ec := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	other := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	rsaKey := mustMake(rsa.GenerateKey(rand.Reader, 2048))
	const text, long = "s:e+c r%t", "a secret of thirty-two bytes: 01"
	for _, row := range []struct {
		name string
		o    ClientAuthOptions
		want string
	}{
		{"basic", ClientAuthOptions{ID: "credence", Secret: secret(text)}, "good"},
		{"post", ClientAuthOptions{ID: "credence", Method: ClientSecretPost, Secret: secret(text)}, "good"},
		{"a code made of the secret", ClientAuthOptions{ID: "shared", Method: ClientSecretJWT, Secret: secret(long), Audience: "https://issuer.test"}, "good"},
		{"a code made of another", ClientAuthOptions{ID: "shared", Method: ClientSecretJWT, Secret: secret(long + "x"), Audience: "https://issuer.test"}, "status 401"},
		{"a code meant for another", ClientAuthOptions{ID: "shared", Method: ClientSecretJWT, Secret: secret(long), Audience: "https://other.test"}, "status 401"},
		{"a code where there is a key", ClientAuthOptions{ID: "ec", Method: ClientSecretJWT, Secret: secret(long), Audience: "https://issuer.test"}, "status 401"},
		{"a secret too short for a code", ClientAuthOptions{ID: "shared", Method: ClientSecretJWT, Secret: secret(long[1:]), Audience: "https://issuer.test"}, "has 31 bytes, and client_secret_jwt needs 32 or more"},
		{"a wrong secret", ClientAuthOptions{ID: "credence", Secret: secret("x")}, "status 401: it doesn't take our client credentials"},
		{"a wrong secret, posted", ClientAuthOptions{ID: "credence", Method: ClientSecretPost, Secret: secret("x")}, "status 401"},
		{"an unknown client", ClientAuthOptions{ID: "nobody", Secret: secret(text)}, "status 401"},
		{"a key on P-256", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(pemOf(ec)), KeyID: "1", Audience: "https://issuer.test"}, "good"},
		{"a key on P-256 in SEC 1", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(block("EC PRIVATE KEY", mustMake(x509.MarshalECPrivateKey(ec)))), Audience: "https://issuer.test"}, "good"},
		{"an RSA key", ClientAuthOptions{ID: "rsa", Method: PrivateKeyJWT, Secret: secret(pemOf(rsaKey)), Audience: "https://issuer.test"}, "good"},
		{"an RSA key in PKCS #1", ClientAuthOptions{ID: "rsa", Method: PrivateKeyJWT, Secret: secret(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))), Audience: "https://issuer.test"}, "good"},
		{"another key", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(pemOf(other)), Audience: "https://issuer.test"}, "status 401"},
		{"another client's key", ClientAuthOptions{ID: "rsa", Method: PrivateKeyJWT, Secret: secret(pemOf(ec)), Audience: "https://issuer.test"}, "status 401"},
		{"meant for another", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(pemOf(ec)), Audience: "https://other.test"}, "status 401"},
		{"no key", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(text), Audience: "https://issuer.test"}, "holds no PEM private key"},
		{"a certificate", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(block("CERTIFICATE", []byte("x"))), Audience: "https://issuer.test"}, "holds no PEM private key"},
		{"a broken key", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(block("PRIVATE KEY", []byte(text))), Audience: "https://issuer.test"}, "holds no PEM private key"},
		{"a key on P-384", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(pemOf(mustMake(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))), Audience: "https://issuer.test"}, "neither on P-256 nor RSA of 2048 bits"},
		{"a key for EdDSA", ClientAuthOptions{ID: "ec", Method: PrivateKeyJWT, Secret: secret(pemOf(ed25519.NewKeyFromSeed(make([]byte, 32)))), Audience: "https://issuer.test"}, "neither on P-256 nor RSA of 2048 bits"},
	} {
		if err := mustMake(NewClientAuth(row.o)).Check(); (err != nil) != (row.want != "good" && !strings.HasPrefix(row.want, "status")) {
			t.Errorf("%s: Check says %v", row.name, err)
		}
		d := newDesk(t, as(row.o))
		d.idp.AddKeyClient("ec", ec.Public())
		d.idp.AddClient("shared", long, oidctest.Token{})
		d.idp.AddKeyClient("rsa", rsaKey.Public())
		token := d.idp.IssueOpaque(oidctest.Token{})
		for range 2 { // a statement is good once, so each question has its own
			got := verdict(d.Introspect(t.Context(), RawToken(token), time.Now(), nobody))
			if !strings.Contains(got, row.want) || strings.Contains(got, text) || strings.Contains(got, long) || strings.Contains(got, "PRIVATE KEY") {
				t.Errorf("%s: %s, want %s", row.name, got, row.want)
			}
		}
	}
}

// TestSecretIsReplaced: the next question has the new one.
func TestSecretIsReplaced(t *testing.T) {
	now := "old"
	d := newDesk(t, as(ClientAuthOptions{ID: "credence", Secret: func() (string, error) { return now, nil }}))
	ask := func() string { return verdict(d.ask(t, "x")) }
	d.idp.AddClient("credence", "old", oidctest.Token{})
	if got := ask(); got != "token_inactive" {
		t.Errorf("got %s", got)
	}
	d.idp.AddClient("credence", "new", oidctest.Token{})
	if got := ask(); !strings.Contains(got, "status 401") {
		t.Errorf("got %s", got)
	}
	now = "new"
	if got := ask(); got != "token_inactive" {
		t.Errorf("got %s", got)
	}
}

// TestStatement reads what is sent as RFC 7523, 3 asks for it.
func TestStatement(t *testing.T) {
	ec := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Method: PrivateKeyJWT, Secret: secret(pemOf(ec)), KeyID: "k1", Audience: "https://issuer.test"}))
	seen := map[string]bool{}
	for range 3 {
		form, header := url.Values{}, http.Header{}
		if err := auth.prove(header, form); err != nil {
			t.Fatal(err)
		}
		if form.Get("client_id") != "credence" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || len(header) > 0 || form.Has("client_secret") {
			t.Errorf("got %v, %v", form, header)
		}
		jws := mustMake(jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256}))
		payload, err := jws.Verify(ec.Public())
		if err != nil {
			t.Fatal(err)
		}
		claims := mustMake(parseObject(payload))
		text := func(name string) string { s, _ := claims.Lookup(name).Text(); return s }
		iat, _ := claims.Lookup("iat").Int()
		exp, _ := claims.Lookup("exp").Int()
		if text("iss") != "credence" || text("sub") != "credence" || text("aud") != "https://issuer.test" || exp-iat != 60 || seen[text("jti")] {
			t.Errorf("got %s", payload)
		}
		if jws.Signatures[0].Header.KeyID != "k1" {
			t.Errorf("got kid %q", jws.Signatures[0].Header.KeyID)
		}
		seen[text("jti")] = true
	}
}

// TestNothingButTheNameIsSentBesideACertificate, which the connection shows (RFC 8705, 2).
func TestNothingButTheNameIsSentBesideACertificate(t *testing.T) {
	auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Method: TLSClientAuth}))
	form, header := url.Values{}, http.Header{}
	if err := auth.prove(header, form); err != nil || form.Encode() != "client_id=credence" || len(header) > 0 {
		t.Errorf("got %v, %v, %v", form, header, err)
	}
}

func TestClientAuthOptionsAreChecked(t *testing.T) {
	for says, o := range map[string]ClientAuthOptions{
		"client id is missing":                {Secret: secret("s")},
		"client secret is missing":            {ID: "credence"},
		"client authentication 9 isn't known": {ID: "credence", Secret: secret("s"), Method: 9},
		"needs an audience":                   {ID: "credence", Secret: secret("s"), Method: PrivateKeyJWT},
		"none needs no secret":                {ID: "credence", Secret: secret("s"), Method: PublicClient},
		"tls_client_auth needs no secret":     {ID: "credence", Secret: secret("s"), Method: TLSClientAuth},
		"a signed statement needs an":         {ID: "credence", Secret: secret("s"), Method: ClientSecretJWT},
	} {
		_, err := NewClientAuth(o)
		wantError(t, err, says)
	}
}

// TestSEC_T5_PublicClientsDontAsk about tokens: anybody could in their name (RFC 7662, 2.1).
func TestSEC_T5_PublicClientsDontAsk(t *testing.T) {
	auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Method: PublicClient}))
	if err := auth.Check(); err != nil {
		t.Errorf("nothing to prove: %v", err)
	}
	_, err := NewIntrospector(IntrospectorOptions{URL: "https://issuer.test/introspect", Auth: auth})
	wantError(t, err, "introspection needs client credentials")
}

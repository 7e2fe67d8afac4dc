package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// startProvider runs a provider.
func startProvider(t *testing.T) *oidctest.Provider {
	t.Helper()
	p := oidctest.New(oidctest.Options{})
	if err := p.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// writeFile makes a file in a folder of the test's own, and gives its path.
func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readConfig gives a configuration of these providers, and of rules for their tokens.
func readConfig(t *testing.T, text string) *config.File {
	t.Helper()
	file, err := loadConfig(writeFile(t, "credence.yaml", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs what a configuration says, until it is ready or could have been.
func start(t *testing.T, text string) *authorizer {
	t.Helper()
	file := readConfig(t, text)
	a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	a.run(t.Context())
	pending := func() bool {
		return a.providers[0].keys.Stats().Fetches == 0 || strings.Contains(strings.Join(a.unready(true), " "), "wasn't discovered yet")
	}
	const patience = time.Minute
	for end := time.Now().Add(patience); !a.ready(true) && pending(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %v", patience, a.unready(true))
		}
	}
	return a
}

// asks decides on a token.
func (a *authorizer) asks(t *testing.T, token string) authz.Decision {
	t.Helper()
	return a.engine.Decide(t.Context(), &authz.Request{
		Method: "GET", Scheme: "https", Host: "api.example.com", Target: "/", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}},
	})
}

// privatePEM makes a private key.
func privatePEM(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestT11_DecryptionKeysThatTokensCantTellApart are doubtful, and too many of them an
// error, whichever providers have them.
func TestT11_DecryptionKeysThatTokensCantTellApart(t *testing.T) {
	one, other, third := privatePEM(t), privatePEM(t), privatePEM(t)
	const says = `a token encrypted by ECDH-ES may be meant for 3 keys`
	for _, row := range []struct {
		name          string
		first, second []byte
		doubt, err    string
	}{
		{"one each, the same", one, one, "", ""},
		{"one each", one, other, "2 keys for ECDH-ES+A256KW have no kid", ""},
		{"two and one of them", bytes.Join([][]byte{one, other}, nil), other, "2 keys for ECDH-ES+A256KW have no kid", ""},
		{"three", bytes.Join([][]byte{one, other}, nil), third, "", says},
		{"two and a named one", bytes.Join([][]byte{one, other}, nil), namedKey("a"), "", says},
		{"named ones", namedKey("a"), namedKey("b"), "", ""},
		{"not a key", one, []byte("canary"), "", "decryption_keys[0]: keys to decrypt tokens: not a PEM private key"},
		{"nothing", one, []byte("\n"), "", "it is empty"},
	} {
		var said bytes.Buffer
		file := readConfig(t, fmt.Sprintf(`
providers:
  - {name: corp, issuer: https://1.example.com, audiences: [api], decryption_keys: [{file: %s}]}
  - {name: partner, issuer: https://2.example.com, audiences: [api], decryption_keys: [{file: %s}]}
rules: [{name: all, bearer: {providers: [corp, partner]}}]
`, writeFile(t, "first.pem", row.first), writeFile(t, "second.pem", row.second)))
		a, err := buildAuthorizer(file, nil, slog.New(slog.NewTextHandler(&said, nil)))
		if err == nil {
			a.close()
		}
		if (err != nil) != (row.err != "") || err != nil && (!strings.Contains(err.Error(), row.err) || exitStatus(err) != 2 || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.err)
		}
		if got := said.String(); !strings.Contains(got, row.doubt) || (got == "") != (row.doubt == "") {
			t.Errorf("%s: got log %q, want %q", row.name, got, row.doubt)
		}
	}
}

// namedKey is a private key on P-256 with a kid (RFC 7517, appendix A.2).
func namedKey(kid string) []byte {
	return fmt.Appendf(nil, `{"kty":"EC","crv":"P-256","use":"enc","kid":%q,"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`, kid)
}

// encrypt makes an encrypted token of a signed one, to the key that namedKey calls ours.
func encrypt(t *testing.T, signed string) string {
	t.Helper()
	var ours jose.JSONWebKey
	if err := ours.UnmarshalJSON(namedKey("ours")); err != nil {
		t.Fatal(err)
	}
	public := ours.Public()
	e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: &public}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	object, err := e.Encrypt([]byte(signed))
	if err != nil {
		t.Fatal(err)
	}
	token, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestT11_EncryptedTokensAreJudgedHere, and nobody is asked about them, where there is a
// key. Without one, the provider may know them.
func TestT11_EncryptedTokensAreJudgedHere(t *testing.T) {
	provider := startProvider(t)
	provider.AddClient("credence", "secret", oidctest.Token{})
	secret, ours := writeFile(t, "secret", []byte("secret")), writeFile(t, "ours.jwk", namedKey("ours"))
	for _, row := range []struct {
		keys  string
		want  audit.Reason
		asked int
	}{
		{fmt.Sprintf("decryption_keys: [{file: %s}]", ours), audit.Allowed, 0},
		{"", audit.TokenInactive, 1},
	} {
		a := start(t, fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [api]
    tokens: auto
    introspection: {client_id: credence, client_secret: {file: %s}}
    %s
rules: [{name: all, bearer: {providers: [corp]}}]
`, provider.Issuer(), secret, row.keys))
		before := provider.Requests(oidctest.Introspection)
		token := encrypt(t, provider.Sign(oidctest.Token{}))
		for range 2 {
			if d := a.asks(t, token); d.Reason != row.want {
				t.Errorf("%q: got %v %s, want %v", row.keys, d.Reason, d.Detail, row.want)
			}
		}
		if got := provider.Requests(oidctest.Introspection) - before; got != row.asked {
			t.Errorf("%q: asked %d times, want %d", row.keys, got, row.asked)
		}
	}
}

// TestT9_SignedAnswers are the only ones that are believed, with the keys and
// algorithms of the provider, by the client that asks.
func TestT9_SignedAnswers(t *testing.T) {
	provider := startProvider(t)
	provider.AddClient("credence", "secret", oidctest.Token{})
	a := start(t, fmt.Sprintf(`
providers:
  - name: corp
    issuer: %s
    audiences: [api]
    algorithms: [ES256]
    tokens: introspection
    introspection: {client_id: credence, client_secret: {file: %s}, signed_answers: true}
rules: [{name: all, bearer: {providers: [corp]}}]
`, provider.Issuer(), writeFile(t, "secret", []byte("secret"))))
	answers := func(kid, audience string) {
		said := map[string]any{"active": true, "sub": "alice", "aud": "api", "exp": time.Now().Add(time.Hour).Unix()}
		claims, err := json.Marshal(map[string]any{"iss": provider.Issuer(), "aud": audience, "iat": time.Now().Unix(), "token_introspection": said})
		if err != nil {
			t.Fatal(err)
		}
		provider.Break(oidctest.Introspection, oidctest.Fault{ContentType: "application/token-introspection+jwt", Body: provider.Sign(oidctest.Token{
			KeyID: kid, Header: map[string]any{"typ": "token-introspection+jwt"}, RawClaims: string(claims),
		})})
	}
	for _, row := range []struct {
		name, kid, audience string
		want                audit.Reason
	}{
		{"not signed", "", "", audit.IntrospectionUnavailable},
		{"signed", "ec-1", "credence", audit.Allowed},
		{"by another algorithm", "rsa-1", "credence", audit.IntrospectionUnavailable},
		{"for another client", "ec-1", "other", audit.IntrospectionUnavailable},
	} {
		if row.kid != "" {
			answers(row.kid, row.audience)
		}
		if d := a.asks(t, provider.IssueOpaque(oidctest.Token{})); d.Reason != row.want {
			t.Errorf("%s: got %v %s, want %v", row.name, d.Reason, d.Detail, row.want)
		}
	}
}

// TestOtherAudiences of ID tokens are those of the client.
func TestOtherAudiences(t *testing.T) {
	provider := startProvider(t)
	const callback, verifier, nonce = "https://app.example.com/.credence/callback", "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	provider.AddLoginClient(oidctest.LoginClient{
		ID: "web", AuthMethod: "none", RedirectURIs: []string{callback}, IDTokenClaims: map[string]any{"aud": []string{"web", "project"}, "azp": "web"},
	})
	for others, want := range map[string]string{"[project]": "", "[other]": "audience"} {
		a := start(t, fmt.Sprintf(`
providers: [{name: corp, issuer: %s}]
clients: [{name: web, provider: corp, client_id: web, authentication: none, redirect_uri: %s, other_audiences: %s}]
session: {store: memory}
rules: [{name: all, login: web}]
`, provider.Issuer(), callback, others))
		party := a.parties[0]
		address, refusal := party.AuthorizationURL(oidc.Attempt{State: "st", Nonce: nonce, Verifier: verifier})
		if refusal != nil {
			t.Fatal(refusal)
		}
		back, err := provider.Login(t.Context(), nil, address, "alice")
		if err != nil {
			t.Fatal(err)
		}
		_, refusal = party.Redeem(t.Context(), back.Values().Get("code"), verifier, nonce, netip.Addr{})
		if (refusal == nil) != (want == "") || refusal != nil && !strings.Contains(refusal.Error(), want) {
			t.Errorf("%s: got %v, want %q", others, refusal, want)
		}
	}
}

// TestRecheckIsConfigured: one in so many, or none.
func TestRecheckIsConfigured(t *testing.T) {
	provider := startProvider(t)
	for audited, want := range map[string]bool{"": true, "audit: {recheck: 1}": true, "audit: {recheck: 0}": false} {
		a := start(t, fmt.Sprintf("providers: [{name: corp, issuer: %s, audiences: [api]}]\nrules: [{name: all, bearer: {providers: [corp]}}]\n%s\n", provider.Issuer(), audited))
		token := provider.Sign(oidctest.Token{})
		for range 10 {
			if d := a.asks(t, token); !d.Allow {
				t.Errorf("got %v %s", d.Reason, d.Detail)
			}
		}
		if got := a.recheck != nil; got != want {
			t.Errorf("%q: got %t, want %t", audited, got, want)
		}
		if audited != "audit: {recheck: 1}" {
			continue
		}
		const patience = time.Minute
		for end := time.Now().Add(patience); a.recheck.Rechecks() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("nothing was verified again in %s", patience)
			}
		}
		if a.recheck.FalseAllows() != 0 {
			t.Error("a false allow")
		}
	}
}

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// startAPI runs an authorizer of bearer tokens, with more in its configuration.
func startAPI(t *testing.T, provider *oidctest.Provider, more string) *authorizer {
	t.Helper()
	return start(t, fmt.Sprintf("providers: [{name: corp, issuer: %s, audiences: [api]}]\nrules: [{name: all, bearer: {providers: [corp]}}]\n%s\n", provider.Issuer(), more))
}

// holder is a client with a key, and a token that is bound to it.
type holder struct {
	keys  *oidctest.Provider
	token string
}

func newHolder(t *testing.T, provider *oidctest.Provider) *holder {
	t.Helper()
	h := &holder{keys: oidctest.New(oidctest.Options{Issuer: "https://client.test"})}
	t.Cleanup(h.keys.Close)
	var jwk map[string]string
	if err := json.Unmarshal([]byte(h.keys.JWK("ec-1")), &jwk); err != nil {
		t.Fatal(err)
	}
	// RFC 7638, 3.2: the required members, in order, without blanks.
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + jwk["x"] + `","y":"` + jwk["y"] + `"}`))
	h.token = provider.Sign(oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": base64.RawURLEncoding.EncodeToString(sum[:])}}})
	return h
}

// asks presents the token with a proof, made so long ago and with a nonce or none, for
// a host.
func (h *holder) asks(t *testing.T, a *authorizer, host string, age time.Duration, nonce string) authz.Decision {
	t.Helper()
	ath := sha256.Sum256([]byte(h.token))
	claims := map[string]any{
		"htm": "GET", "htu": "https://" + host + "/", "iat": time.Now().Add(-age).Unix(), "ath": base64.RawURLEncoding.EncodeToString(ath[:]), "jti": rand.Text(),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	proof := h.keys.Sign(oidctest.Token{KeyID: "ec-1", RawClaims: string(text), Header: map[string]any{"typ": "dpop+jwt", "kid": nil, "jwk": json.RawMessage(h.keys.JWK("ec-1"))}})
	return a.engine.Decide(t.Context(), &authz.Request{
		Method: "GET", Scheme: "https", Host: host, Target: "/",
		Headers: []authz.Header{{Name: "authorization", Value: "DPoP " + h.token}, {Name: "dpop", Value: proof}},
	})
}

func TestProofsAreConfigured(t *testing.T) {
	provider := startProvider(t)
	h := newHolder(t, provider)
	for _, row := range []struct {
		dpop, host string
		age        time.Duration // of the proof
		want       audit.Reason
	}{
		{"", "api.example.com", 0, audit.ConstraintUnproven},
		{"dpop: {origins: [https://api.example.com]}", "api.example.com", 0, audit.Allowed},
		{"dpop: {origins: [https://api.example.com]}", "other.example.com", 0, audit.DPoPProofInvalid},
		{"dpop: {origins: [https://api.example.com, https://other.example.com]}", "other.example.com", 0, audit.Allowed},
		{"dpop: {origins: [https://api.example.com]}", "api.example.com", 80 * time.Second, audit.Allowed}, // a minute, and the clocks' difference
		{"dpop: {origins: [https://api.example.com]}", "api.example.com", 100 * time.Second, audit.DPoPProofInvalid},
		{"dpop: {origins: [https://api.example.com]}", "api.example.com", -20 * time.Second, audit.Allowed},
		{"dpop: {origins: [https://api.example.com], max_age: 10s}", "api.example.com", 50 * time.Second, audit.DPoPProofInvalid},
		{"dpop: {origins: [https://api.example.com], max_age: 5m}", "api.example.com", 5 * time.Minute, audit.Allowed},
	} {
		if d := h.asks(t, startAPI(t, provider, row.dpop), row.host, row.age, ""); d.Reason != row.want {
			t.Errorf("%q, proof for %s of %v ago: got %v %s, want %v", row.dpop, row.host, row.age, d.Reason, d.Detail, row.want)
		}
	}
}

// TestNonceKeysAreConfigured: the first makes nonces, any is believed, by each replica
// that has it.
func TestNonceKeysAreConfigured(t *testing.T) {
	provider := startProvider(t)
	h := newHolder(t, provider)
	old, next := newKey(t), newKey(t)
	api := func(keys ...string) *authorizer {
		return startAPI(t, provider, fmt.Sprintf("dpop: {origins: [https://api.example.com], nonce_keys: [{file: %s}]}", strings.Join(keys, "}, {file: ")))
	}
	nonceOf := func(a *authorizer) string {
		d := h.asks(t, a, "api.example.com", 0, "")
		if d.Reason != audit.DPoPNonceRequired {
			t.Fatalf("got %v %s", d.Reason, d.Detail)
		}
		i := slices.IndexFunc(d.Denial.Headers, func(h authz.Header) bool { return h.Name == "dpop-nonce" })
		return d.Denial.Headers[i].Value
	}
	for _, row := range []struct {
		name      string
		made, got *authorizer
		want      audit.Reason
	}{
		{"of a replica", api(old), api(old), audit.Allowed},
		{"of before", api(old), api(next, old), audit.Allowed},
		{"of the first key", api(next, old), api(next), audit.Allowed},
		{"not of the second", api(next, old), api(old), audit.DPoPNonceRequired},
		{"of another key", api(old), api(next), audit.DPoPNonceRequired},
	} {
		if d := h.asks(t, row.got, "api.example.com", 0, nonceOf(row.made)); d.Reason != row.want {
			t.Errorf("%s: got %v %s, want %v", row.name, d.Reason, d.Detail, row.want)
		}
	}
}

// TestNonceKeysThatArent are an error that shows nothing of them.
func TestNonceKeysThatArent(t *testing.T) {
	for text, says := range map[string]string{
		"canary!canary!": "a character isn't of base64", "Y2FuYXJ5": "it has 6 bytes", "": "it is empty",
	} {
		file := readConfig(t, fmt.Sprintf(`
providers: [{name: corp, issuer: https://login.example.com, audiences: [api]}]
rules: [{name: all, bearer: {providers: [corp]}}]
dpop: {origins: [https://api.example.com], nonce_keys: [{file: %s}, {file: %s}]}
`, newKey(t), writeFile(t, "nonce-key", []byte(text))))
		_, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
		if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "nonce_keys[1]") || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: got %v, want %q", text, err, says)
		}
	}
}

// TestCertificatesAreBelieved only of callers that are known: anybody could claim to
// have seen one.
func TestCertificatesAreBelieved(t *testing.T) {
	provider := startProvider(t)
	pair, _, _ := issue(t, "client", nil)
	sum := sha256.Sum256(pair.Certificate[0])
	token := provider.Sign(oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}}})
	seen := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	for _, row := range []struct {
		listen, certificate string
		want                audit.Reason
	}{
		{"", seen, audit.Allowed},
		{"", "", audit.CertificateMismatch},
		{"listen: {check: {address: 127.0.0.1:9001, insecure_allow_any_caller: true}}", seen, audit.CertificateMismatch},
	} {
		a := startAPI(t, provider, row.listen)
		d := a.engine.Decide(t.Context(), &authz.Request{
			Method: "GET", Scheme: "https", Host: "api.example.com", Target: "/", Certificate: row.certificate,
			Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}},
		})
		if d.Reason != row.want {
			t.Errorf("%q, certificate of %d bytes: got %v %s, want %v", row.listen, len(row.certificate), d.Reason, d.Detail, row.want)
		}
	}
}

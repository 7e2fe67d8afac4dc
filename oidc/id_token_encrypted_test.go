package oidc

import (
	"strings"
	"testing"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// opening gives a relying party these keys of ours, by their kids.
func opening(o *RelyingPartyOptions, kids ...string) {
	var p ProviderOptions
	decrypting(kids...)(&p)
	o.DecryptionKeys = p.DecryptionKeys
}

// sealing is a client whose ID tokens are encrypted so.
func sealing(e envelope) oidctest.LoginClient {
	return oidctest.LoginClient{Secret: "s:e+c r%t", EncryptIDToken: func(signed string) string { return string(e.seal(signed)) }}
}

// TestT11_EncryptedIDTokens log people in, renew sessions, and what was signed is the
// hint at a logout, which needs no key of ours any more.
func TestT11_EncryptedIDTokens(t *testing.T) {
	for _, row := range []struct {
		name string
		e    envelope
	}{
		{"to an elliptic curve", envelope{}},
		{"to RSA, by the content encryption that is the default", envelope{kid: "rsa", alg: "RSA-OAEP-256", enc: "A128CBC-HS256"}},
		{"with a wrapped key", envelope{alg: "ECDH-ES+A256KW", enc: "A256GCM"}},
		{"without kid", envelope{header: members{"kid": nil}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newFlow(t, sealing(row.e), func(o *RelyingPartyOptions) { opening(o, "rsa", "p-256") })
			g := r.enter(t, "alice")
			if !g.IDToken.IsJWT() || g.Subject != "alice" {
				t.Errorf("got %v", g.Identity)
			}
			renewed, refusal := r.Refresh(t.Context(), g)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if !renewed.IDToken.IsJWT() || renewed.IDToken == g.IDToken || renewed.Identity != g.Identity {
				t.Errorf("renewed: %v", renewed.Identity)
			}
			address, _ := r.EndSessionURL(renewed.IDToken, "https://app.test/.credence/signed-out", "out")
			if back, err := r.idp.Logout(t.Context(), nil, address); err != nil || back.Values().Get("state") != "out" {
				t.Errorf("logged out to %v: %v", back, err)
			}
		})
	}
}

// TestT11_EncryptedIDTokensAreJudged as others are: whoever has our public key
// could have encrypted them.
func TestT11_EncryptedIDTokensAreJudged(t *testing.T) {
	type m map[string]any
	inside := func(claims, header m) func(*reception) string {
		return func(r *reception) string { return string(envelope{}.seal(r.idToken(claims, header))) }
	}
	in := func(e envelope) func(*reception) string {
		return func(r *reception) string { return string(e.seal(r.idToken(nil, nil))) }
	}
	const bad = "id_token_invalid: "
	for _, row := range []struct {
		name  string
		keys  []string
		token func(*reception) string
		want  string
	}{
		{"good", []string{"p-256"}, inside(nil, nil), "good"},
		{"not encrypted", []string{"p-256"}, func(r *reception) string { return r.idToken(nil, nil) }, "good"},
		{"no keys", nil, inside(nil, nil), bad + "token_encrypted"},
		{"another key", []string{"old"}, inside(nil, nil), bad + "token_encrypted: no key to decrypt"},
		{"a key that was lost", []string{"p-256"}, in(envelope{kid: "lost", header: members{"kid": "p-256"}}), bad + "token_encrypted: it can't be decrypted"},
		{"compressed", []string{"p-256"}, in(envelope{zip: true}), bad + "token_encrypted: it is compressed"},
		{"an algorithm that tells", []string{"rsa"}, in(envelope{kid: "rsa", alg: "RSA-OAEP"}), bad + "algorithm_not_allowed"},
		{"only encrypted", []string{"p-256"}, func(*reception) string { return string(envelope{}.seal(`{"iss":"https://issuer.test","sub":"alice"}`)) }, bad + "token_malformed: what is encrypted isn't a signed JWT"},
		{"encrypted twice", []string{"p-256"}, func(r *reception) string { return string(envelope{}.seal(in(envelope{})(r))) }, bad + "token_malformed: what is encrypted isn't a signed JWT"},
		{"another signature", []string{"p-256"}, func(r *reception) string {
			return string(envelope{}.seal(string(resigned(RawToken(r.idToken(nil, nil)), "AAAA"))))
		}, bad + "signature_invalid"},
		{"unsigned", []string{"p-256"}, func(r *reception) string {
			return string(envelope{}.seal(r.idp.Sign(oidctest.Token{Alg: "none", Header: m{"typ": "JWT"}, Claims: m{"aud": "web", "nonce": nonce}})))
		}, bad + "algorithm_not_allowed"},
		{"another issuer", []string{"p-256"}, inside(m{"iss": "https://evil.test"}, nil), bad + "issuer_unknown"},
		{"for another", []string{"p-256"}, inside(m{"aud": "other"}, nil), bad + "audience_mismatch"},
		{"another nonce", []string{"p-256"}, inside(m{"nonce": "nonce-2"}, nil), bad + "token_claims_invalid: nonce"},
		{"another at_hash", []string{"p-256"}, inside(m{"at_hash": "x"}, nil), bad + "token_claims_invalid: at_hash"},
		{"an access token", []string{"p-256"}, inside(nil, m{"typ": "at+jwt"}), bad + "token_type_not_allowed"},
		{"a header that says another issuer", []string{"p-256"}, in(envelope{header: members{"iss": "https://evil.test"}}), bad + "token_header_invalid: iss of the encryption"},
	} {
		r := newReception(t, func(_ *reception, o *RelyingPartyOptions) {
			if row.keys != nil {
				opening(o, row.keys...)
			}
		})
		r.answer("/token", r.tokensWith(row.token(r), nil))
		g, refusal := r.login(t)
		if got := outcome(t, refusal); !strings.HasPrefix(got, row.want) || refusal == nil && !g.IDToken.IsJWT() {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// TestKeysThatIDTokensCantTellApart are an error when the client is made.
func TestKeysThatIDTokensCantTellApart(t *testing.T) {
	_, err := NewRelyingParty(RelyingPartyOptions{
		Issuer: "https://issuer.test", Keys: NewKeySet(KeySetOptions{}), ClientID: "web", RedirectURI: "https://app.test/callback",
		DecryptionKeys: mustMake(ParseDecryptionKeys(inPEM("p-256", "old", "lost"))),
	})
	wantError(t, err, "decryption keys: a token encrypted by ECDH-ES may be meant for 3 keys")
}

// TestRefreshWithAnEncryptedIDToken that can't be opened fails, and the session stays as
// it is.
func TestRefreshWithAnEncryptedIDToken(t *testing.T) {
	r := newReception(t, func(_ *reception, o *RelyingPartyOptions) { opening(o, "p-256") })
	g, refusal := r.login(t)
	if refusal != nil {
		t.Fatal(refusal)
	}
	r.answer("/token", r.tokensWith(string(envelope{kid: "lost"}.seal(r.idToken(nil, nil))), nil))
	if _, refusal = r.Refresh(t.Context(), g); refusal == nil || refusal.Reason != audit.RefreshUnavailable {
		t.Errorf("got %v", refusal)
	}
}

package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// serveFromNodeProvider serves people who are at oidc-provider, which has this metadata of
// its client beside what all need.
func (s *site) serveFromNodeProvider(t *testing.T, c siteConfig, client map[string]any) {
	t.Helper()
	all := map[string]any{
		"client_id": "web", "client_secret": clientSecret, "redirect_uris": []string{s.Callback()}, "post_logout_redirect_uris": []string{s.signedOut()},
		"grant_types": []string{"authorization_code", "refresh_token"},
	}
	maps.Copy(all, client)
	p := startNodeProvider(t, nodeConfiguration{
		Users:   []map[string]any{{"sub": "alice", "email": "alice@example.com", "name": "Alice", "groups": []string{"staff", "night"}}},
		Clients: []map[string]any{all},
		TTL:     map[string]int{"AccessToken": 8},
	})
	c.Issuer = p.issuer
	s.serve(t, c)
}

// The life of a session with oidc-provider, in both response modes: a deep link, the
// login, refreshes with tokens that are good for one use, the logout there.
func TestLoginAtNodeProvider(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t)
			s.serveFromNodeProvider(t, siteConfig{Client: "userinfo: true\nresponse_mode: " + mode}, nil)
			s.liveAtNodeProvider(t)
		})
	}
}

// The same where ID tokens are encrypted to a key of ours, at the login and at each
// refresh. The one that was inside is the hint at the logout.
func TestLoginAtNodeProviderWithEncryptedIDTokens(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES"} {
		t.Run(alg, func(t *testing.T) {
			ours := jose.JSONWebKey{Key: newKey(t), KeyID: "id-tokens", Algorithm: alg, Use: "enc"}
			if alg == "RSA-OAEP-256" {
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					t.Fatal(err)
				}
				ours.Key = key
			}
			text, err := json.Marshal(ours)
			if err != nil {
				t.Fatal(err)
			}
			s := newSite(t)
			s.write(t, "id-tokens.jwk", string(text))
			s.serveFromNodeProvider(t, siteConfig{Provider: "decryption_keys: [{file: " + s.File("id-tokens.jwk") + "}]"}, map[string]any{
				"jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{ours.Public()}}, "id_token_encrypted_response_alg": alg,
			})
			s.liveAtNodeProvider(t)
		})
	}
	t.Run("without a key", func(t *testing.T) {
		s := newSite(t)
		ours := jose.JSONWebKey{Key: newKey(t), Use: "enc"}
		s.serveFromNodeProvider(t, siteConfig{}, map[string]any{
			"jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{ours.Public()}}, "id_token_encrypted_response_alg": "ECDH-ES",
		})
		b := startBrowser(t)
		b.open(t, s.origin()+"/")
		b.logInAtNodeProvider(t, "alice")
		await(t, "the login is refused", func() bool { return slices.Equal(s.audited("login"), []string{"id_token_invalid"}) })
	})
}

// liveAtNodeProvider is the life of a session: a deep link, the login, refreshes, and a
// logout there too.
func (s *site) liveAtNodeProvider(t *testing.T) {
	t.Helper()
	b := startBrowser(t)
	deep := s.origin() + "/reports/2026?q=a%20b&x=1&x=2"
	b.open(t, deep)
	b.logInAtNodeProvider(t, "alice")
	got := b.awaitApplication(t, deep)
	if got.Target != "/reports/2026?q=a%20b&x=1&x=2" || got.get("x-user") != "alice" || got.get("x-user-groups") != "staff,night" {
		t.Errorf("the application got %+v", got)
	}
	await(t, "the tokens are renewed twice", func() bool {
		b.open(t, deep)
		b.awaitApplication(t, deep)
		return len(s.audited("refresh")) > 1
	})
	if got := s.audited("refresh"); slices.ContainsFunc(got, func(reason string) bool { return reason != "allowed" }) {
		t.Errorf("refreshes: got %v", got)
	}

	b.open(t, s.origin()+"/.credence/logout")
	b.click(t, "button[type=submit]")
	b.click(t, "button[value=yes]") // oidc-provider asks in spite of the hint
	b.awaitText(t, "You are logged out")
	if at := b.url(t); !strings.HasPrefix(at, s.signedOut()+"?") {
		t.Errorf("the logout ended at %s", at)
	}
	b.open(t, deep)
	b.await(t, "the provider asks who it is", "document.querySelector('input[name=login]')")
}

package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_J10_5_11_NothingIsFetchedForAToken: a key comes from where the configuration says
// its provider is, and from nowhere that a token names. Whoever forges these has their
// keys ready at that address, in every form, so that one fetch would let them in.
func TestSEC_J10_5_11_NothingIsFetchedForAToken(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	forger := proofKey{ca.key}
	jwk := forger.jwk(t)
	jwk["kid"], jwk["alg"], jwk["use"] = "ec-1", "ES256", "sig"

	var connections atomic.Int64
	var at string
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "openid-configuration") {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"introspection_endpoint":%q}`, at, at+"/jwks", at+"/introspect")
			return
		}
		fmt.Fprintf(w, `{"keys":[%s],"active":true}`, quote(t, jwk))
	}))
	elsewhere.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	elsewhere.Start()
	t.Cleanup(elsewhere.Close)
	at = elsewhere.URL

	w := startWorld(t, orderRules+"dpop: {origins: [https://shop.test]}\n", ingress{Name: "raw", Filter: "encode_raw_headers: true"})
	c := w.envoy.client(t, "raw")
	now := time.Now().Unix()
	good := map[string]any{"iss": w.provider.Issuer(), "aud": "api", "sub": "alice", "client_id": "web", "scope": "orders.read", "groups": []string{"staff"}, "iat": now, "exp": now + 600, "jti": "x"}
	chain := []string{base64.StdEncoding.EncodeToString(ca.certificate.Raw)}
	pointers := map[string]map[string]any{
		"jku": {"jku": at + "/jwks"}, "x5u": {"x5u": at + "/chain.pem"}, "jwk": {"jwk": jwk}, "x5c": {"x5c": chain}, "url": {"url": at}, "iss in the header": {"iss": at},
		"all of them": {"jku": at + "/jwks", "x5u": at + "/chain.pem", "jwk": jwk, "x5c": chain, "x5t": "AAAA", "x5t#S256": "AAAA", "jwks_uri": at + "/jwks", "jwks": map[string]any{"keys": []any{jwk}}},
	}
	with := func(base map[string]any, more ...map[string]any) map[string]any {
		all := maps.Clone(base)
		for _, m := range more {
			maps.Copy(all, m)
		}
		return all
	}
	refused := func(name, token string, status int, reasons ...string) {
		t.Helper()
		if got := c.get(t, "/orders", "Authorization: Bearer "+token); got.status != status || !slices.Contains(reasons, got.reason()) {
			t.Errorf("%s: got %d %s, want %v", name, got.status, got.body, reasons)
		}
	}

	before := w.provider.Requests(oidctest.JWKS) + w.provider.Requests(oidctest.Discovery)
	for name, pointer := range pointers {
		header := with(map[string]any{"typ": "at+jwt", "alg": "ES256"}, pointer)
		refused(name, forger.sign(t, with(header, map[string]any{"kid": "ec-1"}), good), 401, "signature_invalid")
		refused(name+", without kid", forger.sign(t, header, good), 401, "signature_invalid")
		refused(name+", of another issuer", forger.sign(t, header, with(good, map[string]any{"iss": at})), 401, "issuer_unknown")
		refused(name+", encrypted", base64.RawURLEncoding.EncodeToString([]byte(quote(t, with(pointer, map[string]any{"alg": "ECDH-ES", "enc": "A256GCM"}))))+".AAAA.AAAA.AAAA.AAAA", 401, "token_encrypted")
		// Beside a signature of the provider's own it means nothing.
		token := staff()
		token.KeyID, token.Header = "ec-1", pointer
		if got := c.get(t, "/orders", bearer(w.provider, token)); got.status != 200 {
			t.Errorf("%s, beside a good signature: got %d %s", name, got.status, got.body)
		}
	}
	for name, claims := range map[string]map[string]any{
		"a key set in claims": {"jku": at + "/jwks", "jwks_uri": at + "/jwks", "jwk": jwk},
		"distributed claims":  {"_claim_names": map[string]any{"groups": "src"}, "_claim_sources": map[string]any{"src": map[string]any{"endpoint": at + "/claims", "access_token": "x"}}},
	} {
		refused(name, forger.sign(t, map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": "ec-1"}, with(good, claims)), 401, "signature_invalid")
		if got := c.get(t, "/orders", bearer(w.provider, staff(claims))); got.status != 200 {
			t.Errorf("%s, signed by the provider: got %d %s", name, got.status, got.body)
		}
	}
	bound := staff(map[string]any{"cnf": map[string]any{"jku": at + "/jwks", "kid": "ec-1"}}) // RFC 7800, 3.5
	refused("a binding to a key that is elsewhere", w.provider.Sign(bound), 401, "constraint_unproven")
	refused("opaque", at+"/token", 400, "malformed_authorization") // a colon is in no token
	if after := w.provider.Requests(oidctest.JWKS) + w.provider.Requests(oidctest.Discovery); after != before {
		t.Errorf("%d requests went to the provider", after-before)
	}

	// A kid is a name. One that isn't known has the keys fetched from where they always
	// are, and the first does so for all.
	for _, kid := range []string{at + "/jwks", "//" + strings.TrimPrefix(at, "http://") + "/jwks", "file:///etc/passwd", "/dev/null", "../../../../etc/passwd"} {
		header := map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": kid}
		got := c.get(t, "/orders", "Authorization: Bearer "+forger.sign(t, header, good))
		if got.status != 401 && got.status != 503 || got.reason() != "key_unknown" && got.reason() != "key_refresh_pending" {
			t.Errorf("%s: got %d %s", kid, got.status, got.body)
		}
	}
	if after := w.provider.Requests(oidctest.JWKS) + w.provider.Requests(oidctest.Discovery); after > before+2 {
		t.Errorf("%d requests went to the provider for kids", after-before)
	}
	if got := connections.Load(); got != 0 {
		t.Errorf("%d connections came to an address that a token names", got)
	}
}

// TestSEC_5_65_BadSignaturesFetchNothing: however many tokens are forged under a kid that is
// known, the provider doesn't hear of it, and its own tokens go on working.
func TestSEC_5_65_BadSignaturesFetchNothing(t *testing.T) {
	t.Parallel()
	w := startWorld(t, orderRules+"audit: {allows: none}\n", ingress{Name: "raw", Filter: "encode_raw_headers: true"})
	good := w.provider.Sign(staff())
	input := good[:strings.LastIndexByte(good, '.')+1]
	signature := len(good) - len(input)
	before := w.provider.Requests(oidctest.JWKS) + w.provider.Requests(oidctest.Discovery)

	const tokens, senders = 10_000, 10
	c := &client{address: w.envoy.at(t, "raw"), http2: true}
	var refused, let atomic.Int64
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			transport := c.transport()
			defer transport.CloseIdleConnections()
			forged := make([]byte, signature)
			for i := range tokens / senders {
				rand.Read(forged)
				token := input + base64.RawURLEncoding.EncodeToString(forged)[:signature-1] + "A"
				for _, header := range []string{"Authorization: Bearer " + token, "Authorization: Bearer " + good}[:1+i%100/99] {
					got, err := roundTrip(t.Context(), transport, c.address, request{method: "GET", host: "shop.test", target: "/orders", headers: []string{header}})
					switch {
					case err == nil && got.status == 401 && got.reason() == "signature_invalid":
						refused.Add(1)
					case err == nil && got.status == 200 && strings.HasSuffix(header, good):
						let.Add(1)
					default:
						t.Errorf("got %d %s, %v", got.status, got.body, err)
					}
				}
			}
		})
	}
	sending.Wait()
	fetches := w.provider.Requests(oidctest.JWKS) + w.provider.Requests(oidctest.Discovery) - before
	t.Logf("%d forged tokens were refused, %d good ones let in, %d fetches", refused.Load(), let.Load(), fetches)
	if refused.Load() != tokens || let.Load() != tokens/100 || fetches != 0 {
		t.Errorf("%d forged tokens were refused, %d good ones let in, %d fetches; want %d, %d, 0", refused.Load(), let.Load(), fetches, tokens, tokens/100)
	}
}

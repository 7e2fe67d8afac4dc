package authz

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// newBound is an engine that asks for the proofs of tokens, of corp.
func newBound(t *testing.T, o Options, nonceKeys ...[]byte) (*issuer, *Engine) {
	t.Helper()
	corp := newIssuer(t, "corp")
	dpop, err := oidc.NewDPoP(oidc.DPoPOptions{Origins: []string{"https://api.example.com"}, ClockSkew: 5 * time.Second, NonceKeys: nonceKeys})
	if err != nil {
		t.Fatal(err)
	}
	if o.DPoP = dpop; o.Rules == nil {
		o.Rules = []Rule{orders}
	}
	o.Verifier = newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{CallerChecksConstraints: true}))
	return corp, newEngine(t, o)
}

// holder is a client that holds the key which its token is bound to.
type holder struct {
	keys  *oidctest.Provider
	token string
	made  int
}

func newHolder(t *testing.T, corp *issuer) *holder {
	h := &holder{keys: oidctest.New(oidctest.Options{Issuer: "https://client.test"})}
	t.Cleanup(h.keys.Close)
	var jwk map[string]string
	if err := json.Unmarshal([]byte(h.keys.JWK("ec-1")), &jwk); err != nil {
		t.Fatal(err)
	}
	// RFC 7638, 3.2: the required members, in order, without blanks.
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + jwk["x"] + `","y":"` + jwk["y"] + `"}`))
	h.token = corp.Sign(oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": base64.RawURLEncoding.EncodeToString(sum[:])}}})
	return h
}

// proof is one for GET https://api.example.com/orders, with other claims if need be.
func (h *holder) proof(claims map[string]any) Header {
	h.made++
	ath := sha256.Sum256([]byte(h.token))
	all := map[string]any{
		"htm": "GET", "htu": "https://api.example.com/orders", "iat": time.Now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(ath[:]), "jti": "proof-" + string(rune('a'+h.made)),
	}
	maps.Copy(all, claims)
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return Header{"dpop", h.keys.Sign(oidctest.Token{KeyID: "ec-1", RawClaims: string(text), Header: map[string]any{
		"typ": "dpop+jwt", "kid": nil, "jwk": json.RawMessage(h.keys.JWK("ec-1")),
	}})}
}

func TestSEC_T3_T4_BoundTokensNeedTheirProofEachTime(t *testing.T) {
	corp, engine := newBound(t, Options{})
	h := newHolder(t, corp)
	dpop := Header{"authorization", "DPoP " + h.token}
	once := h.proof(nil)
	for _, row := range []struct {
		name    string
		headers []Header
		want    audit.Reason
		error   string
	}{
		{"its proof", []Header{dpop, once}, audit.Allowed, ""},
		{"the same proof again, and the verdict is remembered", []Header{dpop, once}, audit.DPoPProofInvalid, "invalid_dpop_proof"},
		{"a new proof", []Header{dpop, h.proof(nil)}, audit.Allowed, ""},
		{"no proof", []Header{dpop}, audit.DPoPProofMissing, "invalid_token"},
		{"two proofs", []Header{dpop, h.proof(nil), h.proof(nil)}, audit.DPoPProofInvalid, "invalid_dpop_proof"},
		{"under Bearer", []Header{bearer(h.token), h.proof(nil)}, audit.DPoPProofMissing, "invalid_token"},
		{"a proof for another address", []Header{dpop, h.proof(map[string]any{"htu": "https://api.example.com/other"})}, audit.DPoPProofInvalid, "invalid_dpop_proof"},
		{"a proof for another method", []Header{dpop, h.proof(map[string]any{"htm": "POST"})}, audit.DPoPProofInvalid, "invalid_dpop_proof"},
		{"an ordinary token under DPoP", []Header{{"authorization", "DPoP " + corp.Sign(oidctest.Token{})}, h.proof(nil)}, audit.DPoPProofInvalid, "invalid_dpop_proof"},
		{"an ordinary token under Bearer", []Header{bearer(corp.Sign(oidctest.Token{}))}, audit.Allowed, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := engine.Decide(t.Context(), get("/orders?page=2", row.headers...))
			wantReason(t, d, row.want)
			if d.Allow {
				if !slices.Contains(d.Remove, "authorization") {
					t.Error("the token reaches the application")
				}
				return
			}
			var challenges []string
			for _, header := range d.Denial.Headers {
				if header.Name == "www-authenticate" {
					challenges = append(challenges, header.Value)
				}
			}
			if len(challenges) != 2 || !strings.HasPrefix(challenges[0], "Bearer ") || !strings.HasPrefix(challenges[1], `DPoP realm="credence", algs="ES256 `) || !strings.Contains(challenges[1], `error="`+row.error+`"`) {
				t.Errorf("got challenges %q, want two, the second for DPoP with %s", challenges, row.error)
			}
		})
	}
}

func TestNoncesOfProofs(t *testing.T) {
	corp, engine := newBound(t, Options{}, bytes.Repeat([]byte{7}, 32))
	h := newHolder(t, corp)
	dpop := Header{"authorization", "DPoP " + h.token}
	d := engine.Decide(t.Context(), get("/orders", dpop, h.proof(nil)))
	wantReason(t, d, audit.DPoPNonceRequired)
	nonce := value(t, d.Denial.Headers, "dpop-nonce")
	if nonce == "" || !strings.Contains(d.Denial.Body, "use_dpop_nonce") {
		t.Fatalf("got nonce %q, %s", nonce, d.Denial.Body)
	}
	d = engine.Decide(t.Context(), get("/orders", dpop, h.proof(map[string]any{"nonce": nonce})))
	wantReason(t, d, audit.Allowed)
	if value(t, d.ResponseHeaders, "dpop-nonce") == "" {
		t.Error("an allow brings no nonce for the next proof")
	}
	wantReason(t, engine.Decide(t.Context(), get("/orders", dpop, h.proof(map[string]any{"nonce": "made-up"}))), audit.DPoPNonceRequired)
	d = engine.Decide(t.Context(), get("/orders", bearer(corp.Sign(oidctest.Token{}))))
	wantReason(t, d, audit.Allowed)
	if value(t, d.ResponseHeaders, "dpop-nonce") != "" {
		t.Error("a bearer gets a nonce")
	}
}

// newCertificate is one as Envoy tells of it, and its SHA-256 as cnf has it.
func newCertificate(t *testing.T) (told, thumbprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return url.PathEscape(string(text)), base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestSEC_T2_TokensBoundToACertificate(t *testing.T) {
	told, thumbprint := newCertificate(t)
	other, _ := newCertificate(t)
	for _, row := range []struct {
		name, certificate, header string // of the connection, and as clients may write it
		distrust                  bool
		want                      audit.Reason
	}{
		{"the connection's certificate", told, "", false, audit.Allowed},
		{"another certificate", other, "", false, audit.CertificateMismatch},
		{"no certificate", "", "", false, audit.CertificateMismatch},
		{"one in a header", "", told, false, audit.CertificateMismatch},
		{"another certificate, and the right one in a header", other, told, false, audit.CertificateMismatch},
		{"something else", "%zz", "", false, audit.CertificateMismatch},
		{"a certificate that nobody vouches for", told, "", true, audit.CertificateMismatch},
	} {
		t.Run(row.name, func(t *testing.T) {
			corp, engine := newBound(t, Options{DistrustCertificates: row.distrust})
			token := corp.Sign(oidctest.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint}}})
			for range 2 { // at first sight, and from memory
				r := get("/orders", bearer(token))
				if row.header != "" {
					r.Headers = append(r.Headers, Header{"x-forwarded-client-cert", `Cert="` + row.header + `"`}, Header{"client-cert", row.header}, Header{"x-ssl-cert", row.header})
				}
				r.Certificate = row.certificate
				wantReason(t, engine.Decide(t.Context(), r), row.want)
			}
		})
	}
}

func TestExplainUsesUpNoProof(t *testing.T) {
	corp, engine := newBound(t, Options{})
	h := newHolder(t, corp)
	headers := []Header{{"authorization", "DPoP " + h.token}, h.proof(nil)}
	if x := engine.Explain(t.Context(), get("/orders", headers...)); !x.Decision.Allow || !strings.HasPrefix(x.Credential, "a DPoP token") {
		t.Errorf("got %+v", x)
	}
	wantReason(t, engine.Decide(t.Context(), get("/orders", headers...)), audit.Allowed)
}

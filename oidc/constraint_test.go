package oidc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// bindable lets tokens through that are bound to a key.
func bindable(o *ProviderOptions) { o.CallerChecksConstraints = true }

// A bound token is good only to a caller that asks for the proof, and only where a
// proof of its binding is known. Its binding is read from the claims, and so from
// remembered ones too.
func TestSEC_T1_Constraints(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	hash := segment(bytes.Repeat([]byte{7}, 32))
	for _, row := range []struct {
		name             string
		cnf              any
		want             string
		certificate, key bool
	}{
		{"a certificate", members{"x5t#S256": hash}, "good", true, false},
		{"a DPoP key", members{"jkt": hash}, "good", false, true},
		{"both", members{"jkt": hash, "x5t#S256": hash}, "good", true, true},

		{"a key itself", members{"jwk": members{}}, `constraint_unproven: cnf has "jwk", which can't be checked`, false, false},
		{"a DPoP key, and what isn't known", members{"jkt": hash, "zzz": 1}, `constraint_unproven: cnf has "zzz", which can't be checked`, false, false},
		{"a certificate by SHA-1", members{"x5t": hash}, `constraint_unproven: cnf has "x5t", which can't be checked`, false, false},
		{"a name in other letters", members{"JKT": hash}, `constraint_unproven: cnf has "JKT", which can't be checked`, false, false},
		{"nothing", members{}, "constraint_unproven: cnf names no key", false, false},
		{"null", verbatim("null"), "constraint_unproven: cnf names no key", false, false},
		{"text", hash, "constraint_unproven: cnf names no key", false, false},
		{"an array", []any{members{"jkt": hash}}, "constraint_unproven: cnf names no key", false, false},
		{"false", false, "constraint_unproven: cnf names no key", false, false},
		{"a hash with padding", members{"jkt": hash + "="}, "constraint_unproven: cnf.jkt isn't a SHA-256 in base64url", false, false},
		{"a hash cut short", members{"x5t#S256": hash[:42]}, "constraint_unproven: cnf.x5t#S256 isn't a SHA-256 in base64url", false, false},
		{"a hash in another spelling", members{"jkt": hash[:42] + "d"}, "constraint_unproven: cnf.jkt isn't a SHA-256 in base64url", false, false},
		{"a hash with a line break", members{"jkt": hash[:42] + "\n"}, "constraint_unproven: cnf.jkt isn't a SHA-256 in base64url", false, false},
		{"an empty hash", members{"jkt": ""}, "constraint_unproven: cnf.jkt isn't a SHA-256 in base64url", false, false},
		{"a hash that isn't text", members{"jkt": []string{hash}}, "constraint_unproven: cnf.jkt isn't a SHA-256 in base64url", false, false},
	} {
		raw := r.claiming(members{"cnf": row.cnf})
		got := r.verify(t, raw, bindable)
		if verdict(got) != row.want {
			t.Errorf("%s: %s, want %s", row.name, verdict(got), row.want)
		}
		r.want(t, row.name+", to a caller that doesn't ask", raw, "constraint_unproven: it has the claim cnf")
		bound, refusal := UnflattenClaims(got.Claims.Flat()).Constraint()
		if (refusal == nil) != got.Good() || bound.byCertificate != row.certificate || bound.byKey != row.key || bound.Bound() != (row.certificate || row.key) {
			t.Errorf("%s: remembered as %+v, %v", row.name, bound, refusal)
		}
	}
	claims := r.verify(t, r.claiming(nil), bindable).Claims
	if bound, refusal := claims.Constraint(); bound.Bound() || refusal != nil {
		t.Errorf("a token that isn't bound is, by %+v, %v", bound, refusal)
	}
	claims = r.verify(t, r.claiming(members{"cnf": members{"jkt": hash, "x5t#S256": hash}}), bindable).Claims
	if got := testing.AllocsPerRun(100, func() { _, _ = claims.Constraint() }); got > 0 {
		t.Errorf("reading a constraint allocates %v times", got)
	}
}

// A provider that is asked tells of the binding in the same way; the token type says
// once more that a proof is needed.
func TestSEC_T1_IntrospectedConstraints(t *testing.T) {
	hash := segment(bytes.Repeat([]byte{7}, 32))
	d := newDesk(t, func(p *ProviderOptions, _ *IntrospectorOptions) { p.CallerChecksConstraints = true })
	plain := newDesk(t, nil)
	for _, row := range []struct{ name, more, want, unasked string }{
		{"a DPoP key", `,"token_type":"DPoP","cnf":{"jkt":"` + hash + `"}`, "good", `constraint_unproven: its token_type is "DPoP"`},
		{"a certificate", `,"token_type":"Bearer","cnf":{"x5t#S256":"` + hash + `"}`, "good", "constraint_unproven: it has the claim cnf"},
		{"a DPoP key of a bearer", `,"token_type":"Bearer","cnf":{"jkt":"` + hash + `"}`, "good", "constraint_unproven: it has the claim cnf"},
		{"DPoP without key", `,"token_type":"dpop"`, `constraint_unproven: its token_type is "dpop"`, `constraint_unproven: its token_type is "dpop"`},
		{"DPoP with a certificate", `,"token_type":"DPoP","cnf":{"x5t#S256":"` + hash + `"}`, `constraint_unproven: its token_type is "DPoP"`, `constraint_unproven: its token_type is "DPoP"`},
		{"another proof", `,"token_type":"PoP","cnf":{"jkt":"` + hash + `"}`, `constraint_unproven: its token_type is "PoP"`, `constraint_unproven: its token_type is "PoP"`},
	} {
		d.answers(alive + row.more)
		if got := verdict(d.ask(t, "x")); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		plain.answers(alive + row.more)
		if got := verdict(plain.ask(t, "x")); got != row.unasked {
			t.Errorf("%s, to a caller that doesn't ask: %s, want %s", row.name, got, row.unasked)
		}
	}
}

// clientCertificate makes one, as DER.
func clientCertificate(t testing.TB) []byte {
	t.Helper()
	key := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Unix(clock, 0), NotAfter: time.Unix(clock+3600, 0)}
	return mustMake(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// likeEnvoy encodes a PEM block in the way that Envoy does.
func likeEnvoy(der []byte) string {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(string(text))
}

func TestSEC_T2_Certificates(t *testing.T) {
	der, other := clientCertificate(t), clientCertificate(t)
	bound := Constraint{certificate: sha256.Sum256(der), byCertificate: true}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	block := func(kind string, headers map[string]string) string {
		return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: der})))
	}
	const bad = "certificate_mismatch: the proxy's client certificate: "
	for _, row := range []struct{ name, given, want string }{
		{"as Envoy sends it", likeEnvoy(der), "good"},
		{"encoded as in a form", url.QueryEscape(text), bad + "not a PEM certificate"},
		{"with blanks around", likeEnvoy(der) + "%20%0A", "good"},
		{"not encoded", text, "good"},
		{"with other line ends", url.PathEscape(strings.ReplaceAll(text, "\n", "\r\n")), "good"},

		{"another's", likeEnvoy(other), "certificate_mismatch: cnf.x5t#S256 is of another certificate than the connection's"},
		{"none", "", "certificate_mismatch: the proxy tells of no client certificate"},
		{"two", likeEnvoy(der) + likeEnvoy(other), bad + "more than one PEM certificate"},
		{"the same twice", likeEnvoy(der) + likeEnvoy(der), bad + "more than one PEM certificate"},
		{"text before", "x%0A" + likeEnvoy(der), bad + "not a PEM certificate"},
		{"text behind", likeEnvoy(der) + "x", bad + "a PEM certificate with more behind it"},
		{"headers", block("CERTIFICATE", map[string]string{"A": "b"}), bad + "a PEM certificate with headers"},
		{"another kind", block("PUBLIC KEY", nil), bad + "not a PEM certificate"},
		{"another spelling of the kind", block("X509 CERTIFICATE", nil), bad + "not a PEM certificate"},
		{"cut short", likeEnvoy(der)[:200], bad + "not a PEM certificate"},
		{"the beginning of one, and another", "-----BEGIN CERTIFICATE-----%0A" + block("PUBLIC KEY", nil), bad + "more than one PEM certificate"},
		{"empty", "-----BEGIN CERTIFICATE-----%0A-----END CERTIFICATE-----%0A", bad + "not a PEM certificate"},
		{"not an encoding", "%zz", bad + "not URL-encoded"},
		{"DER", string(der), bad},
		{"too long", strings.Repeat("A", maxCertificate+1), bad + "over 32768 bytes"},
		{"the hash itself", segment(bound.certificate[:]), bad + "not a PEM certificate"},
	} {
		if got := inWords(bound.CheckCertificate(row.given)); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		unbound := Constraint{byKey: true}
		if got := inWords(unbound.CheckCertificate(row.given)); got != "good" {
			t.Errorf("%s, for a token without certificate: %s", row.name, got)
		}
	}
}

// A thumbprint is that of RFC 7638, 3.1, of RFC 8037, A.3, and of RFC 9449, 6.1 with
// the key of 4.1, whatever stands beside the key.
func TestThumbprintsOfTheStandards(t *testing.T) {
	for _, row := range []struct{ name, jwk, want string }{
		{"RFC 7638", `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{"RFC 9449", `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	} {
		public, err := parsePublic(mustMake(parseObject([]byte(row.jwk))))
		if err != nil {
			t.Fatal(err)
		}
		if got := keyThumbprint(public); segment(got[:]) != row.want {
			t.Errorf("%s: %s, want %s", row.name, segment(got[:]), row.want)
		}
	}
}

// FuzzCertificate reads certificates: what is taken is one PEM block and nothing
// else, and its hash is that of its bytes.
func FuzzCertificate(f *testing.F) {
	good := likeEnvoy([]byte("a certificate, of which only the bytes count"))
	for _, seed := range []string{good, good + good, good[:40], "%2", "", strings.ReplaceAll(good, "%0A", "\r")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got, err := certificateThumbprint(given)
		if err != nil {
			return
		}
		text, _ := url.PathUnescape(given)
		if strings.Count(text, "-----BEGIN ") != 1 || len(given) > maxCertificate {
			t.Fatalf("%q is taken for one certificate", given)
		}
		middle := strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(text, "-----BEGIN CERTIFICATE-----")), "-----END CERTIFICATE-----")
		block, _ := pem.Decode([]byte("-----BEGIN X-----\n" + strings.TrimSpace(middle) + "\n-----END X-----\n"))
		if block == nil || sha256.Sum256(block.Bytes) != got {
			t.Fatalf("%q has the hash of something else", given)
		}
	})
}

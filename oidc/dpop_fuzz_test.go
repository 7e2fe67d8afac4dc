package oidc

import (
	"cmp"
	"crypto/sha256"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

// proofs counts those that were made, so that each has a jti of its own.
var proofs atomic.Int64

// inWords is a refusal in words, or "good".
func inWords(refusal *audit.Refusal) string {
	if refusal == nil {
		return "good"
	}
	return refusal.Error()
}

// FuzzDPoPProof alters good proofs. None but those that were signed is ever good,
// and none is good twice.
func FuzzDPoPProof(f *testing.F) {
	z := newFuzzed(f)
	point := mustMake(z.ec.PublicKey.Bytes())
	jwk := `{"kty":"EC","crv":"P-256","x":"` + segment(point[1:33]) + `","y":"` + segment(point[33:]) + `"}`
	key := keyThumbprint(&z.ec.PublicKey)
	signed := map[string]bool{}
	for _, header := range []string{`{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}`, `{"alg":"ES256","jwk":` + jwk + `,"typ":"application/dpop+jwt","kid":"x"}`} {
		for _, claims := range []string{
			`{"htm":"GET","htu":"https://api.example.com/v1/orders","iat":1702389601,"jti":"a","ath":"` + athOf(boundToken) + `"}`,
			`{"htm":"GET","htu":"https://api.example.com:443/v1/%6Frders?a#b","iat":1702389590.5,"jti":"\u0061","ath":"` + athOf(boundToken) + `","nonce":"n"}`,
		} {
			signed[z.signEC(f, []byte(header), []byte(claims))] = true
		}
	}
	for proof := range signed {
		f.Add(proof)
		f.Add(proof + "=")
		f.Add(proof[:len(proof)/2])
	}
	f.Fuzz(func(t *testing.T, proof string) {
		d := mustMake(NewDPoP(DPoPOptions{Origins: []string{"https://api.example.com"}}))
		check := func() string {
			return inWords(d.Check(&Constraint{key: key, byKey: true}, presenting(proof), time.Unix(clock, 0)))
		}
		if first := check(); (first == "good") != signed[proof] {
			t.Fatalf("%s: %s", proof, first)
		}
		if again := check(); again == "good" {
			t.Fatalf("%s is good twice", proof)
		}
	})
}

// FuzzDPoPAddress compares addresses: whatever is equal has to be so by a reading of
// its own, in which nothing but spelling differs.
func FuzzDPoPAddress(f *testing.F) {
	for _, address := range []string{"https://api.example.com/v1/orders", "https://API.example.com:443/%7E?x#y", "https://api.example.com", "//x/", "%", "/%2f%2F"} {
		f.Add(address, "/v1/orders")
	}
	d := mustMake(NewDPoP(DPoPOptions{Origins: []string{"https://api.example.com"}}))
	f.Fuzz(func(t *testing.T, htu, target string) {
		if once := normalPath(target); normalPath(once) != once {
			t.Fatalf("%q in one spelling is %q, whose spelling is %q", target, once, normalPath(once))
		}
		htu = strings.ToValidUTF8(htu, "!") // what isn't UTF-8 is refused before
		claims, err := parseObject([]byte(`{"htu":` + quoteJSON(htu) + `}`))
		if err != nil {
			return // not UTF-8
		}
		refusal := d.judgeAddress(claims, &Presentation{Host: "api.example.com", Target: target})
		if refusal == nil && !sameAddress(htu, target) {
			t.Fatalf("%q is taken for %q", htu, target)
		}
	})
}

// sameAddress reads both addresses by net/url, and compares what they mean.
func sameAddress(htu, target string) bool {
	u, err := url.Parse(htu)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "api.example.com") || u.Port() != "" && u.Port() != "443" {
		return false
	}
	target, _, _ = strings.Cut(target, "?")
	path, err := url.PathUnescape(target)
	if err != nil {
		return false
	}
	slashes := func(s string) int { return strings.Count(strings.ToLower(s), "%2f") }
	return cmp.Or(u.Path, "/") == cmp.Or(path, "/") && slashes(u.EscapedPath()) == slashes(target)
}

func athOf(token RawToken) string {
	sum := sha256.Sum256([]byte(token))
	return segment(sum[:])
}

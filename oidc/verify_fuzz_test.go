package oidc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fuzzed is a provider with keys and tokens that are the same in every process,
// as the workers of a fuzz test need them: "ed-1" for EdDSA and "ec-1" for ES256.
type fuzzed struct {
	verifier *Verifier
	ed       ed25519.PrivateKey
	ec       *ecdsa.PrivateKey
}

const fuzzedIssuer = "https://issuer.test"

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	z := &fuzzed{ed: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	var err error
	if z.ec, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32)); err != nil {
		f.Fatal(err)
	}
	point, err := z.ec.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(f.TempDir(), "keys.json")
	set := jwks(`{"kty":"OKP","crv":"Ed25519","kid":"ed-1","x":"`+segment(z.ed.Public().(ed25519.PublicKey))+`"}`,
		`{"kty":"EC","crv":"P-256","kid":"ec-1","x":"`+segment(point[1:33])+`","y":"`+segment(point[33:])+`"}`)
	if err := os.WriteFile(file, set, 0o600); err != nil {
		f.Fatal(err)
	}
	keys := NewKeySet(KeySetOptions{Name: "corp", Issuer: fuzzedIssuer, File: file})
	ctx, cancel := context.WithCancel(context.Background())
	go keys.Run(ctx)
	f.Cleanup(func() {
		cancel()
		<-keys.stopped
	})
	if err := keys.Refresh(ctx); err != nil {
		f.Fatal(err)
	}
	p, err := NewProvider(ProviderOptions{
		Name: "corp", Issuer: fuzzedIssuer, Audiences: []string{"api"}, Algorithms: []string{"EdDSA", "ES256"}, ClockSkew: 30 * time.Second, Keys: keys,
	})
	if err != nil {
		f.Fatal(err)
	}
	z.verifier = NewVerifier([]*Provider{p}, 16<<10)
	return z
}

// signEd and signEC give the same token each time.
func (z *fuzzed) signEd(header, claims []byte) string {
	input := segment(header) + "." + segment(claims)
	return input + "." + segment(ed25519.Sign(z.ed, []byte(input)))
}

func (z *fuzzed) signEC(t testing.TB, header, claims []byte) string {
	t.Helper()
	input := segment(header) + "." + segment(claims)
	digest := sha256.Sum256([]byte(input))
	der, err := z.ec.Sign(nil, digest[:], crypto.SHA256) // without randomness as RFC 6979 says
	if err != nil {
		t.Fatal(err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	return input + "." + segment(sideBySide(sig.R, sig.S, 32))
}

// judge gives the verdict, and fails if looking closer gives another.
func (z *fuzzed) judge(t testing.TB, raw string, ms int64) Result {
	t.Helper()
	// No kid is waited for: another load of the file would tell nothing new.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := z.verifier.Verify(ctx, RawToken(raw), time.UnixMilli(ms), nobody)
	inspected, findings := z.verifier.Inspect(ctx, RawToken(raw), time.UnixMilli(ms))
	if verdict(inspected) != verdict(got) || inspected.From != got.From || inspected.Until != got.Until || len(findings) != len(checks) {
		t.Fatalf("%s: %+v, inspected %+v in %d findings", raw, got, inspected, len(findings))
	}
	return got
}

// fuzzedClaims are good at the clock's time, in several forms.
var fuzzedClaims = []string{
	`{"iss":"https://issuer.test","aud":"api","sub":"alice","iat":1702389541,"exp":1702393201,"nbf":1702389541,"scope":"openid orders.read"}`,
	` {"iss":"https:\/\/issuer.test","aud":["x","api"],"sub":"alice","exp":1.702393201e9,"groups":[{"a":null}],"name":"n","azp":"web"} `,
}

// FuzzVerify alters good tokens. None but those that were signed is ever good.
func FuzzVerify(f *testing.F) {
	z := newFuzzed(f)
	signed := map[string]bool{}
	for _, claims := range fuzzedClaims {
		for _, header := range []string{`{"alg":"EdDSA","kid":"ed-1","typ":"at+jwt"}`, `{"typ":"JWT","alg":"EdDSA"}`} {
			signed[z.signEd([]byte(header), []byte(claims))] = true
		}
		for _, header := range []string{`{"alg":"ES256","kid":"ec-1","typ":"at+jwt"}`, `{"alg":"ES256","jku":"https://evil.test"}`} {
			signed[z.signEC(f, []byte(header), []byte(claims))] = true
		}
	}
	for token := range signed {
		if got := z.judge(f, token, clock*1000); !got.Good() {
			f.Fatalf("%s: %s", token, verdict(got))
		}
		f.Add(token)
		f.Add(token[:strings.LastIndexByte(token, '.')+1])
		f.Add(strings.Replace(token, ".", "..", 1))
		f.Add(segment(`{"alg":"none"}`) + token[strings.IndexByte(token, '.'):])
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got := z.judge(t, token, clock*1000); got.Good() != signed[token] {
			t.Fatalf("%s: %s", token, verdict(got))
		}
	})
}

// FuzzVerifySigned signs whatever it is given, and judges it also by a second
// reading of the rules.
func FuzzVerifySigned(f *testing.F) {
	z := newFuzzed(f)
	for _, claims := range fuzzedClaims {
		for _, header := range []string{`{"alg":"EdDSA"}`, `{"alg":"EdDSA","kid":"ed-1","typ":"at+jwt"}`, `{"alg":"ES256","kid":"ec-1"}`, `{"alg":"EdDSA","crit":[]}`} {
			f.Add([]byte(header), []byte(claims), int64(clock)*1000)
		}
	}
	for _, claims := range []string{`"exp":1e300`, `"exp":"1702393201"`, `"exp":1702389571`, `"exp":1702389571.001`, `"exp":1702393201,"nbf":1702389631.001`, `"exp":1702393201,"cnf":null`} {
		f.Add([]byte(`{"alg":"EdDSA"}`), []byte(`{"iss":"https://issuer.test","aud":"api","sub":"alice",`+claims+`}`), int64(clock)*1000)
	}
	f.Fuzz(func(t *testing.T, header, claims []byte, ms int64) {
		if len(header)+len(claims) > 8<<10 || ms < 0 || ms > latestDate*1000 {
			return
		}
		got := z.judge(t, z.signEd(header, claims), ms)
		if want := soundHeader(header) && soundClaims(claims, ms); got.Good() != want {
			t.Fatalf("%q, %q at %d: %s, want good %t", header, claims, ms, verdict(got), want)
		}
		if got.Good() {
			checkFlat(t, claims, got.Claims)
			if ms < got.From || ms >= got.Until || got.Key == ([16]byte{}) || got.KeysVersion == 0 {
				t.Fatalf("%q: %+v", claims, got)
			}
		}
	})
}

// soundHeader says whether the key "ed-1" may have signed under this header.
func soundHeader(text []byte) bool {
	var h map[string]any
	if !strictly(text) || json.Unmarshal(text, &h) != nil || h["alg"] != "EdDSA" {
		return false
	}
	for _, name := range []string{"crit", "b64"} {
		if _, there := h[name]; there {
			return false
		}
	}
	if kid, there := h["kid"]; there && kid != "ed-1" && kid != "" {
		return false
	}
	typ, there := h["typ"]
	name, isText := typ.(string)
	return !there || isText && slices.ContainsFunc([]string{"jwt", "at+jwt", "application/jwt", "application/at+jwt"}, func(s string) bool {
		return len(s) == len(name) && strings.EqualFold(s, name)
	})
}

// soundClaims says whether these are the claims of a good access token.
func soundClaims(text []byte, now int64) bool {
	var c map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if !strictly(text) || d.Decode(&c) != nil || c["iss"] != fuzzedIssuer {
		return false
	}
	for _, name := range []string{"at_hash", "c_hash", "s_hash", "events", "htm", "htu", "token_introspection", "cnf"} {
		if _, there := c[name]; there {
			return false
		}
	}
	if use, isText := c["token_use"].(string); isText && use != "access" {
		return false
	}
	switch c["typ"] {
	case "ID", "Refresh", "Offline", "Logout":
		return false
	}
	if sub, _ := c["sub"].(string); sub == "" {
		return false
	}
	for _, date := range []struct {
		name     string
		required bool
		within   func(ms int64) bool
	}{
		{"exp", true, func(ms int64) bool { return now < ms+30_000 }},
		{"nbf", false, func(ms int64) bool { return now >= ms-30_000 }},
		{"iat", false, func(ms int64) bool { return now >= ms-30_000 }},
	} {
		v, there := c[date.name]
		if !there && !date.required {
			continue
		}
		n, isNumber := v.(json.Number)
		seconds, err := strconv.ParseFloat(string(n), 64)
		if !isNumber || err != nil || math.Abs(seconds) > latestDate || !date.within(int64(math.Floor(seconds*1000))) {
			return false
		}
	}
	switch aud := c["aud"].(type) {
	case string:
		return aud == "api"
	case []any:
		notText := func(v any) bool { _, ok := v.(string); return !ok }
		return slices.Contains(aud, any("api")) && !slices.ContainsFunc(aud, notText)
	}
	return false
}

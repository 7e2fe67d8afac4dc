package oidc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// Three good keys: a-rsa, a-ec, a-ed.
var goodKeys = sync.OnceValue(func() []string {
	p := oidctest.New(oidctest.Options{})
	defer p.Close()
	for _, k := range []struct{ alg, kid string }{{"RS256", "a-rsa"}, {"ES256", "a-ec"}, {"EdDSA", "a-ed"}} {
		p.AddKey(k.alg, k.kid)
	}
	return []string{p.JWK("a-rsa"), p.JWK("a-ec"), p.JWK("a-ed")}
})

// editJWK is a good key with members replaced, added or, where the value is nil,
// removed.
func editJWK(t testing.TB, from string, members map[string]any) string {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(from), &m); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// material is what an error must not show, though it is public.
type material struct{ N, X string }

func readJWK(t testing.TB, jwk string) (m material) {
	t.Helper()
	if err := json.Unmarshal([]byte(jwk), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// oddNumber is base64url of a number of so many bits, its top and lowest bit set.
func oddNumber(bits uint) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return base64url.EncodeToString(n.SetBit(n, 0, 1).Bytes())
}

func edits(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func TestSEC_S7_5_72_OneBadKeyIsSkippedAndTheOthersWork(t *testing.T) {
	good := goodKeys()
	rsaKey, ecKey, edKey := good[0], good[1], good[2]
	n, x := readJWK(t, rsaKey), readJWK(t, ecKey)
	with := func(from string, pairs ...any) string {
		return editJWK(t, from, edits(append([]any{"kid", "bad"}, pairs...)...))
	}
	raw := func(format string, a ...any) string { return fmt.Sprintf(format, a...) }

	for _, row := range []struct {
		name, key string
		known     bool // its kid is
		why       string
	}{
		{"null", `null`, false, "not a JSON object"},
		{"number", `7`, false, "not a JSON object"},
		{"text", `"key"`, false, "not a JSON object"},
		{"array", `[{}]`, false, "not a JSON object"},
		{"empty object", `{}`, false, `kty "" with crv "" isn't supported`},
		{"repeated member", raw(`{"kid":"bad","kty":"OKP","crv":"Ed25519","x":"AAAA","x":"BBBB"}`), false, `repeated member "x"`},
		{"repeated by escape", raw(`{"kid":"bad","\u006bid":"a-rsa"}`), false, `repeated member "kid"`},
		{"invalid UTF-8", "{\"kid\":\"bad\xff\"}", false, "invalid UTF-8"},
		{"lone surrogate in kid", `{"kid":"\ud800"}`, false, "lone surrogate"},
		{"nested too deep", `{"kid":"bad","x5c":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, false, "nested too deep"},
		{"kid is a number", with(rsaKey, "kid", 7), false, "kid isn't a string"},
		{"kid is null", raw(`{"kid":null,"kty":"RSA"}`), false, "kid isn't a string"},
		{"kid too long", with(rsaKey, "kid", strings.Repeat("k", 257)), false, "kid has over 256 bytes"},
		{"kty missing", with(rsaKey, "kty", nil), true, `kty "" with`},
		{"kty of another case", with(rsaKey, "kty", "rsa"), true, `kty "rsa" with`},
		{"kty is an array", with(rsaKey, "kty", []string{"RSA"}), true, "kty isn't a string"},
		{"KTY beside nothing", raw(`{"kid":"bad","KTY":"RSA","N":%q,"E":"AQAB"}`, n.N), true, `kty "" with`},
		{"unknown kty", `{"kid":"bad","kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`, true, `kty "AKP"`},
		{"symmetric", `{"kid":"bad","kty":"oct","alg":"HS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, true, "secret part (member k)"},
		{"symmetric without k", `{"kid":"bad","kty":"oct"}`, true, `kty "oct"`},
		{"private RSA", with(rsaKey, "d", "AQAB"), true, "secret part (member d)"},
		{"private RSA by p", with(rsaKey, "p", "AQAB"), true, "secret part (member p)"},
		{"private RSA by null", with(rsaKey, "oth", json.RawMessage("null")), true, "secret part (member oth)"},
		{"private EC", with(ecKey, "d", x.X), true, "secret part (member d)"},
		{"private Ed25519", with(edKey, "d", x.X), true, "secret part (member d)"},
		{"use enc", with(rsaKey, "use", "enc"), true, `use is "enc"`},
		{"use of another case", with(rsaKey, "use", "SIG"), true, `use is "SIG"`},
		{"use empty", with(rsaKey, "use", ""), true, `use is ""`},
		{"use is null", with(rsaKey, "use", json.RawMessage("null")), true, "use isn't a string"},
		{"key_ops for encryption", with(rsaKey, "key_ops", []string{"encrypt", "wrapKey"}), true, "key_ops doesn't list verify"},
		{"key_ops empty", with(rsaKey, "key_ops", []string{}), true, "key_ops doesn't list verify"},
		{"key_ops is text", with(rsaKey, "key_ops", "verify"), true, "key_ops doesn't list verify"},
		{"alg is for encryption", with(rsaKey, "alg", "RSA-OAEP-256"), true, `alg "RSA-OAEP-256" isn't`},
		{"alg is symmetric", with(rsaKey, "alg", "HS256"), true, `alg "HS256" isn't`},
		{"alg none", with(rsaKey, "alg", "none"), true, `alg "none" isn't`},
		{"alg of another case", with(rsaKey, "alg", "rs256"), true, `alg "rs256" isn't`},
		{"alg empty", with(rsaKey, "alg", ""), true, `alg "" isn't`},
		{"alg is a number", with(rsaKey, "alg", 256), true, "alg isn't a string"},
		{"alg of another type", with(rsaKey, "alg", "ES256"), true, `alg "ES256" isn't`},
		{"alg of another curve", with(ecKey, "alg", "ES384"), true, `alg "ES384" isn't`},
		{"alg that doesn't exist", with(ecKey, "alg", "ES521"), true, `alg "ES521" isn't`},
		{"RSA without n", with(rsaKey, "n", nil), true, "n is missing"},
		{"RSA without e", with(rsaKey, "e", nil), true, "e is missing"},
		{"RSA n is a number", with(rsaKey, "n", 65537), true, "n isn't a string"},
		{"SEC-J5 RSA 1024", with(rsaKey, "n", oddNumber(1024)), true, "RSA with 1024 bits"},
		{"SEC-J5 RSA 2047", with(rsaKey, "n", oddNumber(2047)), true, "RSA with 2047 bits"},
		{"SEC-J5 RSA 8193", with(rsaKey, "n", oddNumber(8193)), true, "RSA with 8193 bits"},
		{"SEC-J5 RSA 16384 (CVE-2023-29409)", with(rsaKey, "n", oddNumber(16384)), true, "n has over 1032 bytes"},
		{"SEC-J5 RSA of half a megabyte", with(rsaKey, "n", oddNumber(1<<21)), true, "n has over 1032 bytes"},
		{"SEC-J5 RSA even", with(rsaKey, "n", base64url.EncodeToString(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())), true, "modulus is even"},
		{"SEC-J5 e is 1", with(rsaKey, "e", "AQ"), true, "exponent isn't odd"},
		{"SEC-J5 e is 0", with(rsaKey, "e", "AA"), true, "exponent isn't odd"},
		{"SEC-J5 e is even", with(rsaKey, "e", "AQAA"), true, "exponent isn't odd"},
		{"SEC-J5 e is 2^31+1", with(rsaKey, "e", "gAAAAQ"), true, "exponent isn't odd"},
		{"SEC-J5 e is huge", with(rsaKey, "e", oddNumber(2048)), true, "e has over 8 bytes"},
		{"n with padding", with(rsaKey, "n", n.N+"=="), true, "n isn't base64url"},
		{"n in base64", with(rsaKey, "n", "+/"+n.N), true, "n isn't base64url"},
		{"n with a line break", with(rsaKey, "n", n.N[:64]+"\n"+n.N[64:]), true, "n isn't base64url"},
		{"e with unused bits", with(rsaKey, "e", "AR"), true, "e isn't base64url"},
		{"EC without crv", with(ecKey, "crv", nil), true, `kty "EC" with crv ""`},
		{"EC crv is a number", with(ecKey, "crv", 256), true, "crv isn't a string"},
		{"EC P-224", with(ecKey, "crv", "P-224"), true, `kty "EC" with crv "P-224"`},
		{"EC secp256k1", with(ecKey, "crv", "secp256k1", "alg", "ES256K"), true, `with crv "secp256k1"`},
		{"EC on a larger curve", with(ecKey, "crv", "P-384", "alg", nil), true, "x has 32 bytes instead of 48"},
		{"EC on a smaller curve", with(ecKey, "x", oddNumber(384), "y", oddNumber(384)), true, "x has over 32 bytes"},
		{"EC coordinate cut short", with(ecKey, "y", oddNumber(248)), true, "y has 31 bytes instead of 32"},
		{"EC without y", with(ecKey, "y", nil), true, "y is missing"},
		{"SEC-J5 EC not on the curve", with(ecKey, "y", x.X), true, "x and y aren't a point of P-256"},
		{"SEC-J5 EC zero", with(ecKey, "x", strings.Repeat("A", 43), "y", strings.Repeat("A", 43)), true, "aren't a point"},
		{"SEC-J5 EC x beyond the field", with(ecKey, "x", base64url.EncodeToString(bytes.Repeat([]byte{255}, 32))), true, "aren't a point"},
		{"Ed25519 cut short", with(edKey, "x", oddNumber(248)), true, "x has 31 bytes instead of 32"},
		{"Ed25519 too long", with(edKey, "x", oddNumber(264)), true, "x has over 32 bytes"},
		{"Ed25519 without x", with(edKey, "x", nil), true, "x is missing"},
		{"Ed448", with(edKey, "crv", "Ed448"), true, `kty "OKP" with crv "Ed448"`},
		{"X25519", with(edKey, "crv", "X25519"), true, `kty "OKP" with crv "X25519"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys, err := ParseKeys(jwks(rsaKey, row.key, ecKey, edKey))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := keys.Len(), 3; got != want {
				t.Errorf("%d usable keys, want %d", got, want)
			}
			if len(keys.Skipped) != 1 || !strings.Contains(keys.Skipped[0].Error(), row.why) {
				t.Fatalf("skipped %q, want one that says %q", keys.Skipped, row.why)
			}
			if said := keys.Skipped[0].Error(); len(said) > 300 || strings.Contains(said, n.N[:40]) || strings.Contains(said, x.X[:20]) {
				t.Errorf("too much is said: %s", said)
			}
			if got, want := keys.Known("bad"), row.known; got != want {
				t.Errorf("Known(bad) = %t, want %t", got, want)
			}
			for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
				if len(keys.Find("bad", alg)) != 0 {
					t.Errorf("the bad key is found for %s", alg)
				}
			}
			if _, err := ParseKeys(jwks(row.key)); err == nil {
				t.Error("alone it makes a key set")
			}
		})
	}
}

func TestUnusualButGoodKeys(t *testing.T) {
	rsaKey, ecKey, edKey := goodKeys()[0], goodKeys()[1], goodKeys()[2]
	modulus, err := base64url.DecodeString(readJWK(t, rsaKey).N)
	if err != nil {
		t.Fatal(err)
	}
	p := oidctest.New(oidctest.Options{})
	defer p.Close()
	p.AddKey("ES384", "p-384")
	p.AddKey("ES512", "p-521")
	for _, row := range []struct {
		name, key, alg string
	}{
		{"no kid, no alg, no use", editJWK(t, rsaKey, edits("kid", nil, "alg", nil, "use", nil)), "PS512"},
		{"empty kid", editJWK(t, rsaKey, edits("kid", "")), "RS256"},
		{"key_ops lists verify among others", editJWK(t, rsaKey, edits("key_ops", []string{"sign", "verify"})), "RS256"},
		{"unknown members, certificates", editJWK(t, ecKey, edits("x5c", []string{"MIIB"}, "x5t", "AAAA", "iat", 1.5, "ext", true, "KID", "x")), "ES256"},
		{"a zero octet before n", editJWK(t, rsaKey, edits("n", base64url.EncodeToString(append([]byte{0}, modulus...)))), "RS256"},
		{"e of four octets", editJWK(t, rsaKey, edits("e", "AAEAAQ")), "RS256"},
		{"e is 3", editJWK(t, rsaKey, edits("e", "Aw")), "RS256"},
		{"e is 2^31-1", editJWK(t, rsaKey, edits("e", "f____w")), "RS256"},
		{"RSA 8192", editJWK(t, rsaKey, edits("n", oddNumber(8192))), "RS256"},
		{"P-384", p.JWK("p-384"), "ES384"},
		{"P-521", p.JWK("p-521"), "ES512"},
		{"Ed25519 by its new name", editJWK(t, edKey, edits("alg", "Ed25519")), "EdDSA"},
		{"kid of 256 bytes", editJWK(t, edKey, edits("kid", strings.Repeat("k", 256))), "Ed25519"},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys, err := ParseKeys(jwks(row.key))
			if err != nil {
				t.Fatal(err)
			}
			if len(keys.Skipped) != 0 || len(keys.Find("", row.alg)) != 1 {
				t.Errorf("skipped %q, found %d for %s", keys.Skipped, len(keys.Find("", row.alg)), row.alg)
			}
		})
	}
}

func TestDocumentsThatAreNoKeySets(t *testing.T) {
	k := goodKeys()[0]
	for _, row := range []struct{ name, document, why string }{
		{"nothing", "", "not a key set"},
		{"HTML", "  \n<!DOCTYPE html><title>Sign in</title>", "HTML"},
		{"text", "service unavailable", "not a key set"},
		{"null", "null", `no array "keys"`},
		{"array", "[" + k + "]", "not a key set"},
		{"a key alone", k, `no array "keys"`},
		{"no keys", "{}", `no array "keys"`},
		{"keys is null", `{"keys":null}`, `no array "keys"`},
		{"keys is an object", `{"keys":{}}`, "not a key set"},
		{"KEYS", `{"KEYS":[` + k + `]}`, `no array "keys"`},
		{"empty", `{"keys":[]}`, "the key set is empty"},
		{"keys twice", `{"keys":[` + k + `],"keys":[` + k + `]}`, "duplicate key"},
		{"keys twice by escape", `{"keys":[` + k + `],"k\u0065ys":[]}`, "duplicate key"},
		{"another member twice", `{"x":1,"x":2,"keys":[` + k + `]}`, "duplicate key"},
		{"cut short", `{"keys":[` + k, "not a key set"},
		{"something behind", `{"keys":[` + k + `]}{}`, "not a key set"},
		{"deep", strings.Repeat("[", 500_000), "not a key set"},
		{"too large", `{"keys":[` + k + `]}` + strings.Repeat(" ", maxKeysDocument), "over 1048576 bytes"},
		{"a name of half a megabyte, twice", `{"` + strings.Repeat("x", 500_000) + `":1,"` + strings.Repeat("x", 500_000) + `":1}`, "duplicate key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := ParseKeys([]byte(row.document))
			if err == nil || !strings.Contains(err.Error(), row.why) || len(err.Error()) > 400 {
				t.Errorf("error %.500v, want one that says %q", err, row.why)
			}
		})
	}
}

func FuzzParseKeys(f *testing.F) {
	good := goodKeys()
	f.Add(jwks(good...))
	f.Add(jwks(good[0], `{"kid":"x","kty":"oct","k":"AAAA"}`, good[1], "null", `{"kid":"y","kid":"z"}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + oddNumber(2048) + `","e":"AQAB","alg":"RS256","use":"sig","key_ops":["verify"],"kid":"1"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}],"keys":[]}`))
	f.Add([]byte("{\"keys\":[{\"kid\":\"\xff\"}]}"))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"keys":[[[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if err != nil {
			if keys != nil {
				t.Error("keys beside an error")
			}
			return
		}
		if keys.Len() == 0 || keys.Len()+len(keys.Skipped) > maxKeys+1 {
			t.Errorf("%d keys, %d skipped", keys.Len(), len(keys.Skipped))
		}
		for _, k := range keys.all {
			if !keys.Holds(k.Fingerprint) || k.ID != "" && !keys.Known(k.ID) {
				t.Errorf("key %q is neither held nor known", k.ID)
			}
			fits := 0
			for alg := range signatureAlgorithms {
				if !k.Fits(alg) {
					continue
				}
				fits++
				if !slices.Contains(keys.Find(k.ID, alg), k) {
					t.Errorf("key %q isn't found for %s", k.ID, alg)
				}
				if verifySignature(k, alg, "header.payload", make([]byte, 64)) {
					t.Errorf("key %q verifies a signature of zeros", k.ID)
				}
			}
			if fits == 0 {
				t.Errorf("key %q fits no algorithm", k.ID)
			}
		}
		again, err := ParseKeys(data)
		if err != nil || again.content != keys.content {
			t.Errorf("read again it is another set: %v", err)
		}
	})
}

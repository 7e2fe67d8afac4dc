package oidc

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// vectorGroup is a group of vectors of Project Wycheproof: a key (a JWK, or in
// the file for keys a key set) and tokens to try with it.
type vectorGroup struct {
	Comment         string
	Public, Private json.RawMessage
	Tests           []struct {
		TcID                 int
		Comment, JWS, Result string
	}
}

// vectorOverride corrects a vector that contradicts a standard, or itself. Expect
// is "deny", or "either" where both answers are right; Lean is then the better one,
// and ours.
type vectorOverride struct {
	File              string
	TcID              int
	Expect, Lean, Why string
	used              bool
}

// Every vector is run and none is passed over. Groups without a public key are
// for symmetric algorithms. Refusing those is policy here, whatever the vector
// says: what is asserted of them is the refusal, with the secret on offer.
func TestWycheproof(t *testing.T) {
	var corrections struct{ Overrides []*vectorOverride }
	readVectors(t, "overrides.json", &corrections)
	for _, want := range []struct {
		file                      string
		accepted, refused         int // as the vectors say
		refusedByPolicy, eitherOf int
		total                     int
	}{
		{"json_web_signature_test.json", 26, 325, 40, 10, 401},
		{"json_web_key_test.json", 1, 10, 15, 0, 26},
	} {
		var content struct {
			NumberOfTests int
			TestGroups    []vectorGroup
		}
		readVectors(t, want.file, &content)
		got := want
		got.accepted, got.refused, got.refusedByPolicy, got.eitherOf, got.total = 0, 0, 0, 0, content.NumberOfTests
		for _, g := range content.TestGroups {
			set, symmetric := keySetOf(g.Public), false
			if g.Public == nil {
				set, symmetric = keySetOf(g.Private), true
				checkNoSymmetricKey(t, g.Comment, set)
			}
			for _, v := range g.Tests {
				expect := v.Result
				for _, o := range corrections.Overrides {
					if o.File == want.file && o.TcID == v.TcID {
						expect, o.used = cmp.Or(o.Lean, o.Expect), true
					}
				}
				switch ok := verifiesWith(set, v.JWS); {
				case symmetric && !ok:
					got.refusedByPolicy++
				case !symmetric && expect == "either":
					got.eitherOf++
				case !symmetric && expect == "valid" && ok:
					got.accepted++
				case !symmetric && expect != "valid" && !ok:
					got.refused++
				default:
					t.Errorf("%s %d, %s in %s: accepted %t, want %s", want.file, v.TcID, v.Comment, g.Comment, ok, expect)
				}
			}
		}
		if got != want {
			t.Errorf("vectors run: got %+v, want %+v", got, want)
		}
	}
	for _, o := range corrections.Overrides {
		if !o.used || o.Why == "" {
			t.Errorf("the override of %s %d fits no vector, or has no reason", o.File, o.TcID)
		}
	}
}

// The symmetric vectors say much about parsing: base64url, padding, what is signed.
// So that this isn't lost behind the policy, the test does the HMAC itself.
func TestWycheproofParsing(t *testing.T) {
	var corrections struct{ Overrides []*vectorOverride }
	readVectors(t, "overrides.json", &corrections)
	var content struct{ TestGroups []vectorGroup }
	const file = "json_web_signature_test.json"
	readVectors(t, file, &content)
	run, valid := 0, 0
	for _, g := range content.TestGroups {
		if g.Public != nil {
			continue
		}
		var secret struct{ Alg, K string }
		if err := json.Unmarshal(g.Private, &secret); err != nil || secret.Alg != "HS256" {
			t.Fatalf("%s: alg %q, %v", g.Comment, secret.Alg, err)
		}
		k, err := base64url.DecodeString(secret.K)
		if err != nil {
			t.Fatalf("%s: %v", g.Comment, err)
		}
		good := map[string]bool{} // some vectors call a token bad that is another's good one
		for _, v := range g.Tests {
			denied := slices.ContainsFunc(corrections.Overrides, func(o *vectorOverride) bool { return o.File == file && o.TcID == v.TcID && o.Expect == "deny" })
			if v.Result == "valid" && !denied {
				good[v.JWS] = true
			}
		}
		for _, v := range g.Tests {
			run++
			j, refusal := ParseJWS(RawToken(v.JWS))
			got := false
			if refusal == nil && j.Algorithm == secret.Alg {
				mac := hmac.New(sha256.New, k)
				mac.Write([]byte(j.SigningInput))
				got = hmac.Equal(mac.Sum(nil), j.Signature)
			}
			if got {
				valid++
			}
			if want := good[v.JWS]; got != want {
				t.Errorf("%d, %s in %s: read as signed %t, want %t (%v)", v.TcID, v.Comment, g.Comment, got, want, refusal)
			}
		}
	}
	if run != 40 || valid != 10 {
		t.Errorf("vectors: got %d, %d of them signed, want 40, 10", run, valid)
	}
}

// checkNoSymmetricKey holds that only the asymmetric keys of a set are loaded.
func checkNoSymmetricKey(t *testing.T, group string, set []byte) {
	t.Helper()
	var entries struct{ Keys []struct{ Kty string } }
	if err := json.Unmarshal(set, &entries); err != nil {
		t.Fatalf("%s: %v", group, err)
	}
	got, want := 0, 0
	for _, e := range entries.Keys {
		if e.Kty != "oct" {
			want++
		}
	}
	if keys, err := ParseKeys(set); err == nil {
		got = keys.Len()
	}
	if got != want || want == len(entries.Keys) {
		t.Errorf("%s: keys loaded: got %d, want the %d of %d that aren't symmetric", group, got, want, len(entries.Keys))
	}
}

// verifiesWith says whether a key of the set verifies the token.
func verifiesWith(set []byte, token string) bool {
	keys, err := ParseKeys(set)
	if err != nil {
		return false
	}
	j, refusal := ParseJWS(RawToken(token))
	if refusal != nil {
		return false
	}
	return slices.ContainsFunc(keys.Find(j.KeyID, j.Algorithm), func(k *Key) bool {
		return verifySignature(k, j.Algorithm, j.SigningInput, j.Signature)
	})
}

// keySetOf makes a key set of a single key, and leaves a key set as it is.
func keySetOf(jwk json.RawMessage) []byte {
	var set struct{ Keys []json.RawMessage }
	if json.Unmarshal(jwk, &set) == nil && set.Keys != nil {
		return jwk
	}
	return slices.Concat([]byte(`{"keys":[`), jwk, []byte(`]}`))
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/wycheproof/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

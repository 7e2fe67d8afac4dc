package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzTokenAnswer reads what a token endpoint may say, and compares it with a second
// reading.
func FuzzTokenAnswer(f *testing.F) {
	for _, text := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r","id_token":"e.y.j"}`,
		`{"access_token":"a","token_type":"bearer","expires_in":"3600","refresh_token":null,"scope":"openid"}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":-1e300}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":18446744073709551616}`,
		`{"access_token":"a\r\n","token_type":"Bearer"}`,
		`{"access_token":"a","access_token":"b","token_type":"Bearer"}`,
		`{"access_token":"a","token_type":"DPoP","expires_in":true}`,
		`{"error":"invalid_grant"}`, `access_token=a`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readTokenAnswer(text)
		a := answer{status: 400, body: text}
		if code := a.errorCode(); code != "" && !strings.Contains(string(text), "error") && !strings.Contains(string(text), `\u`) {
			t.Fatalf("%s: an error code %q out of nothing", text, code)
		}
		if err != nil {
			if len(err.Error()) > 500 {
				t.Fatalf("%s: an error of %d bytes", text, len(err.Error()))
			}
			return
		}
		var m map[string]any
		if !strictly(text) || json.Unmarshal(text, &m) != nil {
			t.Fatalf("%q is read", text)
		}
		for name, token := range map[string]RawToken{"access_token": got.access, "refresh_token": got.refresh, "id_token": got.id} {
			if said, _ := m[name].(string); said != string(token) || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q: %s is %q", text, name, string(token))
			}
		}
		kind, _ := m["token_type"].(string)
		if got.access == "" || !strings.EqualFold(kind, "bearer") || len(kind) != len("bearer") {
			t.Fatalf("%q: an access token %q of type %q", text, string(got.access), kind)
		}
		if got.expires < 0 || got.expires > longestExpiry || got.expires%time.Second != 0 {
			t.Fatalf("%q: expires in %v", text, got.expires)
		}
	})
}

// FuzzIDToken signs whatever it is given. What a login then takes is an ID token by a
// second reading too, and nothing is taken that wasn't signed.
func FuzzIDToken(f *testing.F) {
	z := newFuzzed(f)
	p := mustMake(NewRelyingParty(RelyingPartyOptions{
		Issuer: fuzzedIssuer, Keys: z.verifier.Provider(fuzzedIssuer).Keys(), Algorithms: []string{"EdDSA"}, ClientID: "web",
		ClockSkew: 30 * time.Second, RedirectURI: "https://app.test/callback", OtherAudiences: []string{"project"},
	}))
	// No kid is waited for: another load of the file would tell nothing new.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	judge := func(raw string) error {
		v, refusal := p.openIDToken(ctx, RawToken(raw), "access", time.Unix(clock, 0))
		if refusal == nil {
			refusal = p.duringLogin(v, nonce)
		}
		if refusal != nil {
			return refusal
		}
		return nil
	}
	good := []string{
		`{"iss":"https://issuer.test","aud":"web","sub":"alice","nonce":"nonce-1","iat":1702389541,"exp":1702393201}`,
		` {"aud":["project","web"],"azp":"web","iss":"https:\/\/issuer.test","sub":"\u0061","nonce":"nonce-1","iat":1.702389541e9,"exp":1702393201.5,"nbf":1702389541,"sid":"s","typ":"ID"} `,
	}
	for _, header := range []string{`{"alg":"EdDSA"}`, `{"alg":"EdDSA","kid":"ed-1","typ":"JWT"}`} {
		for _, claims := range good {
			if err := judge(z.signEd([]byte(header), []byte(claims))); err != nil {
				f.Fatalf("%s: %v", claims, err)
			}
			f.Add([]byte(header), []byte(claims), "")
			f.Add([]byte(header), []byte(claims), "AAAA")
			f.Add([]byte(header), []byte(strings.Replace(claims, "iss", "ISS", 1)), "")
			f.Add([]byte(header), []byte(strings.Replace(claims, "{", `{"at_hash":"x","_claim_names":{"a":1},`, 1)), "")
		}
	}
	f.Add([]byte(`{"alg":"none"}`), []byte(good[0]), "")
	f.Add([]byte(`{"alg":"EdDSA","typ":"at+jwt"}`), []byte(good[0]), "")
	f.Fuzz(func(t *testing.T, header, claims []byte, signature string) {
		raw := z.signEd(header, claims)
		if signature != "" {
			altered := string(resigned(RawToken(raw), signature))
			if altered != raw && judge(altered) == nil {
				t.Fatalf("%s is taken, signed by nobody", altered)
			}
		}
		var h map[string]any // a struct's typ would be found in any case of its letters
		if judge(raw) == nil && (!soundHeader(header) || !soundIDToken(claims) || json.Unmarshal(header, &h) != nil || strings.HasSuffix(fmt.Sprint(h["typ"]), "at+jwt")) {
			t.Fatalf("%q, %q is taken", header, claims)
		}
	})
}

// soundIDToken says whether these may be the claims of an ID token for web.
func soundIDToken(text []byte) bool {
	var c map[string]any
	if !strictly(text) || json.NewDecoder(bytes.NewReader(text)).Decode(&c) != nil {
		return false
	}
	within := func(name string, least, most float64) bool {
		seconds, ok := c[name].(float64)
		return ok && seconds >= least && seconds <= most
	}
	audiences, ok := c["aud"].([]any)
	if !ok {
		audiences = []any{c["aud"]}
	}
	sub, _ := c["sub"].(string)
	_, later := c["nbf"]
	azp, party := c["azp"]
	return c["iss"] == fuzzedIssuer && sub != "" && c["nonce"] == nonce &&
		slices.Contains(audiences, any("web")) && (!party || azp == "web") &&
		!slices.ContainsFunc(audiences, func(a any) bool { return a != "web" && a != "project" }) &&
		within("exp", clock-31, latestDate) && within("iat", clock-631, clock+31) && (!later || within("nbf", -latestDate, clock+31))
}

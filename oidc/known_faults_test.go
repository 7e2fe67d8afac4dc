package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// The faults of docs/known-faults.md that are about what a provider or a token says,
// as far as they aren't in the tests of the part that they are about.

// TestSEC_5_5_5_13_JSONSerialisations offers good tokens in the forms that aren't the
// compact one: a flat or a general JWS, one of whose signatures is good, and JSON
// that is a compact token to those who split at dots (CVE-2016-9122, CVE-2022-39227).
func TestSEC_5_5_5_13_JSONSerialisations(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	good := string(r.sign(oidctest.Token{}))
	s := strings.Split(good, ".")
	signature := `{"protected":"` + s[0] + `","signature":"` + s[2] + `"}`
	for name, raw := range map[string]string{
		"flat":                      `{"payload":"` + s[1] + `","protected":"` + s[0] + `","signature":"` + s[2] + `"}`,
		"general":                   `{"payload":"` + s[1] + `","signatures":[` + signature + `]}`,
		"one good of two":           `{"payload":"` + s[1] + `","signatures":[{"protected":"` + s[0] + `","signature":"AA"},` + signature + `]}`,
		"a name that is a token":    `{"` + s[0] + `.` + s[1] + `.` + s[2] + `":"x","payload":"` + segment(r.good()) + `"}`,
		"a member around a token":   `{"` + s[0] + `.":"x","a":".` + s[1] + `.` + s[2] + `"}`,
		"JSON before a token":       `{}` + good,
		"JSON behind a token":       good + `{}`,
		"two tokens":                good + "," + good,
		"a token in quotes":         `"` + good + `"`,
		"two tokens, as one":        good + "." + good,
		"two signatures":            good + "." + s[2],
		"no signature in a segment": s[0] + "." + s[1],
	} {
		if raw == good {
			t.Fatal(name)
		}
		r.refused(t, name, RawToken(raw), audit.TokenMalformed)
	}
	r.want(t, "six segments", RawToken(good+"."+good), "token_malformed: 6 segments instead of 3")
	r.want(t, "an encoded JWS in JSON", RawToken(segment(`{"payload":"`+s[1]+`"}`)), "token_opaque")
}

// TestSEC_5_7_MissingClaims leaves out, one by one, what every token needs, and
// empties it: aud and exp above all (GHSA-wcvh-g65p-v576, CVE-2026-55669).
// Held as well: SEC-5.21, SEC-5.22, SEC-5.23.
func TestSEC_5_7_MissingClaims(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for _, name := range []string{"iss", "aud", "exp", "sub"} {
		for form, value := range map[string]any{
			"missing": nil, "null": verbatim("null"), "false": false, "true": true, "zero": 0, "empty": "", "blank": " ", "empty array": []string{},
			"empty object": members{}, "array of null": verbatim("[null]"), "array of arrays": verbatim(`[["api"]]`), "array of objects": verbatim(`[{"api":"api"}]`),
		} {
			if name == "sub" && form == "blank" {
				continue // a subject may be any text
			}
			got := r.verify(t, r.claiming(members{name: value}))
			if got.Good() || got.Refusal.Reason.Class() != audit.ClassUnauthenticated {
				t.Errorf("%s %s: %s", name, form, verdict(got))
			}
		}
	}
	for _, other := range []string{"ap", "apis", "API", "api ", " api", "api\x00", "api/", "аpi", "api,x", "x api"} {
		r.refused(t, other, r.claiming(members{"aud": other}), audit.AudienceMismatch)
		r.refused(t, other+" in a list", r.claiming(members{"aud": []string{other, other}}), audit.AudienceMismatch)
	}
}

// TestSEC_5_14_CriticalHeaders is crit in every form (CVE-2026-32597, CVE-2025-59420),
// in signed tokens: a header that is understood by no rule isn't looked past.
func TestSEC_5_14_CriticalHeaders(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for name, crit := range map[string]any{
		"unknown": []string{"x"}, "registered": []string{"alg"}, "exp": []string{"exp"}, "b64": []string{"b64"}, "empty": []string{}, "null": verbatim("null"),
		"text": "exp", "number": 1, "object": members{"exp": true}, "false": false, "twice": []string{"exp", "exp"}, "nested": []any{[]string{"exp"}},
	} {
		r.want(t, name, r.headed(members{"crit": crit, "exp": clock + 60}), "critical_header: the header has crit")
	}
	for name, b64 := range map[string]any{"false": false, "true": true, "null": verbatim("null"), "text": "false"} {
		r.want(t, "b64 "+name, r.headed(members{"b64": b64}), "critical_header: the header has b64")
	}
}

// TestSEC_5_8_EveryCombinationOfFaults: an error is never looked past for the sake of
// another one (CVE-2024-51744). Of all that can be wrong with a token at once, none of
// it is let in, and where the signature is bad nothing else is said of it.
func TestSEC_5_8_EveryCombinationOfFaults(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t)
	edits := []struct {
		name  string
		claim members
	}{
		{"expired", members{"exp": clock - 3600}}, {"not yet valid", members{"nbf": clock + 3600}}, {"issued tomorrow", members{"iat": clock + 86400}}, {"for another", members{"aud": "other"}},
		{"bound", members{"cnf": members{"jkt": "x"}}}, {"an ID token", members{"at_hash": "x"}}, {"of nobody", members{"sub": nil}}, {"forged", nil},
	}
	for mask := range 1 << len(edits) {
		claims, forged, name := members{}, false, []string{}
		for i, edit := range edits {
			if mask>>i&1 == 1 {
				maps.Copy(claims, edit.claim)
				forged = forged || edit.claim == nil
				name = append(name, edit.name)
			}
		}
		raw := r.claiming(claims)
		if forged {
			raw = resigned(raw, strings.Repeat("A", 86))
		}
		for range 2 {
			got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody)
			switch {
			case mask == 0:
				if !got.Good() {
					t.Errorf("nothing wrong: %s", verdict(got))
				}
			case got.Good() || got.Refusal == nil:
				t.Errorf("%s: good", strings.Join(name, ", "))
			case forged && got.Refusal.Reason != audit.SignatureInvalid:
				t.Errorf("%s: %s, want what is wrong with the signature", strings.Join(name, ", "), verdict(got))
			}
		}
	}
}

// TestSEC_5_8_NoReasonIsGood: a result with any reason at all isn't good, whatever else
// it holds.
func TestSEC_5_8_NoReasonIsGood(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	good := r.verify(t, r.sign(oidctest.Token{}))
	if !good.Good() {
		t.Fatal(verdict(good))
	}
	for reason := range audit.Reason(audit.NumReasons) {
		result := good
		if result.Refusal = (&audit.Refusal{Reason: reason}); result.Good() {
			t.Errorf("%v: good", reason)
		}
	}
	if zero := new(Result); zero.Good() {
		t.Error("the zero result is good")
	}
}

// TestSEC_5_33_Towers: JSON a hundred thousand levels deep, in every answer of a
// provider and in every part of a token, is refused by whoever reads it
// (CVE-2026-48042), and the next one is read.
func TestSEC_5_33_Towers(t *testing.T) {
	const levels = 100_000
	towers := map[string]string{
		"arrays": strings.Repeat("[", levels) + strings.Repeat("]", levels), "objects": strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels),
		"open arrays": strings.Repeat("[", levels), "open objects": strings.Repeat(`{"a":`, levels),
	}
	r := newRealm(t, "https://issuer.test")
	v := NewVerifier([]*Provider{mustMake(NewProvider(r.options))}, 8<<20)
	d := newDesk(t, nil)
	visited := newReception(t, func(_ *reception, o *RelyingPartyOptions) {
		o.UserInfo, o.MaxPerSecond, o.MaxConcurrent = true, 100_000, 1000
	})
	for name, tower := range towers {
		within := `{"iss":"https://issuer.test","aud":"api","sub":"alice","active":true,"x":` + tower + `}`
		for part, raw := range map[string]RawToken{
			"header": RawToken(compact(tower, r.good())), "a member of the header": RawToken(compact(`{"alg":"ES256","kid":"ec-1","x":`+tower+`}`, r.good())),
			"claims": r.sign(oidctest.Token{RawClaims: tower}), "a claim": r.sign(oidctest.Token{RawClaims: within}),
		} {
			got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody)
			if got.Good() || got.Refusal.Reason.Class() != audit.ClassUnauthenticated {
				t.Errorf("%s as %s: %s", name, part, verdict(got))
			}
		}
		for _, body := range []string{tower, within} {
			d.idp.Break(oidctest.Introspection, oidctest.Fault{Body: body})
			if got := d.ask(t, "x"); got.Good() {
				t.Errorf("%s in an introspection answer: %s", name, verdict(got))
			}
			for _, path := range []string{"/token", "/userinfo"} {
				visited.replies["/token"] = visited.tokens(nil, nil)
				visited.answer(path, reply{body: body})
				if got := outcome(t, second(visited.login(t))); strings.HasPrefix(got, "login_busy") || got == "good" {
					t.Errorf("%s at %s: %s", name, path, got)
				}
			}
			if keys, err := ParseKeys([]byte(`{"keys":[` + body + `,` + goodKeys()[0] + `]}`)); err == nil && len(keys.byID["a-rsa"]) != 1 {
				t.Errorf("%s as a key: the good one beside it is gone", name)
			}
			p := oidctest.New(oidctest.Options{Issuer: "https://issuer.test"})
			for _, endpoint := range []oidctest.Endpoint{oidctest.Discovery, oidctest.JWKS} {
				p.Break(endpoint, oidctest.Fault{Body: body})
				client := newClient(t, ClientOptions{Transport: p.Transport(), MaxBody: 8 << 20})
				set := NewKeySet(KeySetOptions{Name: "corp", Issuer: "https://issuer.test", Client: client})
				ctx, cancel := context.WithCancel(t.Context())
				go set.Run(ctx)
				if err := set.Refresh(ctx); err == nil {
					t.Errorf("%s as answer of %v: it is taken", name, endpoint)
				}
				cancel()
				<-set.stopped
				p.Mend(endpoint)
			}
			p.Close()
		}
	}
	if got := verdict(v.Verify(t.Context(), r.sign(oidctest.Token{}), time.Unix(clock, 0), nobody)); got != "good" {
		t.Errorf("the next token: %s", got)
	}
}

func second[A, B any](_ A, b B) B { return b }

// issued makes a certificate for a server, signed by an authority of its own, and gives
// that in a file.
func issued(t *testing.T, edit func(*x509.Certificate)) (certificate tls.Certificate, authority string) {
	t.Helper()
	authorityKey, key := mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), mustMake(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	signed := mustMake(x509.ParseCertificate(mustMake(x509.CreateCertificate(rand.Reader, root, root, authorityKey.Public(), authorityKey))))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	edit(leaf)
	der := mustMake(x509.CreateCertificate(rand.Reader, leaf, signed, key.Public(), authorityKey))
	authority = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, authority
}

// TestSEC_5_58_OnlyTheProvidersOwnCertificate: a server whose certificate isn't by the
// authority that is believed, for its name, for servers and for now is sent nothing: no
// question for keys, no code and no secret (CVE-2022-31105).
func TestSEC_5_58_OnlyTheProvidersOwnCertificate(t *testing.T) {
	for _, row := range []struct {
		name     string
		edit     func(*x509.Certificate)
		believed bool // its authority
		good     bool
	}{
		{"as it should be", func(*x509.Certificate) {}, true, true},
		{"by an authority that isn't believed", func(*x509.Certificate) {}, false, false},
		{"for another name", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"issuer.test"} }, true, false},
		{"for another address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }, true, false},
		{"the name in its common name alone", func(c *x509.Certificate) { c.IPAddresses = nil }, true, false},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, true, false},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, true, false},
		{"for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			certificate, authority := issued(t, row.edit)
			_, other := issued(t, func(*x509.Certificate) {})
			var heard []string
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard = append(heard, r.URL.Path) }))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			defer s.Close()
			if !row.believed {
				authority = other
			}
			client := newClient(t, ClientOptions{CAFile: authority})
			auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "web", Secret: secret(canary)}))
			issuer := Issuer(s.URL)
			keys := NewKeySet(KeySetOptions{Name: "corp", Issuer: issuer, URL: s.URL + "/keys", Client: client})
			ctx, cancel := context.WithCancel(t.Context())
			go keys.Run(ctx)
			_ = keys.Refresh(ctx) // what the server answers is nothing
			cancel()
			<-keys.stopped
			_, _ = Discover(t.Context(), client, issuer, "")
			asker := mustMake(NewIntrospector(IntrospectorOptions{Name: "corp", Issuer: issuer, URL: s.URL + "/introspect", Auth: auth, Client: client}))
			p := mustMake(NewProvider(ProviderOptions{Name: "corp", Issuer: issuer, Audiences: []string{"api"}, Keys: keys, Introspector: asker}))
			if got := p.Introspect(t.Context(), "opaque", time.Now(), nobody); got.Good() {
				t.Error("a token is good")
			}
			if want := map[bool]int{true: 3}[row.good]; len(heard) < want || want == 0 && len(heard) > 0 {
				t.Errorf("the server heard %q", heard)
			}
		})
	}
}

// TestSEC_5_61_HugeKeysAreNotLoaded: a key that would make each verification dear
// (CVE-2023-29409) isn't loaded, and isn't made a number of before that is known.
func TestSEC_5_61_HugeKeysAreNotLoaded(t *testing.T) {
	good := goodKeys()
	for name, key := range map[string]string{
		"RSA of 16384 bits":       editJWK(t, good[0], edits("kid", "bad", "n", oddNumber(16384))),
		"RSA of 65536 bits":       editJWK(t, good[0], edits("kid", "bad", "n", oddNumber(65536))),
		"RSA of half a megabyte":  editJWK(t, good[0], edits("kid", "bad", "n", oddNumber(1<<22))),
		"a public exponent of it": editJWK(t, good[0], edits("kid", "bad", "e", oddNumber(1<<22))),
		"an exponent of 2048":     editJWK(t, good[0], edits("kid", "bad", "e", oddNumber(2048))),
		"an exponent of 64":       editJWK(t, good[0], edits("kid", "bad", "e", oddNumber(64))),
		"a long point":            editJWK(t, good[1], edits("kid", "bad", "x", oddNumber(1<<22))),
		"a long Ed25519 key":      editJWK(t, good[2], edits("kid", "bad", "x", oddNumber(1<<22))),
		"leading zeros":           editJWK(t, good[0], edits("kid", "bad", "n", strings.Repeat("A", 700_000)+"AQAB")),
	} {
		keys, err := ParseKeys(jwks(append(slices.Clone(good), key)...))
		if err != nil || len(keys.byID["bad"]) != 0 || len(keys.byID["a-rsa"]) != 1 || len(keys.byID["a-ed"]) != 1 {
			t.Errorf("%s: %v, %v", name, keys, err)
			continue
		}
		data := []byte(key)
		if got, most := bytesPerRun(func() { _, _ = parseObject(data); _, _ = ParseKeys(jwks(key)) }), uint64(10*len(key)+64<<10); got > most {
			t.Errorf("%s: %d bytes allocated for %d, want at most %d", name, got, len(key), most)
		}
	}
}

// TestSEC_5_63_EverySignedInput: what comes signed is worth nothing with one character
// changed (CVE-2021-29652): access tokens, ID tokens, userinfo, answers of
// introspection and proofs.
func TestSEC_5_63_EverySignedInput(t *testing.T) {
	// changes gives the text with each of so many of its characters changed.
	changes := func(text string, step int) (list []string) {
		for i := 0; i < len(text)-1; i += step { // the last may have bits that count for nothing, which is another refusal
			if text[i] == '.' {
				continue
			}
			other := "A"
			if text[i] == 'A' {
				other = "B"
			}
			list = append(list, text[:i]+other+text[i+1:])
		}
		return list
	}
	r := newReception(t, func(_ *reception, o *RelyingPartyOptions) {
		o.UserInfo, o.MaxPerSecond, o.MaxConcurrent = true, 100_000, 1000
	})
	token := r.idToken(nil, nil)
	login := func(token, info, kind string) *audit.Refusal {
		r.answer("/token", r.tokensWith(token, nil))
		r.answer("/userinfo", reply{body: info, kind: kind})
		return second(r.login(t))
	}
	const plain, signed = "application/json", "application/jwt"
	if refusal := login(token, `{"sub":"alice"}`, plain); refusal != nil {
		t.Fatal(refusal)
	}
	for _, changed := range changes(token, 5) {
		if got := login(changed, `{"sub":"alice"}`, plain); got == nil || got.Reason == audit.LoginBusy {
			t.Errorf("a changed ID token: %v", got)
		}
	}
	info := r.idp.Sign(oidctest.Token{Claims: members{"aud": "web"}, Header: members{"typ": nil}})
	if refusal := login(token, info, signed); refusal != nil {
		t.Fatal(refusal)
	}
	for _, changed := range changes(info, 5) {
		if got := login(token, changed, signed); got == nil || got.Reason == audit.LoginBusy {
			t.Errorf("changed userinfo: %v", got)
		}
	}

	realm := newRealm(t, "https://issuer.test")
	access := string(realm.sign(oidctest.Token{}))
	for _, changed := range changes(access, 5) {
		if got := realm.verify(t, RawToken(changed)); got.Good() {
			t.Errorf("a changed access token: %s", changed)
		}
	}

	d := newSignedDesk(t, nil)
	d.Introspector().budget = newBudget(1000, 100_000)
	answer := d.idp.Sign(oidctest.Token{KeyID: "ec-1", Header: members{"typ": "token-introspection+jwt"}, Claims: members{"aud": "credence", "iat": clock, "token_introspection": verbatim("{" + alive + "}"), "sub": nil, "exp": nil}})
	d.says(signedAnswer, answer)
	if got := d.ask(t, "x"); !got.Good() {
		t.Fatal(verdict(got))
	}
	for _, changed := range changes(answer, 5) {
		d.says(signedAnswer, changed)
		if got := d.ask(t, "x"); got.Good() || got.Refusal.Reason != audit.IntrospectionUnavailable {
			t.Errorf("a changed answer: %s", verdict(got))
		}
	}

	c := newDPoPClient(t, nil)
	proof := c.proof("ec-1", nil, nil)
	for _, changed := range changes(proof, 5) {
		if got := c.check(presenting(changed)); got == "good" {
			t.Errorf("a changed proof: %s", changed)
		}
	}
	if got := c.check(presenting(proof)); got != "good" {
		t.Errorf("the proof itself: %s", got)
	}
}

// TestSEC_5_65_NothingWipesKeys: whatever the provider answers in the place of its keys,
// and whatever tokens name, the keys that were good are there.
func TestSEC_5_65_NothingWipesKeys(t *testing.T) {
	bubble(t, "answers", func(t *testing.T) {
		r := newRig(t, nil)
		good := r.p.Sign(oidctest.Token{})
		r.want("at first", good, "verified")
		for _, fault := range []oidctest.Fault{
			{Body: `{}`}, {Body: `{"keys":null}`}, {Body: `{"keys":[]}`}, {Body: `{"keys":{}}`}, {Body: `{"keys":[{}]}`}, {Body: `[]`}, {Body: `null`}, {Body: ``}, {Body: `<html>`}, {Body: `{"error":"x"}`},
			{Status: 204}, {Status: 304}, {Status: 404}, {Status: 429}, {Status: 500, Body: `{"keys":[]}`}, {Refuse: true}, {Truncate: 20}, {Huge: 2 << 20}, {Redirect: "https://evil.test/"},
		} {
			r.p.Break(oidctest.JWKS, fault)
			for i := range 3 {
				time.Sleep(time.Minute)
				_ = r.set.Refresh(t.Context()) // it fails, or is no good
				r.verify(r.p.Sign(oidctest.Token{KeyID: fmt.Sprint("made-up-", i)}), time.Second)
				r.want(fmt.Sprintf("%+v", fault), good, "verified")
			}
		}
		r.p.Mend(oidctest.JWKS)
		time.Sleep(time.Hour)
		r.want("afterwards", good, "verified")
	})
}

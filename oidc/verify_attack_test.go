package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// good are the claims of a good token, as text.
func (r *realm) good() string {
	return `{"iss":"` + r.idp.Issuer() + `","aud":"api","sub":"alice","exp":` + strconv.Itoa(clock+60) + `}`
}

func quoteJSON(s string) string { return string(appendQuoted(nil, s)) }

// refused says that a token is refused, for one of these reasons.
func (r *realm) refused(t *testing.T, name string, token RawToken, reasons ...audit.Reason) {
	t.Helper()
	if got := r.verify(t, token); got.Good() || !slices.Contains(reasons, got.Refusal.Reason) {
		t.Errorf("%s: %s, want %v", name, verdict(got), reasons)
	}
}

func TestSEC_J1_5_10_NoneInEverySpelling(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	live := string(r.sign(oidctest.Token{}))
	signature := live[strings.LastIndexByte(live, '.')+1:]
	spellings := []string{"none ", " none", "none\x00", "\tnone", "\ufeffnone", "ｎｏｎｅ", "nоne", "none,ES256", "ES256,none", "null", "false", "0", "plain", "unsecured"}
	for mask := range 1 << 4 { // every mixture of cases
		name := []rune("none")
		for i := range name {
			if mask>>i&1 == 1 {
				name[i] = unicode.ToUpper(name[i])
			}
		}
		spellings = append(spellings, string(name))
	}
	for _, alg := range spellings {
		for _, kid := range []string{`,"kid":"ec-1"`, ``, `,"kid":""`} {
			input := segment(`{"alg":`+quoteJSON(alg)+kid+`}`) + "." + segment(r.good()) + "."
			for _, sig := range []string{"", "AA", signature} {
				r.refused(t, alg, RawToken(input+sig), audit.AlgorithmNotAllowed)
			}
		}
	}
	for _, header := range []string{`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":["none"]}`, `{"Alg":"none"}`} {
		r.refused(t, header, RawToken(segment(header)+"."+segment(r.good())+"."), audit.TokenHeaderInvalid)
	}
	r.refused(t, "no signature under a real alg", RawToken(segment(`{"alg":"ES256","kid":"ec-1"}`)+"."+segment(r.good())+"."), audit.SignatureInvalid)
}

// publicSpellings are the forms in which somebody may hold a public key.
func publicSpellings(t *testing.T, public crypto.PublicKey, jwk string) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	all := map[string][]byte{
		"nothing": {}, "DER": der, "PEM": text, "PEM without its last line break": text[:len(text)-1],
		"PEM behind a line break": append([]byte("\n"), text...), "PEM behind spaces": append([]byte("  \t"), text...),
		"PEM of Windows": []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), "DER in base64": []byte(base64.StdEncoding.EncodeToString(der)),
		"JWK": []byte(jwk), "JWK set": []byte(`{"keys":[` + jwk + `]}`), "kid": []byte("rsa-1"),
	}
	if key, ok := public.(*rsa.PublicKey); ok {
		old := x509.MarshalPKCS1PublicKey(key)
		all["PKCS #1"] = old
		all["PKCS #1 in PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: old})
		all["modulus"] = key.N.Bytes()
		all["modulus in base64url"] = []byte(segment(key.N.Bytes()))
		all["modulus in digits"] = []byte(key.N.String())
	}
	return all
}

// No public key is a secret (CVE-2015-9235, and with white space CVE-2023-48223),
// because HMAC isn't computed at all.
func TestSEC_J2_5_9_PublicKeysAsSecrets(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		r.refused(t, alg+" with PEM", r.sign(oidctest.Token{Alg: alg, KeyID: "rsa-1"}), audit.AlgorithmNotAllowed)
	}
	hashes := map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512, "RS256": crypto.SHA256, "ES256": crypto.SHA256, "EdDSA": crypto.SHA512}
	set, _ := r.keys.Current()
	for _, kid := range []string{"rsa-1", "ec-1", "ed-1"} {
		for name, secret := range publicSpellings(t, set.byID[kid][0].Public, r.idp.JWK(kid)) {
			for alg, hash := range hashes {
				for _, header := range []string{`{"alg":"` + alg + `","kid":"` + kid + `"}`, `{"alg":"` + alg + `"}`} {
					input := segment(header) + "." + segment(r.good())
					mac := hmac.New(hash.New, secret)
					mac.Write([]byte(input))
					r.refused(t, alg+" with "+name, RawToken(input+"."+segment(mac.Sum(nil))), audit.AlgorithmNotAllowed, audit.SignatureInvalid)
				}
			}
		}
	}
}

// What a header says about keys is data of whoever made the token: nothing of it
// is believed, and no request leaves for it (CVE-2018-0114).
func TestSEC_J10_5_11_KeysInTheHeader(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	address := "http://" + listener.Addr().String()

	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, own.Public(), own)
	if err != nil {
		t.Fatal(err)
	}
	point, _ := own.PublicKey.Bytes()
	jwk := `{"kty":"EC","crv":"P-256","kid":"ec-1","alg":"ES256","x":"` + segment(point[1:33]) + `","y":"` + segment(point[33:]) + `"}`
	chain := `["` + base64.StdEncoding.EncodeToString(certificate) + `"]`

	before := r.idp.Requests(oidctest.JWKS) + r.idp.Requests(oidctest.Discovery)
	forged := func(header, claims string) RawToken {
		input := segment(header) + "." + segment(claims)
		return RawToken(input + "." + segment(signAs(t, own, "ES256", input)))
	}
	for _, member := range []string{
		`"jwk":` + jwk, `"jku":"` + address + `/jku"`, `"x5u":"` + address + `/x5u"`, `"x5c":` + chain,
		`"jwk":` + jwk + `,"jku":"` + address + `","x5u":"` + address + `","x5c":` + chain + `,"x5t":"AAAA","x5t#S256":"AAAA"`,
		`"iss":"` + address + `","url":"` + address + `"`,
	} {
		for _, kid := range []string{`,"kid":"ec-1"`, ``} {
			r.refused(t, member, forged(`{"alg":"ES256",`+member+kid+`}`, r.good()), audit.SignatureInvalid)
		}
		live := r.sign(oidctest.Token{RawHeader: `{"alg":"ES256","kid":"ec-1",` + member + `}`, KeyID: "ec-1"})
		r.want(t, "beside a good signature, "+member, live, "good")
	}
	for _, claims := range []string{`"iss":"` + address + `"`, `"iss":"https://issuer.test","jku":"` + address + `","jwks_uri":"` + address + `"`} {
		r.refused(t, claims, forged(`{"alg":"ES256","kid":"ec-1"}`, `{`+claims+`}`), audit.IssuerUnknown, audit.SignatureInvalid)
	}
	if after := r.idp.Requests(oidctest.JWKS) + r.idp.Requests(oidctest.Discovery); after != before {
		t.Errorf("%d requests went to the provider", after-before)
	}
	// A kid is a name and nothing else. The first that isn't known makes the one
	// fetch, from where the keys always come from.
	for _, kid := range []string{address + "/kid", "/etc/passwd", "../../../../dev/null", "file:///etc/passwd", "' OR 1=1 --", "| id", "*", ".", "ec-1\x00", "ec-1 ", "EC-1", "ec-1/../ec-1"} {
		r.refused(t, kid, forged(`{"alg":"ES256","kid":`+quoteJSON(kid)+`}`, r.good()), audit.KeyUnknown, audit.KeyRefreshPending)
	}
	if after := r.idp.Requests(oidctest.JWKS); after > before+1 {
		t.Errorf("%d fetches for kids", after-before)
	}
	listener.Close()
	<-ended
	if got := connections.Load(); got != 0 {
		t.Errorf("%d connections to an address from a token", got)
	}
}

// The keys of one issuer say nothing about another's tokens, whatever their names.
func TestSEC_J8_A2_KeysBelongToTheirIssuer(t *testing.T) {
	a, b := newRealm(t, "https://a.test"), newRealm(t, "https://a.test/")
	pa, errA := NewProvider(a.options)
	pb, errB := NewProvider(b.options)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	v := NewVerifier([]*Provider{pa, pb}, 16<<10)
	for _, kid := range []string{"rsa-1", "ec-1", "ed-1"} {
		for _, header := range []members{nil, {"kid": nil}} {
			for _, row := range []struct {
				name   string
				signer *realm
				issuer string
				want   *Provider
			}{
				{"a's token", a, "https://a.test", pa},
				{"b's token", b, "https://a.test/", pb},
				{"signed by b for a", b, "https://a.test", nil},
				{"signed by a for b", a, "https://a.test/", nil},
				{"signed by a for nobody", a, "https://a.test//", nil},
			} {
				raw := row.signer.sign(oidctest.Token{KeyID: kid, Header: header, Claims: members{"iss": row.issuer}})
				got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody)
				if got.Good() != (row.want != nil) || got.Good() && got.Provider != row.want {
					t.Errorf("%s, %s: %s", kid, row.name, verdict(got))
				}
				if !got.Good() && got.Refusal.Reason != audit.SignatureInvalid && got.Refusal.Reason != audit.IssuerUnknown {
					t.Errorf("%s, %s: %s", kid, row.name, verdict(got))
				}
			}
		}
	}
}

// A live token is good letter by letter: not cut short or grown, not with one
// character changed, not with parts of another (CVE-2026-27840). That everybody can
// write an ECDSA signature in a second way (R and n-S) is so by its design.
func TestSEC_5_20_CopiesOfALiveToken(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t)
	for _, kid := range []string{"rsa-1", "ec-1", "ed-1"} {
		live := string(r.sign(oidctest.Token{KeyID: kid, RawClaims: r.good()}))
		other := string(r.sign(oidctest.Token{KeyID: kid, RawClaims: strings.Replace(r.good(), "alice", "admin", 1)}))
		copies := map[string]bool{}
		for i := range len(live) {
			copies[live[:i]], copies[live[i+1:]], copies[live[:i]+live[i+1:]] = true, true, true
			copies[live[:i]+"A"+live[i:]] = true
			for _, c := range []byte("A_.=") {
				copies[live[:i]+string(c)+live[i+1:]] = true
			}
			if c := rune(live[i]); unicode.IsLetter(c) {
				copies[live[:i]+string(c^0x20)+live[i+1:]] = true
			}
		}
		for _, s := range []string{strings.ToUpper(live), strings.ToLower(live), live + "A", live + ".", live + "=", live + live, live + "." + live, "." + live, live + "\x00", live + " ", " " + live} {
			copies[s] = true
		}
		la, lb := strings.Split(live, "."), strings.Split(other, ".")
		for mask := 1; mask < 7; mask++ { // the headers are the same
			mixed := slices.Clone(la)
			for i := range mixed {
				if mask>>i&1 == 1 {
					mixed[i] = lb[i]
				}
			}
			copies[strings.Join(mixed, ".")] = true
		}
		delete(copies, live)
		delete(copies, other)
		for _, s := range slices.Sorted(maps.Keys(copies)) {
			if got := v.Verify(t.Context(), RawToken(s), time.Unix(clock, 0), nobody); got.Refusal == nil || got.Good() {
				t.Errorf("%s: a copy is good: %s", kid, s)
			}
		}
		if got := verdict(r.verify(t, RawToken(live))); got != "good" {
			t.Errorf("%s: the token itself: %s", kid, got)
		}
	}
}

// Foreign text is part of what operators read: it stays one short line, and no
// terminal obeys it.
func TestSEC_5_35_ForeignTextInRefusals(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	hostile := "\x1b]0;x\a\r\nreason=allowed\u2028\u202e\u009b\x7f\x00" + strings.Repeat("é", 2000)
	for name, raw := range map[string]RawToken{
		"kid":       r.headed(members{"kid": hostile}),
		"typ":       r.headed(members{"typ": hostile}),
		"alg":       r.headed(members{"alg": hostile}),
		"iss":       r.claiming(members{"iss": hostile}),
		"aud":       r.claiming(members{"aud": hostile}),
		"auds":      r.claiming(members{"aud": []string{hostile, hostile}}),
		"token_use": r.claiming(members{"token_use": hostile}),
		"name":      r.sign(oidctest.Token{RawClaims: `{"a\u001b\u202e\ud83d\ude00":1,"a\u001b\u202e\ud83d\ude00":1}`}),
	} {
		got := r.verify(t, raw)
		if got.Refusal == nil {
			t.Errorf("%s: good", name)
			continue
		}
		text := got.Refusal.Error()
		if i := strings.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 || len(text) > 400 {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// The limit on a token's length comes before anything else is done to it.
func TestSEC_5_4_LongTokensCostNothing(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	v := r.verifier(t)
	for name, raw := range map[string]RawToken{"dots": RawToken(strings.Repeat(".", 1<<20)), "braces": RawToken(strings.Repeat("{", 1<<20)), "letters": RawToken(strings.Repeat("A", 1<<20))} {
		if got := bytesPerRun(func() {
			if got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody); got.Good() || got.Refusal.Reason != audit.TokenTooLarge {
				t.Errorf("%s: %s", name, verdict(got))
			}
		}); got > 1024 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
	none := NewVerifier(nil, 0)
	if got := none.Verify(t.Context(), r.sign(oidctest.Token{}), time.Unix(clock, 0), nobody); got.Good() || got.Refusal.Reason != audit.TokenTooLarge {
		t.Errorf("without a limit: %s", verdict(got))
	}
}

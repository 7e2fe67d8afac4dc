package oidc

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// docs/security.md says which test holds which requirement of the standards.

// clock is now, for the tests of tokens: 2023-12-12 14:00:01 UTC, in seconds.
const clock = 1_702_389_601

// nobody is the address of callers whose questions are bounded together.
var nobody netip.Addr

// realm is an issuer, its running key set, and a provider that believes it.
type realm struct {
	idp     *oidctest.Provider
	keys    *KeySet
	options ProviderOptions
}

// newRealm starts the key set of an issuer. The provider wants the audience api and
// gives 30 s of leeway.
func newRealm(t testing.TB, issuer string) *realm {
	t.Helper()
	r := &realm{idp: oidctest.New(oidctest.Options{Issuer: issuer})}
	t.Cleanup(r.idp.Close)
	client, err := NewClient(ClientOptions{Transport: r.idp.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	r.keys = NewKeySet(KeySetOptions{Name: "corp", Issuer: Issuer(issuer), Client: client})
	ctx, cancel := context.WithCancel(context.Background())
	go r.keys.Run(ctx)
	t.Cleanup(func() {
		cancel()
		<-r.keys.stopped
	})
	r.fetch(t)
	r.options = ProviderOptions{
		Name: "corp", Issuer: Issuer(issuer), Audiences: []string{"api"}, Algorithms: signatureAlgorithmNames,
		ClockSkew: 30 * time.Second, Keys: r.keys,
	}
	return r
}

// fetch has the key set see the keys as they are now.
func (r *realm) fetch(t testing.TB) {
	t.Helper()
	r.idp.KeySet() // RSA keys are made when first shown: better now than within a fetch's time
	if err := r.keys.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// members of a header or of claims; nil takes one out.
type members = map[string]any

// sign makes a token of the clock's time, by the key ec-1 if none is named.
func (r *realm) sign(token oidctest.Token) RawToken {
	if token.RawClaims == "" {
		all := members{"iat": clock - 60, "exp": clock + 3600, "jti": "one"}
		maps.Copy(all, token.Claims)
		token.Claims = all
	}
	if token.KeyID == "" && token.Alg == "" {
		token.KeyID = "ec-1"
	}
	return RawToken(r.idp.Sign(token))
}

// claiming makes a token with other claims.
func (r *realm) claiming(claims members) RawToken { return r.sign(oidctest.Token{Claims: claims}) }

// headed makes a token with another header.
func (r *realm) headed(header members) RawToken { return r.sign(oidctest.Token{Header: header}) }

// option changes how a provider judges.
type option func(*ProviderOptions)

// verifier believes the realm, by these options.
func (r *realm) verifier(t testing.TB, options ...option) *Verifier {
	t.Helper()
	o := r.options
	for _, change := range options {
		change(&o)
	}
	p, err := NewProvider(o)
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier([]*Provider{p}, 16<<10)
}

// verify judges a token at the clock's time.
func (r *realm) verify(t testing.TB, raw RawToken, options ...option) Result {
	t.Helper()
	return r.verifier(t, options...).Verify(context.Background(), raw, time.Unix(clock, 0), nobody)
}

// verdict is a Result in words: "good", or the refusal.
func verdict(r Result) string {
	if r.Good() != (r.Refusal == nil) {
		return "neither good nor refused"
	}
	if r.Good() {
		return "good"
	}
	return r.Refusal.Error()
}

func (r *realm) want(t *testing.T, name string, raw RawToken, want string, options ...option) {
	t.Helper()
	if got := verdict(r.verify(t, raw, options...)); got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}

func strict(o *ProviderOptions) { o.StrictType = true }

func only(algorithms ...string) option {
	return func(o *ProviderOptions) { o.Algorithms = algorithms }
}

func TestGoodTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for _, alg := range signatureAlgorithmNames {
		r.idp.AddKey(alg, "key-"+alg)
	}
	r.fetch(t)
	set, _ := r.keys.Current()
	for _, alg := range signatureAlgorithmNames {
		v := r.verifier(t, only(alg))
		raw := r.sign(oidctest.Token{Alg: alg, KeyID: "key-" + alg})
		got := v.Verify(t.Context(), raw, time.Unix(clock, 0), nobody)
		if verdict(got) != "good" || got.Provider != v.Provider("https://issuer.test") || got.KeysVersion != set.Version() {
			t.Errorf("%s: %s, provider %v, key set %d", alg, verdict(got), got.Provider, got.KeysVersion)
		}
		if key := set.Find("key-"+alg, alg)[0]; got.Key != key.Fingerprint {
			t.Errorf("%s: verified by another key", alg)
		}
		if sub, _ := got.Claims.Lookup("sub").Text(); sub != "alice" {
			t.Errorf("%s: the claims are %s", alg, got.Claims.AppendJSON(nil))
		}
		if got.From != (clock-60-30)*1000 || got.Until != (clock+3600+30)*1000 {
			t.Errorf("%s: stands from %d until %d", alg, got.From, got.Until)
		}
	}
	got := r.verify(t, r.claiming(members{"iat": nil}))
	if verdict(got) != "good" || got.From != math.MinInt64 {
		t.Errorf("without iat and nbf: %s from %d", verdict(got), got.From)
	}
	if (&Result{}).Good() {
		t.Error("the zero Result is good")
	}
}

// Each reason that a token is refused for before its claims are judged, as an
// operator reads it. The signature comes first: what nobody signed isn't told what it
// claims wrongly.
func TestSEC_J4_RefusalsOfTheTokenItself(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.idp.PublishRaw(`{"kty":"oct","kid":"secret","k":"c2VjcmV0"}`)
	r.fetch(t)
	good := r.sign(oidctest.Token{})
	head, _, _ := strings.Cut(string(good), ".")
	for _, row := range []struct {
		name  string
		token RawToken
		want  string
		how   option
	}{
		{"too long", RawToken(strings.Repeat("A", 16<<10+1)), "token_too_large: 16385 bytes, at most 16384", nil},
		{"as long as may be", RawToken(strings.Repeat("A", 16<<10)), "token_opaque", nil},
		{"not a token", "good token", "token_malformed: byte 4 isn't a character of a JWT", nil},
		{"encrypted", "a.b.c.d.e", "token_encrypted", nil},
		{"header", RawToken(compact(`{}`, `{}`)), "token_header_invalid: alg is missing", nil},
		{"crit", r.headed(members{"crit": []string{"exp"}}), "critical_header: the header has crit", nil},

		{"claims aren't JSON", RawToken(compact(`{"alg":"ES256"}`, `sub=alice`)), "token_claims_invalid: not a JSON object", nil},
		{"claims twice", r.sign(oidctest.Token{RawClaims: `{"iss":"x","iss":"https://issuer.test"}`}), `token_claims_invalid: byte 16: repeated member "iss"`, nil},
		{"no issuer", r.claiming(members{"iss": nil}), "issuer_unknown: iss is missing or isn't a string", nil},
		{"issuer in an array", r.claiming(members{"iss": []string{"https://issuer.test"}}), "issuer_unknown: iss is missing or isn't a string", nil},
		{"another issuer", r.claiming(members{"iss": "https://evil.test"}), `issuer_unknown: iss "https://evil.test" is no provider's issuer`, nil},
		{"empty issuer", r.claiming(members{"iss": ""}), `issuer_unknown: iss "" is no provider's issuer`, nil},
		{"issuer with a slash", r.claiming(members{"iss": "https://issuer.test/"}), `issuer_unknown: iss "https://issuer.test/" is no provider's issuer; it differs from "https://issuer.test" by a slash at the end`, nil},
		{"issuer in capitals", r.claiming(members{"iss": "https://Issuer.test"}), `issuer_unknown: iss "https://Issuer.test" is no provider's issuer`, nil},
		{"issuer over http", r.claiming(members{"iss": "http://issuer.test"}), `issuer_unknown: iss "http://issuer.test" is no provider's issuer`, nil},
		{"issuer that a terminal would obey", r.claiming(members{"iss": "\x1b[2J\r\n\u2028\u202e"}), `issuer_unknown: iss "\x1b[2J\r\n\u2028\u202e" is no provider's issuer`, nil},

		{"typ of a logout token", r.headed(members{"typ": "logout+jwt"}), `token_type_not_allowed: typ "logout+jwt"`, nil},
		{"typ JWT where at+jwt is asked for", r.headed(members{"typ": "JWT"}), `token_type_not_allowed: typ "JWT"; strict_type wants at+jwt`, strict},
		{"no typ where at+jwt is asked for", r.headed(members{"typ": nil}), `token_type_not_allowed: typ ""; strict_type wants at+jwt`, strict},
		{"none", r.sign(oidctest.Token{Alg: "none"}), `algorithm_not_allowed: alg "none" isn't among RS256, ES256`, only()},
		{"alg that isn't listed", good, `algorithm_not_allowed: alg "ES256" isn't among RS256, EdDSA`, only("RS256", "EdDSA")},
		{"alg of another key", r.sign(oidctest.Token{Alg: "RS256", KeyID: "ec-1"}), `algorithm_not_allowed: key "ec-1" isn't one for "RS256"`, nil},
		{"alg that the key isn't published for", r.sign(oidctest.Token{Alg: "PS256", KeyID: "rsa-1"}), `algorithm_not_allowed: key "rsa-1" isn't one for "PS256"`, nil},
		{"key that can't be used", r.headed(members{"kid": "secret"}), `key_unknown: key "secret" is published, but can't be used`, nil},
		{"no kid and no such key", r.sign(oidctest.Token{Alg: "PS256", KeyID: "-"}), `key_unknown: no kid, and no key for "PS256"`, nil},
		{"altered header", RawToken(segment(`{"alg":"ES256","kid":"ec-1"}`) + strings.TrimPrefix(string(good), head)), `signature_invalid: under key "ec-1"`, nil},
		{"no signature", good[:strings.LastIndexByte(string(good), '.')+1], `signature_invalid: under key "ec-1"`, nil},
		{"signed by nobody, without kid", RawToken(compact(`{"alg":"ES256"}`, `{"iss":"https://issuer.test"}`)), "signature_invalid: no kid; under none of 1 keys", nil},
	} {
		if row.how == nil {
			row.how = func(*ProviderOptions) {}
		}
		r.want(t, row.name, row.token, row.want, row.how)
	}
}

// Without a key set, or while it is being asked, there is no verdict on the token.
func TestRefusalsWithoutKeys(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	unknown := r.sign(oidctest.Token{KeyID: "made-up"})
	r.want(t, "kid after a fetch", unknown, `key_unknown: kid "made-up" isn't in the key set, fetched just now`)
	r.want(t, "kid too soon", unknown, `key_refresh_pending: kid "made-up" is unknown and the last fetch is too recent for another`)
	if got := r.verify(t, unknown); got.KeysVersion != 0 || got.Key != ([16]byte{}) || got.Refusal.RetryAfter <= 0 {
		t.Errorf("an unknown kid depends on key set %d and may be tried again after %v", got.KeysVersion, got.Refusal.RetryAfter)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(context.Canceled)
	if got := verdict(r.verifier(t).Verify(gone, unknown, time.Unix(clock, 0), nobody)); got != "cancelled: while waiting for the provider's keys: context canceled" {
		t.Errorf("a cancelled wait: %s", got)
	}
	r.options.Keys = NewKeySet(KeySetOptions{Name: "corp", Issuer: "https://issuer.test"})
	r.want(t, "never loaded", r.sign(oidctest.Token{}), "keys_unavailable: the keys were never loaded")
}

// Algorithms are listed by their exact names; EdDSA and Ed25519 are two (RFC 9864).
func TestSEC_J1_J16_AlgorithmsByExactName(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	ed := func(alg string) RawToken { return r.sign(oidctest.Token{Alg: alg, KeyID: "ed-1"}) }
	r.want(t, "EdDSA", ed("EdDSA"), "good", only("EdDSA"))
	r.want(t, "Ed25519", ed("Ed25519"), "good", only("Ed25519"))
	r.want(t, "EdDSA where Ed25519 is listed", ed("EdDSA"), `algorithm_not_allowed: alg "EdDSA" isn't among Ed25519`, only("Ed25519"))
	r.want(t, "Ed25519 where EdDSA is listed", ed("Ed25519"), `algorithm_not_allowed: alg "Ed25519" isn't among EdDSA`, only("EdDSA"))
	for _, alg := range []string{"es256", "Es256", "ES256 ", " ES256", "ES-256", "ES256,RS256", "ES", "ES2566", "", "\u212aES256"} {
		if got := r.verify(t, r.headed(members{"alg": alg})); got.Good() || reasonOf(got) != audit.AlgorithmNotAllowed && alg != "" {
			t.Errorf("%q: %s", alg, verdict(got))
		}
	}
}

// No kid: one key is used, a few are tried, many are too many (RFC 7515, 4.1.4).
func TestSEC_S5_NoKeyID(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for count := 1; count <= maxCandidates+1; count++ {
		if count > 1 {
			r.idp.AddKey("ES256", strings.Repeat("k", count))
			r.fetch(t)
		}
		for signer := 1; signer <= count; signer++ {
			kid := "ec-1"
			if signer > 1 {
				kid = strings.Repeat("k", signer)
			}
			want := "good"
			if count > maxCandidates {
				want = `key_ambiguous: no kid, and more than 4 keys for "ES256"`
			}
			for _, header := range []members{{"kid": nil}, {"kid": ""}} {
				r.want(t, "one of several", r.sign(oidctest.Token{KeyID: kid, Header: header}), want)
			}
		}
	}
	r.want(t, "a kid decides", r.sign(oidctest.Token{KeyID: "kkk"}), "good")
	r.want(t, "a kid in another case", r.sign(oidctest.Token{KeyID: "kkk", Header: members{"kid": "KKK"}}), `key_unknown: kid "KKK" isn't in the key set, fetched just now`)
	r.want(t, "the kid of another key", r.sign(oidctest.Token{KeyID: "kkk", Header: members{"kid": "kk"}}), `signature_invalid: under key "kk"`)
}

// The leeway ends to the millisecond, on both sides.
func TestSEC_S8_EdgesOfTheLeeway(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	for _, skew := range []time.Duration{0, 30 * time.Second, 299_999 * time.Millisecond} {
		v := r.verifier(t, func(o *ProviderOptions) { o.ClockSkew = skew })
		for _, row := range []struct {
			claim  string
			at     time.Duration // of the clock, beside the date
			reason audit.Reason
		}{
			{"exp", skew - time.Millisecond, audit.Allowed},
			{"exp", skew, audit.TokenExpired},
			{"exp", skew + time.Millisecond, audit.TokenExpired},
			{"nbf", -skew - time.Millisecond, audit.TokenNotYetValid},
			{"nbf", -skew, audit.Allowed},
			{"iat", -skew - time.Millisecond, audit.TokenIssuedInFuture},
			{"iat", -skew, audit.Allowed},
		} {
			for _, fraction := range []float64{0, 0.25} {
				raw := r.claiming(members{"exp": clock + 900, "iat": clock - 900, row.claim: clock + fraction})
				at := time.UnixMilli(clock*1000 + int64(fraction*1000)).Add(row.at)
				got := v.Verify(t.Context(), raw, at, nobody)
				if reason := reasonOf(got); reason != row.reason {
					t.Errorf("leeway %v, %s with the clock at %v: %v, want %v", skew, row.claim, row.at, reason, row.reason)
				}
			}
		}
	}
}

func reasonOf(r Result) audit.Reason {
	if r.Good() {
		return audit.Allowed
	}
	return r.Refusal.Reason
}

// A verdict may be remembered: at any time within its own bounds, verifying again
// gives the same one with the same bounds, and just outside another.
func TestVerdictStandsWithinItsBounds(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	random := rand.New(rand.NewPCG(1, 2))
	near := func() float64 { return float64(clock*1000+random.IntN(600_000)-300_000) / 1000 }
	seen := map[audit.Reason]int{}
	for range 400 {
		claims := members{"exp": near() + 200*float64(random.IntN(2)), "iat": near() - 200, "nbf": near() - 100}
		for _, name := range []string{"iat", "nbf", "sub"} {
			if random.IntN(4) == 0 {
				claims[name] = nil
			}
		}
		for _, bad := range []members{{"aud": "other"}, {"exp": "soon"}, {"cnf": members{"jkt": "x"}}, {"at_hash": "x"}} {
			if random.IntN(12) == 0 {
				maps.Copy(claims, bad)
			}
		}
		raw := r.claiming(claims)
		if random.IntN(8) == 0 {
			raw = raw[:len(raw)-8] + "AAAAAAAA"
		}
		v := r.verifier(t, func(o *ProviderOptions) { o.ClockSkew = time.Duration(random.IntN(60_000)) * time.Millisecond })
		at := func(ms int64) Result { return v.Verify(t.Context(), raw, time.UnixMilli(ms), nobody) }
		now := int64(clock*1000 + random.IntN(600_000) - 300_000)
		first := at(now)
		seen[reasonOf(first)]++
		if now < first.From || now >= first.Until {
			t.Fatalf("at %d the verdict stands from %d until %d", now, first.From, first.Until)
		}
		from, until := max(first.From, now-1e9), min(first.Until, now+1e9)
		for _, ms := range []int64{from, until - 1, from + random.Int64N(until-from), from + random.Int64N(until-from)} {
			again := at(ms)
			if reasonOf(again) != reasonOf(first) || again.From != first.From || again.Until != first.Until ||
				again.Key != first.Key || again.KeysVersion != first.KeysVersion || again.Claims != first.Claims || again.Provider != first.Provider {
				t.Fatalf("at %d %s from %d until %d; at %d %s from %d until %d; %s", now, verdict(first), first.From, first.Until,
					ms, verdict(again), again.From, again.Until, first.Claims.AppendJSON(nil))
			}
		}
		if first.From != math.MinInt64 && reasonOf(at(first.From-1)) == reasonOf(first) {
			t.Errorf("%s from %d, and before", verdict(first), first.From)
		}
		if first.Until != math.MaxInt64 && reasonOf(at(first.Until)) == reasonOf(first) {
			t.Errorf("%s until %d, and after", verdict(first), first.Until)
		}
	}
	for _, reason := range []audit.Reason{audit.Allowed, audit.TokenExpired, audit.TokenNotYetValid, audit.TokenIssuedInFuture,
		audit.SignatureInvalid, audit.AudienceMismatch, audit.TokenClaimsInvalid, audit.SubjectMissing, audit.ConstraintUnproven, audit.NotAnAccessToken} {
		if seen[reason] == 0 {
			t.Errorf("no token was %v, of %v", reason, seen)
		}
	}
}

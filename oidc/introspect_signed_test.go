package oidc

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// newSignedDesk asks a provider that has to sign its answers.
func newSignedDesk(t testing.TB, edit func(*SignedAnswers)) *desk {
	t.Helper()
	var s *SignedAnswers
	d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) {
		keys := NewKeySet(KeySetOptions{Name: "corp", Issuer: o.Issuer, Client: o.Client})
		ctx, cancel := context.WithCancel(context.Background())
		go keys.Run(ctx)
		t.Cleanup(func() {
			cancel()
			<-keys.stopped
		})
		s = &SignedAnswers{Keys: keys, Algorithms: []string{"ES256", "RS256"}}
		if edit != nil {
			edit(s)
		}
		o.Signed = s
	})
	d.idp.KeySet()
	if err := s.Keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// signs has the endpoint answer with a JWT: a good one but for these members.
func (d *desk) signs(t testing.TB, token oidctest.Token) {
	t.Helper()
	header := members{"typ": "token-introspection+jwt"}
	maps.Copy(header, token.Header)
	claims := members{
		"iss": "https://issuer.test", "aud": "credence", "iat": clock, "token_introspection": verbatim("{" + alive + "}"),
		"sub": nil, "exp": nil, "client_id": nil, "scope": nil, "email": nil, "groups": nil, "jti": nil,
	}
	maps.Copy(claims, token.Claims)
	token.Header, token.Claims = header, claims
	if token.KeyID == "" {
		token.KeyID = "ec-1"
	}
	d.says(signedAnswer, d.idp.Sign(token))
}

// says has the endpoint answer with this text.
func (d *desk) says(contentType, body string) {
	d.idp.Break(oidctest.Introspection, oidctest.Fault{Body: body, ContentType: contentType})
}

// TestSEC_T7_SignedAnswers is every signed answer that decides on a token, and every
// one that can't be believed.
func TestSEC_T7_SignedAnswers(t *testing.T) {
	d := newSignedDesk(t, nil)
	const no = "introspection_unavailable: the signed answer"
	inside := func(text string) oidctest.Token {
		return oidctest.Token{Claims: members{"token_introspection": verbatim(text)}}
	}
	for _, row := range []struct {
		name  string
		token oidctest.Token
		want  string
	}{
		{"active", oidctest.Token{}, "good"},
		{"by another allowed algorithm", oidctest.Token{KeyID: "rsa-1"}, "good"},
		{"typ as a media type", oidctest.Token{Header: members{"typ": "application/Token-Introspection+JWT"}}, "good"},
		{"aud in a list", oidctest.Token{Claims: members{"aud": []string{"x", "credence"}}}, "good"},
		{"made a minute ago", oidctest.Token{Claims: members{"iat": clock - 60}}, "good"},
		{"inactive", inside(`{"active":false}`), "token_inactive"},
		{"active in quotes", inside(`{"active":"true"}`), "token_inactive: the answer's active isn't a boolean"},
		{"active outside", oidctest.Token{Claims: members{"active": true, "token_introspection": verbatim(`{}`)}}, "token_inactive: the answer has no active"},
		{"another issuer inside", inside(`{"active":true,"iss":"https://evil.test","aud":"api","sub":"alice"}`), `issuer_unknown: the answer's iss is "https://evil.test"`},
		{"another audience inside", inside(`{"active":true,"aud":"other","sub":"alice"}`), `audience_mismatch: aud "other" names none of api`},

		{"no typ", oidctest.Token{Header: members{"typ": nil}}, no + "'s typ isn't token-introspection+jwt"},
		{"typ of an access token", oidctest.Token{Header: members{"typ": "at+jwt"}}, no + "'s typ isn't token-introspection+jwt"},
		{"none", oidctest.Token{Alg: "none"}, no + "'s algorithm isn't allowed"},
		{"an algorithm that isn't allowed", oidctest.Token{KeyID: "ed-1"}, no + "'s algorithm isn't allowed"},
		{"a secret for an algorithm", oidctest.Token{Alg: "HS256"}, no + "'s algorithm isn't allowed"},
		{"crit", oidctest.Token{Header: members{"crit": []string{"exp"}}}, no + " isn't a JWT"},
		{"an alg that isn't the key's", oidctest.Token{Alg: "RS256", KeyID: "ec-1"}, no + "'s signature: algorithm_not_allowed"},
		{"claims twice", oidctest.Token{RawClaims: `{"iss":"x","iss":"https://issuer.test"}`}, no + "'s claims aren't a JSON object that reads only one way"},
		{"no iss", oidctest.Token{Claims: members{"iss": nil}}, no + " is of another issuer"},
		{"another iss", oidctest.Token{Claims: members{"iss": "https://issuer.test/"}}, no + " is of another issuer"},
		{"no aud", oidctest.Token{Claims: members{"aud": nil}}, no + ` isn't for "credence"`},
		{"aud of the service", oidctest.Token{Claims: members{"aud": "api"}}, no + ` isn't for "credence"`},
		{"no iat", oidctest.Token{Claims: members{"iat": nil}}, no + " wasn't made just now: compare the clocks"},
		{"iat that isn't a number", oidctest.Token{Claims: members{"iat": "1702389601"}}, no + " wasn't made just now: compare the clocks"},
		{"made long ago", oidctest.Token{Claims: members{"iat": clock - 61}}, no + " wasn't made just now: compare the clocks"},
		{"made for later", oidctest.Token{Claims: members{"iat": clock + 61}}, no + " wasn't made just now: compare the clocks"},
		{"no token_introspection", oidctest.Token{Claims: members{"token_introspection": nil, "active": true}}, no + " has no token_introspection"},
		{"token_introspection as text", inside(`"{}"`), no + " has no token_introspection"},
	} {
		d.signs(t, row.token)
		if got := verdict(d.ask(t, canary)); !strings.HasPrefix(got, row.want) || strings.Contains(got, canary) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}

	const unsigned = "introspection_unavailable: the answer isn't signed: its media type isn't application/token-introspection+jwt"
	d.answers(alive)
	if got := verdict(d.ask(t, "x")); got != unsigned {
		t.Errorf("a plain answer: %s, want %s", got, unsigned)
	}
	d.says("application/token-introspection+jwt; charset=utf-8", "{"+alive+"}")
	if got := verdict(d.ask(t, "x")); got != no+" isn't a JWT" {
		t.Errorf("a plain answer that says it is signed: %s", got)
	}
	d.signs(t, oidctest.Token{Header: members{"kid": "made-up"}})
	if got := d.ask(t, "x"); verdict(got) != no+"'s signature: key_unknown" {
		t.Errorf("an unknown kid: %s", verdict(got))
	}
	if got := d.ask(t, "x"); verdict(got) != no+"'s signature: key_refresh_pending" || got.Refusal.RetryAfter <= 0 {
		t.Errorf("an unknown kid too soon: %s", verdict(got))
	}
}

// A signed answer is never an access token, whoever it is for: by its typ, and by
// what it says where that is taken out.
func TestSEC_T7_J12_AnswersArentTokens(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	answer := members{"token_introspection": json.RawMessage(`{"active":true}`)}
	r.want(t, "as it is", r.sign(oidctest.Token{Header: members{"typ": "token-introspection+jwt"}, Claims: answer}), `token_type_not_allowed: typ "token-introspection+jwt"`)
	for _, typ := range []any{nil, "JWT", "at+jwt"} {
		r.want(t, "with another typ", r.sign(oidctest.Token{Header: members{"typ": typ}, Claims: answer}), "not_an_access_token: it has the claim token_introspection")
	}
}

func TestSignedAnswersAreAskedFor(t *testing.T) {
	d := newSignedDesk(t, nil)
	accepts := ""
	client := d.Introspector().client
	inner := client.Transport
	client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		accepts = r.Header.Get("Accept")
		return inner.RoundTrip(r)
	})
	if d.ask(t, "x"); accepts != signedAnswer {
		t.Errorf("it accepts %q, want %q", accepts, signedAnswer)
	}
	auth := mustMake(NewClientAuth(ClientAuthOptions{ID: "credence", Secret: secret("s")}))
	keys := NewKeySet(KeySetOptions{Name: "x"})
	full, err := (&SignedAnswers{Keys: keys}).complete(auth)
	if err != nil || full.Audience != "credence" || strings.Join(full.Algorithms, " ") != "RS256 ES256" {
		t.Errorf("by default it wants %+v, %v", full, err)
	}
	for _, row := range []struct {
		name   string
		signed SignedAnswers
		says   string
	}{
		{"no keys", SignedAnswers{}, "needs the provider's keys"},
		{"a symmetric algorithm", SignedAnswers{Keys: keys, Algorithms: []string{"HS256"}}, `algorithm "HS256" can't be verified`},
	} {
		_, err := NewIntrospector(IntrospectorOptions{Auth: auth, Signed: &row.signed})
		wantError(t, err, row.says)
	}
	base := asking("credence", func(o *IntrospectorOptions) { o.Signed = &SignedAnswers{Keys: keys} }).fingerprint()
	for name, signed := range map[string]*SignedAnswers{"unsigned": nil, "another audience": {Keys: keys, Audience: "x"}, "another algorithm": {Keys: keys, Algorithms: []string{"ES256"}}} {
		if asking("credence", func(o *IntrospectorOptions) { o.Signed = signed }).fingerprint() == base {
			t.Errorf("%s: the fingerprint is the same", name)
		}
	}
}

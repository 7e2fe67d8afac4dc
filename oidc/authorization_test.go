package oidc

import (
	"net/url"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestSEC_O1_O11_AuthorizationURL has all that makes up the flow, and no secret.
func TestSEC_O1_O11_AuthorizationURL(t *testing.T) {
	const flow = "client_id=web&code_challenge=" + challenge + "&code_challenge_method=S256&nonce=nonce-1&" +
		"redirect_uri=https%3A%2F%2Fapp.test%2F.credence%2Fcallback&response_type=code&scope=openid&state=st"
	for _, row := range []struct {
		name, endpoint string
		edit           func(*RelyingPartyOptions)
		attempt        Attempt
		want           string
	}{
		{"the least", "", nil, Attempt{}, flow},
		{"a form to post", "", func(o *RelyingPartyOptions) { o.FormPost = true }, Attempt{}, flow + "&response_mode=form_post"},
		{"scopes", "", func(o *RelyingPartyOptions) { o.Scopes = []string{"openid", "a b"} }, Attempt{}, strings.Replace(flow, "scope=openid", "scope=openid+a+b", 1)},
		{"a prompt and a hint", "", nil, Attempt{Prompt: "login", LoginHint: "al&x=y"}, flow + "&prompt=login&login_hint=al%26x%3Dy"},
		{"a prompt in place of the configured one", "", func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"prompt": "consent", "acr_values": "2"} }, Attempt{Prompt: "login"}, flow + "&prompt=login&acr_values=2"},
		{"the configured prompt", "", func(o *RelyingPartyOptions) { o.Parameters = map[string]string{"prompt": "consent"} }, Attempt{}, flow + "&prompt=consent"},
		{"the endpoint's own query", "https://issuer.test/authorize?p=B2C&state=evil&state=evil", nil, Attempt{}, flow + "&p=B2C"},
	} {
		r := newReception(t, func(r *reception, o *RelyingPartyOptions) {
			if row.endpoint != "" {
				r.idp.DiscoveryMember("authorization_endpoint", row.endpoint)
			}
			if row.edit != nil {
				row.edit(o)
			}
		})
		row.attempt.State, row.attempt.Nonce, row.attempt.Verifier = "st", nonce, verifier
		address, refusal := r.AuthorizationURL(row.attempt)
		if refusal != nil {
			t.Fatal(refusal)
		}
		want, _ := url.ParseQuery(row.want)
		if got := mustMake(url.Parse(address)); got.Host != "issuer.test" || got.Path != "/authorize" || got.RawQuery != want.Encode() {
			t.Errorf("%s: %s, want %s", row.name, got, want.Encode())
		}
		if strings.Contains(address, verifier) {
			t.Errorf("%s: the verifier is in the URL", row.name)
		}
	}
}

// TestSEC_O1_AttemptsAreWhole: without its parts, or a provider, no login begins.
func TestSEC_O1_AttemptsAreWhole(t *testing.T) {
	r := newReception(t, nil)
	for _, row := range []struct {
		attempt Attempt
		says    string
	}{
		{Attempt{State: "s", Nonce: "n", Verifier: strings.Repeat("v", 42)}, "internal_error: a login needs a nonce and a verifier"},
		{Attempt{State: "s", Nonce: "n", Verifier: strings.Repeat("v", 129)}, "internal_error: a login needs a nonce and a verifier"},
		{Attempt{State: "s", Verifier: verifier}, "internal_error: a login needs a nonce and a verifier"},
		{Attempt{Nonce: "n", Verifier: verifier}, "internal_error: a login needs a state"},
	} {
		if address, refusal := r.AuthorizationURL(row.attempt); address != "" || !strings.Contains(outcome(t, refusal), row.says) {
			t.Errorf("%+v: %s, %v", row.attempt, address, refusal)
		}
	}
	if _, refusal := r.Redeem(t.Context(), "code", verifier, "", visitor); outcome(t, refusal) == "good" || len(r.asked) > 0 {
		t.Error("a code is redeemed without a nonce")
	}
	r.endpoints.known.Store(&place[counterpart]{problem: "x"})
	if _, refusal := r.AuthorizationURL(Attempt{State: "s", Nonce: "n", Verifier: verifier}); outcome(t, refusal) != "provider_unavailable: x" {
		t.Errorf("got %v", refusal)
	}
	if refusal := r.CheckIssuer(nil); outcome(t, refusal) != "provider_unavailable: x" {
		t.Errorf("got %v", refusal)
	}
	if _, refusal := r.login(t); outcome(t, refusal) != "provider_unavailable: x" {
		t.Errorf("got %v", refusal)
	}
	if _, refusal := r.Refresh(t.Context(), Grant{RefreshToken: "x"}); outcome(t, refusal) != "refresh_unavailable: x" || refusal.RetryAfter == 0 {
		t.Errorf("got %v", refusal)
	}
}

// TestSEC_M1_M2_CheckIssuer: RFC 9207.
func TestSEC_M1_M2_CheckIssuer(t *testing.T) {
	for _, row := range []struct {
		name string
		sent bool // says the provider
		iss  []string
		says string
	}{
		{"the provider's", true, []string{"https://issuer.test"}, "good"},
		{"the provider's, unannounced", false, []string{"https://issuer.test"}, "good"},
		{"none, unannounced", false, nil, "good"},
		{"none", true, nil, "login_issuer_mismatch: iss is missing"},
		{"another's", true, []string{"https://evil.test"}, `login_issuer_mismatch: iss is "https://evil.test", not "https://issuer.test"`},
		{"another's, unannounced", false, []string{"https://evil.test"}, "login_issuer_mismatch"},
		{"one with a slash", false, []string{"https://issuer.test/"}, "login_issuer_mismatch"},
		{"an empty one", false, []string{""}, "login_issuer_mismatch"},
		{"two", true, []string{"https://issuer.test", "https://issuer.test"}, "login_issuer_mismatch: iss is there 2 times"},
	} {
		r := newReception(t, func(r *reception, _ *RelyingPartyOptions) {
			r.idp.DiscoveryMember("authorization_response_iss_parameter_supported", row.sent)
		})
		if got := outcome(t, r.CheckIssuer(row.iss)); !strings.HasPrefix(got, row.says) {
			t.Errorf("%s: %s, want %s", row.name, got, row.says)
		}
		if r.idp.Requests(oidctest.TokenEndpoint) != 0 {
			t.Errorf("%s: the provider was asked", row.name)
		}
	}
}

package oidc

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// Attempt is one login, begun by one browser.
type Attempt struct {
	State    string // comes back with the answer; ties it to the browser
	Nonce    string // comes back in the ID token; ties that to the attempt
	Verifier string // of PKCE: 43 to 128 characters (RFC 7636, 4.1); only its hash is in the URL

	Prompt    string // in place of the configured one; empty: that, or none
	LoginHint string // empty: none
}

// checkAttempt keeps a fault of ours from weakening the flow in silence.
func checkAttempt(verifier, nonce string) *audit.Refusal {
	if n := len(verifier); n < 43 || n > 128 || nonce == "" {
		return refuse(audit.InternalError, "a login needs a nonce and a verifier of 43 to 128 characters")
	}
	return nil
}

// AuthorizationURL is where the browser is sent to log in (RFC 6749, 4.1.1). The
// query of the provider's own address is kept (3.1), and nothing that is configured
// takes the place of what makes up the flow.
func (p *RelyingParty) AuthorizationURL(a Attempt) (string, *audit.Refusal) {
	known, refusal := p.counterpart()
	if refusal != nil {
		return "", refusal
	}
	if refusal := checkAttempt(a.Verifier, a.Nonce); refusal != nil {
		return "", refusal
	}
	if a.State == "" {
		return "", refuse(audit.InternalError, "a login needs a state")
	}
	u, _ := url.Parse(known.authorization) // locate saw to it
	query := u.Query()
	for name, value := range p.options.Parameters {
		query.Set(name, value)
	}
	challenge := sha256.Sum256([]byte(a.Verifier))
	query.Set("response_type", "code")
	query.Set("client_id", p.options.ClientID)
	query.Set("redirect_uri", p.options.RedirectURI)
	query.Set("scope", strings.Join(p.options.Scopes, " "))
	query.Set("state", a.State)
	query.Set("nonce", a.Nonce)
	query.Set("code_challenge", base64url.EncodeToString(challenge[:]))
	query.Set("code_challenge_method", "S256")
	if p.options.FormPost {
		query.Set("response_mode", "form_post")
	}
	if a.Prompt != "" {
		query.Set("prompt", a.Prompt)
	}
	if a.LoginHint != "" {
		query.Set("login_hint", a.LoginHint)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// CheckIssuer judges the iss parameters of an authorization response, also of one
// that is an error, before anything else in it is used: a code goes only to the
// provider that the login was sent to (RFC 9207, 2.4). A provider that says that it
// sends iss, or of which the configuration says so, has to.
func (p *RelyingParty) CheckIssuer(iss []string) *audit.Refusal {
	known, refusal := p.counterpart()
	if refusal != nil {
		return refusal
	}
	switch {
	case len(iss) > 1:
		return refuse(audit.LoginIssuerMismatch, fmt.Sprintf("iss is there %d times", len(iss)))
	case len(iss) == 0 && known.sendsIssuer:
		return refuse(audit.LoginIssuerMismatch, "iss is missing, and the provider is known to send it")
	case len(iss) == 1 && Issuer(iss[0]) != p.options.Issuer:
		return refuse(audit.LoginIssuerMismatch, "iss is "+quote(iss[0])+", not "+quote(string(p.options.Issuer)))
	}
	return nil
}

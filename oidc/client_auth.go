package oidc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// AuthMethod is a way for us to prove to a provider which client is asking, by
// the name that OpenID Connect registers for it (Core 1.0, 9).
type AuthMethod uint8

const (
	// ClientSecretBasic sends the secret as a password (RFC 6749, 2.3.1).
	ClientSecretBasic AuthMethod = iota

	// ClientSecretPost sends the secret in the form, for providers that can't read
	// the header.
	ClientSecretPost

	// PrivateKeyJWT sends no secret, but a statement that is signed anew each time
	// (RFC 7523, 2.2): ES256 with a P-256 key, RS256 with an RSA key.
	PrivateKeyJWT

	// ClientSecretJWT sends no secret either, but such a statement with a code that is
	// made of the secret (RFC 7523, 3; HS256).
	ClientSecretJWT

	// TLSClientAuth proves it on the connection, by the certificate that the [Client]
	// shows, and in the form says no more than its name (RFC 8705, 2). A provider knows
	// the certificate itself (self_signed_tls_client_auth) or who it was issued for.
	TLSClientAuth

	// PublicClient proves nothing, and says no more than its name. It can log people
	// in, by PKCE alone, but can't ask about tokens.
	PublicClient
)

// String is the registered name.
func (m AuthMethod) String() string {
	return [...]string{"client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt", "tls_client_auth", "none"}[min(m, PublicClient)]
}

// ClientAuthOptions say which client we are at a provider, and how that is proven.
type ClientAuthOptions struct {
	ID     string // client_id
	Method AuthMethod

	// Secret gives the client secret or, for PrivateKeyJWT, the private key in PEM.
	// It is called for each request, so that the secret can be replaced any time.
	// Its error must not hold the secret. A PublicClient has none, and TLSClientAuth
	// needs none here.
	Secret func() (string, error)

	KeyID    string // kid of a PrivateKeyJWT; empty means none
	Audience Issuer // aud of a statement: the provider's issuer
}

// ClientAuth proves to a provider's endpoints which client is asking. It may be
// used by many requests at once.
type ClientAuth struct {
	options ClientAuthOptions
	key     assertionKey // of PrivateKeyJWT
}

// NewClientAuth checks the options. It doesn't read the secret: see Check.
func NewClientAuth(o ClientAuthOptions) (*ClientAuth, error) {
	switch {
	case o.ID == "":
		return nil, errors.New("client id is missing")
	case o.Method > PublicClient:
		return nil, fmt.Errorf("client authentication %d isn't known", o.Method)
	case !o.Method.secret() && o.Secret != nil:
		return nil, fmt.Errorf("%s needs no secret", o.Method)
	case o.Method.secret() && o.Secret == nil:
		return nil, errors.New("client secret is missing")
	case (o.Method == PrivateKeyJWT || o.Method == ClientSecretJWT) && o.Audience == "":
		return nil, errors.New("a signed statement needs an audience")
	}
	return &ClientAuth{options: o}, nil
}

// secret says whether the method is proven by something secret that we hold here.
func (m AuthMethod) secret() bool { return m < TLSClientAuth }

// Check says what keeps the secret, or the key, from being used now.
func (a *ClientAuth) Check() error { return a.prove(http.Header{}, url.Values{}) }

// prove adds to a request, made of a header and a form, what proves the client.
func (a *ClientAuth) prove(h http.Header, form url.Values) error {
	if !a.options.Method.secret() {
		form.Set("client_id", a.options.ID)
		return nil
	}
	secret, err := a.options.Secret()
	if err != nil {
		return err
	}
	switch a.options.Method {
	case ClientSecretBasic:
		// Encoded as in a form before they become user and password, which is what
		// http.Request.SetBasicAuth leaves out (RFC 6749, 2.3.1).
		pair := url.QueryEscape(a.options.ID) + ":" + url.QueryEscape(secret)
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case ClientSecretPost:
		form.Set("client_id", a.options.ID)
		form.Set("client_secret", secret)
	default:
		assertion, err := a.assert(secret, time.Now())
		if err != nil {
			return err
		}
		form.Set("client_id", a.options.ID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	return nil
}

package oidctest

import (
	"cmp"
	"crypto"
	"crypto/subtle"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// client is a client, and what it may have.
type client struct {
	id     string
	secret string
	key    crypto.PublicKey // of AddKeyClient; nil for a client with a secret
	token  Token            // of the client credentials grant
	login  *LoginClient     // of AddLoginClient; such a client has no token of its own
}

// AddClient registers a client for the client credentials grant (RFC 6749,
// section 4.4): POST /token gives it the token t, whose sub and client_id are the
// client's id, whose scope is "orders.read", and which has no email and no
// groups, unless t's Claims say otherwise (RFC 9068, section 5). A second call
// with the same id replaces the first.
func (p *Provider) AddClient(id, secret string, t Token) {
	claims := map[string]any{"sub": id, "client_id": id, "scope": "orders.read", "email": nil, "groups": nil}
	maps.Copy(claims, t.Claims)
	t.Claims = claims
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[id] = client{id: id, secret: secret, token: t}
}

// maxForm is the most that is read of a form, in bytes.
const maxForm = 64 << 10

// tokenAnswer is the token endpoint (RFC 6749, sections 3.2 and 5).
func (p *Provider) tokenAnswer(r *http.Request) *answer {
	form, refusal := readForm(r)
	if refusal != nil {
		return refusal
	}
	kind := form.Get("grant_type")
	p.countGrant(kind)
	c, refusal := p.authenticate(r, form)
	if refusal != nil {
		return refusal
	}
	switch {
	case kind == "":
		return oauthError("invalid_request", "grant_type is missing")
	case !slices.Contains(grantTypes, kind):
		return oauthError("unsupported_grant_type", "this grant_type isn't supported")
	case (kind == "client_credentials") != (c.login == nil):
		return oauthError("unauthorized_client", "the client isn't registered for this grant_type")
	case kind == "authorization_code":
		return p.codeGrant(c.login, form)
	case kind == "refresh_token":
		return p.refreshGrant(c.login, form)
	}
	return p.grant(c.token, form.Get("scope"))
}

// grantTypes are those of the token endpoint.
var grantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}

// Grants counts the requests for tokens with this grant_type, whatever became of
// them after it was read: "authorization_code", "refresh_token" or
// "client_credentials".
func (p *Provider) Grants(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grants[grantType]
}

func (p *Provider) countGrant(grantType string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(grantTypes, grantType) {
		p.grants[grantType]++
	}
}

// readForm gives the parameters that are posted to an endpoint for clients, or the
// answer that refuses them.
func readForm(r *http.Request) (url.Values, *answer) {
	// Read it in any case: only behind the end of a request's body does net/http
	// notice that the client has left.
	data, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if r.Method != http.MethodPost {
		a := plain(http.StatusMethodNotAllowed, "use POST")
		a.header.Set("Allow", "POST")
		return nil, a
	}
	if err != nil || len(data) > maxForm {
		return nil, oauthError("invalid_request", "the request's body is too long, or ends early")
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return nil, oauthError("invalid_request", "Content-Type must be application/x-www-form-urlencoded")
	}
	form, err := singles(string(data))
	if err != nil {
		return nil, oauthError("invalid_request", "the form can't be read, or holds a parameter twice")
	}
	return form, nil
}

// singles reads parameters, none of which may come twice. Those sent without a
// value count as not sent (RFC 6749, sections 3.1 and 3.2).
func singles(query string) (url.Values, error) {
	form, err := url.ParseQuery(query)
	for name, values := range form {
		if len(values) > 1 {
			return nil, errors.New("a parameter comes twice")
		}
		if values[0] == "" {
			delete(form, name)
		}
	}
	return form, err
}

// authenticate gives the client that a request comes from, by HTTP Basic, by
// parameters (section 2.3.1) or by an assertion, or the answer that refuses it.
func (p *Provider) authenticate(r *http.Request, form url.Values) (client, *answer) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	inHeader := r.Header.Get("Authorization") != ""
	if form.Get("client_assertion_type") == assertionType && !inHeader && secret == "" {
		c, ok := p.asserted(form.Get("client_assertion"))
		method := "private_key_jwt"
		if c.key == nil {
			method = "client_secret_jwt"
		}
		if !ok || !p.mayUse(c, method) {
			return client{}, invalidClient(false)
		}
		return c, nil
	}
	method := "client_secret_post"
	if inHeader {
		method = "client_secret_basic"
		if secret != "" {
			return client{}, oauthError("invalid_request", "the client authenticates in two ways")
		}
		user, password, ok := r.BasicAuth()
		headerID, errID := url.QueryUnescape(user)
		headerSecret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || id != "" && id != headerID {
			return client{}, invalidClient(inHeader)
		}
		id, secret = headerID, headerSecret
	}
	if secret == "" {
		method = "none" // also by HTTP Basic: a public client has nothing to prove
	}
	p.mu.Lock()
	c, known := p.clients[id]
	p.mu.Unlock()
	if !known || c.key != nil || !p.mayUse(c, method) || subtle.ConstantTimeCompare([]byte(c.secret), []byte(secret)) != 1 {
		return client{}, invalidClient(inHeader)
	}
	return c, nil
}

// mayUse reports whether a client may authenticate by this method.
func (p *Provider) mayUse(c client, method string) bool {
	if c.login == nil {
		return true
	}
	only := cmp.Or(p.quirks().authMethod, c.login.AuthMethod)
	return only == "" || only == method
}

// grant issues t, narrowed to the scope that was asked for, if any.
func (p *Provider) grant(t Token, scope string) *answer {
	claims := p.claims(t)
	granted, _ := claims["scope"].(string)
	if scope != "" {
		for one := range strings.SplitSeq(scope, " ") {
			if !slices.Contains(strings.Split(granted, " "), one) {
				return oauthError("invalid_scope", "the client may not have this scope")
			}
		}
		granted = scope
		t.Claims = maps.Clone(t.Claims)
		t.Claims["scope"] = scope
	}
	token, err := p.sign(t)
	if err != nil {
		return p.unable(err)
	}
	m := map[string]any{"access_token": token, "token_type": "Bearer"}
	if granted != "" {
		m["scope"] = granted
	}
	if exp, ok := claims["exp"].(int64); ok {
		m["expires_in"] = max(0, exp-time.Now().Unix())
	}
	return uncached(jsonAnswer(http.StatusOK, m))
}

// oauthError is an error answer of the token endpoint (section 5.2).
func oauthError(code, description string) *answer {
	return uncached(jsonAnswer(http.StatusBadRequest, map[string]any{"error": code, "error_description": description}))
}

func invalidClient(inHeader bool) *answer {
	a := oauthError("invalid_client", "no such client, or a wrong secret")
	a.status = http.StatusUnauthorized
	if inHeader {
		a.header.Set("WWW-Authenticate", `Basic realm="token"`)
	}
	return a
}

// uncached forbids keeping an answer of the token endpoint (section 5.1).
func uncached(a *answer) *answer {
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("Pragma", "no-cache")
	return a
}

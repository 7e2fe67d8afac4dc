package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer is what an endpoint said, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// maxEndpointAnswer is the most that an endpoint may answer, in bytes: four tokens of
// the size that limits.token_bytes lets through at most.
const maxEndpointAnswer = 256 << 10

// post sends a form to one of the provider's endpoints, with what proves who asks.
// Nothing of the form is in an error.
func (p *RelyingParty) post(ctx context.Context, address string, form url.Values) (*answer, error) {
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
		// net/http may ask again where the provider has just closed an idle connection
		// without an answer. A code or refresh token that was used by then is lost
		// either way. It isn't sent.
		"Idempotency-Key": {},
	}
	if err := p.options.Auth.prove(header, form); err != nil {
		return nil, fmt.Errorf("our client credentials: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, endpointTimeout)
	defer cancel()
	return send(ctx, p.client, http.MethodPost, address, header, strings.NewReader(form.Encode()))
}

// send makes one request, by a client that takes redirects for answers, and reads the
// whole answer.
func send(ctx context.Context, client *http.Client, method, address string, header http.Header, body io.Reader) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxEndpointAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer ends early: %w", err)
	case len(a.body) > maxEndpointAnswer:
		return nil, errBodySize(maxEndpointAnswer)
	}
	return a, nil
}

// problem explains an answer that isn't 200, for an operator. Of the body there is
// nothing but a code that is made of small letters: an endpoint that misbehaves may
// say a token back.
func (a *answer) problem() string {
	detail := "status " + strconv.Itoa(a.status)
	code := a.errorCode()
	if code != "" {
		detail += ", " + code
	}
	switch {
	case a.refusesClient():
		detail += ": it doesn't take our client credentials"
	case a.status/100 == 3:
		detail += ": redirects aren't followed, since secrets mustn't follow"
	}
	return detail
}

// refusesClient says whether it isn't the request that is refused, but who asks (RFC
// 6749, 5.2). Keycloak calls a wrong secret unauthorized_client, which otherwise is about
// what a client may ask for, and comes with 400.
func (a *answer) refusesClient() bool {
	code := a.errorCode()
	return code == "invalid_client" || a.status == http.StatusUnauthorized && (code == "" || code == "unauthorized_client")
}

// errorCode is what the request is refused for (RFC 6749, 5.2); empty where it isn't
// refused, but the endpoint can't answer.
func (a *answer) errorCode() string {
	if a.status/100 != 4 || a.status == http.StatusTooManyRequests {
		return ""
	}
	o, err := parseObject(a.body)
	if err != nil {
		return ""
	}
	code, _ := o.Lookup("error").Text()
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return code
}

// tokenAnswer is what the token endpoint gives (RFC 6749, 5.1; OpenID Connect Core
// 1.0, 3.1.3.3).
type tokenAnswer struct {
	access  RawToken
	refresh RawToken      // empty: none
	id      RawToken      // empty: none
	expires time.Duration // after the question was asked; zero: not known
}

// longestExpiry is how far an access token's end is believed.
const longestExpiry = 10 * 365 * 24 * time.Hour

// readTokenAnswer reads a successful answer strictly. No error holds any of it but
// token_type.
func readTokenAnswer(body []byte) (*tokenAnswer, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, errors.New("the answer isn't a JSON object that reads only one way")
	}
	var t tokenAnswer
	for _, m := range [...]struct {
		name string
		into *RawToken
	}{{"access_token", &t.access}, {"refresh_token", &t.refresh}, {"id_token", &t.id}} {
		if *m.into, err = readToken(o.Lookup(m.name)); err != nil {
			return nil, fmt.Errorf("%s %w", m.name, err)
		}
	}
	if t.access == "" {
		return nil, errors.New("the answer has no access_token")
	}
	// Another kind, such as DPoP, is bound to a key that nobody here has.
	kind, ok := o.Lookup("token_type").Text()
	if !ok {
		return nil, errors.New("the answer has no token_type")
	}
	if lower(kind) != "bearer" {
		return nil, fmt.Errorf("token_type is %s, not Bearer", quote(kind))
	}
	t.expires, err = readExpiresIn(o.Lookup("expires_in"))
	return &t, err
}

// readToken reads a token of printable ASCII (RFC 6749, A.12, A.17). None, null and
// the empty text are no token.
func readToken(v Value) (RawToken, error) {
	text, ok := v.Text()
	if !ok && v.Exists() && v.Kind() != KindNull {
		return "", errors.New("isn't a string")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return "", errors.New("isn't printable ASCII")
		}
	}
	return RawToken(text), nil
}

// readExpiresIn reads a number of seconds. Several providers send it as a string,
// which is taken as well, and some 0 for a token that doesn't end: what isn't above
// zero isn't known. Anything else is an error, since a session whose end isn't known
// is never refreshed.
func readExpiresIn(v Value) (time.Duration, error) {
	seconds, ok := v.Float()
	if text, isText := v.Text(); isText {
		whole, err := strconv.ParseUint(text, 10, 64)
		seconds, ok = float64(whole), err == nil
	}
	if !ok && v.Exists() && v.Kind() != KindNull {
		return 0, errors.New("expires_in isn't a number of seconds")
	}
	seconds = math.Floor(min(max(seconds, 0), longestExpiry.Seconds()))
	return time.Duration(seconds) * time.Second, nil
}

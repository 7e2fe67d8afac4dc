package oidc

import (
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// errOtherSubject is in the refusal of userinfo that is about somebody else.
var errOtherSubject = errors.New("the subjects differ")

// userInfoQuestion is how userinfo is asked, and what is made of its answer: people who
// log in and tokens that others bring are refused for reasons of their own.
type userInfoQuestion struct {
	client  *http.Client // follows no redirects
	timeout time.Duration
	most    errBodySize // bytes of an answer
	judge   *Provider   // of signed answers: by its keys, for its audiences
	of      string      // what says who is meant: "the ID token"

	// The reasons, of: an access token that isn't taken, or is somebody else's; an
	// answer that can't be believed; none.
	refused, invalid, unavailable audit.Reason
}

// userInfo is the question at a login or refresh. The refusals: ProviderUnavailable,
// UserInfoInvalid.
func (p *RelyingParty) userInfo() *userInfoQuestion {
	return &userInfoQuestion{
		client: p.client, timeout: endpointTimeout, most: maxEndpointAnswer, judge: p.provider, of: "the ID token",
		refused: audit.UserInfoInvalid, invalid: audit.UserInfoInvalid, unavailable: audit.ProviderUnavailable,
	}
}

// ask asks what the provider says of the person whose access token this is (OpenID
// Connect Core 1.0, 5.3), and that it is the one meant. Aggregated and distributed
// claims (5.6.2) are left as they are: nothing in them is followed.
func (q *userInfoQuestion) ask(ctx context.Context, address string, access RawToken, subject Subject) (Claims, *audit.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	a, err := send(ctx, q.client, http.MethodGet, address, http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer " + string(access)},
	}, nil)
	if err != nil {
		return Claims{}, q.unanswered("userinfo: "+plain(err), retryAfterFailure)
	}
	switch {
	case a.refusesToken():
		return Claims{}, refuse(q.refused, "userinfo doesn't take the access token: status "+strconv.Itoa(a.status))
	case a.status != http.StatusOK:
		return Claims{}, q.unanswered("userinfo: "+a.problem(), retryAfter(a.header))
	case len(a.body) > int(q.most):
		return Claims{}, q.unanswered("userinfo: "+q.most.Error(), retryAfterFailure)
	}
	info, refusal := q.read(ctx, a)
	if refusal != nil {
		return Claims{}, refusal
	}
	switch sub, ok := info.Lookup("sub").Text(); {
	case !ok:
		return Claims{}, q.disbelieved("userinfo has no sub")
	case Subject(sub) != subject:
		return Claims{}, &audit.Refusal{
			Reason: q.refused, Err: errOtherSubject,
			Detail: "userinfo is about sub " + quote(sub) + ", " + q.of + " about " + quote(string(subject)),
		}
	}
	return info, nil
}

// refusesToken says whether it is the token that userinfo won't have (RFC 6750, 3.1),
// which some providers say with 400.
func (a *answer) refusesToken() bool {
	code := a.errorCode()
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || code == "invalid_token" || code == "insufficient_scope"
}

// read reads an answer that is JSON, or JSON that is signed (5.3.2).
func (q *userInfoQuestion) read(ctx context.Context, a *answer) (Claims, *audit.Refusal) {
	if kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type")); kind == "application/jwt" {
		return q.open(ctx, RawToken(strings.TrimSpace(string(a.body))))
	}
	info, err := parseObject(a.body)
	if err != nil {
		return Claims{}, q.disbelieved("userinfo isn't a JSON object that reads only one way")
	}
	return info, nil
}

// open judges signed userinfo: by the algorithms and keys of ID tokens, and by
// whatever of iss, aud and the dates it has.
func (q *userInfoQuestion) open(ctx context.Context, raw RawToken) (Claims, *audit.Refusal) {
	if q.judge.options.Keys == nil {
		return Claims{}, q.disbelieved("userinfo is signed, and there are no keys to verify it with: nothing else of this provider needs any")
	}
	t := newVerification(raw, time.Now())
	t.Provider = q.judge
	var refusal *audit.Refusal
	if t.jws, refusal = ParseJWS(raw); refusal == nil {
		refusal = t.signedUserInfo(ctx)
	}
	switch {
	case refusal == nil:
		return t.Claims, nil
	case refusal.Reason.Class() == audit.ClassUnavailable:
		return Claims{}, q.unanswered("signed userinfo: "+refusal.Error(), cmp.Or(refusal.RetryAfter, retryAfterFailure))
	default:
		return Claims{}, q.disbelieved("signed userinfo: " + refusal.Error())
	}
}

func (q *userInfoQuestion) unanswered(detail string, retry time.Duration) *audit.Refusal {
	return &audit.Refusal{Reason: q.unavailable, Detail: detail, RetryAfter: retry}
}

func (q *userInfoQuestion) disbelieved(detail string) *audit.Refusal {
	refusal := refuse(q.invalid, detail)
	if q.invalid.Class() == audit.ClassUnavailable {
		refusal.RetryAfter = retryAfterFailure
	}
	return refusal
}

func (t *verification) signedUserInfo(ctx context.Context) *audit.Refusal {
	checks := []func(*verification, context.Context) *audit.Refusal{
		(*verification).claims, (*verification).algorithm, (*verification).key, (*verification).signature,
		(*verification).notBefore, (*verification).issuedAt,
	}
	for _, judge := range checks {
		if refusal := judge(t, ctx); refusal != nil {
			return refusal
		}
	}
	for _, check := range [...]struct {
		claim string
		judge func(*verification, context.Context) *audit.Refusal
	}{
		{"iss", (*verification).exactIssuer}, {"aud", (*verification).audience}, {"exp", (*verification).expiry},
	} {
		if !t.Claims.Lookup(check.claim).Exists() {
			continue
		}
		if refusal := check.judge(t, ctx); refusal != nil {
			return refusal
		}
	}
	return nil
}

// tokenClaims say who is meant, by whom, for whom, when, how and with which rights.
// Only the token says that: userinfo isn't bound to the login, and often isn't signed.
var tokenClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "azp", "sid", "auth_time", "acr", "amr", "at_hash", "c_hash", "s_hash",
	"cnf", "events", "act", "may_act", "client_id", "scope", "scp", "authorization_details", "typ", "token_type", "token_use", "active",
}

// withUserInfo is an ID token's claims with what userinfo says beside them, or newer.
// A statement that something is verified, such as email_verified, is about the
// email beside it: it doesn't carry over to another one, nor to one of which userinfo
// doesn't say that it is the same.
func (c Claims) withUserInfo(info Claims) Claims {
	own, theirs := c.byName(), info.byName()
	unfounded := func(name string) bool { // by userinfo, about what the ID token says
		about, ok := strings.CutSuffix(name, "_verified")
		return ok && own[about].Exists() && !theirs[about].Exists()
	}
	kept := c.without(func(name string) bool {
		about, ok := strings.CutSuffix(name, "_verified")
		return ok && (theirs[about].Exists() || theirs[name].Exists() && theirs[name] != own[name])
	})
	return kept.with(info, func(name string) bool { return !slices.Contains(tokenClaims, name) && !unfounded(name) })
}

// renewedBy is what a session knew of a person, with the claims of a renewed ID token in
// place of older ones. That an older email was verified says nothing of another one.
func (c Claims) renewedBy(idToken Claims) Claims {
	own, renewed := c.byName(), idToken.byName()
	known := c.without(func(name string) bool {
		about, ok := strings.CutSuffix(name, "_verified")
		return ok && renewed[about].Exists() && renewed[about] != own[about]
	})
	return known.with(idToken, func(string) bool { return true })
}

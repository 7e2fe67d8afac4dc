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

// askUserInfo asks what the provider says of the person whose access token this is
// (OpenID Connect Core 1.0, 5.3), and that it is the one meant. Aggregated and
// distributed claims (5.6.2) are left as they are: nothing in them is followed.
//
// The refusals: ProviderUnavailable, UserInfoInvalid.
func (p *RelyingParty) askUserInfo(ctx context.Context, address string, access RawToken, subject Subject) (Claims, *audit.Refusal) {
	a, err := p.send(ctx, http.MethodGet, address, http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer " + string(access)},
	}, nil)
	if err != nil {
		return Claims{}, unreachable("userinfo: "+plain(err), retryAfterFailure)
	}
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return Claims{}, refuse(audit.UserInfoInvalid, "userinfo doesn't take the access token: "+"status "+strconv.Itoa(a.status))
	case a.status != http.StatusOK:
		return Claims{}, unreachable("userinfo: "+a.problem(), retryAfter(a.header))
	}
	info, refusal := p.readUserInfo(ctx, a)
	if refusal != nil {
		return Claims{}, refusal
	}
	switch sub, ok := info.Lookup("sub").Text(); {
	case !ok:
		return Claims{}, refuse(audit.UserInfoInvalid, "userinfo has no sub")
	case Subject(sub) != subject:
		return Claims{}, &audit.Refusal{
			Reason: audit.UserInfoInvalid, Err: errOtherSubject,
			Detail: "userinfo is about sub " + quote(sub) + ", the ID token about " + quote(string(subject)),
		}
	}
	return info, nil
}

// readUserInfo reads an answer that is JSON, or JSON that is signed (5.3.2).
func (p *RelyingParty) readUserInfo(ctx context.Context, a *answer) (Claims, *audit.Refusal) {
	if kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type")); kind == "application/jwt" {
		return p.openUserInfo(ctx, RawToken(strings.TrimSpace(string(a.body))))
	}
	info, err := parseObject(a.body)
	if err != nil {
		return Claims{}, refuse(audit.UserInfoInvalid, "userinfo isn't a JSON object that reads only one way")
	}
	return info, nil
}

// openUserInfo judges signed userinfo: by the algorithms and keys of ID tokens, and
// by whatever of iss, aud and the dates it has.
func (p *RelyingParty) openUserInfo(ctx context.Context, raw RawToken) (Claims, *audit.Refusal) {
	t := newVerification(raw, time.Now())
	t.Provider = p.provider
	var refusal *audit.Refusal
	if t.jws, refusal = ParseJWS(raw); refusal == nil {
		refusal = t.signedUserInfo(ctx)
	}
	switch {
	case refusal == nil:
		return t.Claims, nil
	case refusal.Reason.Class() == audit.ClassUnavailable:
		return Claims{}, unreachable("signed userinfo: "+refusal.Error(), cmp.Or(refusal.RetryAfter, retryAfterFailure))
	default:
		return Claims{}, refuse(audit.UserInfoInvalid, "signed userinfo: "+refusal.Error())
	}
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
	for name, judge := range map[string]func(*verification, context.Context) *audit.Refusal{
		"iss": (*verification).exactIssuer, "aud": (*verification).audience, "exp": (*verification).expiry,
	} {
		if !t.Claims.Lookup(name).Exists() {
			continue
		}
		if refusal := judge(t, ctx); refusal != nil {
			return refusal
		}
	}
	return nil
}

// tokenClaims say who is meant, by whom, for whom, when, how and with which rights.
// Only the ID token says that: userinfo isn't bound to the login, and often isn't
// signed.
var tokenClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "azp", "sid", "auth_time", "acr", "amr", "at_hash", "c_hash", "s_hash",
	"cnf", "events", "act", "client_id", "scope", "scp", "typ", "token_use",
}

// withUserInfo is an ID token's claims with what userinfo says beside them, or newer.
// A statement that something is verified, such as email_verified, is about the
// email beside it: it doesn't carry over to another one.
func (c Claims) withUserInfo(info Claims) Claims {
	var own []byte
	for name, v := range c.Members() {
		verified, ok := strings.CutSuffix(name, "_verified")
		if !ok || !info.Lookup(verified).Exists() {
			own = appendMember(own, name, v)
		}
	}
	return objectOf(own).with(info, func(name string) bool { return !slices.Contains(tokenClaims, name) })
}

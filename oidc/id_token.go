package oidc

import (
	"context"
	"crypto"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/credence-authz/credence/audit"
)

// How an ID token is judged (OpenID Connect Core 1.0, 3.1.3.7). In this order: form,
// which an encrypted one has once it is decrypted (10.2), claims, type, algorithm; then
// go-oidc's verifier over our keys; then issuer, kind, audience, subject and dates once
// more by claims that read only one way, and at_hash. What belongs to the login, or to
// the refresh, is judged last.

// longestAgo is how old an ID token may be that a code was just exchanged for.
const longestAgo = 10 * time.Minute

// beforeSignature and afterSignature are the checks on both sides of go-oidc's.
var (
	beforeSignature = [...]func(*verification, context.Context) *audit.Refusal{
		(*verification).claims, (*verification).idTokenType, (*verification).algorithm,
	}
	afterSignature = [...]func(*verification, context.Context) *audit.Refusal{
		(*verification).exactIssuer, (*verification).idTokenKind, (*verification).audience, (*verification).subject,
		(*verification).expiry, (*verification).notBefore, (*verification).issuedAt,
	}
)

// openIDToken judges all of an ID token that doesn't depend on what it was given
// for. The reasons are those of an access token.
func (p *RelyingParty) openIDToken(ctx context.Context, raw, access RawToken, now time.Time) (*verification, *audit.Refusal) {
	t := newVerification(raw, now)
	t.Provider = p.provider
	if refusal := t.parse(p.options.DecryptionKeys); refusal != nil {
		return nil, refusal
	}
	for _, judge := range beforeSignature {
		if refusal := judge(t, ctx); refusal != nil {
			return nil, refusal
		}
	}
	witness := &witness{keys: p.options.Keys}
	_, err := gooidc.NewVerifier(string(p.options.Issuer), witness, &gooidc.Config{
		ClientID:             p.options.ClientID,
		SupportedSigningAlgs: p.provider.options.Algorithms,
		Now:                  func() time.Time { return now.Add(-p.options.ClockSkew) }, // its leeway for exp is none
	}).Verify(ctx, string(t.signed()))
	switch {
	case witness.refusal != nil:
		return nil, witness.refusal
	case !witness.verified:
		return nil, refuse(audit.TokenMalformed, plain(err))
	}
	for _, judge := range afterSignature {
		if refusal := judge(t, ctx); refusal != nil {
			return nil, refusal
		}
	}
	// Ours come before its verdict, since they tell more.
	if err != nil {
		return nil, refuse(audit.TokenClaimsInvalid, plain(err))
	}
	if refusal := p.party(t); refusal != nil {
		return nil, refusal
	}
	return t, t.accessTokenHash(access)
}

// witness keeps what go-oidc makes a text of: why a signature wasn't verified.
type witness struct {
	keys     *KeySet
	verified bool
	refusal  *audit.Refusal
}

func (w *witness) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.keys.VerifySignature(ctx, jwt)
	if err != nil {
		w.refusal, _ = errors.AsType[*audit.Refusal](err)
		return nil, err
	}
	w.verified = true
	return payload, nil
}

func (t *verification) exactIssuer(context.Context) *audit.Refusal {
	iss, _ := t.Claims.Lookup("iss").Text()
	if Issuer(iss) != t.Provider.options.Issuer {
		return refuse(audit.IssuerUnknown, "iss is "+quote(iss)+", not "+quote(string(t.Provider.options.Issuer)))
	}
	return nil
}

// idTokenType judges the header's typ. ID tokens have none of their own, but others
// do that the same keys sign: at+jwt, logout+jwt (RFC 8725, 3.11 and 3.12).
func (t *verification) idTokenType(context.Context) *audit.Refusal {
	typ := strings.TrimPrefix(lower(t.jws.Type), "application/")
	if typ == "jwt" || !t.jws.Header.Lookup("typ").Exists() {
		return nil
	}
	return refuse(audit.TokenTypeNotAllowed, "typ "+quote(t.jws.Type)+" isn't that of an ID token")
}

// idTokenKind tells ID tokens from others by the claims that only those have, and
// by what Keycloak says in typ and Cognito in token_use.
func (t *verification) idTokenKind(context.Context) *audit.Refusal {
	for _, name := range [...]string{"events", "htm", "htu", "token_introspection"} {
		if t.Claims.Lookup(name).Exists() {
			return refuse(audit.TokenTypeNotAllowed, "it has the claim "+name)
		}
	}
	if typ, ok := t.Claims.Lookup("typ").Text(); ok && slices.Contains([]string{"Bearer", "Refresh", "Offline", "Logout"}, typ) {
		return refuse(audit.TokenTypeNotAllowed, "its claim typ is "+typ)
	}
	if use, ok := t.Claims.Lookup("token_use").Text(); ok && use != "id" {
		return refuse(audit.TokenTypeNotAllowed, "its claim token_use is "+quote(use))
	}
	return nil
}

// party judges for whom the token is, besides us, and what has to be there that an
// access token does without.
func (p *RelyingParty) party(t *verification) *audit.Refusal {
	aud, others := t.Claims.Lookup("aud"), 0
	for e := range aud.Elements() {
		if text, _ := e.Text(); text != p.options.ClientID {
			if !slices.Contains(p.options.OtherAudiences, text) {
				return refuse(audit.AudienceMismatch, "aud "+aud.shown()+" names others than us")
			}
			others++
		}
	}
	azp := t.Claims.Lookup("azp")
	if text, _ := azp.Text(); text != p.options.ClientID && (azp.Exists() || others > 0) {
		return refuse(audit.AudienceMismatch, "azp "+azp.shown()+" isn't us")
	}
	if !t.Claims.Lookup("iat").Exists() {
		return refuse(audit.RequiredClaimMissing, "iat")
	}
	if sid := t.Claims.Lookup("sid"); sid.Exists() && sid.Kind() != KindString {
		return refuse(audit.TokenClaimsInvalid, "sid isn't a string")
	}
	return nil
}

// accessTokenHash ties the access token to the ID token, where that says how
// (OpenID Connect Core 1.0, 3.1.3.8).
func (t *verification) accessTokenHash(access RawToken) *audit.Refusal {
	said := t.Claims.Lookup("at_hash")
	if !said.Exists() {
		return nil
	}
	hash := signatureAlgorithms[t.jws.Algorithm]
	if hash == 0 {
		hash = crypto.SHA512 // that of Ed25519 (RFC 8032, 5.1)
	}
	h := hash.New()
	h.Write([]byte(access))
	want := base64url.EncodeToString(h.Sum(nil)[:hash.Size()/2])
	if text, _ := said.Text(); subtle.ConstantTimeCompare([]byte(text), []byte(want)) != 1 {
		return refuse(audit.TokenClaimsInvalid, "at_hash isn't that of the access token")
	}
	return nil
}

// duringLogin judges what ties an ID token to one attempt, made just now.
func (p *RelyingParty) duringLogin(t *verification, nonce string) *audit.Refusal {
	said, _ := t.Claims.Lookup("nonce").Text()
	if subtle.ConstantTimeCompare([]byte(said), []byte(nonce)) != 1 {
		return refuse(audit.TokenClaimsInvalid, "nonce isn't that of this login")
	}
	if iat, _, _ := t.date("iat", true); iat < t.now-longestAgo.Milliseconds()-t.skew() {
		return refuse(audit.TokenExpired, "iat "+t.distance(iat)+": too long ago for a login")
	}
	if p.maxAge < 0 {
		return nil
	}
	at, _, refusal := t.date("auth_time", true)
	switch {
	case refusal != nil:
		return refusal
	case at > t.now+t.skew():
		return refuse(audit.TokenIssuedInFuture, "auth_time "+t.distance(at))
	case at < t.now-p.maxAge.Milliseconds()-t.skew():
		return refuse(audit.TokenExpired, "auth_time "+t.distance(at)+": longer ago than max_age")
	}
	return nil
}

// identity is who a good ID token means.
func (t *verification) identity() Identity {
	sub, _ := t.Claims.Lookup("sub").Text()
	sid, _ := t.Claims.Lookup("sid").Text()
	return Identity{Issuer: t.Provider.options.Issuer, Subject: Subject(sub), SID: sid}
}

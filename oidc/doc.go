// Package oidc judges what identity providers sign.
//
// It has these parts, all of which trust no answer (http.go):
//
//   - [Discover] reads what a provider says of itself (discovery.go), and in the
//     background finds where it is asked (whereabouts.go); [Endpoints] say that where
//     discovery isn't to (endpoints.go).
//   - [KeySet] keeps a provider's public keys fresh in the background and survives what
//     a provider can do wrong (keyset.go, await.go, jwk.go).
//   - The strict reader takes JSON apart once, refuses what two readers could read
//     differently, and keeps it in a flat form that needs no second parse (json.go,
//     claims.go).
//   - [Verifier] judges an access token by an ordered list of checks, each with its own
//     reason (verify.go).
//   - [Introspector] asks the provider about tokens that can't be verified here
//     (introspect.go), as a client that proves who it is (client_auth.go); the answer is
//     judged as claims are.
//   - [UserInfo] asks it for claims that a good token has no room for
//     (userinfo_bearer.go), and [UserAuthentication] judges how its user logged in
//     (user_authentication.go).
//   - [DPoP] judges the proof of a token that is bound to a key (dpop.go).
//   - [RelyingParty] logs people in: it sends them to the provider (authorization.go),
//     exchanges the code they come back with for tokens (redeem.go), believes nothing of
//     those but an ID token that is for this login (id_token.go) and what userinfo says
//     of the same person (userinfo.go), and renews and ends what it was given
//     (refresh.go, end_session.go, revocation.go). Who begins a login, and where its
//     secrets are kept, is the caller's.
//
// A JWT is judged like this. In this order: form, claims, issuer, type, algorithm,
// key, signature, kind, audience, expiry, not before, issued at, subject, required
// claims, confirmation. The form bounds everything before anything is decoded; iss
// is read before the signature is verified, but does nothing except to select the
// keys that the signature has to fit; no claim is judged before that. Only then, where
// a provider has it, userinfo is shown the token.
//
// A token may be encrypted to a key of ours (jwe.go, decryption_key.go), an ID token
// too: what is inside then takes the same way. A token may be bound to a client
// certificate or to a DPoP key (constraint.go): that is judged on each request by who has
// the request, and such a token is refused where nobody said that they will.
//
// What fails closed: a token of any doubtful form, a key of any doubtful form, a
// provider without an audience, an algorithm that isn't listed or doesn't fit the
// key, a token whose binding to a key can't be checked. Keys that can't be had are
// KeysUnavailable, which is "can't decide", not "refused", and never a permission; so
// is an answer that can't be had, or that isn't one: IntrospectionUnavailable and
// UserInfoUnavailable.
//
// What a token says is never followed: no request goes to a URL that stands in one.
//
// go-oidc does discovery, and ID tokens over the same KeySet, after the strict reader
// and before checks of our own. Access tokens are judged here around the standard
// library's crypto, since go-oidc reads claims without regard to case, repairs bad
// UTF-8 and has one error for many reasons.
package oidc

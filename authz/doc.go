// Package authz is the decision: may this request pass, and what does the
// application behind the proxy learn about who sent it.
//
// A request goes one way, whatever transport it came by:
//
//	Request ─▶ rule ─▶ credential ─▶ identity ─▶ policy ─▶ Decision
//
// A front translates a proxy's question into a [Request] and a [Decision] into its
// answer, and judges nothing: wire.go serves, and grpc.go, in Envoy's own types, is
// what tests hold it to. [Engine.Decide] is the way; engine.go is the page to read
// first. In order:
//
//  1. The request is normalised once: host, path, query. One with more than one
//     reading is refused (request.go), as is an Authorization header that two
//     readers could read differently (credential.go).
//  2. The first rule that matches decides; none is a denial (index.go, match.go).
//  3. A rule that isn't public wants a bearer token, or the session of somebody who
//     logged in (session.go); where it takes both, a token that is presented decides.
//     A verdict on a token that still stands is taken from memory; else one caller
//     verifies and the others wait (authenticate.go). About a token that isn't a JWT
//     the rule's providers are asked, where they can be (ask.go). What was revoked here
//     is refused, remembered or not (revoked.go); a token that is bound to a key brings
//     its proof each time (proof.go). A few of those that memory lets in are verified
//     again (recheck.go).
//  4. Policy is judged on every request: provider, audience, the user's login, scopes,
//     and a CEL expression (policy.go, expression.go). Where none of it reads the
//     request or the clock, what came of it is remembered with the token (template.go).
//  5. An allow takes the identity along in headers that only a rule can set: the
//     client's own are removed in every spelling (identity_headers.go), and our
//     cookies with them.
//  6. Who has no good credential is told so. Only a browser that opens a page, on a
//     rule with a login, is sent to log in (login.go).
//
// What fails closed: the zero Decision denies; a rule that is neither public nor
// names a credential denies; a panic, a cancelled context and an expired deadline
// deny; what can't be decided now is an explicit 503, never an allow, and never a
// transport error that a proxy might let pass. An allow needs both Decision.Allow
// and a reason of the allowing class.
//
// What isn't promised: that a request which passed is still allowed a moment
// later (a proxy asks once, at its start), or that a token revoked at its
// provider is known to be before it expires or, where the provider is asked, before
// its answer is too old to be used.
package authz

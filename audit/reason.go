package audit

// Class groups reasons by what the caller can do about them. It decides the
// status of the answer, nothing else does.
type Class uint8

const (
	ClassInternal        Class = iota // our own fault: 500
	ClassAllow                        // let through
	ClassMalformed                    // the request can't be understood: 400
	ClassUnauthenticated              // no credential, or not a good one: 401
	ClassForbidden                    // a good credential that isn't enough: 403
	ClassUnavailable                  // we can't decide now: 503
	ClassLogin                        // a login that came to nothing, on a page: 400
)

// Status is the HTTP status of an answer that isn't an allow: none is below 400, so
// that no denial can be taken for the application's answer.
func (c Class) Status() int {
	switch c {
	case ClassMalformed, ClassLogin:
		return 400
	case ClassUnauthenticated:
		return 401
	case ClassForbidden:
		return 403
	case ClassUnavailable:
		return 503
	default:
		return 500
	}
}

// Reason says why a decision is what it is. The set is closed: the same word is
// the metric's label, the audit line's field, the heading in docs/reasons.md and
// the kind of a [Refusal]. The zero Reason is InternalError, which denies.
type Reason uint8

const (
	InternalError Reason = iota

	Allowed
	PublicRule
	OwnEndpoint

	MalformedRequest
	AmbiguousPath
	MalformedHost
	MalformedAuthorization

	NoCredential
	TokenTooLarge
	TokenMalformed
	TokenOpaque
	TokenEncrypted
	TokenHeaderInvalid
	TokenClaimsInvalid
	CriticalHeader
	AlgorithmNotAllowed
	TokenTypeNotAllowed
	NotAnAccessToken
	IssuerUnknown
	KeyUnknown
	KeyAmbiguous
	SignatureInvalid
	AudienceMismatch
	TokenExpired
	TokenNotYetValid
	TokenIssuedInFuture
	SubjectMissing
	RequiredClaimMissing
	ConstraintUnproven
	CertificateMismatch
	DPoPProofMissing
	DPoPProofInvalid
	DPoPNonceRequired
	TokenInactive
	UserInfoRefused
	TokenRevoked
	InsufficientUserAuthentication
	SessionInvalid
	SessionNewer
	SessionExpired
	SessionRevoked
	SessionEnded

	NoRule
	ProviderNotAccepted
	AudienceNotAccepted
	InsufficientScope
	ClaimMissing
	ClaimOverage
	RequirementFalse
	RequirementFailed

	HeadersNotSent
	KeysUnavailable
	KeyRefreshPending
	IntrospectionUnavailable
	IntrospectionBusy
	UserInfoUnavailable
	UserInfoBusy
	DPoPBusy
	SessionStoreUnavailable
	RefreshUnavailable
	ProviderUnavailable
	LoginBusy
	DeadlineExceeded
	Cancelled

	LoginMalformed
	LoginStateInvalid
	LoginExpired
	LoginOtherBrowser
	LoginIssuerMismatch
	LoginDenied
	LoginLoop
	CodeRejected
	IDTokenInvalid
	UserInfoInvalid
	SessionTooLarge
	LogoutUnconfirmed

	reasonCount // keep last
)

// NumReasons is the size of the closed set, for arrays indexed by Reason.
const NumReasons = int(reasonCount)

type reasonInfo struct {
	name   string
	class  Class
	public string // goes to the client: helps, and leaks nothing
	hint   string // goes to the operator: what it means and what to do
}

var reasons = [NumReasons]reasonInfo{
	InternalError: {"internal_error", ClassInternal, "internal error",
		"A fault of Credence itself: a recovered panic. The log line beside it has the stack; please report it."},

	Allowed: {"allowed", ClassAllow, "",
		"The rule's credential and requirements were met."},
	PublicRule: {"public_rule", ClassAllow, "",
		"The first rule that matched is public: nobody is asked who they are."},
	OwnEndpoint: {"own_endpoint", ClassAllow, "",
		"The request is for Credence's own login pages or the metadata of a resource, which have to be reachable without a credential."},

	MalformedRequest: {"malformed_request", ClassMalformed, "the request can't be understood",
		"The proxy's question lacks a method, host or path, or holds control bytes, or the method is in small letters. Seen from port scanners; from a real client, look at the proxy's configuration."},
	AmbiguousPath: {"ambiguous_path", ClassMalformed, "the request path has more than one reading",
		"The path holds an escaped or doubled slash, a backslash, a semicolon, an escaped ? or #, a dot segment, a double escape or bytes that aren't UTF-8, so a proxy and an application could disagree on what it names. Let the proxy normalise paths, or set ambiguous_paths on the rule where that is legal."},
	MalformedHost: {"malformed_host", ClassMalformed, "the request host can't be understood",
		"The authority isn't one host name or address with an optional port. Two Host lines arrive joined by a comma."},
	MalformedAuthorization: {"malformed_authorization", ClassMalformed, "the Authorization header can't be understood",
		"The header names Bearer or DPoP but isn't exactly `scheme token`: sent twice, without a token, or with several."},

	NoCredential: {"no_credential", ClassUnauthenticated, "",
		"The rule wants a credential and the request has none that the rule accepts."},
	TokenTooLarge: {"token_too_large", ClassUnauthenticated, "the token is too large",
		"The token is longer than limits.token_bytes. Providers that put hundreds of groups into a token cause this."},
	TokenMalformed: {"token_malformed", ClassUnauthenticated, "the token is malformed",
		"The token isn't three base64url segments. A token cut short by a log or a header limit looks like this."},
	TokenOpaque: {"token_opaque", ClassUnauthenticated, "the token isn't a JWT",
		"The token has no dots, so it isn't a JWT and can't be checked by signature. Ask the provider for JWT access tokens, or let it be asked about such tokens: set tokens: auto on a provider of the rule."},
	TokenEncrypted: {"token_encrypted", ClassUnauthenticated, "the token is encrypted",
		"The token has five segments (JWE) and can't be decrypted: no provider has decryption_keys, or the token is encrypted to none of the keys, or was altered. The detail tells which."},
	TokenHeaderInvalid: {"token_header_invalid", ClassUnauthenticated, "the token header is invalid",
		"The JOSE header isn't one strict JSON object, or has a member of the wrong type."},
	TokenClaimsInvalid: {"token_claims_invalid", ClassUnauthenticated, "the token claims are invalid",
		"The claims aren't one strict JSON object (repeated names, bad UTF-8, too deep), or a registered claim has the wrong type."},
	CriticalHeader: {"critical_header", ClassUnauthenticated, "the token has a critical header that isn't understood",
		"The header has crit or b64 (RFC 7515 4.1.11, RFC 7797). Credence understands no critical extension."},
	AlgorithmNotAllowed: {"algorithm_not_allowed", ClassUnauthenticated, "the token's algorithm isn't allowed",
		"alg isn't in the provider's algorithms, or doesn't fit the key that kid names. none and HS* are never allowed."},
	TokenTypeNotAllowed: {"token_type_not_allowed", ClassUnauthenticated, "the token's type isn't allowed",
		"typ is present and is neither at+jwt nor JWT, or strict_type is set and typ isn't at+jwt."},
	NotAnAccessToken: {"not_an_access_token", ClassUnauthenticated, "the token isn't an access token",
		"The claims are those of an ID token (at_hash, c_hash, s_hash) or of a logout token (events). The client sends the wrong token; where callers have no other, accept_id_tokens on the provider takes it."},
	IssuerUnknown: {"issuer_unknown", ClassUnauthenticated, "the token's issuer isn't known",
		"iss equals no provider's issuer, byte for byte. A trailing slash and http against https are the usual causes."},
	KeyUnknown: {"key_unknown", ClassUnauthenticated, "the token's key isn't known",
		"kid names no usable key in the provider's key set, also after a fresh fetch. The token may come from another environment."},
	KeyAmbiguous: {"key_ambiguous", ClassUnauthenticated, "the token doesn't say which key signed it",
		"The token has no kid and the provider publishes more keys for its algorithm than Credence tries."},
	SignatureInvalid: {"signature_invalid", ClassUnauthenticated, "the token's signature is invalid",
		"The signature doesn't verify under the provider's key: the token was altered, or forged."},
	AudienceMismatch: {"audience_mismatch", ClassUnauthenticated, "the token isn't for this audience",
		"aud names none of the provider's audiences. Ask the provider to issue tokens for this API (in Keycloak by an Audience mapper), or add the audience. If the detail says that aud is missing and the provider was asked about the token, see introspection.accept_missing_audience."},
	TokenExpired: {"token_expired", ClassUnauthenticated, "the token has expired",
		"exp is further back than clock_skew. If fresh tokens fail, compare the clocks."},
	TokenNotYetValid: {"token_not_yet_valid", ClassUnauthenticated, "the token isn't valid yet",
		"nbf is further ahead than clock_skew: the provider's clock is ahead of this one."},
	TokenIssuedInFuture: {"token_issued_in_future", ClassUnauthenticated, "the token was issued in the future",
		"iat is further ahead than clock_skew: the provider's clock is ahead of this one."},
	SubjectMissing: {"subject_missing", ClassUnauthenticated, "the token has no subject",
		"sub is absent or empty. Machine tokens of some providers lack it: set accept_missing_subject on the provider."},
	RequiredClaimMissing: {"required_claim_missing", ClassUnauthenticated, "the token lacks a required claim",
		"A claim is absent that every JWT has to have (exp), that strict_type asks for, or that the provider's required_claims lists. The detail names it."},
	ConstraintUnproven: {"constraint_unproven", ClassUnauthenticated, "the token is bound to a key that wasn't proven",
		"The token has cnf: it is bound to a key (RFC 7800) and isn't taken as an ordinary bearer. Its binding is none that can be checked here, which are those to a client certificate (x5t#S256, RFC 8705) and to a DPoP key (jkt, RFC 9449); or the provider isn't configured for such tokens. The detail tells which."},
	CertificateMismatch: {"certificate_mismatch", ClassUnauthenticated, "the token is bound to another client certificate",
		"The token is bound to a client certificate (cnf.x5t#S256, RFC 8705) that isn't the one of this connection. If the detail says that there is none, let the proxy ask for one and pass it on (include_peer_certificate in Envoy)."},
	DPoPProofMissing: {"dpop_proof_missing", ClassUnauthenticated, "the token needs a DPoP proof",
		"The token is bound to a DPoP key (cnf.jkt, RFC 9449) and came without a proof in the DPoP header, or under the scheme Bearer. A token that was taken from its owner looks like this."},
	DPoPProofInvalid: {"dpop_proof_invalid", ClassUnauthenticated, "the DPoP proof is invalid",
		"The DPoP header isn't one good proof (RFC 9449, 4.3) for this request, this token and its key, made just now and used once. The detail tells what is wrong. For htu, list the origin that clients use; for iat, compare the clocks."},
	DPoPNonceRequired: {"dpop_nonce_required", ClassUnauthenticated, "the DPoP proof needs a fresh nonce",
		"The proof has no nonce of ours, or one that is too old. Clients repeat the request with the one in the answer's DPoP-Nonce header (RFC 9449, 9), so one of these at the beginning is usual."},
	TokenInactive: {"token_inactive", ClassUnauthenticated, "the token isn't active",
		"The provider was asked about the token and doesn't say that it is active: it has expired, was revoked, was made up, or belongs to another provider. Some providers also answer so to a client that may not ask about this token."},
	UserInfoRefused: {"user_info_refused", ClassUnauthenticated, "the token isn't good for userinfo",
		"The token is good, but the provider's userinfo doesn't take it, or is about another subject: it was revoked, wasn't given with the scope openid, or isn't a person's. With when: always, also a token that userinfo can't be asked about. The detail tells which. For callers that aren't people, leave the provider's userinfo.when at openid."},
	TokenRevoked: {"token_revoked", ClassUnauthenticated, "the token was revoked",
		"The token is good but for having been revoked here: by itself, with its subject, its session or its client."},
	InsufficientUserAuthentication: {"insufficient_user_authentication", ClassUnauthenticated, "a stronger or a more recent login is needed",
		"The token is good, but its user didn't log in as the rule's bearer.acr_values says, or not within bearer.max_age. The answer tells the client what is needed (RFC 9470), and it can get another token by sending the user to log in again. If the detail says that acr or auth_time is missing, let the provider put them into its access tokens."},
	SessionInvalid: {"session_invalid", ClassUnauthenticated, "the session isn't valid",
		"The request has a session cookie that can't be opened, or two that say different things: it was altered or cut short, was sealed with a key that is gone, or was made for another client. A browser is sent to log in again. After a change of session.keys, keep the old key in the list for as long as sessions live."},
	SessionNewer: {"session_newer", ClassUnauthenticated, "the session isn't valid",
		"The session was written by a newer version of Credence than this one, as happens while replicas are replaced. Finish the rollout."},
	SessionExpired: {"session_expired", ClassUnauthenticated, "the session has expired",
		"Nobody used the session for session.idle, or session.lifetime has passed since the login. The detail tells which."},
	SessionRevoked: {"session_revoked", ClassUnauthenticated, "the session has ended",
		"The session was logged out, or revoked by an operator or by the provider, and the browser still has its cookie."},
	SessionEnded: {"session_ended", ClassUnauthenticated, "the session has ended",
		"The provider was asked to refresh the session and refused, or answered with another identity: the account was disabled, the session ended there, or the refresh token was used elsewhere."},

	NoRule: {"no_rule", ClassForbidden, "no rule allows this request",
		"No rule matches host, path and method: what isn't allowed is denied. `credence explain` shows how each rule was judged."},
	ProviderNotAccepted: {"provider_not_accepted", ClassForbidden, "the token's issuer isn't accepted here",
		"The token is good, but the rule's bearer.providers doesn't list its provider."},
	AudienceNotAccepted: {"audience_not_accepted", ClassForbidden, "the token's audience isn't accepted here",
		"The token is good, but aud names none of the rule's bearer.audiences. Where the rule has a resource, the answer is 401 and tells where to get a token for it."},
	InsufficientScope: {"insufficient_scope", ClassForbidden, "the token's scope isn't sufficient",
		"The token lacks a scope of the rule's bearer.scopes; all of them are needed."},
	ClaimMissing: {"claim_missing", ClassForbidden, "the token lacks a claim that is needed here",
		"The rule's require reads a claim that the token doesn't have. Let the provider put it into its tokens, or have its userinfo asked (userinfo of the provider for bearer tokens, of the client for logins). Where it may be absent, guard it with has(claims.x)."},
	ClaimOverage: {"claim_overage", ClassForbidden, "the token leaves out a claim that is needed here",
		"The rule's require reads a claim of which the token says that it is to be had elsewhere (_claim_names, OpenID Connect Core 5.6.2): Entra ID does so with the groups of people who are in more than 200. Addresses in tokens aren't followed. Where the provider's userinfo has the claim, set userinfo on the provider; otherwise, and with Entra ID, let it send app roles, or only the groups that are assigned to the application."},
	RequirementFalse: {"requirement_false", ClassForbidden, "the request doesn't meet the requirement",
		"The rule's require is false for this identity and request."},
	RequirementFailed: {"requirement_failed", ClassForbidden, "the requirement can't be judged",
		"The rule's require ended in an error, such as comparing values of different types, or cost more than it may."},

	HeadersNotSent: {"headers_not_sent", ClassUnavailable, "the proxy's configuration is outdated",
		"The proxy sends only the headers that the rules read, as envoy-config printed them, and the rules have come to read others: a header that isn't sent would look absent. Print the proxy's configuration again; a proxy that sends more than is read does no harm, so change it before the rules."},
	KeysUnavailable: {"keys_unavailable", ClassUnavailable, "the token can't be checked now",
		"The provider's keys were never loaded, or the last good ones are older than keys.max_stale. See the provider's fetch errors in the log."},
	KeyRefreshPending: {"key_refresh_pending", ClassUnavailable, "the token can't be checked now",
		"kid isn't in the key set and the last fetch is too recent for another one. A good token passes after the cool-down; a flood of these is somebody making up key ids."},
	IntrospectionUnavailable: {"introspection_unavailable", ClassUnavailable, "the token can't be checked now",
		"The provider had to be asked about the token and gave no answer that can be used: it can't be reached, is too slow, refuses our client credentials, or answers something else than RFC 7662 says. The detail tells which."},
	IntrospectionBusy: {"introspection_busy", ClassUnavailable, "the token can't be checked now",
		"Too many tokens that nobody knows yet came at once: the provider is asked no more than introspection.max_concurrent and introspection.max_per_second say. Tokens whose answer is remembered still work. A flood of these is somebody making up tokens; with honest traffic, raise the bounds."},
	UserInfoUnavailable: {"user_info_unavailable", ClassUnavailable, "the token can't be checked now",
		"The token is good, but the provider's userinfo gave no answer that can be used, and without it claims are missing: it can't be reached, is too slow, isn't in the discovery document, or answers something that isn't userinfo. The detail tells which."},
	UserInfoBusy: {"user_info_busy", ClassUnavailable, "the token can't be checked now",
		"Too many good tokens came at once about which the provider's userinfo has to be asked: it is asked no more than userinfo.max_concurrent and userinfo.max_per_second say, and no more than a quarter of it for one client address. Tokens whose answer is remembered still work. Raise the bounds, or userinfo.ttl."},
	DPoPBusy: {"dpop_busy", ClassUnavailable, "too many DPoP proofs were used lately",
		"Nothing is wrong with the proof, but that it was used can't be remembered any more, and without that it could be used twice. All clients together, or one key by itself, brought more proofs than there is room for within the time that a proof is good for. The detail tells which. A flood of these by one key is a client in a loop; with honest traffic, add replicas."},
	SessionStoreUnavailable: {"session_store_unavailable", ClassUnavailable, "the session can't be checked now",
		"The session store gave no answer. The session may be good, and its cookie stays."},
	RefreshUnavailable: {"refresh_unavailable", ClassUnavailable, "the session can't be checked now",
		"The session's access token has ended, and the provider gave no answer that can be used when it was asked for another. The session stays and works again as soon as the provider answers."},
	ProviderUnavailable: {"provider_unavailable", ClassUnavailable, "the identity provider can't complete a login now",
		"The provider gave no answer that can be used while somebody logged in: it can't be reached, is too slow, refuses our client credentials, or its discovery document isn't there yet. The detail tells which."},
	LoginBusy: {"login_busy", ClassUnavailable, "too many logins are under way",
		"The provider is asked no more than the client's max_concurrent and max_per_second say, and by one client address no more than its share. A flood of these is somebody making up callbacks."},
	DeadlineExceeded: {"deadline_exceeded", ClassUnavailable, "the decision took too long",
		"The proxy's time-out ran out before the decision was made, nearly always while waiting for a provider."},
	Cancelled: {"cancelled", ClassUnavailable, "the request was cancelled",
		"The client or the proxy went away before the decision was made."},

	LoginMalformed: {"login_malformed", ClassLogin, "the login can't be understood",
		"A request to the login's endpoints lacks a parameter, has it twice, or has one that is far too long or names what isn't configured. Seen from scanners; a provider that causes it doesn't follow OpenID Connect."},
	LoginStateInvalid: {"login_state_invalid", ClassLogin, "the login can't be continued",
		"The state of a callback isn't one that was sealed here: it was altered or made up, or the key that sealed it is gone from session.keys."},
	LoginExpired: {"login_expired", ClassLogin, "the login took too long or was already finished",
		"The callback came too late after its login began, or came a second time, as with the browser's back button."},
	LoginOtherBrowser: {"login_other_browser", ClassLogin, "the login was begun in another browser",
		"The callback came from a browser that didn't begin this login, or that doesn't keep cookies. It is refused, because a login that somebody else began would put this browser into their account."},
	LoginIssuerMismatch: {"login_issuer_mismatch", ClassLogin, "the login was answered by another provider",
		"The callback's iss isn't the provider that this login was sent to, or is missing although the provider says, or its endpoints.sends_iss does, that it sends it (RFC 9207); or the callback is at another client's address: a mix-up of providers, by mistake or on purpose."},
	LoginDenied: {"login_denied", ClassLogin, "the identity provider didn't log you in",
		"The provider answered with an error, such as access_denied or a client that it doesn't know. The detail has its code."},
	LoginLoop: {"login_loop", ClassLogin, "the login goes round in circles",
		"Three logins in a row were completed and the browser still had no session: it doesn't keep or send the session cookie. Check that the application is on the redirect_uri's host, or below session.cookie.domain, and on https, and that the proxy passes Set-Cookie and Cookie on."},
	CodeRejected: {"code_rejected", ClassLogin, "the identity provider didn't complete the login",
		"The provider didn't take the authorization code: it was used before or has expired, or redirect_uri isn't what the provider has on file. The detail has its code."},
	IDTokenInvalid: {"id_token_invalid", ClassLogin, "the identity provider's answer isn't valid",
		"The provider's answer to a good code lacks an ID token or has one that can't be believed. The detail tells which check failed."},
	UserInfoInvalid: {"user_info_invalid", ClassLogin, "the identity provider's answer isn't valid",
		"The provider's userinfo can't be read, or is about another subject than the ID token."},
	SessionTooLarge: {"session_too_large", ClassLogin, "the session is too large for this browser",
		"The session doesn't fit the cookies that browsers and proxies let through. Let the provider put less into its tokens, or use session.store: memory."},
	LogoutUnconfirmed: {"logout_unconfirmed", ClassLogin, "the logout wasn't confirmed",
		"A logout came without the token of our own page, or from another site: it is shown again for the person to confirm."},
}

// String is the reason's name: a metric label and the heading in docs/reasons.md.
func (r Reason) String() string { return r.info().name }

// Class says which kind of answer the reason leads to.
func (r Reason) Class() Class { return r.info().class }

// Public is one short sentence for the client, in the characters that RFC 6750
// allows in error_description; empty where a client needs none.
func (r Reason) Public() string { return r.info().public }

// Hint tells an operator what the reason means and what to do about it.
func (r Reason) Hint() string { return r.info().hint }

// Reasons lists the closed set in order.
func Reasons() []Reason {
	all := make([]Reason, NumReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

func (r Reason) info() *reasonInfo {
	if r >= reasonCount {
		return &reasons[InternalError]
	}
	return &reasons[r]
}

package oidctest

// quirks are what a provider does otherwise than it should, or than others do. The
// zero quirks are none.
type quirks struct {
	begin         func(*Provider)                         // done once, when the module begins
	metadata      func(map[string]any)                    // alters the discovery document
	authMethod    string                                  // the only one for clients; "" for what they registered
	refusal       string                                  // error code that every authorization request gets
	rotateAtLogin int                                     // the keys change before this authorization request; 1 is the first
	rotateAtToken int                                     // the keys change before this ID token is signed
	thin          bool                                    // ID tokens without the user's claims
	atLogin       func(*draft)                            // alters the ID token of a login
	atRefresh     func(*draft)                            // alters that of a renewal
	userInfo      func(*Provider, string, map[string]any) // alters what is said of a user; gets the endpoints' base address
	userInfoAlg   string                                  // signs that; "" for what the client registered
	endState      func(string) string                     // alters the state that comes back from a logout
}

// script is a module and how it is played.
type script struct {
	Module
	quirks
}

// Plans that share modules.
var (
	inBasic     = []string{planBasic, planFormPost, planFull}
	inConfig    = []string{planConfig, planFull}
	inBasicBoth = []string{planBasic, planFormPost, planConfig, planFull}
)

var scripts = []script{
	{Module{"oidcc-client-test", inBasic, AtLogin, Accept, "does everything right"}, quirks{}},
	{Module{"oidcc-client-test-invalid-iss", inBasic, AtLogin, Refuse, "names another issuer in the ID token"}, quirks{atLogin: claim("iss", "https://other.test")}},
	{Module{"oidcc-client-test-missing-sub", inBasic, AtLogin, Refuse, "leaves sub out of the ID token"}, quirks{atLogin: claim("sub", nil)}},
	{Module{"oidcc-client-test-invalid-aud", inBasic, AtLogin, Refuse, "names another client in the ID token's aud"}, quirks{atLogin: claim("aud", "another-client")}},
	{Module{"oidcc-client-test-missing-iat", inBasic, AtLogin, Refuse, "leaves iat out of the ID token"}, quirks{atLogin: claim("iat", nil)}},
	{Module{"oidcc-client-test-kid-absent-single-jwks", inBasic, AtLogin, Accept, "has one key, and ID tokens without a kid"}, quirks{begin: keepOneKey, atLogin: withoutKeyID("-")}},
	{Module{"oidcc-client-test-kid-absent-multiple-jwks", inBasic, AtLogin, Either, "has two keys that fit, and ID tokens without a kid, signed by the second"}, quirks{begin: addAnotherKey, atLogin: withoutKeyID(anotherKey)}},
	{Module{"oidcc-client-test-idtoken-sig-rs256", inBasic, AtLogin, Accept, "signs ID tokens with RS256"}, quirks{}},
	{Module{"oidcc-client-test-idtoken-sig-none", inBasicBoth, AtLogin, Refuse, "doesn't sign ID tokens; the suite lets a party that can't do without a signature skip this"}, quirks{atLogin: signedWith("none", false)}},
	{Module{"oidcc-client-test-invalid-sig-rs256", inBasic, AtLogin, Refuse, "gives ID tokens a wrong RS256 signature"}, quirks{atLogin: signedWith("RS256", true)}},
	{Module{"oidcc-client-test-userinfo-invalid-sub", inBasic, AtLogin, Refuse, "names another sub at the userinfo endpoint"}, quirks{userInfo: another("sub")}},
	{Module{"oidcc-client-test-nonce-invalid", inBasic, AtLogin, Refuse, "puts another nonce into the ID token"}, quirks{atLogin: claim("nonce", "another-nonce")}},
	{Module{"oidcc-client-test-scope-userinfo-claims", inBasic, AtLogin, Accept, "says what the scopes stand for only at the userinfo endpoint"}, quirks{thin: true}},
	{Module{"oidcc-client-test-client-secret-basic", inBasic, AtLogin, Accept, "takes clients only by client_secret_basic"}, quirks{authMethod: "client_secret_basic"}},

	{Module{"oidcc-client-test-discovery-openid-config", inConfig, AtDiscovery, Accept, "has a discovery document"}, quirks{}},
	{Module{"oidcc-client-test-discovery-jwks-uri-keys", inConfig, AtLogin, Accept, "has its keys where the discovery document says"}, quirks{}},
	{Module{"oidcc-client-test-discovery-issuer-mismatch", inConfig, AtDiscovery, Refuse, "names another issuer in the discovery document"}, quirks{metadata: func(m map[string]any) { m["issuer"] = "https://other.test" }}},
	{Module{"oidcc-client-test-signing-key-rotation-just-before-signing", inConfig, AtLogin, Accept, "changes its keys before it signs the ID token"}, quirks{rotateAtToken: 1}},
	{Module{"oidcc-client-test-signing-key-rotation", inConfig, AtSecondLogin, Accept, "changes its keys between two logins"}, quirks{rotateAtLogin: 2}},

	{Module{"oidcc-client-test-refresh-token", []string{planRefresh}, AtRefresh, Accept, "renews the tokens"}, quirks{}},
	{Module{"oidcc-client-test-refresh-token-invalid-issuer", []string{planRefresh}, AtRefresh, Refuse, "names another issuer in the renewed ID token"}, quirks{atRefresh: claim("iss", "https://other.test")}},
	{Module{"oidcc-client-test-refresh-token-invalid-sub", []string{planRefresh}, AtRefresh, Refuse, "names another sub in the renewed ID token"}, quirks{atRefresh: claim("sub", "somebody-else")}},

	{Module{"oidcc-client-test-3rd-party-init-login", []string{planThirdParty}, AtLogin, Accept, "has somebody sent to the relying party's login address, with iss"}, quirks{}},

	{Module{"oidcc-client-test-rp-init-logout", []string{planLogout}, AtLogout, Accept, "logs out and gives back state"}, quirks{}},
	{Module{"oidcc-client-test-rp-init-logout-other-state", []string{planLogout}, AtLogout, Refuse, "logs out and gives back another state"}, quirks{endState: func(string) string { return "another-state" }}},
	{Module{"oidcc-client-test-rp-init-logout-no-state", []string{planLogout}, AtLogout, Refuse, "logs out and gives back no state"}, quirks{endState: func(string) string { return "" }}},

	{Module{"oidcc-client-test-invalid-sig-es256", []string{planFull}, AtLogin, Refuse, "gives ID tokens a wrong ES256 signature"}, quirks{atLogin: signedWith("ES256", true)}},
	{Module{"oidcc-client-test-invalid-sig-hs256", []string{planFull}, AtLogin, Refuse, "signs ID tokens with HS256, by its RSA key's public half"}, quirks{atLogin: signedWith("HS256", false)}},
	{Module{"oidcc-client-test-userinfo-bearer-header", []string{planFull}, AtLogin, Accept, "takes access tokens in the Authorization header"}, quirks{}},
	{Module{"oidcc-client-test-form-post-error", []string{planFull}, AtLogin, Refuse, "answers every authorization request with an error"}, quirks{refusal: "access_denied"}},
	{Module{"oidcc-client-test-missing-aud", []string{planFull}, AtLogin, Refuse, "leaves aud out of the ID token"}, quirks{atLogin: claim("aud", nil)}},
	{Module{"oidcc-client-test-invalid-athash", []string{planFull}, AtLogin, Refuse, "puts another token's at_hash into the ID token"}, quirks{atLogin: claim("at_hash", halfHash(algorithms["RS256"].hash, "another token"))}},
	{Module{"oidcc-client-test-missing-athash", []string{planFull}, AtLogin, Accept, "leaves at_hash out of the ID token, as the code flow may"}, quirks{atLogin: claim("at_hash", nil)}},
	{Module{"oidcc-client-test-nonce-unless-code-flow", []string{planFull}, AtLogin, Accept, "takes requests with a nonce and without"}, quirks{}},
	{Module{"oidcc-client-test-aggregated-claims", []string{planFull}, AtLogin, Accept, "has claims of another issuer in what it says of a user"}, quirks{userInfo: aggregated}},
	{Module{"oidcc-client-test-distributed-claims", []string{planFull}, AtLogin, Accept, "says of a user where other claims are to be had; nobody has to fetch them"}, quirks{userInfo: distributed}},
	{Module{"oidcc-client-test-userinfo-signed", []string{planFull}, AtLogin, Accept, "signs what it says of a user"}, quirks{userInfoAlg: "RS256"}},
}

// claim sets a claim of an ID token, or with nil removes it.
func claim(name string, value any) func(*draft) {
	return func(d *draft) { replace(d.Claims, map[string]any{name: value}) }
}

func signedWith(alg string, badly bool) func(*draft) {
	return func(d *draft) { d.Alg, d.badSignature = alg, badly }
}

const anotherKey = "another"

// keepOneKey leaves only the first RSA key in the key set.
func keepOneKey(p *Provider) {
	p.RetireKey("ec-1")
	p.RetireKey("ed-1")
}

func addAnotherKey(p *Provider) { p.AddKey("RS256", anotherKey) }

// withoutKeyID signs with a key without saying with which.
func withoutKeyID(kid string) func(*draft) {
	return func(d *draft) { d.KeyID, d.Header["kid"] = kid, nil }
}

func another(name string) func(*Provider, string, map[string]any) {
	return func(_ *Provider, _ string, claims map[string]any) { claims[name] = "another-" + name }
}

// aggregated has another's claims inside (OpenID Connect Core 1.0, section 5.6.2.1).
func aggregated(p *Provider, _ string, claims map[string]any) {
	claims["_claim_names"] = map[string]any{"credit_score": "src1"}
	claims["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": string(p.claimsSourceAnswer(nil).body)}}
}

// distributed says where another's claims are (section 5.6.2.2).
func distributed(_ *Provider, base string, claims map[string]any) {
	claims["_claim_names"] = map[string]any{"credit_score": "src1"}
	claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": base + "/claims", "access_token": "for-the-source"}}
}

package oidc

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/audit"
)

// Encrypted tokens (RFC 7516): a signed JWT, encrypted to a key of ours (RFC 7519,
// 5.2). Encryption says nothing of who made a token, as anybody may have our public
// key; what is inside goes through all the checks, like any other token.
//
// go-jose decrypts. What it is given was judged here before: an algorithm of the
// lists below, never one that runs as long as the token says (PBES2), that trusts a
// shared secret (dir, A128KW) or whose errors tell about the plaintext (RSA1_5); no
// compression, so nothing grows; and each part of exactly the length it has to be.

// keyEncryption are the values of alg that are decrypted (RFC 7518, 4.1).
var keyEncryption = []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW}

// contentEncryption are the values of enc that are decrypted (RFC 7518, 5.1), with
// the lengths of initialization vector and tag, in bytes.
var contentEncryption = map[jose.ContentEncryption]struct{ iv, tag int }{
	jose.A128GCM: {12, 16}, jose.A256GCM: {12, 16}, jose.A128CBC_HS256: {16, 16}, jose.A256CBC_HS512: {16, 32},
}

// maxDecryptions is how many keys one token may be tried with: the one in use, and
// the one before it.
const maxDecryptions = 2

// jwe is an encrypted token that was decrypted.
type jwe struct {
	header        Claims
	alg, enc, kid string
	key           *DecryptionKey // that it was decrypted with
	signed        RawToken       // what was inside
}

// isJWE says whether the token has the form of an encrypted JWT.
func (t RawToken) isJWE() bool {
	return strings.HasPrefix(string(t), "ey") && strings.Count(string(t), ".") == 4
}

// parse takes the token apart, and decrypts it before where that is needed and there
// are keys for it.
func (t *verification) parse(keys []*DecryptionKey) (refusal *audit.Refusal) {
	t.jws, refusal = ParseJWS(t.raw)
	if refusal != nil && refusal.Reason == audit.TokenEncrypted && len(keys) > 0 {
		return t.decrypt(keys)
	}
	return refusal
}

// signed is the token as it was signed: what was encrypted, or the token itself.
func (t *verification) signed() RawToken {
	if t.jwe != nil {
		return t.jwe.signed
	}
	return t.raw
}

// decrypt puts the signed token in place of the encrypted one, whose characters and
// segments are known to be right.
func (t *verification) decrypt(keys []*DecryptionKey) *audit.Refusal {
	e, refusal := parseJWE(string(t.raw))
	if refusal != nil {
		return refusal
	}
	if e.signed, refusal = e.decrypt(string(t.raw), keys); refusal != nil {
		return refusal
	}
	t.jwe = e
	if t.jws, refusal = ParseJWS(e.signed); refusal != nil {
		switch refusal.Reason {
		case audit.TokenMalformed, audit.TokenOpaque, audit.TokenEncrypted:
			return refuse(audit.TokenMalformed, "what is encrypted isn't a signed JWT")
		}
	}
	return refusal
}

// parseJWE judges all that can be judged without a key.
func parseJWE(token string) (*jwe, *audit.Refusal) {
	var segments [5][]byte
	for i := range segments {
		var text string
		text, token, _ = strings.Cut(token, ".")
		var err error
		if segments[i], err = base64url.DecodeString(text); err != nil {
			return nil, refuse(audit.TokenMalformed, "a segment isn't base64url")
		}
	}
	header, err := parseObject(segments[0])
	if err != nil {
		return nil, &audit.Refusal{Reason: audit.TokenHeaderInvalid, Err: err}
	}
	e := &jwe{header: header}
	for _, name := range [...]string{"crit", "b64"} {
		if header.Lookup(name).Exists() {
			return nil, refuse(audit.CriticalHeader, "the header has "+name)
		}
	}
	if header.Lookup("zip").Exists() {
		return nil, refuse(audit.TokenEncrypted, "it is compressed (zip), which isn't undone here")
	}
	var cty string
	for _, m := range [...]struct {
		name string
		into *string
	}{{"alg", &e.alg}, {"enc", &e.enc}, {"cty", &cty}, {"kid", &e.kid}} {
		if *m.into, err = textMember(header, m.name); err != nil {
			return nil, &audit.Refusal{Reason: audit.TokenHeaderInvalid, Err: err}
		}
	}
	if !slices.Contains(keyEncryption, jose.KeyAlgorithm(e.alg)) {
		return nil, refuse(audit.AlgorithmNotAllowed, "tokens encrypted by alg "+quote(e.alg)+" aren't decrypted")
	}
	lengths, known := contentEncryption[jose.ContentEncryption(e.enc)]
	if !known {
		return nil, refuse(audit.AlgorithmNotAllowed, "tokens encrypted by enc "+quote(e.enc)+" aren't decrypted")
	}
	if typ := mediaType(cty); typ != "application/jwt" && typ != "application/at+jwt" {
		return nil, refuse(audit.TokenTypeNotAllowed, "cty "+quote(cty)+": only signed JWTs are decrypted")
	}
	// Where the key is agreed on there is none to encrypt (RFC 7516, 5.2, 10).
	if direct := e.alg == string(jose.ECDH_ES); direct != (len(segments[1]) == 0) || len(segments[2]) != lengths.iv || len(segments[4]) != lengths.tag {
		return nil, refuse(audit.TokenMalformed, "a part of the encryption hasn't the length that alg and enc give it")
	}
	return e, nil
}

// decrypt tries the keys that the token may be encrypted to. Whatever goes wrong
// then is one and the same refusal.
func (e *jwe) decrypt(token string, keys []*DecryptionKey) (RawToken, *audit.Refusal) {
	var candidates []*DecryptionKey
	for _, key := range keys {
		if key.fits(e.alg) && (e.kid == key.id || e.kid == "" || key.id == "") {
			candidates = append(candidates, key)
		}
	}
	switch {
	case len(candidates) == 0:
		return "", refuse(audit.TokenEncrypted, "no key to decrypt "+quote(e.alg)+" with kid "+quote(e.kid))
	case len(candidates) > maxDecryptions:
		return "", refuse(audit.KeyAmbiguous, "kid "+quote(e.kid)+", and more than two keys to decrypt "+quote(e.alg))
	}
	object, err := jose.ParseEncryptedCompact(token, keyEncryption, []jose.ContentEncryption{jose.ContentEncryption(e.enc)})
	if err != nil {
		return "", refuse(audit.TokenHeaderInvalid, "the header of the encryption")
	}
	for _, key := range candidates {
		if key.agrees(e) {
			if plain, err := object.Decrypt(key.private); err == nil {
				e.key = key
				return RawToken(plain), nil
			}
		}
	}
	return "", refuse(audit.TokenEncrypted, "it can't be decrypted: it was altered, or encrypted to another key")
}

// agrees says whether the sender's ephemeral key, where alg has one, is a sound one
// on the curve of ours (RFC 7518, 4.6.1.1): points of another curve would tell the
// sender about our key.
func (k *DecryptionKey) agrees(e *jwe) bool {
	private, ok := k.private.(*ecdsa.PrivateKey)
	if !ok {
		return true
	}
	epk, err := parsePublic(Claims{e.header.Lookup("epk")})
	return err == nil && onCurve(epk, private.Curve)
}

// fits says whether the key is one to decrypt alg with.
func (k *DecryptionKey) fits(alg string) bool {
	if k.algorithm != "" && k.algorithm != alg {
		return false
	}
	_, isRSA := k.private.(*rsa.PrivateKey)
	return isRSA == (alg == string(jose.RSA_OAEP_256))
}

// encryptedFor refuses a token that was encrypted to a key of other providers: each
// has its own.
func (t *verification) encryptedFor(p *Provider) *audit.Refusal {
	if t.jwe == nil || slices.ContainsFunc(p.options.DecryptionKeys, t.jwe.key.opens) {
		return nil
	}
	return refuse(audit.TokenEncrypted, "it is encrypted to a key that isn't for provider "+p.Name())
}

// replicated refuses an encrypted token whose header says otherwise than the claims
// inside, of those that the header may repeat (RFC 7519, 5.3).
func (t *verification) replicated() *audit.Refusal {
	if t.jwe == nil {
		return nil
	}
	for _, name := range [...]string{"iss", "sub", "aud"} {
		if said := t.jwe.header.Lookup(name); said.Exists() && said != t.Claims.Lookup(name) {
			return refuse(audit.TokenHeaderInvalid, name+" of the encryption isn't that of the token inside")
		}
	}
	return nil
}

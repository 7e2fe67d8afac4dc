package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// maxProof is the longest proof that is looked at, in bytes. One with an RSA key of
// 4096 bits has some 2 KiB.
const maxProof = 8 << 10

// parseProof takes a proof apart and verifies its signature by the key that it
// brings along (RFC 9449, 4.3, 2 to 7). That key has to be the one that the token is
// bound to, which is judged first: so it is one that the provider has seen, and not
// one that was made to be slow.
func (d *DPoP) parseProof(proof string, bound [sha256.Size]byte) (*JWS, *audit.Refusal) {
	if len(proof) > maxProof {
		return nil, badProof("the proof has " + strconv.Itoa(len(proof)) + " bytes, at most " + strconv.Itoa(maxProof))
	}
	j, refusal := ParseJWS(RawToken(proof))
	switch {
	case refusal != nil:
		return nil, badProof("the proof is no JWT: " + refusal.Error())
	case mediaType(j.Type) != "application/dpop+jwt":
		return nil, badProof("typ is " + quote(j.Type) + ", not dpop+jwt")
	case !slices.Contains(d.options.Algorithms, j.Algorithm):
		return nil, badProof("alg " + quote(j.Algorithm) + " isn't among " + strings.Join(d.options.Algorithms, ", "))
	}
	key, err := proofKey(j)
	if err != nil {
		return nil, badProof("jwk: " + err.Error())
	}
	thumbprint := keyThumbprint(key.Public)
	switch {
	case subtle.ConstantTimeCompare(thumbprint[:], bound[:]) != 1:
		return nil, badProof("the proof's key isn't the one that the token is bound to")
	case !key.Fits(j.Algorithm):
		return nil, badProof("alg " + quote(j.Algorithm) + " doesn't fit the proof's key")
	case !verifySignature(key, j.Algorithm, j.SigningInput, j.Signature):
		return nil, badProof("the signature is wrong")
	}
	return j, nil
}

// proofKey is the public key in a proof's header. It is the one place where a key is
// taken from what it has signed: the token's binding vouches for it.
func proofKey(j *JWS) (*Key, error) {
	jwk := Claims{j.Header.Lookup("jwk")}
	if err := checkPurpose(jwk); err != nil { // also refuses a private key
		return nil, err
	}
	alg, err := textMember(jwk, "alg")
	if err != nil {
		return nil, err
	}
	public, err := parsePublic(jwk)
	if err != nil {
		return nil, err
	}
	return &Key{Algorithm: alg, Public: public}, nil
}

// judge says whether a proof, whose signature is good, is for this request, this
// token and this moment (RFC 9449, 4.3, 8 to 12), and was never used. The last is
// judged last: what isn't good otherwise isn't remembered.
func (d *DPoP) judge(j *JWS, p *Presentation, key [sha256.Size]byte, now int64) *audit.Refusal {
	claims, err := parseObject(j.Payload)
	if err != nil {
		return &audit.Refusal{Reason: audit.DPoPProofInvalid, Detail: "the proof's claims", Err: err}
	}
	if htm, _ := claims.Lookup("htm").Text(); htm == "" || htm != p.Method {
		return badProof("htm is " + quote(htm) + ", the request's method " + quote(p.Method))
	}
	if refusal := d.judgeAddress(claims, p); refusal != nil {
		return refusal
	}
	if refusal := d.judgeDates(claims, now); refusal != nil {
		return refusal
	}
	sum := sha256.Sum256([]byte(p.Token))
	var ath [sha256.Size]byte
	if text, _ := claims.Lookup("ath").Text(); !decodeThumbprint(&ath, text) || ath != sum {
		return badProof("ath isn't the SHA-256 of the token")
	}
	jti, _ := claims.Lookup("jti").Text()
	if jti == "" {
		return badProof("jti is missing")
	}
	if len(d.nonces.keys) > 0 {
		if nonce, _ := claims.Lookup("nonce").Text(); !d.nonces.verify(nonce, time.UnixMilli(now)) {
			return refuse(audit.DPoPNonceRequired, "the proof's nonce isn't one of ours, or too old")
		}
	}
	return d.used.add(key, jti, time.UnixMilli(now))
}

// judgeAddress compares htu with the address that the client used: a configured
// origin of the request's host, and the request's path. Query and fragment, which
// htu shouldn't have, are ignored as RFC 9449, 4.3, 9 says. They aren't shown
// either: they may be secrets.
func (d *DPoP) judgeAddress(claims Claims, p *Presentation) *audit.Refusal {
	htu, _ := claims.Lookup("htu").Text()
	htu, _, _ = strings.Cut(htu, "#")
	htu, _, _ = strings.Cut(htu, "?")
	u, err := url.Parse(htu)
	if err != nil || u.Host == "" || u.User != nil {
		return badProof("htu isn't an absolute URL")
	}
	origins := d.origins[p.Host]
	if len(origins) == 0 {
		return badProof("host " + quote(p.Host) + " is none of the configured origins")
	}
	if got := origin(u); !slices.Contains(origins, got) {
		return badProof("htu is at " + quote(got) + ", the request at " + strings.Join(origins, " or "))
	}
	target, _, _ := strings.Cut(p.Target, "?")
	_, address, _ := strings.Cut(htu, "://")
	host, _, _ := strings.Cut(address, "/")
	if got, want := normalPath(address[len(host):]), normalPath(target); got != want {
		return badProof("htu's path is " + quote(got) + ", the request's " + quote(want))
	}
	return nil
}

// normalPath is a path in the one spelling that RFC 3986, 6.2.2.1, 6.2.2.2 and 6.2.3
// give it: escapes in capitals, none of characters that need none, and a slash in
// place of nothing. Paths with dot segments are ambiguous, and stay as they are; and so
// do those with broken escapes, of which another reader would make whole ones.
func normalPath(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "%") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		octet, ok := escaped(path[i:])
		switch {
		case !ok && path[i] == '%':
			return path
		case !ok:
			b = append(b, path[i])
			continue
		case isUnreserved(octet):
			b = append(b, octet)
		default:
			b = append(b, strings.ToUpper(path[i:i+3])...)
		}
		i += 2
	}
	return string(b)
}

// escaped is the octet whose escape s begins with.
func escaped(s string) (octet byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	u, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(u), err == nil
}

// isUnreserved says whether a character never needs an escape (RFC 3986, 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// judgeDates wants a proof that was made just now. exp and nbf aren't asked of a
// proof, but hold where they are.
func (d *DPoP) judgeDates(claims Claims, now int64) *audit.Refusal {
	skew := d.options.ClockSkew.Milliseconds()
	iat, ok := claims.Lookup("iat").date()
	switch {
	case !ok:
		return badProof("iat is missing or isn't a date")
	case iat > now+skew, iat < now-skew-d.options.MaxAge.Milliseconds():
		return badProof("iat " + distance(iat, now))
	}
	for _, name := range [...]string{"exp", "nbf"} {
		v := claims.Lookup(name)
		if !v.Exists() {
			continue
		}
		date, ok := v.date()
		if !ok || name == "exp" && now >= date+skew || name == "nbf" && now < date-skew {
			return badProof(name + " isn't a date that lets the proof be used now")
		}
	}
	return nil
}

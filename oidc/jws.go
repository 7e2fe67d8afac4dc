package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256, for crypto.SHA256.New
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// JWS is a signed object in compact serialisation (RFC 7515, 7.1), taken apart
// but not verified: nothing in it may be believed before [verifySignature].
type JWS struct {
	// Header is the whole JOSE header. Only the members below are ever used: jwk,
	// jku, x5u and x5c are data of whoever made the token (RFC 8725, 3.10).
	Header Claims

	Algorithm string // alg, never empty
	KeyID     string // kid, or empty
	Type      string // typ, or empty

	// SigningInput is the header and payload segments as they came.
	SigningInput string
	Payload      []byte
	Signature    []byte
}

// base64url without padding whose unused bits are zero (RFC 7515, 2): each
// token has one spelling only. It still skips line breaks, so callers check the
// characters first.
var base64url = base64.RawURLEncoding.Strict()

// ParseJWS takes a compact serialisation apart. It refuses anything that isn't
// exactly one: other characters, JSON serialisation, JWE, and headers with crit
// or b64, none of whose extensions are understood here. The caller has bounded
// the length.
func ParseJWS(raw RawToken) (*JWS, *audit.Refusal) {
	s := string(raw)
	if refusal := checkCompact(s); refusal != nil {
		return nil, refusal
	}
	first, last := strings.IndexByte(s, '.'), strings.LastIndexByte(s, '.')
	head, err := base64url.DecodeString(s[:first])
	if err != nil {
		return nil, refuse(audit.TokenMalformed, "the header segment isn't base64url")
	}
	j := &JWS{SigningInput: s[:last]}
	if j.Payload, err = base64url.DecodeString(s[first+1 : last]); err != nil {
		return nil, refuse(audit.TokenMalformed, "the payload segment isn't base64url")
	}
	if j.Signature, err = base64url.DecodeString(s[last+1:]); err != nil {
		return nil, refuse(audit.TokenMalformed, "the signature segment isn't base64url")
	}
	if j.Header, err = parseObject(head); err != nil {
		return nil, &audit.Refusal{Reason: audit.TokenHeaderInvalid, Err: err}
	}
	return j, j.readHeader()
}

// checkCompact judges the form of a token before anything is decoded, in one
// pass that allocates nothing (RFC 8725bis, 3.14).
func checkCompact(s string) *audit.Refusal {
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return refuse(audit.TokenMalformed, "byte "+strconv.Itoa(i)+" isn't a character of a JWT")
		}
	}
	switch dots {
	case 2:
		return nil
	case 0:
		return refuse(audit.TokenOpaque, "")
	case 4:
		return refuse(audit.TokenEncrypted, "")
	default:
		return refuse(audit.TokenMalformed, strconv.Itoa(dots+1)+" segments instead of 3")
	}
}

func (j *JWS) readHeader() *audit.Refusal {
	// A recipient has to refuse what it doesn't understand, and an empty or
	// misshapen crit as well (RFC 7515, 4.1.11); b64 is only ever valid beside a
	// crit that names it (RFC 7797, 6).
	for _, name := range [...]string{"crit", "b64"} {
		if j.Header.Lookup(name).Exists() {
			return refuse(audit.CriticalHeader, "the header has "+name)
		}
	}
	for _, m := range [...]struct {
		name string
		into *string
	}{{"alg", &j.Algorithm}, {"kid", &j.KeyID}, {"typ", &j.Type}} {
		v := j.Header.Lookup(m.name)
		text, ok := v.Text()
		if v.Exists() && !ok {
			return refuse(audit.TokenHeaderInvalid, m.name+" isn't a string")
		}
		*m.into = text
	}
	if j.Algorithm == "" {
		return refuse(audit.TokenHeaderInvalid, "alg is missing")
	}
	return nil
}

// signatureAlgorithms are the names of RFC 7518, 3.1, RFC 8037 and RFC 9864 that
// can be verified here, with their hash. Neither none nor HS* is among them, so
// no configuration can allow those.
var signatureAlgorithms = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"EdDSA": 0, "Ed25519": 0, // they hash by themselves
}

// verifySignature says whether sig is key's signature of the input under alg. It
// is false for any pair of key and algorithm that don't belong together, also
// where the caller should have looked first (RFC 8725, 3.1).
func verifySignature(key *Key, alg, input string, sig []byte) bool {
	hash, known := signatureAlgorithms[alg]
	if !known || !key.Fits(alg) {
		return false
	}
	if public, ok := key.Public.(ed25519.PublicKey); ok {
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(public, []byte(input), sig)
	}
	h := hash.New()
	h.Write([]byte(input))
	digest := h.Sum(make([]byte, 0, 64))
	switch public := key.Public.(type) {
	case *rsa.PublicKey:
		// Both want the signature to be as long as the modulus (RFC 8017, 8.1.2).
		if alg[0] == 'P' {
			// The salt is as long as the hash (RFC 7518, 3.5).
			return rsa.VerifyPSS(public, hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		// R and S, each as long as the order of the curve (RFC 7518, 3.4).
		size := (public.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		return ecdsa.Verify(public, digest, r, s)
	}
	return false
}

func refuse(reason audit.Reason, detail string) *audit.Refusal {
	return &audit.Refusal{Reason: reason, Detail: detail}
}

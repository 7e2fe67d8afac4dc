package oidc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

// Bounds on a JSON Web Key Set. Real ones have a handful of keys and a few KiB.
const (
	maxKeysDocument = 1 << 20 // bytes
	maxKeys         = 100     // keys looked at; those behind them are skipped
	maxKeyID        = 256     // bytes of a kid
	minRSABits      = 2048
	maxRSABits      = 8192 // larger ones cost CPU at each verification (CVE-2023-29409)
)

// Key is a public key that a provider signs with.
type Key struct {
	ID        string           // kid; empty if the JWK has none
	Algorithm string           // the JWK's alg; empty if it has none
	Public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey

	// Fingerprint is a truncated SHA-256 over kid, alg and the key itself: equal
	// only for the same key published in the same way.
	Fingerprint [16]byte
}

// Fits says whether a signature under the JWS algorithm alg may be verified with
// this key: alg belongs to the key's type and curve, and to the key's own alg if
// it has one (RFC 8725, 3.1). EdDSA and Ed25519 are two names of one algorithm
// (RFC 9864, 2.2), so a key published under one fits the other.
func (k *Key) Fits(alg string) bool {
	if !fitsType(k.Public, alg) {
		return false
	}
	if _, ok := k.Public.(ed25519.PublicKey); ok {
		return k.Algorithm == "" || fitsType(k.Public, k.Algorithm)
	}
	return k.Algorithm == "" || k.Algorithm == alg
}

func fitsType(public crypto.PublicKey, alg string) bool {
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		_, ok := public.(*rsa.PublicKey)
		return ok
	case "ES256":
		return onCurve(public, elliptic.P256())
	case "ES384":
		return onCurve(public, elliptic.P384())
	case "ES512":
		return onCurve(public, elliptic.P521())
	case "EdDSA", "Ed25519":
		_, ok := public.(ed25519.PublicKey)
		return ok
	}
	return false
}

func onCurve(public crypto.PublicKey, curve elliptic.Curve) bool {
	k, ok := public.(*ecdsa.PublicKey)
	return ok && k.Curve == curve
}

// ParseKeys reads a JSON Web Key Set (RFC 7517, 5). A key that can't be used to
// verify signatures is skipped, and why stands in Skipped; the others work: one
// bad key must not be an outage. It is an error if data isn't a key set at all, if
// it says "keys" twice, or if no usable key remains.
//
// Skipped are keys that say they are for something else (use, key_ops, alg),
// symmetric and private ones, types and curves that aren't known, RSA outside
// 2048 to 8192 bits, points that aren't on their curve, and whatever isn't one
// strict JSON object.
func ParseKeys(data []byte) (*Keys, error) {
	if len(data) > maxKeysDocument {
		return nil, fmt.Errorf("the key set is over %d bytes", maxKeysDocument)
	}
	// An array, not a slice: what is behind maxKeys is read over without being kept.
	var set struct {
		Keys *[maxKeys + 1]json.RawMessage `json:"keys"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return nil, errors.New("not a key set but HTML or XML: is the URL that of the JWKS?")
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a key set: %s", excerpt(err.Error()))
	}
	if set.Keys == nil {
		return nil, errors.New(`not a key set: it has no array "keys"`)
	}
	k := &Keys{byID: map[string][]*Key{}, fingerprints: map[[16]byte]struct{}{}}
	for i, raw := range set.Keys {
		switch {
		case raw == nil: // the set was shorter
		case i == maxKeys:
			k.skip("", fmt.Errorf("more than %d keys: the rest wasn't looked at", maxKeys))
		default:
			key, id, err := parseKey(raw)
			if err != nil {
				k.skip(id, fmt.Errorf("key %d, kid %s: %w", i, quote(id), err))
			} else if err := k.add(key); err != nil {
				k.skip(id, fmt.Errorf("key %d, kid %s: %w", i, quote(id), err))
			}
		}
	}
	if len(k.all)+len(k.Skipped) == 0 {
		return nil, errors.New("the key set is empty")
	}
	if len(k.all) == 0 {
		return nil, fmt.Errorf("no usable key among %d: %w", len(k.Skipped), errors.Join(k.Skipped[:min(3, len(k.Skipped))]...))
	}
	k.seal()
	return k, nil
}

// parseKey reads one JWK (RFC 7517, 4). Where the key can't be used, id is still
// its kid if that much could be read. Errors never show key material.
func parseKey(raw []byte) (key *Key, id string, err error) {
	jwk, err := parseObject(raw)
	if err != nil {
		return nil, "", err
	}
	id, err = textMember(jwk, "kid")
	if err == nil && len(id) > maxKeyID {
		err = fmt.Errorf("kid has over %d bytes", maxKeyID)
	}
	if err != nil {
		return nil, "", err
	}
	if err := checkPurpose(jwk); err != nil {
		return nil, id, err
	}
	public, err := parsePublic(jwk)
	if err != nil {
		return nil, id, err
	}
	alg, err := textMember(jwk, "alg")
	if err != nil {
		return nil, id, err
	}
	if jwk.Lookup("alg").Exists() && !fitsType(public, alg) {
		return nil, id, fmt.Errorf("alg %s isn't a signature algorithm for such a key", quote(alg))
	}
	key = &Key{ID: id, Algorithm: alg, Public: public}
	return key, id, key.fingerprint()
}

// errForEncryption is why a key is skipped that was never meant to sign tokens. Many
// providers publish such a key beside the others, so it is no fault of the set.
var errForEncryption = errors.New(`use is "enc", not sig`)

// checkPurpose refuses keys that are meant for something else, and keys that are
// no secret any more: a provider that shows its private key has lost it.
func checkPurpose(jwk Claims) error {
	use, err := textMember(jwk, "use")
	if err != nil {
		return err
	}
	if use == "enc" {
		return errForEncryption
	}
	if jwk.Lookup("use").Exists() && use != "sig" {
		return fmt.Errorf("use is %s, not sig", quote(use))
	}
	if ops := jwk.Lookup("key_ops"); ops.Exists() && (ops.Kind() != KindArray || !ops.Has("verify")) {
		return errors.New("key_ops doesn't list verify")
	}
	for _, name := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if jwk.Lookup(name).Exists() {
			return fmt.Errorf("it is published with its secret part (member %s): the provider has to replace it", name)
		}
	}
	return nil
}

func parsePublic(jwk Claims) (crypto.PublicKey, error) {
	kty, err := textMember(jwk, "kty")
	if err != nil {
		return nil, err
	}
	crv, err := textMember(jwk, "crv")
	if err != nil {
		return nil, err
	}
	switch {
	case kty == "RSA":
		return parseRSA(jwk)
	case kty == "EC" && crv == "P-256":
		return parseEC(jwk, elliptic.P256())
	case kty == "EC" && crv == "P-384":
		return parseEC(jwk, elliptic.P384())
	case kty == "EC" && crv == "P-521":
		return parseEC(jwk, elliptic.P521())
	case kty == "OKP" && crv == "Ed25519":
		x, err := octets(jwk, "x", ed25519.PublicKeySize)
		if err == nil && len(x) != ed25519.PublicKeySize {
			err = fmt.Errorf("x has %d bytes instead of %d", len(x), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(x), err
	}
	return nil, fmt.Errorf("kty %s with crv %s isn't supported", quote(kty), quote(crv))
}

// parseRSA reads n and e (RFC 7518, 6.3.1). Both should be written without
// leading zero octets; some libraries put one before n, and e as four octets is
// seen too. That changes nothing about the key, so it is let pass.
func parseRSA(jwk Claims) (crypto.PublicKey, error) {
	nn, err := octets(jwk, "n", maxRSABits/8+8)
	if err != nil {
		return nil, err
	}
	ee, err := octets(jwk, "e", 8)
	if err != nil {
		return nil, err
	}
	n, e := new(big.Int).SetBytes(nn), new(big.Int).SetBytes(ee)
	switch bits := n.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return nil, fmt.Errorf("RSA with %d bits isn't between %d and %d", bits, minRSABits, maxRSABits)
	case n.Bit(0) == 0:
		return nil, errors.New("the RSA modulus is even")
	case e.Bit(0) == 0 || e.BitLen() > 31 || e.Int64() <= 1:
		return nil, errors.New("the RSA exponent isn't odd and between 3 and 2^31-1")
	case weakROCA(n):
		return nil, errors.New("the RSA key comes from a flawed generator (ROCA, CVE-2017-15361): the provider has to replace it")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// parseEC reads x and y, each exactly as long as the curve's field (RFC 7518,
// 6.2.1.2), and checks that they are a point of the curve.
func parseEC(jwk Claims, curve elliptic.Curve) (crypto.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed (SEC 1, 2.3.3)
	for _, name := range [...]string{"x", "y"} {
		c, err := octets(jwk, name, size)
		if err != nil {
			return nil, err
		}
		if len(c) != size {
			return nil, fmt.Errorf("%s has %d bytes instead of %d", name, len(c), size)
		}
		point = append(point, c...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("x and y aren't a point of %s", curve.Params().Name)
	}
	return public, nil
}

// octets reads a member that is canonical base64url without padding, of at most
// so many bytes.
func octets(jwk Claims, name string, most int) ([]byte, error) {
	text, err := textMember(jwk, name)
	if err != nil {
		return nil, err
	}
	if base64url.DecodedLen(len(text)) > most {
		return nil, fmt.Errorf("%s has over %d bytes", name, most)
	}
	b, err := base64url.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%s isn't base64url without padding", name)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is missing", name)
	}
	return b, nil
}

// textMember reads a member that is a string where it is present. Null isn't.
func textMember(o Claims, name string) (string, error) {
	v := o.Lookup(name)
	text, ok := v.Text()
	if v.Exists() && !ok {
		return "", fmt.Errorf("%s isn't a string", name)
	}
	return text, nil
}

func (k *Key) fingerprint() error {
	der, err := x509.MarshalPKIXPublicKey(k.Public) // names type and curve too
	if err != nil {
		return err
	}
	var b []byte
	for _, part := range [...]string{k.ID, k.Algorithm, string(der)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	copy(k.Fingerprint[:], sum[:])
	return nil
}

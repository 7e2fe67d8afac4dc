package oidc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// DecryptionKey is a private key of ours that a provider encrypts tokens to. It
// never prints.
type DecryptionKey struct {
	id          string            // kid; empty fits any
	algorithm   string            // the JWK's alg; empty if it has none
	private     crypto.PrivateKey // *rsa.PrivateKey or *ecdsa.PrivateKey
	thumbprint  [sha256.Size]byte // of the public key
	fingerprint [sha256.Size]byte // of all that
}

const maxDecryptionKeys = 64 << 10 // bytes of a file of keys

// ParseDecryptionKeys reads private keys: in PEM (PKCS #8, SEC 1 or PKCS #1), one
// after the other, or as a JWK or JWK set (RFC 7517). A key in PEM has no kid and may
// be meant by any token, so of such keys there may be two of a kind, the new one and
// the old one, over all providers; JWKs tell them apart. RSA has 2048 to 4096 bits;
// other keys are on P-256, P-384 or P-521. Unlike with a provider's keys, one that
// can't be used is an error, which never shows the key.
func ParseDecryptionKeys(data []byte) ([]*DecryptionKey, error) {
	data = bytes.TrimSpace(data)
	var keys []*DecryptionKey
	var err error
	switch {
	case len(data) > maxDecryptionKeys:
		return nil, fmt.Errorf("over %d bytes", maxDecryptionKeys)
	case bytes.HasPrefix(data, []byte("{")):
		keys, err = parsePrivateJWKs(data)
	default:
		keys, err = parsePrivatePEM(data)
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("no private key")
	}
	if err != nil {
		return nil, fmt.Errorf("keys to decrypt tokens: %w", err)
	}
	return keys, nil
}

var errNoDecryptionKey = errors.New("not a PEM private key (PKCS #8, SEC 1 or PKCS #1, without a password), and not a JWK")

func parsePrivatePEM(data []byte) (keys []*DecryptionKey, err error) {
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errNoDecryptionKey
		}
		var private any
		switch block.Type {
		case "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			err = errNoDecryptionKey
		}
		if err != nil {
			return nil, errNoDecryptionKey
		}
		key, err := newDecryptionKey("", "", private)
		if err != nil {
			return nil, err
		}
		keys, data = append(keys, key), bytes.TrimSpace(rest)
	}
	return keys, nil
}

func parsePrivateJWKs(data []byte) (keys []*DecryptionKey, err error) {
	document, err := parseObject(data)
	if err != nil {
		return nil, errors.New("not a JWK") // an error of the reader may show a part of the text
	}
	all := []Claims{document}
	if set := document.Lookup("keys"); set.Exists() {
		all = nil
		for member := range set.Elements() {
			all = append(all, Claims{member})
		}
	}
	for i, jwk := range all {
		key, err := parsePrivateJWK(jwk)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parsePrivateJWK(jwk Claims) (*DecryptionKey, error) {
	var id, use, alg string
	for _, m := range [...]struct {
		name string
		into *string
	}{{"kid", &id}, {"use", &use}, {"alg", &alg}} {
		var err error
		if *m.into, err = textMember(jwk, m.name); err != nil {
			return nil, err
		}
	}
	if use != "" && use != "enc" {
		return nil, fmt.Errorf("use is %s, not enc", quote(use))
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(jwk.AppendJSON(nil)); err != nil {
		return nil, errors.New("not a private key")
	}
	return newDecryptionKey(id, alg, parsed.Key)
}

// maxDecryptionBits is the longest RSA key that decrypts. Anybody can have us do it, with
// a token made up of nothing: at 8192 bits that takes a processor a quarter of a second,
// at 4096 some milliseconds, at 2048 one, and on P-256 a tenth of that.
const maxDecryptionBits = 4096

func newDecryptionKey(id, alg string, private any) (*DecryptionKey, error) {
	k := &DecryptionKey{id: id, algorithm: alg}
	var public crypto.PublicKey
	switch private := private.(type) {
	case *rsa.PrivateKey:
		if bits := private.N.BitLen(); bits < minRSABits || bits > maxDecryptionBits {
			return nil, fmt.Errorf("RSA with %d bits isn't between %d and %d", bits, minRSABits, maxDecryptionBits)
		}
		if private.Validate() != nil {
			return nil, errors.New("the parts of the RSA key don't belong together")
		}
		k.private, public = private, private.Public()
	case *ecdsa.PrivateKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, private.Curve) {
			return nil, errors.New("the key is on none of P-256, P-384 and P-521")
		}
		whole, err := private.ECDH()
		if point, pointErr := private.PublicKey.ECDH(); err != nil || pointErr != nil || !whole.PublicKey().Equal(point) {
			return nil, errors.New("the parts of the key don't belong together")
		}
		k.private, public = private, private.Public()
	default:
		return nil, errors.New("not a private key of RSA or of an elliptic curve")
	}
	if alg != "" && (!slices.Contains(keyEncryption, jose.KeyAlgorithm(alg)) || !k.fits(alg)) {
		return nil, fmt.Errorf("alg %s isn't one that such a key decrypts here", quote(alg))
	}
	k.thumbprint = keyThumbprint(public)
	k.fingerprint = sha256.Sum256(fmt.Appendf(nil, "%q %q %x", id, alg, k.thumbprint))
	return k, nil
}

// CheckDecryption says what is wrong with the decryption keys of all providers taken
// together, or what is doubtful. A token names its key by kid, or not; where keys have
// no kid, as in PEM, it may be meant for any of them. It is tried with two at most.
func (v *Verifier) CheckDecryption() (doubt string, err error) {
	return checkDecryption(v.decryption)
}

func checkDecryption(keys []*DecryptionKey) (doubt string, err error) {
	for _, alg := range keyEncryption {
		unnamed, most := 0, 0 // keys without kid, and the most of one kid
		named := map[string]int{}
		for _, key := range keys {
			switch {
			case !key.fits(string(alg)):
			case key.id == "":
				unnamed++
			default:
				named[key.id]++
				most = max(most, named[key.id])
			}
		}
		switch most += unnamed; {
		case unnamed > 0 && most > maxDecryptions:
			return "", fmt.Errorf("a token encrypted by %s may be meant for %d keys, and is tried with %d at most: remove old ones, or write keys as JWKs, which have a kid", alg, most, maxDecryptions)
		case unnamed > 1:
			doubt = fmt.Sprintf("%d keys for %s have no kid, so each token is tried with both; a third would have all refused", unnamed, alg)
		}
	}
	return doubt, nil
}

// same says whether the other is the same key in all.
func (k *DecryptionKey) same(other *DecryptionKey) bool { return k.fingerprint == other.fingerprint }

// opens says whether the other key, perhaps of another kid, opens what this one does.
func (k *DecryptionKey) opens(other *DecryptionKey) bool { return k.thumbprint == other.thumbprint }

// Format hides the key from fmt, whatever the verb.
func (k *DecryptionKey) Format(s fmt.State, _ rune) { io.WriteString(s, "[decryption key]") }

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
)

// key is a signing key with the name it is published under.
type key struct {
	algorithm, id string
	private       crypto.Signer
}

// loadKeys loads a key for each algorithm from the folder. A key that isn't there
// is made and kept, so that frames made later fit the same jwks.json.
func loadKeys(folder string) ([]key, error) {
	keys := []key{{algorithm: "RS256", id: "rsa1"}, {algorithm: "ES256", id: "ec1"}, {algorithm: "EdDSA", id: "ed1"}}
	for i, name := range []string{"rsa.pem", "ec.pem", "ed.pem"} {
		file := filepath.Join(folder, name)
		private, err := loadKey(file)
		if errors.Is(err, fs.ErrNotExist) {
			private, err = makeKey(file, keys[i].algorithm)
		}
		if err != nil {
			return nil, err
		}
		keys[i].private = private
	}
	return keys, nil
}

// loadKey reads a PKCS #8 private key.
func loadKey(file string) (crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: not PEM; remove it to have a new key made", file)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return private.(crypto.Signer), nil // every private key of crypto/x509 is one
}

func makeKey(file, algorithm string) (private crypto.Signer, err error) {
	switch algorithm {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return private, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// jwks is the key set (RFC 7517) with the public half of each key.
func jwks(keys []key) ([]byte, error) {
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	for _, k := range keys {
		jwk := map[string]string{"kid": k.id, "use": "sig", "alg": k.algorithm}
		switch public := k.private.Public().(type) {
		case *rsa.PublicKey:
			jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
		case *ecdsa.PublicKey:
			point, err := public.Bytes() // 4, x, y
			if err != nil {
				return nil, err
			}
			jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		case ed25519.PublicKey:
			jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(public)
		}
		set.Keys = append(set.Keys, jwk)
	}
	return json.Marshal(set)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxCertificate is the longest client certificate that is looked at, in bytes of
// its URL-encoded PEM. Large ones have some 6 KiB.
const maxCertificate = 32 << 10

// certificateThumbprint is the SHA-256 of the DER of a certificate (RFC 8705, 3.1),
// which is given as Envoy gives it: PEM, of which line breaks, blanks and +/= are
// URL-encoded. There has to be exactly one certificate and nothing beside it. What
// is in the certificate isn't looked at.
func certificateThumbprint(urlEncodedPEM string) (thumbprint [sha256.Size]byte, err error) {
	if len(urlEncodedPEM) > maxCertificate {
		return thumbprint, fmt.Errorf("over %d bytes", maxCertificate)
	}
	text, err := url.PathUnescape(urlEncodedPEM) // leaves a plus sign as it is, unlike QueryUnescape
	if err != nil {
		return thumbprint, errors.New("not URL-encoded")
	}
	// pem.Decode would skip whatever stands before the first block that it can read,
	// the beginnings of others too.
	switch begin := "-----BEGIN CERTIFICATE-----"; {
	case !strings.HasPrefix(text, begin):
		return thumbprint, errors.New("not a PEM certificate")
	case strings.Contains(text[len(begin):], "-----BEGIN"):
		return thumbprint, errors.New("more than one PEM certificate")
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) == 0:
		return thumbprint, errors.New("not a PEM certificate")
	case len(block.Headers) > 0:
		return thumbprint, errors.New("a PEM certificate with headers")
	case len(bytes.TrimSpace(rest)) > 0:
		return thumbprint, errors.New("a PEM certificate with more behind it")
	}
	return sha256.Sum256(block.Bytes), nil
}

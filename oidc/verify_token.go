package oidc

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/credence-authz/credence/audit"
)

// The checks of a token itself, up to its signature.

func (t *verification) form(context.Context) *audit.Refusal {
	if len(t.raw) > t.verifier.maxBytes {
		return refuse(audit.TokenTooLarge, strconv.Itoa(len(t.raw))+" bytes, at most "+strconv.Itoa(t.verifier.maxBytes))
	}
	return t.parse(t.verifier.decryption)
}

func (t *verification) claims(context.Context) *audit.Refusal {
	claims, err := parseObject(t.jws.Payload)
	if err != nil {
		return &audit.Refusal{Reason: audit.TokenClaimsInvalid, Err: err}
	}
	t.Claims = claims
	return t.replicated()
}

func (t *verification) issuer(context.Context) *audit.Refusal {
	iss, ok := t.Claims.Lookup("iss").Text()
	if !ok {
		return refuse(audit.IssuerUnknown, "iss is missing or isn't a string")
	}
	if t.Provider = t.verifier.providers[Issuer(iss)]; t.Provider != nil {
		if t.Provider.options.IntrospectJWTs {
			t.checks = introspectionChecks[:]
		}
		t.andUserInfo()
		return t.encryptedFor(t.Provider)
	}
	hint := ""
	for known := range t.verifier.providers {
		if strings.TrimRight(iss, "/") == strings.TrimRight(string(known), "/") {
			hint = "; it differs from " + quote(string(known)) + " by a slash at the end"
			break
		}
	}
	return refuse(audit.IssuerUnknown, "iss "+quote(iss)+" is no provider's issuer"+hint)
}

// tokenType judges the header's typ (RFC 9068, 2.1; RFC 8725, 3.11).
func (t *verification) tokenType(context.Context) *audit.Refusal {
	typ := mediaType(t.jws.Type)
	absent := !t.jws.Header.Lookup("typ").Exists()
	switch {
	case typ == "application/at+jwt":
		return nil
	case t.Provider.options.StrictType:
		return refuse(audit.TokenTypeNotAllowed, "typ "+quote(t.jws.Type)+"; strict_type wants at+jwt")
	case absent || typ == "application/jwt":
		return nil
	}
	return refuse(audit.TokenTypeNotAllowed, "typ "+quote(t.jws.Type))
}

// mediaType spells a typ or cty in one way: they are media types, so without regard
// to case, application/ being implied (RFC 7515, 4.1.9 and 4.1.10).
func mediaType(typ string) string {
	typ = lower(typ)
	if !strings.Contains(typ, "/") {
		return "application/" + typ
	}
	return typ
}

// algorithm compares alg with the provider's list, exactly (RFC 8725, 3.1).
func (t *verification) algorithm(context.Context) *audit.Refusal {
	if slices.Contains(t.Provider.options.Algorithms, t.jws.Algorithm) {
		return nil
	}
	return refuse(audit.AlgorithmNotAllowed, "alg "+quote(t.jws.Algorithm)+" isn't among "+strings.Join(t.Provider.options.Algorithms, ", "))
}

// maxCandidates is how many keys one token may be tried with.
const maxCandidates = 4

// key finds what the signature may fit.
func (t *verification) key(ctx context.Context) *audit.Refusal {
	keys, found, refusal := t.Provider.options.Keys.candidates(ctx, t.jws)
	if keys != nil {
		t.KeysVersion = keys.Version()
	}
	t.keys = found
	return refusal
}

func (t *verification) signature(context.Context) *audit.Refusal {
	for _, key := range t.keys {
		if verifySignature(key, t.jws.Algorithm, t.jws.SigningInput, t.jws.Signature) {
			t.Key = key.Fingerprint
			return nil
		}
	}
	detail := "under key " + quote(t.jws.KeyID)
	if t.jws.KeyID == "" {
		detail = "no kid; under none of " + strconv.Itoa(len(t.keys)) + " keys"
	}
	return refuse(audit.SignatureInvalid, detail)
}

// quote shows foreign text: clipped, with everything that a terminal or a log
// could take amiss escaped.
func quote(s string) string {
	start, more := clip(s)
	return strconv.QuoteToASCII(start) + more
}

// lower folds ASCII only: strings.ToLower makes k of U+212A.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

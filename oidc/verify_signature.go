package oidc

import (
	"context"
	"strconv"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/credence-authz/credence/audit"
)

// KeySet is the key set of go-oidc's verifiers.
var _ gooidc.KeySet = (*KeySet)(nil)

// VerifySignature gives the payload of a JWS that one of the keys has signed, by
// the same rules as [Verifier.Verify]. The length of jwt, its issuer, the list of
// algorithms, the dates and the other claims are the caller's to judge.
func (s *KeySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	j, refusal := ParseJWS(RawToken(jwt))
	if refusal != nil {
		return nil, refusal
	}
	_, candidates, refusal := s.candidates(ctx, j)
	if refusal != nil {
		return nil, refusal
	}
	for _, key := range candidates {
		if verifySignature(key, j.Algorithm, j.SigningInput, j.Signature) {
			return j.Payload, nil
		}
	}
	return nil, refuse(audit.SignatureInvalid, "under key "+quote(j.KeyID))
}

// candidates gives the keys that the signature of j may fit, at least one, and the
// set they are of; the set also beside a refusal that depends on it. Only a kid
// that the set doesn't have asks for another set; a token without kid never does,
// nor does one whose signature is bad, so that tokens can't make us fetch at will.
func (s *KeySet) candidates(ctx context.Context, j *JWS) (*Keys, []*Key, *audit.Refusal) {
	keys, refusal := s.Current()
	if refusal == nil && j.KeyID != "" && !keys.Known(j.KeyID) {
		keys, refusal = s.Await(ctx, j.KeyID)
	}
	if refusal != nil {
		return nil, nil, refusal
	}
	found := keys.Find(j.KeyID, j.Algorithm)
	switch {
	case len(found) > maxCandidates:
		return keys, nil, refuse(audit.KeyAmbiguous, "no kid, and more than "+strconv.Itoa(maxCandidates)+" keys for "+quote(j.Algorithm))
	case len(found) > 0:
		return keys, found, nil
	case j.KeyID == "":
		return keys, nil, refuse(audit.KeyUnknown, "no kid, and no key for "+quote(j.Algorithm))
	case len(keys.byID[j.KeyID]) == 0:
		return keys, nil, refuse(audit.KeyUnknown, "key "+quote(j.KeyID)+" is published, but can't be used")
	}
	return keys, nil, refuse(audit.AlgorithmNotAllowed, "key "+quote(j.KeyID)+" isn't one for "+quote(j.Algorithm))
}

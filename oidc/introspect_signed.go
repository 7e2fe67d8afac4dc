package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/credence-authz/credence/audit"
)

// SignedAnswers say whose signature the answers of introspection have to bear (RFC
// 9701). It makes an answer evidence: that it came from the provider, was meant for
// us, and says what it says.
type SignedAnswers struct {
	Keys *KeySet // the provider's. Whoever made the set runs it

	// Algorithms accepted, by JWS name. Empty means RS256 and ES256.
	Algorithms []string

	// Audience is what the answer's aud has to name: us, as the provider calls us.
	// Empty means our client id.
	Audience string
}

// signedAnswer is the media type of a signed answer, and its typ.
const signedAnswer = "application/token-introspection+jwt"

// How far from now a signed answer may have been made. It is made while we wait, so
// this is for the distance of the clocks, and for what lies in between.
const signedAnswerAge = time.Minute

// complete checks the options and gives them with what may be left out.
func (s *SignedAnswers) complete(auth *ClientAuth) (*SignedAnswers, error) {
	if s.Keys == nil {
		return nil, errors.New("signed introspection needs the provider's keys")
	}
	full := *s
	if full.Audience = cmp.Or(s.Audience, auth.options.ID); len(s.Algorithms) == 0 {
		full.Algorithms = []string{"RS256", "ES256"}
	}
	for _, alg := range full.Algorithms {
		if _, known := signatureAlgorithms[alg]; !known {
			return nil, fmt.Errorf("algorithm %q can't be verified", alg)
		}
	}
	return &full, nil
}

// open verifies a signed answer and gives what it says of the token (RFC 9701, 5).
// Nothing of the answer is in a refusal, as it may hold the token.
func (s *SignedAnswers) open(ctx context.Context, issuer Issuer, h http.Header, document []byte, now int64) (Claims, *audit.Refusal) {
	if media, _, _ := mime.ParseMediaType(h.Get("Content-Type")); media != signedAnswer {
		return Claims{}, unanswered("the answer isn't signed: its media type isn't " + signedAnswer)
	}
	j, refusal := ParseJWS(RawToken(document))
	switch {
	case refusal != nil:
		return Claims{}, unanswered("the signed answer isn't a JWT")
	case mediaType(j.Type) != signedAnswer:
		return Claims{}, unanswered("the signed answer's typ isn't token-introspection+jwt")
	case !slices.Contains(s.Algorithms, j.Algorithm):
		return Claims{}, unanswered("the signed answer's algorithm isn't allowed")
	}
	payload, err := s.Keys.VerifySignature(ctx, string(document))
	if refusal, ok := errors.AsType[*audit.Refusal](err); ok {
		u := unanswered("the signed answer's signature: " + refusal.Reason.String())
		u.RetryAfter = cmp.Or(refusal.RetryAfter, u.RetryAfter)
		return Claims{}, u
	}
	claims, err := parseObject(payload)
	if err != nil {
		return Claims{}, unanswered("the signed answer's claims aren't a JSON object that reads only one way")
	}
	iss, _ := claims.Lookup("iss").Text()
	iat, dated := claims.Lookup("iat").date()
	answer := claims.Lookup("token_introspection")
	switch {
	case Issuer(iss) != issuer:
		return Claims{}, unanswered("the signed answer is of another issuer")
	case !claims.Lookup("aud").Has(s.Audience):
		return Claims{}, unanswered("the signed answer isn't for " + quote(s.Audience))
	case !dated || iat < now-signedAnswerAge.Milliseconds() || iat > now+signedAnswerAge.Milliseconds():
		return Claims{}, unanswered("the signed answer wasn't made just now: compare the clocks")
	case answer.Kind() != KindObject:
		return Claims{}, unanswered("the signed answer has no token_introspection")
	}
	return Claims{answer}, nil
}

package oidc

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// DPoPOptions say which DPoP proofs are believed (RFC 9449).
type DPoPOptions struct {
	// Origins under which clients reach the services, such as
	// https://api.example.com, with the port unless it is the scheme's own. There has
	// to be one: a proof is for an address, and the one that a proxy saw may not be
	// the one that the client used.
	Origins []string

	// Algorithms of proofs, by JWS name. Empty means ES256, PS256, RS256, EdDSA and
	// Ed25519.
	Algorithms []string

	// MaxAge is how long after its iat a proof may be used. Zero means a minute.
	MaxAge time.Duration

	// ClockSkew is the leeway for dates; under five minutes. Zero means none.
	ClockSkew time.Duration

	// MaxProofs is how many used proofs are remembered, each for MaxAge and twice the
	// ClockSkew, or up to twice that. While so many are remembered every other proof
	// is refused as DPoPBusy. Zero means 262144, which take 10 MB, or 35 MB if each has another key.
	MaxProofs int

	// NonceKeys make the nonces that proofs have to hold: the first makes them, any
	// is believed. Each is at least 32 secret random bytes, and replicas share them.
	// Without keys no nonce is asked for.
	NonceKeys [][]byte

	// NonceLife is how long a nonce is good for at least; at most it is twice that.
	// Zero means five minutes.
	NonceLife time.Duration
}

// DPoP checks that whoever presents a token holds the key that it is bound to. A
// nil DPoP refuses every token that is bound to one.
//
// A used proof is remembered by this process alone: another replica would take it
// once more while it is young. What bounds that is MaxAge, and a nonce's life.
type DPoP struct {
	options DPoPOptions         // defaults filled in
	origins map[string][]string // by host without port
	nonces  nonces
	used    *usedProofs
}

const (
	defaultProofAge  = time.Minute
	defaultMaxProofs = 1 << 18
	defaultNonceLife = 5 * time.Minute
)

// NewDPoP checks the options.
func NewDPoP(o DPoPOptions) (*DPoP, error) {
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256", "PS256", "RS256", "EdDSA", "Ed25519"}
	}
	o.MaxAge = cmp.Or(o.MaxAge, defaultProofAge)
	o.MaxProofs = cmp.Or(o.MaxProofs, defaultMaxProofs)
	o.NonceLife = cmp.Or(o.NonceLife, defaultNonceLife)
	switch {
	case len(o.Origins) == 0:
		return nil, errors.New("DPoP needs the origins under which clients reach the services")
	case o.MaxAge < time.Second || o.MaxAge > time.Hour:
		return nil, fmt.Errorf("a proof's age of %v isn't between a second and an hour", o.MaxAge)
	case o.ClockSkew < 0 || o.ClockSkew >= maxSkew:
		return nil, fmt.Errorf("clock skew %v isn't at least 0 and under %v", o.ClockSkew, maxSkew)
	case o.MaxProofs < 0:
		return nil, errors.New("the number of proofs to remember is negative")
	case o.NonceLife < time.Second || o.NonceLife > 24*time.Hour:
		return nil, fmt.Errorf("a nonce's life of %v isn't between a second and a day", o.NonceLife)
	}
	for _, alg := range o.Algorithms {
		if _, known := signatureAlgorithms[alg]; !known {
			return nil, fmt.Errorf("algorithm %q can't be verified", alg)
		}
	}
	for _, key := range o.NonceKeys {
		if len(key) < sha256.Size {
			return nil, fmt.Errorf("a nonce key has %d bytes; at least %d are needed", len(key), sha256.Size)
		}
	}
	d := &DPoP{
		options: o, origins: map[string][]string{}, nonces: nonces{o.NonceKeys, o.NonceLife, o.ClockSkew},
		used: newUsedProofs(o.MaxProofs, o.MaxAge+2*o.ClockSkew),
	}
	for _, text := range o.Origins {
		u, err := url.Parse(text)
		if err != nil || !isOrigin(u) {
			return nil, fmt.Errorf("origin %q isn't https://host or https://host:port", text)
		}
		host := lower(u.Hostname())
		d.origins[host] = append(d.origins[host], origin(u))
	}
	return d, nil
}

// isOrigin says whether u is no more than a scheme, a host and perhaps a port.
func isOrigin(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// Check refuses a request whose token is bound to a DPoP key that it doesn't prove,
// and one under the scheme DPoP whose token isn't bound to any. The token itself has
// been verified, and c is its Constraint: only then is anything of the proof looked
// at or remembered, so nobody without a token can make this work hard.
//
// The refusals: DPoPProofMissing, DPoPProofInvalid, DPoPNonceRequired, DPoPBusy, and
// ConstraintUnproven where d is nil.
func (d *DPoP) Check(c *Constraint, p *Presentation, now time.Time) *audit.Refusal {
	switch {
	case !c.byKey && p.DPoP:
		return badProof("the token came under the scheme DPoP and is bound to no DPoP key")
	case !c.byKey:
		return nil
	case d == nil:
		return refuse(audit.ConstraintUnproven, "it is bound to a DPoP key, and DPoP isn't configured")
	case !p.DPoP:
		return refuse(audit.DPoPProofMissing, "the token is bound to a DPoP key and came under the scheme Bearer")
	}
	proof, refusal := onlyProof(p.Proofs)
	if refusal != nil {
		return refusal
	}
	signed, refusal := d.parseProof(proof, c.key)
	if refusal != nil {
		return refusal
	}
	return d.judge(signed, p, c.key, now.UnixMilli())
}

// Algorithms are the names for the algs of a challenge (RFC 9449, 7.1).
func (d *DPoP) Algorithms() []string { return slices.Clone(d.options.Algorithms) }

// Nonce is the one for the DPoP-Nonce header of an answer to a DPoP client, whether
// it is refused or not: who gets the next one in time needn't repeat a request (RFC
// 9449, 8.2). It is empty where no nonce is asked for.
func (d *DPoP) Nonce(now time.Time) string {
	if d == nil || len(d.nonces.keys) == 0 {
		return ""
	}
	return d.nonces.make(now)
}

// onlyProof gives the one proof that a request has to have.
func onlyProof(proofs iter.Seq[string]) (proof string, refusal *audit.Refusal) {
	lines := 0
	if proofs != nil {
		for value := range proofs {
			if lines++; lines > 1 {
				return "", badProof("more than one DPoP header")
			}
			proof = value
		}
	}
	if lines == 0 {
		return "", refuse(audit.DPoPProofMissing, "no DPoP header")
	}
	return proof, nil
}

func badProof(detail string) *audit.Refusal { return refuse(audit.DPoPProofInvalid, detail) }

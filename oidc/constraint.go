package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"iter"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Constraint is what a token is bound to (RFC 7800): it is good only together with
// a proof that whoever presents it holds that key. It is read from the claims on
// each request, whether the token was verified just now or is remembered, and each
// request has to bring its own proof. The zero Constraint binds nothing.
type Constraint struct {
	certificate, key     [sha256.Size]byte
	byCertificate, byKey bool
}

// Bound says whether the token is bound to anything at all.
func (c *Constraint) Bound() bool { return c.byCertificate || c.byKey }

// Constraint reads the claim cnf: x5t#S256 binds to a client certificate (RFC 8705,
// 3.1), jkt to a DPoP key (RFC 9449, 6.1), both to both. A cnf of any other form is
// refused as ConstraintUnproven: taking such a token without a proof of its key
// would undo the binding. It allocates nothing where it doesn't refuse.
func (c Claims) Constraint() (Constraint, *audit.Refusal) {
	var bound Constraint
	cnf := c.Lookup("cnf")
	if !cnf.Exists() {
		return bound, nil
	}
	for name, member := range cnf.Members() {
		into, is := &bound.certificate, &bound.byCertificate
		switch name {
		case "x5t#S256":
		case "jkt":
			into, is = &bound.key, &bound.byKey
		default:
			return Constraint{}, refuse(audit.ConstraintUnproven, "cnf has "+quote(name)+", which can't be checked")
		}
		text, _ := member.Text()
		if *is = decodeThumbprint(into, text); !*is {
			return Constraint{}, refuse(audit.ConstraintUnproven, "cnf."+name+" isn't a SHA-256 in base64url")
		}
	}
	if !bound.Bound() {
		return Constraint{}, refuse(audit.ConstraintUnproven, "cnf names no key")
	}
	return bound, nil
}

// Presentation is how a request presented a token, and with which proofs.
type Presentation struct {
	Token RawToken // as it came

	// DPoP says that it came under the scheme DPoP, not Bearer (RFC 9449, 7.1).
	DPoP bool

	// Proofs are the values of the DPoP header, one for each line. Nil means none.
	Proofs iter.Seq[string]

	// Certificate is the client's, as Envoy gives it in the attribute
	// source.certificate: PEM, URL-encoded, empty where the client showed none. It
	// must never come from a header, which any client can write.
	Certificate string

	Method string
	Host   string // lower case, without port; an IPv6 address without brackets
	Target string // path as sent, still escaped; a query is ignored
}

// Check refuses a request that doesn't prove all that its token, which was verified,
// is bound to; d may be nil. Each call uses up a DPoP proof.
//
// The refusals: CertificateMismatch, DPoPProofMissing, DPoPProofInvalid,
// DPoPNonceRequired, ConstraintUnproven.
func (c *Constraint) Check(p *Presentation, d *DPoP, now time.Time) *audit.Refusal {
	if refusal := c.CheckCertificate(p.Certificate); refusal != nil {
		return refusal
	}
	return d.Check(c, p, now)
}

// CheckCertificate refuses a token that is bound to a client certificate other than
// the one of its connection, given as in [Presentation.Certificate].
//
// The proxy has seen the client use the certificate's key. Whether the certificate
// is valid doesn't matter here: the provider bound the token to exactly this one
// (RFC 8705, 2.2 and 3).
func (c *Constraint) CheckCertificate(urlEncodedPEM string) *audit.Refusal {
	if !c.byCertificate {
		return nil
	}
	if urlEncodedPEM == "" {
		return refuse(audit.CertificateMismatch, "the proxy tells of no client certificate")
	}
	thumbprint, err := certificateThumbprint(urlEncodedPEM)
	if err != nil {
		return &audit.Refusal{Reason: audit.CertificateMismatch, Detail: "the proxy's client certificate", Err: err}
	}
	if subtle.ConstantTimeCompare(thumbprint[:], c.certificate[:]) != 1 {
		return refuse(audit.CertificateMismatch, "cnf.x5t#S256 is of another certificate than the connection's")
	}
	return nil
}

// decodeThumbprint reads a SHA-256 in base64url without padding.
func decodeThumbprint(into *[sha256.Size]byte, text string) bool {
	if len(text) != base64url.EncodedLen(len(into)) {
		return false
	}
	// A line break in it would be skipped, and what is left be too short.
	n, err := base64url.Decode(into[:], []byte(text))
	return err == nil && n == len(into)
}

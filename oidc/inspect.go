package oidc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/credence-authz/credence/audit"
)

// Finding is what one check says of a token, for people.
type Finding struct {
	Check   string         // its name
	Refusal *audit.Refusal // nil if it passed or wasn't judged
	Judged  bool           // false after a check that leaves nothing to look at
	Detail  string         // what a passed check found; may be empty
}

// Inspect judges a token like [Verifier.Verify] and goes on after a check that
// failed, so that everything that is wrong shows at once. The Result is the one
// that Verify gives; its claims may be those of a forged token.
//
// About a token that Verify can't judge it asks these providers in turn, up to the first
// that knows it (see [Provider.Introspect]).
func (v *Verifier) Inspect(ctx context.Context, raw RawToken, now time.Time, asked ...*Provider) (Result, []Finding) {
	if len(asked) == 0 || v.Judges(raw) || len(raw) > v.maxBytes {
		return v.begin(raw, now).inspect(ctx)
	}
	var undecided Result
	var findings []Finding
	for _, p := range asked {
		result, found := p.begin(raw, now).inspect(ctx)
		findings = append(findings, found...)
		if !result.Undecided() {
			return result, findings
		}
		undecided = undecided.OrElse(result)
	}
	return undecided, findings
}

func (t *verification) inspect(ctx context.Context) (Result, []Finding) {
	findings := make([]Finding, 0, len(t.checks))
	var verdict *Result // as it was at the first refusal, where Verify stops
	over := false
	for len(t.checks) > 0 {
		c := t.next()
		f := Finding{Check: c.name}
		if over || c.name == "signature" && len(t.keys) == 0 || c.name == "userinfo" && verdict != nil {
			findings = append(findings, f)
			continue
		}
		f.Judged = true
		if f.Refusal = c.judge(t, ctx); f.Refusal == nil {
			if c.found != nil {
				f.Detail = c.found(t)
			}
		} else {
			over = c.ends
			if verdict == nil {
				verdict = new(t.Result)
				verdict.Refusal = f.Refusal
			}
		}
		findings = append(findings, f)
	}
	if verdict == nil {
		verdict = &t.Result
	}
	return *verdict, findings
}

func (t *verification) foundForm() string {
	if t.jwe != nil {
		return "signed JWT, encrypted by " + t.jwe.alg + " and " + t.jwe.enc + ", " + strconv.Itoa(len(t.raw)) + " bytes"
	}
	return "signed JWT, " + strconv.Itoa(len(t.raw)) + " bytes"
}

func (t *verification) foundIssuer() string {
	return quote(string(t.Provider.Issuer())) + ", provider " + t.Provider.Name()
}

func (t *verification) foundType() string {
	if t.jws.Type == "" {
		return "no typ"
	}
	return "typ " + quote(t.jws.Type)
}

func (t *verification) foundAlgorithm() string { return t.jws.Algorithm }

func (t *verification) foundKey() string {
	if t.jws.KeyID == "" {
		return "no kid, " + strconv.Itoa(len(t.keys)) + " candidates"
	}
	return "kid " + quote(t.jws.KeyID) + " is in the key set"
}

func (t *verification) foundAudience() string {
	return t.Claims.Lookup("aud").shown()
}

func (t *verification) foundExpiry() string   { return t.foundDate("exp") }
func (t *verification) foundIssuedAt() string { return t.foundDate("iat") }

func (t *verification) foundDate(name string) string {
	if ms, ok := t.Claims.Lookup(name).date(); ok {
		return name + " " + t.distance(ms)
	}
	return "no " + name
}

func (t *verification) foundSubject() string {
	sub, _ := t.Claims.Lookup("sub").Text()
	if sub == "" {
		return "no sub"
	}
	return "sub " + quote(sub)
}

// Decode shows what a token says of itself, believing none of it; what can't be
// read is empty.
func Decode(raw RawToken) (header, claims Claims) {
	first, rest, _ := strings.Cut(string(raw), ".")
	second, _, _ := strings.Cut(rest, ".")
	read := func(segment string) Claims {
		b, err := base64url.DecodeString(segment)
		if err != nil {
			return Claims{}
		}
		c, err := parseObject(b)
		if err != nil {
			return Claims{}
		}
		return c
	}
	return read(first), read(second)
}

package authz

import (
	"strings"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// bearerToken is the request's bearer token (RFC 6750, 2.1), empty where it has
// none. It comes from the Authorization header only: tokens in a body or a query
// end up in logs (RFC 9700, 4.3.2).
//
// Envoy joins two Authorization lines by a comma even where it sends headers raw,
// so a value in which Bearer or DPoP turns up, and that isn't exactly one scheme
// and one token, is two readers seeing two credentials, and is refused. Other
// schemes (Basic, AWS signatures) aren't credentials here.
func (r *Request) bearerToken() (oidc.RawToken, *audit.Refusal) {
	value, lines := "", 0
	for v := range r.Values("authorization") {
		lines++
		if value = v; lines > 1 {
			break
		}
	}
	switch {
	case lines == 0:
		return "", nil
	case lines == 1 && len(value) > len("bearer ") && equalFold(value[:len("bearer ")], "bearer "):
		token := strings.TrimLeft(value[len("bearer "):], " ")
		if !isToken68(token) {
			return "", refuse(audit.MalformedAuthorization, "what follows Bearer isn't one token")
		}
		return oidc.RawToken(token), nil
	}
	for v := range r.Values("authorization") {
		for part := range strings.FieldsFuncSeq(v, endsWord) {
			if equalFold(part, "bearer") {
				return "", refuse(audit.MalformedAuthorization, "Bearer without a token, or beside another credential")
			}
			if equalFold(part, "dpop") && !isDPoP(value, lines) {
				return "", refuse(audit.MalformedAuthorization, "DPoP without a token, or beside another credential")
			}
		}
	}
	return "", nil
}

// endsWord says what may end a scheme to some reader: a comma, or anything that
// isn't visible ASCII, such as the vertical tab or the no-break space that Python
// splits at.
func endsWord(c rune) bool { return c == ',' || c <= ' ' || c >= 0x7f }

// isDPoP says whether the header is one well-formed DPoP credential (RFC 9449,
// 7.1). No rule accepts one yet, so it is no credential, rather than a bad one.
func isDPoP(value string, lines int) bool {
	return lines == 1 && len(value) > len("dpop ") && equalFold(value[:len("dpop ")], "dpop ") &&
		isToken68(strings.TrimLeft(value[len("dpop "):], " "))
}

// token68 are the characters of RFC 9110, 11.2, as a table: a token has a thousand,
// on every request.
var token68 = func() (is [256]bool) {
	for c := range is {
		is[c] = isAlphanumeric(byte(c)) || strings.IndexByte("-._~+/", byte(c)) >= 0
	}
	return is
}()

// isToken68 says whether s is of these, with = at the end only.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !token68[s[i]] {
			return false
		}
	}
	return s != ""
}

// presentsDPoP says whether the header is a DPoP credential, malformed ones having
// been refused.
func (r *Request) presentsDPoP() bool { return isDPoP(r.First("authorization"), 1) }

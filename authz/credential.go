package authz

import (
	"strings"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
)

// credential is a token as a request presents it; the zero credential is none.
type credential struct {
	token oidc.RawToken
	dpop  bool // under the scheme DPoP, with a proof in a header of its own
}

// presented is the request's bearer or DPoP token (RFC 6750, 2.1; RFC 9449, 7.1), which
// is still to be judged. It comes from the Authorization header only: tokens in a body
// or a query end up in logs (RFC 9700, 4.3.2).
//
// Envoy joins two Authorization lines by a comma even where it sends headers raw,
// so a value in which Bearer or DPoP turns up, and that isn't exactly one scheme
// and one token, is two readers seeing two credentials, and is refused. Other
// schemes (Basic, AWS signatures) aren't credentials here.
func (r *Request) presented() (credential, *audit.Refusal) {
	value, lines := "", 0
	for v := range r.Values("authorization") {
		lines++
		if value = v; lines > 1 {
			break
		}
	}
	if lines == 0 {
		return credential{}, nil
	}
	if lines == 1 {
		for _, scheme := range [...]string{"bearer ", "dpop "} {
			if len(value) <= len(scheme) || !equalFold(value[:len(scheme)], scheme) {
				continue
			}
			token := strings.TrimLeft(value[len(scheme):], " ")
			if token == "" || scheme == "dpop " && equalFold(token, "bearer") {
				return credential{}, notOneToken()
			}
			return credential{oidc.RawToken(token), scheme == "dpop "}, nil
		}
	}
	for v := range r.Values("authorization") {
		for part := range strings.FieldsFuncSeq(v, endsWord) {
			if equalFold(part, "bearer") || equalFold(part, "dpop") {
				return credential{}, refuse(audit.MalformedAuthorization, "Bearer or DPoP without a token, or beside another credential")
			}
		}
	}
	return credential{}, nil
}

// judge refuses what no token can be. Whoever finds a token in memory needn't ask: only
// those that were accepted get there.
func (c credential) judge() *audit.Refusal {
	if c.token == "" || isToken68(string(c.token)) {
		return nil
	}
	return notOneToken()
}

func notOneToken() *audit.Refusal {
	return refuse(audit.MalformedAuthorization, "what follows the scheme isn't one token")
}

// endsWord says what may end a scheme to some reader: a comma, or anything that
// isn't visible ASCII, such as the vertical tab or the no-break space that Python
// splits at.
func endsWord(c rune) bool { return c == ',' || c <= ' ' || c >= 0x7f }

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
	rest := s
	for ; len(rest) >= 8; rest = rest[8:] {
		if !(token68[rest[0]] && token68[rest[1]] && token68[rest[2]] && token68[rest[3]] &&
			token68[rest[4]] && token68[rest[5]] && token68[rest[6]] && token68[rest[7]]) {
			return false
		}
	}
	for i := range len(rest) {
		if !token68[rest[i]] {
			return false
		}
	}
	return s != ""
}

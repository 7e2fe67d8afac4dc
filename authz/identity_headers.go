package authz

import (
	"slices"
	"strings"
)

// identityNames are the request headers that rules give to applications: nobody
// else may. A client's own are taken out on every allow, on public rules and where
// the claim is absent as well, and in every spelling that an application could take
// for them: CGI, WSGI and PHP make HTTP_X_USER_ID of x-user-id, x_user_id and
// x.user.id alike. They are those of all rules, not of the host's: behind a proxy
// that routes every host to one application, the client chooses the host.
type identityNames struct {
	names  []string  // as configured, in lower case, sorted
	folded []string  // the same, folded
	sizes  [4]uint64 // a bit for each length there is, modulo 256
}

// newIdentityNames takes names in lower case, sorted and each once.
func newIdentityNames(names []string) identityNames {
	n := identityNames{names: names}
	for _, name := range names {
		n.folded = append(n.folded, foldName(name))
		n.sizes[len(name)>>6&3] |= 1 << (len(name) & 63)
	}
	return n
}

// foldName writes a header's name as CGI does, but for the case of letters:
// whatever is no letter or digit becomes a hyphen.
func foldName(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = foldByte(c)
	}
	return string(b)
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case isAlphanumeric(c):
		return c
	}
	return '-'
}

// forged says whether name would be read as one of the identity headers, without
// being spelled as it.
func (n *identityNames) forged(name string) bool {
	// Folding keeps the length: nearly every header is ruled out by it.
	if n.sizes[len(name)>>6&3]&(1<<(len(name)&63)) == 0 {
		return false
	}
	found := false
	for i, folded := range n.folded {
		if foldsTo(name, folded) {
			if name == n.names[i] {
				return false
			}
			found = true
		}
	}
	return found
}

func foldsTo(name, folded string) bool {
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// ending is the last word of a name: all names that fold to the same end in it. It is
// empty where the name ends in no letter or digit.
func ending(name string) string {
	return name[strings.LastIndexFunc(name, func(c rune) bool { return c > 0x7f || !isAlphanumeric(byte(c)) })+1:]
}

// clean fills in d.Remove: every identity header that the decision doesn't set,
// and every other spelling that the client sent.
func (n *identityNames) clean(d *Decision, r *Request) {
	d.Remove = r.remove[:0]
	for _, name := range n.names {
		if !slices.ContainsFunc(d.Set, func(h Header) bool { return h.Name == name }) {
			d.Remove = append(d.Remove, name)
		}
	}
	for i := range r.Headers {
		if name := r.Headers[i].Name; n.forged(name) && !slices.Contains(d.Remove, name) {
			d.Remove = append(d.Remove, name)
		}
	}
}

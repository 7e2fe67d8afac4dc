package authz

import (
	"slices"
	"strings"
)

// A proxy sets and removes query parameters by their names as they are written,
// an application reads them decoded: user=alice in place of the client's leaves a
// us%65r=root beside it. So whatever decodes to the name of a parameter that a
// rule sets or removes is removed in the client's own spelling too, and so is one
// that the rule would set but has no value for.

// cleanQuery fills in d.RemoveQuery, after d.SetQuery.
func (r *rule) cleanQuery(d *Decision, query string) {
	d.RemoveQuery = slices.Clip(r.RemoveQuery) // every request begins with the rule's own list
	if query == "" || len(r.query)+len(r.RemoveQuery) == 0 {
		return
	}
	for _, x := range r.query {
		if !slices.ContainsFunc(d.SetQuery, func(q Header) bool { return q.Name == x.name }) {
			d.RemoveQuery = append(d.RemoveQuery, x.escaped)
		}
	}
	for parameter := range strings.SplitSeq(query, "&") {
		written, _, _ := strings.Cut(parameter, "=")
		name := written
		if strings.ContainsAny(written, "%+") {
			name = unescapeQuery(written)
		}
		// What is set is set in our spelling, filter%5Bowner%5D; a client that writes
		// filter[owner] has another.
		sets := slices.ContainsFunc(r.query, func(x namedExpression) bool { return x.name == name && x.escaped != written })
		if sets || name != written && slices.Contains(r.RemoveQuery, name) {
			d.RemoveQuery = append(d.RemoveQuery, written)
		}
	}
}

// unescapeQuery decodes a name as applications do: a plus sign is a space, and a
// broken escape stands for itself.
func unescapeQuery(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

package authz

import (
	"slices"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/credence-authz/credence/oidc"
)

// How a value becomes the text of a header, so that an application gets exactly
// what the provider said and no proxy takes it for something else: a string as it
// is, a number as it was written, a boolean as true or false, a list joined by
// commas. In these, every byte outside printable ASCII, every percent sign, a
// space at either end and, in a list, every comma is percent-encoded (RFC 3986,
// 2.1): decoding the escapes gives the value again. Null, an object, a list of
// anything else and an empty list or string have no text: no header is sent.

// maxHeaderText bounds one value, so that a token can't push a request over the
// proxy's limits.
const maxHeaderText = 8 << 10

// claimText is the text of a claim; ok is false where it has none. A text that has to
// be put together goes behind what is in memory, and stays there as long as nobody
// shortens that.
func claimText(memory *[]byte, v oidc.Value) (text string, ok bool) {
	switch v.Kind() {
	case oidc.KindString:
		s, _ := v.Text()
		return sealText(s, false)
	case oidc.KindNumber:
		s, _ := v.Number()
		return s, true
	case oidc.KindTrue, oidc.KindFalse:
		b, _ := v.Bool()
		return strconv.FormatBool(b), true
	case oidc.KindArray:
		// The flat form is longer than the text, but for what has to be escaped.
		begin := len(*memory)
		b := slices.Grow(*memory, min(v.FlatLen(), maxHeaderText))
		for e := range v.Elements() {
			switch e.Kind() {
			case oidc.KindString, oidc.KindNumber, oidc.KindTrue, oidc.KindFalse:
			default:
				return "", false
			}
			s, isText := e.Text()
			if !isText {
				s, _ = claimText(nil, e)
			}
			b = appendElement(b, s, len(b) > begin)
		}
		*memory = b
		return bounded(b[begin:])
	}
	return "", false
}

// valueText is the text of an expression's value; ok is false where it has none.
func valueText(v ref.Val) (text string, ok bool) {
	switch v := v.(type) {
	case types.String:
		return sealText(string(v), false)
	case types.Bool:
		return strconv.FormatBool(bool(v)), true
	case types.Int:
		return strconv.FormatInt(int64(v), 10), true
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), true
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', -1, 64), true
	case traits.Lister:
		var b []byte
		for it := v.Iterator(); it.HasNext() == types.True; {
			e := it.Next()
			if _, nested := e.(traits.Lister); nested {
				return "", false
			}
			s, isText := e.(types.String)
			if !isText {
				text, ok := valueText(e)
				if !ok {
					return "", false
				}
				s = types.String(text)
			}
			b = appendElement(b, string(s), len(b) > 0)
		}
		return bounded(b)
	}
	return "", false
}

// appendElement leaves out an empty element: between commas it would say nothing.
func appendElement(b []byte, s string, further bool) []byte {
	if s != "" && further {
		b = append(b, ',')
	}
	return appendText(b, s, true)
}

func sealText(s string, inList bool) (string, bool) {
	if s == "" || len(s) > maxHeaderText {
		return "", false
	}
	for i := range len(s) {
		if mustEscape(s, i, inList) {
			return bounded(appendText(make([]byte, 0, len(s)+32), s, inList))
		}
	}
	return s, true
}

// bounded makes a text of bytes that nobody else has.
func bounded(b []byte) (string, bool) { return view(b), len(b) > 0 && len(b) <= maxHeaderText }

func mustEscape(s string, i int, inList bool) bool {
	c := s[i]
	return c < ' ' || c >= 0x7f || c == '%' || c == ',' && inList || c == ' ' && (i == 0 || i == len(s)-1)
}

func appendText(b []byte, s string, inList bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; mustEscape(s, i, inList) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

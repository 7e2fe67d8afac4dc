package audit

import (
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// PlainJSON gives a writer that passes JSON on to w with every character escaped that
// doesn't print. [encoding/json] escapes the first 32 and two more, and leaves the
// rest of what a terminal may obey: DEL, the C1 controls, of which U+009B is to some
// what ESC [ is to all, and the marks that turn the direction of a text. In JSON all
// of these can only stand in a string, where an escape means the same (RFC 8259, 7).
//
// Each Write has to hold whole characters, as those of [log/slog] do.
func PlainJSON(w io.Writer) io.Writer { return plainJSON{w} }

type plainJSON struct{ w io.Writer }

func (p plainJSON) Write(line []byte) (int, error) {
	plain := line
	if !isPlain(line) {
		plain = make([]byte, 0, len(line)+64)
		for rest := line; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			if unicode.IsPrint(r) || r < ' ' { // one below 0x20 is JSON's own, between values
				plain = append(plain, rest[:size]...)
			} else {
				plain = appendEscape(plain, r)
			}
			rest = rest[size:]
		}
	}
	if _, err := p.w.Write(plain); err != nil {
		return 0, err
	}
	return len(line), nil
}

// isPlain says whether all of it is ASCII without DEL, as nearly every line is.
func isPlain(line []byte) bool {
	for _, c := range line {
		if c >= 0x7f {
			return false
		}
	}
	return true
}

// appendEscape appends \uXXXX, or two of these where one isn't enough.
func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	units := []rune{r}
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		units = []rune{high, low}
	}
	for _, u := range units {
		b = append(b, '\\', 'u', digits[u>>12&15], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	return b
}

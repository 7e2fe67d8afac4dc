package session

import (
	"encoding/base64"
	"encoding/binary"
)

// sealedText is canonical: no padding, and no stray bits at the end.
var sealedText = base64.RawURLEncoding.Strict()

// sextets are what a character stands for in each of the four places of a group,
// shifted to where it belongs; notSextet where it stands for nothing.
var sextets = func() (places [4][256]uint32) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range places {
		for c := range places[i] {
			places[i][c] = notSextet
		}
		for value, c := range []byte(alphabet) {
			places[i][c] = uint32(value) << (18 - 6*i)
		}
	}
	return places
}()

const notSextet = 1 << 31

// decodeText decodes sealed text into b, which has the length for it. It refuses what a
// decoder might skip, such as line breaks. A cookie has thousands of characters on
// every request, so they are taken by eights, at twice the pace of encoding/base64,
// which has the rest.
func decodeText(b []byte, text string) bool {
	if len(b) != sealedText.DecodedLen(len(text)) {
		return false
	}
	seen := uint32(0)
	for len(text) >= 8 && len(b) >= 8 {
		high := sextets[0][text[0]] | sextets[1][text[1]] | sextets[2][text[2]] | sextets[3][text[3]]
		low := sextets[0][text[4]] | sextets[1][text[5]] | sextets[2][text[6]] | sextets[3][text[7]]
		seen |= high | low
		// The last two bytes belong to the next eight characters, which write them again.
		binary.BigEndian.PutUint64(b, uint64(high)<<40|uint64(low)<<16)
		b, text = b[6:], text[8:]
	}
	n, err := sealedText.Decode(b, bytesOf(text))
	return err == nil && n == len(b) && seen&notSextet == 0
}

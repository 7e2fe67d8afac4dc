package session

import (
	"bytes"
	"crypto/rand"
	"testing"
)

// TestDecodeText is what encoding/base64 says, of every length, and with every byte in
// every place.
func TestDecodeText(t *testing.T) {
	random := make([]byte, 200)
	rand.Read(random)
	for n := range random {
		text := []byte(sealedText.EncodeToString(random[:n]))
		got := make([]byte, n)
		if !decodeText(got, string(text)) || !bytes.Equal(got, random[:n]) {
			t.Errorf("%d bytes: got %x", n, got)
		}
		if decodeText(make([]byte, n+1), string(text)) || n > 0 && decodeText(make([]byte, n-1), string(text)) {
			t.Errorf("%d bytes are taken for another number", n)
		}
		if n > 40 {
			continue
		}
		for at := range text {
			right := text[at]
			for c := range 256 {
				text[at] = byte(c)
				want := make([]byte, n)
				length, err := sealedText.Decode(want, text)
				good := err == nil && length == n
				if decodeText(got, string(text)) != good || good && !bytes.Equal(got, want) {
					t.Errorf("%q: got %x, want %x, %v", text, got, want, err)
				}
			}
			text[at] = right
		}
	}
}

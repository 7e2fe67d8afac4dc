package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestSEC_5_35_NothingMovesACursor: of every character there is, the line that holds
// it reads back as it was, and has none that a terminal obeys or that hides.
func TestSEC_5_35_NothingMovesACursor(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(PlainJSON(&b), nil))
	for first := rune(0); first <= unicode.MaxRune; first += 512 {
		var text strings.Builder
		for r := first; r < first+512; r++ {
			if utf8.ValidRune(r) {
				text.WriteRune(r)
			}
		}
		b.Reset()
		log.Info("text", "value", text.String())
		line, ended := strings.CutSuffix(b.String(), "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !ended {
			t.Fatalf("from %U: %q is in the line", first, line[i:i+4])
		}
		var m struct{ Value string }
		if err := json.Unmarshal(b.Bytes(), &m); err != nil || m.Value != text.String() {
			t.Fatalf("from %U: it reads back otherwise: %v", first, err)
		}
	}
}

func TestPlainJSONIsAWriter(t *testing.T) {
	for _, row := range []struct{ name, line, want string }{
		{"ASCII", "{\"a\": \"b\"}\n", "{\"a\": \"b\"}\n"},
		{"letters", "{\"a\":\"Zoë 😀\"}\n", "{\"a\":\"Zoë 😀\"}\n"},
		{"spread over lines", "{\n\t\"a\":\"\u009b\"\r\n}", "{\n\t\"a\":\"\\u009b\"\r\n}"},
		{"beyond 16 bits", "\"\U000e0001\"", `"\udb40\udc01"`},
		{"nothing", "", ""},
	} {
		var b bytes.Buffer
		if n, err := io.WriteString(PlainJSON(&b), row.line); n != len(row.line) || err != nil || b.String() != row.want {
			t.Errorf("%s: got %q, %d, %v, want %q", row.name, b.String(), n, err, row.want)
		}
	}
	refusing, other := io.Pipe()
	refusing.CloseWithError(errors.ErrUnsupported)
	if n, err := io.WriteString(PlainJSON(other), "\u009b"); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %d, %v", n, err)
	}
}

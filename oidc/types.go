package oidc

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Issuer is an issuer identifier: the iss of tokens and of discovery. Issuers
// are compared byte for byte (OpenID Connect Core 1.0, 3.1.3.7), never as URLs.
type Issuer string

// Subject is the sub of a token: who, as the issuer names them. It means
// something only beside its Issuer.
type Subject string

// RawToken is a credential as it came. It must never be written anywhere, so it
// prints as a placeholder. Where fmt can't call methods it prints as it is: in an
// unexported field of a struct that is printed, and under %p.
type RawToken string

const hiddenToken = "[token]"

// IsJWT says whether the token has the form of a signed JWT: three segments, the
// first of which is the beginning of a JSON object in base64url. Any other token
// says nothing of who issued it.
func (t RawToken) IsJWT() bool {
	// An opening brace fills the first character and two bits of the second, whose
	// other bits begin what may follow: a quote or a blank, another white space, or
	// a closing brace.
	return len(t) > 2 && t[0] == 'e' && strings.IndexByte("yw3", t[1]) >= 0 && strings.Count(string(t), ".") == 2
}

// String hides the token.
func (RawToken) String() string { return hiddenToken }

// Format hides the token from fmt, whatever the verb.
func (RawToken) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenToken) }

// LogValue hides the token from slog.
func (RawToken) LogValue() slog.Value { return slog.StringValue(hiddenToken) }

// MarshalText hides the token from encoding/json, and so from slog inside structs.
func (RawToken) MarshalText() ([]byte, error) { return []byte(hiddenToken), nil }

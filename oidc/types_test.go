package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A token prints as a placeholder, wherever it is printed from.
func TestRawTokenNeverPrints(t *testing.T) {
	const secret = "eyJ.c2VjcmV0.c2ln"
	token := RawToken(secret)
	type holder struct {
		Token  RawToken
		More   []RawToken
		Deeper struct{ Token *RawToken }
	}
	held := holder{Token: token, More: []RawToken{token}}
	held.Deeper.Token = &token

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T", "%20s", "%.3s", "%!", "%t"} {
		for _, v := range []any{token, &token, held, &held, []RawToken{token}, map[string]RawToken{"a": token}, errors.Join(fmt.Errorf("%w "+verb, errors.ErrUnsupported, token))} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprintln(&out, token, held, fmt.Errorf("token %v", token))
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		log := slog.New(handler)
		log.Info("all forms", "token", token, "pointer", &token, "held", held, "slice", []RawToken{token}, slog.Group("g", "token", token))
		log.With("token", token).WithGroup("g").Info("with", "any", any(token))
	}
	for _, v := range []any{token, &token, held, []RawToken{token}, map[string]any{"a": token}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for form, hidden := range map[string]string{"plain": secret, "in hexadecimal": fmt.Sprintf("%x", secret), "cut": secret[:3], "in HEX": fmt.Sprintf("%X", secret[:4])} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("the token shows %s:\n%s", form, out.String())
		}
	}
	if got := fmt.Sprintf("%v %s %q %+v", token, token, token, held.Token); got != "[token] [token] [token] [token]" {
		t.Errorf("it prints as %s", got)
	}
	if got := token.String(); got != "[token]" {
		t.Errorf("its String is %s", got)
	}
}

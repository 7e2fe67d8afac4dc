package oidc

import (
	"strings"
	"testing"
)

// TestT11_CheckDecryption tells keys that a token can't tell apart, over all providers.
func TestT11_CheckDecryption(t *testing.T) {
	for _, row := range []struct {
		name          string
		pem, jwks     []string
		doubt, refuse string
	}{
		{"none", nil, nil, "", ""},
		{"one of each kind", []string{"rsa", "p-256"}, nil, "", ""},
		{"the same twice", []string{"rsa", "rsa"}, nil, "", ""},
		{"two of a kind", []string{"p-256", "p-384"}, nil, "2 keys for ECDH-ES+A256KW have no kid", ""},
		{"three of a kind", []string{"p-256", "p-384", "old"}, nil, "", "by ECDH-ES may be meant for 3 keys"},
		{"many with a kid", nil, []string{"p-256", "p-384", "p-521", "old"}, "", ""},
		{"one and many with a kid", []string{"lost"}, []string{"p-256", "p-384", "old"}, "", ""},
		{"two and one with a kid", []string{"lost", "old"}, []string{"p-256"}, "", "by ECDH-ES may be meant for 3 keys"},
		{"two, and one of another kind", []string{"lost", "old"}, []string{"rsa"}, "2 keys for", ""},
	} {
		var providers []*Provider // each with one key
		believe := func(data []byte) {
			keys := mustMake(ParseDecryptionKeys(data))
			providers = append(providers, &Provider{options: ProviderOptions{Issuer: Issuer(rune('a' + len(providers))), DecryptionKeys: keys}})
		}
		for _, kid := range row.pem {
			believe(inPEM(kid))
		}
		for _, kid := range row.jwks {
			believe([]byte(inJWK(kid)))
		}
		doubt, err := NewVerifier(providers, 1).CheckDecryption()
		if (err != nil) != (row.refuse != "") || err != nil && !strings.Contains(err.Error(), row.refuse) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.refuse)
		}
		if !strings.Contains(doubt, row.doubt) || (doubt == "") != (row.doubt == "") {
			t.Errorf("%s: got %q, want %q", row.name, doubt, row.doubt)
		}
	}
}

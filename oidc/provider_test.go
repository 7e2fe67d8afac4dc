package oidc

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// soundOptions are the least that make a provider.
func soundOptions() ProviderOptions {
	return ProviderOptions{Issuer: "https://issuer.test", Audiences: []string{"api"}, Keys: NewKeySet(KeySetOptions{})}
}

func TestSEC_5_9_5_22_ProvidersFailClosed(t *testing.T) {
	for _, row := range []struct {
		name string
		edit option
		says string
	}{
		{"the least", func(*ProviderOptions) {}, ""},
		{"nothing at all", func(o *ProviderOptions) { *o = ProviderOptions{} }, "issuer is missing"},
		{"no keys", func(o *ProviderOptions) { o.Keys = nil }, "keys are missing"},
		{"no audience", func(o *ProviderOptions) { o.Audiences = nil }, "audiences are missing"},
		{"empty audience", func(o *ProviderOptions) { o.Audiences = []string{"api", ""} }, "audiences are missing or empty"},
		{"every algorithm", func(o *ProviderOptions) { o.Algorithms = signatureAlgorithmNames }, ""},
		{"none", func(o *ProviderOptions) { o.Algorithms = []string{"RS256", "none"} }, `algorithm "none" can't be verified`},
		{"empty algorithm", func(o *ProviderOptions) { o.Algorithms = []string{""} }, `algorithm "" can't be verified`},
		{"HMAC", func(o *ProviderOptions) { o.Algorithms = []string{"HS256"} }, `algorithm "HS256" can't be verified`},
		{"another case", func(o *ProviderOptions) { o.Algorithms = []string{"rs256"} }, `algorithm "rs256" can't be verified`},
		{"encryption", func(o *ProviderOptions) { o.Algorithms = []string{"RSA-OAEP"} }, `algorithm "RSA-OAEP" can't be verified`},
		{"another curve", func(o *ProviderOptions) { o.Algorithms = []string{"ES256K"} }, `algorithm "ES256K" can't be verified`},
		{"largest skew", func(o *ProviderOptions) { o.ClockSkew = 5*time.Minute - 1 }, ""},
		{"five minutes", func(o *ProviderOptions) { o.ClockSkew = 5 * time.Minute }, "clock skew 5m0s isn't at least 0 and under 5m0s"},
		{"negative skew", func(o *ProviderOptions) { o.ClockSkew = -1 }, "clock skew -1ns isn't at least 0 and under 5m0s"},
		{"strict type", strict, ""},
		{"strict type and ID tokens", func(o *ProviderOptions) { o.StrictType, o.AcceptIDTokens = true, true }, "a strict type wants access tokens"},
		{"strict type and no subject", func(o *ProviderOptions) { o.StrictType, o.AcceptMissingSubject = true, true }, "a strict type wants sub"},
	} {
		o := soundOptions()
		row.edit(&o)
		p, err := NewProvider(o)
		switch {
		case row.says == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.says != "" && (err == nil || p != nil || !strings.Contains(err.Error(), row.says)):
			t.Errorf("%s: %v and error %v, want one that says %q", row.name, p, err, row.says)
		}
	}
}

func TestProviderSaysWhatItIs(t *testing.T) {
	o := soundOptions()
	o.Name = "corp"
	p, err := NewProvider(o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "corp" || p.Issuer() != "https://issuer.test" || !slices.Equal(p.Audiences(), []string{"api"}) || p.Keys() != o.Keys {
		t.Errorf("%q %q %q %p", p.Name(), p.Issuer(), p.Audiences(), p.Keys())
	}
	if want := []string{"RS256", "ES256"}; !slices.Equal(p.options.Algorithms, want) {
		t.Errorf("by default it accepts %q, want %q", p.options.Algorithms, want)
	}
}

// Remembered results are tied to the fingerprint, so each option is part of it.
// Keys aren't: results are tied to those in their own way.
func TestProviderFingerprint(t *testing.T) {
	edits := map[string]option{
		"Name":                    func(o *ProviderOptions) { o.Name = "other" },
		"Issuer":                  func(o *ProviderOptions) { o.Issuer += "/" },
		"Audiences":               func(o *ProviderOptions) { o.Audiences = []string{"api", "x"} },
		"Algorithms":              func(o *ProviderOptions) { o.Algorithms = []string{"ES256"} },
		"ClockSkew":               func(o *ProviderOptions) { o.ClockSkew = time.Nanosecond },
		"StrictType":              func(o *ProviderOptions) { o.StrictType = true },
		"AcceptNonce":             func(o *ProviderOptions) { o.AcceptNonce = true },
		"RequiredClaims":          func(o *ProviderOptions) { o.RequiredClaims = []string{"email"} },
		"AcceptMissingSubject":    func(o *ProviderOptions) { o.AcceptMissingSubject = true },
		"AcceptIDTokens":          func(o *ProviderOptions) { o.AcceptIDTokens = true },
		"CallerChecksConstraints": func(o *ProviderOptions) { o.CallerChecksConstraints = true },
		"DecryptionKeys":          decrypting("p-256"),
		"DecryptionKeys, another": decrypting("old"),
		"DecryptionKeys, two":     decrypting("p-256", "old"),
		"Introspector":            func(o *ProviderOptions) { o.Introspector = asking("credence", nil) },
		"IntrospectJWTs": func(o *ProviderOptions) {
			o.Introspector, o.IntrospectJWTs = asking("credence", nil), true
		},

		"Introspector, another client": func(o *ProviderOptions) { o.Introspector = asking("other", nil) },
		"Introspector, another endpoint": func(o *ProviderOptions) {
			o.Introspector = asking("credence", func(o *IntrospectorOptions) { o.URL += "/2" })
		},
		"Introspector, another discovery": func(o *ProviderOptions) {
			o.Introspector = asking("credence", func(o *IntrospectorOptions) { o.DiscoveryURL = "https://x.test" + wellKnown })
		},
		"Introspector, another time": func(o *ProviderOptions) {
			o.Introspector = asking("credence", func(o *IntrospectorOptions) { o.TTL = time.Second })
		},
		"Introspector, without audience": func(o *ProviderOptions) {
			o.Introspector = asking("credence", func(o *IntrospectorOptions) { o.AcceptMissingAudience = true })
		},

		"UserInfo": func(o *ProviderOptions) { o.UserInfo = telling(nil) },
		"UserInfo, about others": func(o *ProviderOptions) {
			o.UserInfo = telling(func(o *UserInfoOptions) { o.When = UserInfoAlways })
		},
		"UserInfo, another endpoint": func(o *ProviderOptions) {
			o.UserInfo = telling(func(o *UserInfoOptions) { o.URL = "https://issuer.test/me" })
		},
		"UserInfo, another discovery": func(o *ProviderOptions) {
			o.UserInfo = telling(func(o *UserInfoOptions) { o.DiscoveryURL = "https://x.test" + wellKnown })
		},
		"UserInfo, another time": func(o *ProviderOptions) {
			o.UserInfo = telling(func(o *UserInfoOptions) { o.TTL = time.Second })
		},
		"UserInfo, signed": func(o *ProviderOptions) {
			o.UserInfo = telling(func(o *UserInfoOptions) { o.Keys = NewKeySet(KeySetOptions{}) })
		},

		"Audiences, one of two":     func(o *ProviderOptions) { o.Audiences = []string{`api" "x`} },
		"Audiences, for the name":   func(o *ProviderOptions) { o.Name, o.Audiences = "api", []string{"x"} },
		"RequiredClaims, empty one": func(o *ProviderOptions) { o.RequiredClaims = []string{""} },
	}
	for field := range reflect.TypeFor[ProviderOptions]().Fields() {
		if edits[field.Name] == nil && field.Name != "Keys" {
			t.Errorf("%s isn't tried", field.Name)
		}
	}
	fingerprint := func(edit option) [16]byte {
		o := soundOptions()
		edit(&o)
		p, err := NewProvider(o)
		if err != nil {
			t.Fatal(err)
		}
		return p.Fingerprint()
	}
	seen := map[[16]byte]string{fingerprint(func(*ProviderOptions) {}): "no change"}
	for name, edit := range edits {
		got := fingerprint(edit)
		if before, double := seen[got]; double {
			t.Errorf("%s has the fingerprint of %s", name, before)
		}
		seen[got] = name
	}
	for name, same := range map[string]option{
		"other keys":      func(o *ProviderOptions) { o.Keys = NewKeySet(KeySetOptions{Name: "x"}) },
		"default spelled": func(o *ProviderOptions) { o.Algorithms = []string{"RS256", "ES256"} },
	} {
		if seen[fingerprint(same)] != "no change" {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
}

func TestVerifierHasItsProviders(t *testing.T) {
	o := soundOptions()
	a, _ := NewProvider(o)
	o.Issuer += "/"
	b, _ := NewProvider(o)
	v := NewVerifier([]*Provider{a, b}, 100)
	if v.Provider("https://issuer.test") != a || v.Provider("https://issuer.test/") != b || v.Provider("https://ISSUER.test") != nil || v.Provider("") != nil {
		t.Error("providers are found by something else than their issuer")
	}
	if got := len(slices.Collect(v.Providers())); got != 2 || v.MaxBytes() != 100 {
		t.Errorf("%d providers, %d bytes", got, v.MaxBytes())
	}
	defer func() {
		if recover() == nil {
			t.Error("two providers of one issuer are one too many")
		}
	}()
	NewVerifier([]*Provider{a, a}, 100)
}

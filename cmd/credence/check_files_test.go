package main

import (
	"errors"
	"strings"
	"testing"
)

// TestCertificatesAndKeys: what is wrong with a pair is said where the wrong file is named.
func TestCertificatesAndKeys(t *testing.T) {
	_, certificate, key := issue(t, "one", nil)
	_, _, other := issue(t, "other", nil)
	cut := writeFile(t, "cut.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	for _, row := range []struct{ name, certificate, key, field, want string }{
		{"a pair", certificate, key, "", ""},
		{"of another", certificate, other, "key_file", "private key does not match public key"},
		{"no key", certificate, certificate, "key_file", "found a certificate rather than a key"},
		{"no certificate", key, key, "certificate_file", "failed to find"},
		{"cut short", cut, key, "certificate_file", "malformed certificate"},
	} {
		file := readConfig(t, "listen: {probe: {address: \"127.0.0.1:0\", tls: {certificate_file: "+row.certificate+", key_file: "+row.key+`}}}
providers: [{name: corp, issuer: https://login.example.com, audiences: [api]}]
rules: [{name: all, bearer: {providers: [corp]}}]
`)
		err := checkFiles(file, true)
		if row.want == "" && err == nil {
			continue
		}
		if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "listen.probe.tls."+row.field+": ") || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "tls: ") {
			t.Errorf("%s: got %v, want %s at %s", row.name, err, row.want, row.field)
		}
	}
}

// TestPlainWords holds that packages aren't named to those who wrote a configuration.
func TestPlainWords(t *testing.T) {
	for text, want := range map[string]string{
		"login: page error.html: x":    "page error.html: x",
		"session: the key":             "the key",
		"tls: private key":             "private key",
		"the session: login: anything": "the session: login: anything",
	} {
		if got := plainWords(errors.New(text)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

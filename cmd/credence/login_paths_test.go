package main

import (
	"slices"
	"testing"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// TestLoginPaths: a proxy that asks about the login pages too is to let all of them
// through, with the callbacks that belong to one client, and nothing else.
func TestLoginPaths(t *testing.T) {
	c := &configv1.Config{Login: &configv1.Login{Prefix: "/.credence"}, Clients: []*configv1.Client{
		{Name: "web", RedirectUri: "https://app.example.com/.credence/callback"},
		{Name: "partner", RedirectUri: "http://localhost:8443/.credence/callback/partner"},
	}}
	want := []string{"/.credence/callback", "/.credence/callback/partner", "/.credence/login", "/.credence/logout", "/.credence/session", "/.credence/signed-out"}
	if got := loginPaths(c); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

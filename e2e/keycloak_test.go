package e2e

import (
	"testing"
	"time"
)

// A realm of Keycloak is there and people can log in to it.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	r := startRealm(t, realm{
		Name:        "parts",
		Users:       []realmUser{{Name: "alice", Password: "correct horse", Groups: []string{"staff", "night shift"}}},
		Clients:     []realmClient{{ID: "web", Secret: "secret", RedirectURIs: []string{"http://app.localhost/.credence/callback"}}},
		AccessToken: 7 * time.Second,
	})
	b := startBrowser(t)
	b.open(t, r.accountPage())
	b.logInAtKeycloak(t, "alice", "wrong")
	b.awaitText(t, "Invalid username or password.")
	b.logInAtKeycloak(t, "alice", "correct horse")
	b.awaitText(t, "alice Test")
	r.endSessions(t, "alice")
	b.open(t, r.accountPage())
	b.await(t, "asks for the password again", "document.querySelector('#password')")
}

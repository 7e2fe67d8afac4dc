package admin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// newKeys makes a provider, and its keys as they are kept while ctx lasts.
func newKeys(ctx context.Context, t *testing.T) (*oidctest.Provider, http.Handler) {
	t.Helper()
	p := oidctest.New(oidctest.Options{Issuer: corp})
	keys := oidc.NewKeySet(oidc.KeySetOptions{Name: "corp", Issuer: corp, Client: &http.Client{Transport: p.Transport()}})
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	running.Go(func() { keys.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		p.Close()
	})
	if err := keys.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	return p, New(Options{Revocations: new(session.Revocations), Providers: both, Keys: map[string]*oidc.KeySet{"corp": keys}})
}

// TestT19_KeysAreFetchedByHand, whenever the last fetch was, and the answer is about
// those that were fetched.
func TestT19_KeysAreFetchedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newKeys(t.Context(), t)
		refreshes := func(want int, says string) {
			t.Helper()
			status, text := ask(t, h, "POST", "/keys/refresh", "application/json", `{"provider":"corp"}`)
			if status != want || !strings.Contains(text, says) {
				t.Errorf("got %d %s, want %d %s", status, text, want, says)
			}
		}
		before := p.Requests(oidctest.JWKS)
		refreshes(200, `{"keys":3}`)
		p.AddKey("ES256", "new")
		refreshes(200, `{"keys":4}`)
		p.RetireKey("new")
		refreshes(200, `{"keys":3}`)
		if got := p.Requests(oidctest.JWKS) - before; got != 3 {
			t.Errorf("%d fetches, want 3", got)
		}
		p.Break(oidctest.JWKS, oidctest.Fault{Status: 503})
		refreshes(502, "the keys of corp can't be fetched, so those from before stay in use")
		p.Break(oidctest.JWKS, oidctest.Fault{Hang: true})
		began := time.Now()
		refreshes(502, "stay in use")
		if took := time.Since(began); took > refreshLimit {
			t.Errorf("it took %s", took)
		}
	})
}

func TestRefreshOfNobodysKeysIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newKeys(t.Context(), t)
		before := p.Requests(oidctest.JWKS)
		for _, tt := range []struct {
			name, contentType, body string
			status                  int
			says                    string
		}{
			{"no type", "", `{"provider":"corp"}`, 415, "Content-Type"},
			{"nothing", "application/json", "", 400, "isn't one JSON object"},
			{"no provider", "application/json", "{}", 400, "write provider, its name in the configuration"},
			{"an empty one", "application/json", `{"provider":""}`, 400, "provider has to be text"},
			{"a member too many", "application/json", `{"provider":"corp","all":"yes"}`, 400, `\"all\" isn't known; write provider`},
			{"an issuer", "application/json", `{"provider":"` + corp + `"}`, 400, "there are: corp"},
			{"a provider without keys", "application/json", `{"provider":"partner"}`, 400, `no provider with keys is called \"partner\"`},
		} {
			if status, text := ask(t, h, "POST", "/keys/refresh", tt.contentType, tt.body); status != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("%s: got %d %s, want %d %s", tt.name, status, text, tt.status, tt.says)
			}
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if status, _ := ask(t, h, method, "/keys/refresh", "application/json", `{"provider":"corp"}`); status != 405 {
				t.Errorf("%s: got %d", method, status)
			}
		}
		if got := p.Requests(oidctest.JWKS); got != before {
			t.Errorf("%d fetches", got-before)
		}
	})
}

package oidctest_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func published(t *testing.T, p *oidctest.Provider) []string {
	t.Helper()
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(p.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	kids := []string{}
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

func TestPublishedKeysInOrder(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a new provider", func() {}, []string{"rsa-1", "ec-1", "ed-1"}},
		{"an added key comes last", func() { p.AddKey("PS256", "ps-1") }, []string{"rsa-1", "ec-1", "ed-1", "ps-1"}},
		{"a hidden key isn't shown", func() { p.AddHiddenKey("RS256", "rsa-2") }, []string{"rsa-1", "ec-1", "ed-1", "ps-1"}},
		{"a raw entry among them", func() { p.PublishRaw(`{"kid":"raw","kty":"oct"}`) }, []string{"rsa-1", "ec-1", "ed-1", "ps-1", "raw"}},
		{"a published key comes last", func() { p.PublishKey("rsa-2") }, []string{"rsa-1", "ec-1", "ed-1", "ps-1", "raw", "rsa-2"}},
		{"publishing again changes nothing", func() { p.PublishKey("rsa-1") }, []string{"rsa-1", "ec-1", "ed-1", "ps-1", "raw", "rsa-2"}},
		{"a retired key is gone", func() { p.RetireKey("rsa-1") }, []string{"ec-1", "ed-1", "ps-1", "raw", "rsa-2"}},
		{"a kid twice", func() { p.AddKey("ES256", "rsa-2") }, []string{"ec-1", "ed-1", "ps-1", "raw", "rsa-2", "rsa-2"}},
		{"both of one kid retire", func() { p.RetireKey("rsa-2") }, []string{"ec-1", "ed-1", "ps-1", "raw"}},
	} {
		step.do()
		if got := published(t, p); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

func TestRotation(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	p.AddHiddenKey("RS256", "rsa-2")
	if got := header(t, p.Sign(oidctest.Token{}))["kid"]; got != "rsa-1" {
		t.Errorf("before: signed by %v, want rsa-1", got)
	}
	p.PublishKey("rsa-2")
	p.RetireKey("rsa-1")
	if got := header(t, p.Sign(oidctest.Token{}))["kid"]; got != "rsa-2" {
		t.Errorf("after: signed by %v, want rsa-2", got)
	}
	old := p.Sign(oidctest.Token{KeyID: "rsa-1"})
	if got := verifies(t, p, old); got != nil {
		t.Errorf("a token of the retired key is good under %q", got)
	}
	p.PublishKey("rsa-1")
	if got := verifies(t, p, old); !slices.Equal(got, []string{"rsa-1"}) {
		t.Errorf("a token of the republished key is good under %q, want rsa-1", got)
	}
}

func TestRawEntriesAreVerbatim(t *testing.T) {
	p := newProvider(t, oidctest.Options{})
	for _, kid := range []string{"rsa-1", "ec-1"} {
		p.RetireKey(kid)
	}
	p.PublishRaw("{\"kty\": oops\xff")
	if got, want := string(p.KeySet()), `{"keys":[`+p.JWK("ed-1")+",{\"kty\": oops\xff]}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Keys are taken from a pool, but a token of one provider must never be good at
// another, nor under a second key of the same.
func TestNoKeyIsShared(t *testing.T) {
	var mu sync.Mutex
	owners := map[string]int{}
	var wg sync.WaitGroup
	for range 3 {
		p := newProvider(t, oidctest.Options{})
		p.AddKey("RS256", "rsa-2")
		wg.Go(func() {
			var set jose.JSONWebKeySet
			if err := json.Unmarshal(p.KeySet(), &set); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, k := range set.Keys {
				k.KeyID, k.Algorithm = "", ""
				data, _ := k.MarshalJSON()
				owners[string(data)]++
			}
		})
	}
	wg.Wait()
	if got, want := len(owners), 3*4; got != want {
		t.Errorf("different keys: got %d, want %d", got, want)
	}
}

func TestProviderMadeAnewHasOtherKeys(t *testing.T) {
	old := oidctest.New(oidctest.Options{})
	token := old.Sign(oidctest.Token{})
	old.Close()
	if got := verifies(t, newProvider(t, oidctest.Options{}), token); got != nil {
		t.Errorf("the old provider's token is good at the new one, under %q", got)
	}
}

package oidc

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// TestEndpointIsDiscovered in the background, and stays known when discovery fails.
func TestEndpointIsDiscovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(_ *ProviderOptions, o *IntrospectorOptions) { o.URL = "" })
		d.idp.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
		ask := func() string { return d.Introspect(t.Context(), RawToken("x"), time.Now(), nobody).Refusal.Error() }
		if got := ask(); got != "introspection_unavailable: the introspection endpoint wasn't discovered yet" || d.Ready() == nil {
			t.Errorf("got %s, ready %v", got, d.Ready())
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { d.Introspector().Run(ctx) })
		time.Sleep(10 * time.Second)
		if got := ask(); !strings.Contains(got, "the introspection endpoint can't be discovered: discovery at") || d.log.count("can't be discovered") != 1 {
			t.Errorf("got %s", got)
		}
		d.idp.DiscoveryMember("introspection_endpoint", "http://issuer.test/introspect")
		d.idp.Mend(oidctest.Discovery)
		time.Sleep(time.Minute)
		if got := ask(); !strings.Contains(got, `introspection_endpoint: "http://issuer.test/introspect" is plain http`) {
			t.Errorf("got %s", got)
		}
		d.idp.DiscoveryMember("introspection_endpoint", nil)
		time.Sleep(2 * time.Minute)
		if got := ask(); !strings.Contains(got, "the document has no introspection_endpoint") {
			t.Errorf("got %s", got)
		}
		d.idp.DiscoveryMember("introspection_endpoint", "https://issuer.test/introspect")
		time.Sleep(2 * time.Minute)
		if got := ask(); got != "token_inactive" || d.Ready() != nil {
			t.Errorf("got %s, ready %v", got, d.Ready())
		}
		d.idp.Break(oidctest.Discovery, oidctest.Fault{Status: 503})
		before := d.idp.Requests(oidctest.Discovery)
		time.Sleep(2 * time.Hour)
		if got := ask(); got != "token_inactive" || d.idp.Requests(oidctest.Discovery) == before {
			t.Errorf("got %s after %d requests", got, d.idp.Requests(oidctest.Discovery)-before)
		}
		d.idp.DiscoveryMember("introspection_endpoint", "https://issuer.test/moved")
		d.idp.Mend(oidctest.Discovery)
		time.Sleep(2 * time.Hour)
		if got := ask(); !strings.Contains(got, "status 404") {
			t.Errorf("got %s", got)
		}
		stop()
		running.Wait()
	})
}

func TestConfiguredEndpointNeedsNoDiscovery(t *testing.T) {
	d := newDesk(t, nil)
	d.Introspector().Run(t.Context())
	if d.Ready() != nil || d.idp.Requests(oidctest.Discovery) != 0 {
		t.Errorf("ready %v, %d requests", d.Ready(), d.idp.Requests(oidctest.Discovery))
	}
}

func TestProviderIsReadyWithKeysAndEndpoint(t *testing.T) {
	r := newRealm(t, "https://issuer.test")
	r.options.Introspector = asking("credence", nil)
	if refusal := mustMake(NewProvider(r.options)).Ready(); refusal != nil {
		t.Error(refusal)
	}
	r.options.Introspector = asking("credence", func(o *IntrospectorOptions) { o.URL = "" })
	if refusal := mustMake(NewProvider(r.options)).Ready(); refusal == nil || refusal.Reason != audit.IntrospectionUnavailable {
		t.Errorf("got %v", refusal)
	}
	r.options.Introspector = asking("credence", nil)
	r.options.UserInfo = telling(nil)
	if refusal := mustMake(NewProvider(r.options)).Ready(); refusal == nil || refusal.Reason != audit.UserInfoUnavailable {
		t.Errorf("got %v", refusal)
	}
	r.options.Keys = NewKeySet(KeySetOptions{})
	if refusal := mustMake(NewProvider(r.options)).Ready(); refusal == nil || refusal.Reason != audit.KeysUnavailable {
		t.Errorf("got %v", refusal)
	}
}

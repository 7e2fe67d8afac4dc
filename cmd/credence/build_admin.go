package main

import (
	"net/http"

	"github.com/credence-authz/credence/cmd/credence/admin"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// buildAdmin makes what the operator asks.
func (a *authorizer) buildAdmin(c *configv1.Config) http.Handler {
	o := admin.Options{
		Revocations: a.revocations, Lifetime: c.GetSession().GetLifetime().AsDuration(), Audit: a.audit, Keys: map[string]*oidc.KeySet{},
	}
	for _, p := range c.GetProviders() {
		o.Providers = append(o.Providers, admin.Provider{Name: p.GetName(), Issuer: p.GetIssuer()})
	}
	for _, p := range a.providers {
		if p.keys != nil {
			o.Keys[p.name] = p.keys
		}
	}
	return admin.New(o)
}

package main

import (
	"net/http"
	"slices"
	"strings"

	"github.com/credence-authz/credence/cmd/credence/resource"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// buildResources are the resources of a checked configuration.
func buildResources(c *configv1.Config) (list []resource.Resource) {
	for _, r := range c.GetResources() {
		built := resource.Resource{Identifier: r.GetResource(), Name: r.GetName(), Scopes: r.GetScopes(), Documentation: r.GetDocumentation()}
		for _, name := range r.GetProviders() {
			i := slices.IndexFunc(c.GetProviders(), func(p *configv1.Provider) bool { return p.GetName() == name })
			built.Issuers = append(built.Issuers, c.GetProviders()[i].GetIssuer())
		}
		list = append(list, built)
	}
	return list
}

// withMetadata puts the metadata of resources before the login pages, which may be nil,
// and so may what comes of it.
func withMetadata(c *configv1.Config, login http.Handler, dpop *oidc.DPoP) (http.Handler, error) {
	if len(c.GetResources()) == 0 {
		return login, nil
	}
	resources := buildResources(c)
	for i := range resources {
		if dpop != nil {
			resources[i].DPoPAlgorithms = dpop.Algorithms()
		}
	}
	metadata, err := resource.New(resources)
	if err != nil {
		return nil, err
	}
	if login == nil {
		return metadata, nil
	}
	// No mux: it would answer unclean paths by itself, with a redirect.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == resource.Prefix || strings.HasPrefix(r.URL.Path, resource.Prefix+"/") {
			metadata.ServeHTTP(w, r)
			return
		}
		login.ServeHTTP(w, r)
	}), nil
}

package main

import (
	"cmp"
	"net/http"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func buildRules(c *configv1.Config) []authz.Rule {
	metadata := map[string]string{} // by resource
	for _, r := range buildResources(c) {
		metadata[r.Name] = r.MetadataURL()
	}
	rules := make([]authz.Rule, 0, len(c.GetRules()))
	for _, r := range c.GetRules() {
		m := r.GetMatch()
		built := authz.Rule{
			Name: r.GetName(),
			Match: authz.Match{
				Hosts: m.GetHosts(), Paths: m.GetPaths(), Methods: m.GetMethods(),
				Headers: m.GetHeaders(), ContextExtensions: m.GetContextExtensions(),
			},
			Public: r.GetPublic(), Login: r.GetLogin(), Require: r.GetRequire(),
			Headers: r.GetHeaders(), ResponseHeaders: r.GetResponseHeaders(), Metadata: r.GetMetadata(),
			SetQuery: r.GetQuery().GetSet(), RemoveQuery: r.GetQuery().GetRemove(),
			ForwardAuthorization:  r.GetForwardAuthorization(),
			AllowAmbiguousPath:    r.GetAmbiguousPaths() == configv1.AmbiguousPaths_AMBIGUOUS_PATHS_ALLOW,
			ForbidUnauthenticated: r.GetUnauthenticatedStatus() == http.StatusForbidden,
		}
		if b := r.GetBearer(); b != nil {
			built.Bearer = &authz.Bearer{
				Providers: b.GetProviders(), Audiences: b.GetAudiences(), Scopes: b.GetScopes(),
				UserAuthentication: oidc.UserAuthentication{ACRValues: b.GetAcrValues(), MaxAge: b.GetMaxAge().AsDuration()},
				ResourceMetadata:   cmp.Or(b.GetResourceMetadata(), metadata[b.GetResource()]),
			}
		}
		rules = append(rules, built)
	}
	return rules
}

func buildAllows(a configv1.Allows) audit.Allows {
	switch a {
	case configv1.Allows_ALLOWS_ALL:
		return audit.AllowsAll
	case configv1.Allows_ALLOWS_NONE:
		return audit.AllowsNone
	default:
		return audit.AllowsSampled
	}
}

package oidctest

import (
	"encoding/json"
	"net/http"
	"slices"
)

// discoveryAnswer is the provider's metadata (OpenID Connect Discovery 1.0,
// section 3). The endpoints are named with the host that the request was sent
// to, so that a provider which is reached by another address than its issuer's
// can be reached by its endpoints as well.
func (p *Provider) discoveryAnswer(r *http.Request) *answer {
	base := p.base(r)
	m := map[string]any{
		"issuer":                                           p.Issuer(),
		"authorization_endpoint":                           base + "/authorize",
		"token_endpoint":                                   base + "/token",
		"userinfo_endpoint":                                base + "/userinfo",
		"introspection_endpoint":                           base + "/introspect",
		"revocation_endpoint":                              base + "/revoke",
		"end_session_endpoint":                             base + "/end_session",
		"jwks_uri":                                         base + "/jwks",
		"scopes_supported":                                 []string{"openid", "profile", "email", "address", "phone", "offline_access"},
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query", "form_post"},
		"grant_types_supported":                            grantTypes,
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            p.publishedAlgorithms(),
		"userinfo_signing_alg_values_supported":            p.publishedAlgorithms(),
		"code_challenge_methods_supported":                 []string{"S256"},
		"request_parameter_supported":                      false,
		"request_uri_parameter_supported":                  false,
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256", "RS256"},
		"authorization_response_iss_parameter_supported":   true,
	}
	q := p.quirks()
	if q.authMethod != "" {
		m["token_endpoint_auth_methods_supported"] = []string{q.authMethod}
	}
	if q.metadata != nil {
		q.metadata(m)
	}
	p.mu.Lock()
	m = replace(m, p.discovery)
	p.mu.Unlock()
	return jsonAnswer(http.StatusOK, m)
}

// base is the address that a request was sent to, as far as the endpoints' paths.
func (p *Provider) base(r *http.Request) string {
	if overTLS(r) {
		return "https://" + r.Host + p.basePath()
	}
	return "http://" + r.Host + p.basePath()
}

func overTLS(r *http.Request) bool { return r.TLS != nil || r.URL.Scheme == "https" }

// DiscoveryMember replaces a member of the discovery document, or adds one; a nil
// value removes it.
func (p *Provider) DiscoveryMember(name string, value any) {
	if _, err := json.Marshal(value); err != nil {
		panic("oidctest: discovery member " + name + ": " + err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discovery[name] = value
}

// publishedAlgorithms gives the algorithms of the published keys, each once.
func (p *Provider) publishedAlgorithms() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	algs := []string{}
	for _, e := range p.published {
		if e.key != nil && !slices.Contains(algs, e.key.alg) {
			algs = append(algs, e.key.alg)
		}
	}
	return algs
}

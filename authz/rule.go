package authz

import "github.com/credence-authz/credence/oidc"

// Rule says which requests it is about, what credential it wants, what it asks
// of the identity and what the application is told. The first rule that matches
// a request decides it.
type Rule struct {
	Name  string
	Match Match

	// Public lets everybody through. A rule is either public or names a credential;
	// one that does neither denies.
	Public bool
	Bearer *Bearer
	Login  string // name of the Client whose sessions are accepted; empty for none

	// Require is a CEL expression that has to be true; empty means no requirement.
	Require string

	// Names and their values as CEL expressions.
	Headers         map[string]string // request headers for the application
	ResponseHeaders map[string]string // for the client
	SetQuery        map[string]string // query parameters for the application
	Metadata        map[string]string // for the proxy's later filters

	// RemoveQuery are query parameters that the application shall not see.
	RemoveQuery []string

	// ForwardAuthorization sends the bearer token on to the application.
	ForwardAuthorization bool

	// AllowAmbiguousPath judges a path with several readings as it stands. Safe
	// only where this rule asks no less than any that another reading could reach.
	AllowAmbiguousPath bool

	// ForbidUnauthenticated answers 403 where 401 would be right, for clients that
	// take a 401 amiss.
	ForbidUnauthenticated bool
}

// Match says which requests a rule is about. An empty list or map fits all.
type Match struct {
	Hosts                      []string          // exact and in lower case, or "*.example.com" for all below
	Paths                      []string          // exact; "*" for one segment; "/**" at the end for all below
	Methods                    []string          // exact
	Headers, ContextExtensions map[string]string // exact values
}

// Bearer says which bearer tokens are enough for a rule.
type Bearer struct {
	Providers []string // by name, any of them
	Audiences []string // any of them; empty means any of the provider's
	Scopes    []string // all of them

	// UserAuthentication is what is asked of the user's login (RFC 9470). Sessions aren't
	// asked.
	UserAuthentication oidc.UserAuthentication

	ResourceMetadata string // URL for the challenge (RFC 9728, 5.1); may be empty
}

// Package e2e tests the whole of Credence as its users have it: the built binary,
// its configuration file, and a real Envoy between a client and an application.
//
// A test stands up what it needs, and nothing is shared between tests but Keycloak,
// of which each has a realm of its own:
//
//	client ──▶ Envoy ──▶ application (upstream.go: answers with what it received)
//	             │ Check
//	             ▼
//	         credence serve ──▶ provider (oidctest)
//
// Two kinds of tests are here. The tests of the contract (contract_*_test.go) are
// about Envoy: what it makes of each answer, and what it sends. There the
// authorizer is a script of a few lines (authorizer.go), and each subtest is named
// after a fact that Credence relies on. A new Envoy that breaks one breaks the
// test of that name. All other tests are about Credence, which they know only from
// outside: they import none of its packages but the test provider.
//
// Requests are written to the wire as they stand in the test, since a well-behaved
// HTTP client would tidy up what is to be tested (client.go). Every program
// listens on a free port of the loopback, has its output kept and shown when the
// test fails, and ends with the test, also where the test is killed (process.go).
//
// The tests of the login (login_*_test.go) have a Chromium in place of the client
// (browser.go), with a profile of its own, which can reach nothing but this machine;
// and Keycloak, oidc-provider or oidctest as the provider (site.go puts them together).
// Their hosts are app.localhost and names below it, where a browser keeps Secure
// cookies over plain HTTP, but for those of login_tls_test.go. CREDENCE_SCREENSHOTS names a folder for pictures of the pages.
//
// Envoy is the one that CREDENCE_ENVOY names, else the one in .tools, else the one
// in the PATH; so it is with Chromium and CREDENCE_CHROMIUM. Keycloak and oidc-provider
// are folders, which CREDENCE_KEYCLOAK and CREDENCE_OIDC_PROVIDER name, else those in
// .tools. Without one, the tests that need it are skipped, or fail if CI is true.
package e2e

// Package login is the browser's side of sessions: it sends people to their
// identity provider, takes them back, and logs them out again.
//
// [Handler] answers under one prefix, on the hosts of the clients' redirect_uri:
//
//	GET  login       to the provider, or straight on with a session; POST as OpenID Connect Core 1.0, 4 has it
//	GET  callback    the provider's answer; POST where a client asked for form_post;
//	                 also callback/NAME, of one client
//	GET  logout      asks; POST logs out, here and then at the provider
//	GET  signed-out  where a logout ends
//	GET  session     who am I, until when: a page, or JSON
//
// A login goes like this. The browser gets one binding cookie, sealed and of
// constant size, with a random secret in it (binding.go). An attempt to log in is the
// sealed state parameter: a random id, the client, the time, the return address, the
// session that the login replaces, and a digest that only the browser with that secret
// could have got (attempt.go). The PKCE verifier and the nonce are derived from the
// secret and the id. So nothing is kept here while somebody is at the provider, any
// number of tabs log in at once, nothing secret is in an address, and anonymous
// requests can't fill any memory but that of finished attempts, which is bounded
// (usedAttempts).
//
// finishLogin (callback.go) is the page to read first: what has to hold before a
// session begins, in order. Everything fails closed, on a page with a reference
// number (failure.go); its cause is in the log and the audit log under that number.
//
// Some callbacks lead nowhere although nobody did wrong, and are helped on once. Of
// several first tabs, each got a binding cookie and the browser kept the last; an
// attempt was left open too long; the browser's back button brought one back. Such a
// browser is sent where it wanted to be if it has a session by then, and else begins
// again. One that logs in again and again, since its session cookie gets lost, is told
// so after three times (loop.go).
//
// Nobody is sent to an address that isn't on an origin from the configuration,
// and those of a request are taken apart and put together again
// (return_address.go). The Host header and its like decide nothing. What comes from a
// request never is on a page as it was; what comes from a provider is escaped.
//
// What isn't promised: that a provider's own session ends (it is asked to), that an
// attempt isn't used twice across replicas (the provider's code works once), or that
// a return address keeps its fragment, which no server sees. With form_post, the
// callback is a POST from another site, to which a browser sends no cookie with
// SameSite Lax: the session that ends with the new login is known from its state, and
// one that another tab began in the meantime goes on until it ends by itself.
//
// Clients of several providers need callbacks of their own. A provider that is malicious
// could else send a browser on to an honest one, and have that one's code brought to
// itself (a mix-up, RFC 9700, 4.4): iss tells, but not every provider sends it.
package login

// Package session keeps people logged in.
//
// A session is a [Record]: who it is, until when, and the provider's tokens. It is
// sealed (XChaCha20-Poly1305, by a [Ring] of keys that may change) into the
// browser's cookies; or, with a [Store], under a key of its own that only the
// browser's cookie has, so that whoever reads the store reads nothing.
//
// [Sessions.Check] is what every request goes through. In this order: find the
// client's cookie; open it; take the newest version that is known here; absolute
// end, idle end, revocation; renew the tokens, where that is due; note that the
// session is used, where that wasn't noted for a while. The usual request does the
// first four, and costs a base64 decoding, one decryption and two allocations.
//
// # What is found
//
// Cookies come from everywhere: also from other hosts of the domain, from old
// versions of this program and from people who try things. So a cookie is bound to
// its name, and through it to one client, and to the number of cookies that it was
// split into; chunks are of one seal, and none can be left out, swapped or taken from
// another session. Cookies of one name that don't open don't count; two that open and
// are of two live sessions are refused, because choosing would let somebody put
// their own session in place of another's. The work is bounded before it begins: by
// the number of values looked at, by their length, by the six chunks of a session.
//
// What is found is also what [Sessions.Foreign] takes out of the request before it
// goes on to an application: at least that, by a wider idea of where a cookie may
// begin than this package's own, since applications read cookies in many ways.
//
// # Versions
//
// A session in cookies can't be changed where it is: requests that were under way
// when the tokens were renewed bring the old version along, whose refresh token no
// longer works. So the new version stays in memory for a minute, is used in place of
// an older one, and goes out with each such answer. Only one renewal of a session
// runs at a time, for whoever waits; it outlives the request that began it, as the
// provider has spent the old refresh token whether anybody is there or not. Replicas
// don't know of each other's renewals: with cookies and refresh tokens that work once,
// a browser has to stay with its replica.
//
// A session may end while its tokens are renewed, or be replaced by a login. Then
// nobody has the tokens that the provider still believes: they go to Options.Discard,
// unless that could end the session that took its place. [Sessions.Close] waits for
// this, and for renewals.
//
// That a session is used is noted once in a tenth of the idle limit, so not every
// answer sets a cookie, and by one of the requests that come together.
//
// # What fails closed
//
// A cookie in any doubt is no session. A provider that can't be reached ends none,
// as long as the access token lives; after that the answer is "can't decide". A
// provider that says no ends the session for good. Revocations are held for as long as
// what they are about could come back; where there are too many to hold, all that was
// issued until then is revoked, and before a single person's sessions could be that
// many, all that was issued to them. Times in the future aren't believed.
//
// # What isn't promised
//
// Revocations are of this process. A copy of the cookie is the session, on
// another machine too. A session too long for one cookie is compressed before it is
// encrypted, so its length says something about its content to whoever sees the
// length. With a store that can't be read [Sessions.End] doesn't learn which session it
// is to end, and deletes the cookies alone: a copy of them is good when the store is
// back. Whoever says "you are logged out" has to [Sessions.Peek] first. With one that
// can't be written to, the session ends here and not for other replicas.
package session

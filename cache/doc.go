// Package cache remembers what came of verifying a token, so that the same token
// needn't be verified again: bytes in, bytes out, each with its own expiry.
//
// It has three parts. A [Keyer] turns the token, and whatever else the result
// depends on, into a [Key]. A [Cache] keeps bytes under that Key until they
// expire. A [Flight] sees to it that many callers who miss at once cause one
// verification. What the bytes mean is the caller's business.
//
// # Keys
//
// The store, which is bigcache, sees a keyed hash of 16 bytes and never a token.
// This hides the tokens from whoever reads the memory, and it avoids three traps
// of the store. It keeps a key's length in 16 bits, so that a key of 65,536+n
// bytes is read back as one of n bytes, with a value that the sender of the long
// key has chosen, and one of a few bytes less than 65,536 makes Get panic with
// the shard locked for good. It finds entries by 64 bits of hash, and neither Set
// nor Delete looks at the rest of the key, so whoever could compute that hash
// could push out other people's entries. And it takes a hash of zero to mean
// "deleted". The hash here is [Keyer]'s, under keys that are random for each
// process: nobody outside can aim at anything.
//
// # What fails closed
//
//   - The expiry stands in the entry, and every Get compares it with the caller's
//     clock. The store has one lifetime for all, enforced only when its cleaner
//     comes round; here that is housekeeping and nothing depends on it. An entry
//     whose expiry is too far ahead was put before the clock was set back, and
//     counts as expired.
//   - After a Put, Get gives the new value or nothing, never an older one. A Put
//     that can't be carried out removes what was there.
//   - Whatever goes wrong in the store is a miss, and the caller verifies.
//
// # Memory
//
// Options.MiB bounds the bytes of the entries: the value and some 45 bytes each.
// The store is split into at most 256 shards, each a ring that starts at 1/64 of
// its share and doubles until it has all of it; then the oldest entry goes. An
// idle cache of 64 MiB takes 1.4 MiB.
//
// Beside the rings there is an index, measured at 20 to 60 bytes an entry, and in
// each shard a scratch buffer as long as the longest entry it has seen, together
// about an eighth of the bound at most. So what a full cache holds on to, under a
// flood of distinct keys, is this many times the bound, by the length of the
// values:
//
//	none             2.4
//	60 bytes         1.4
//	100 bytes        1.3
//	200 bytes        1.2
//	1 KiB and more   1.1 (1.2 where they come close to MaxValue)
//
// A ring that grows holds its old and its new bytes for a moment; all the rings
// that a cache ever outgrows add up to less than its bound. They are garbage
// then, and so in time is what a hit allocates: the value, and a copy of the key
// that the store makes in order to compare it. How much garbage may lie about is for
// GOGC and GOMEMLIMIT to say.
//
// # What is not promised
//
// Eviction is by age, not by use, and roughly so: a ring that grew after it had
// wrapped evicts some newer entries first. An entry that was replaced or deleted
// takes up room until it is the oldest. Bytes of an entry that is gone stay in
// memory until something is written over them.
package cache

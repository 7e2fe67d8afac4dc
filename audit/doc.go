// Package audit says what was decided and why.
//
// It holds the closed set of reasons, the [Refusal] that carries one as an error,
// the [Record] of a decision, the [Log] that writes records and the [Counters]
// that count them. It imports nothing of ours, so that every package may name a
// reason.
//
// A reason is one word used everywhere: metric label, log field, documentation
// heading. What the client may read and what the operator may read are two
// different texts, and only this package knows both.
package audit

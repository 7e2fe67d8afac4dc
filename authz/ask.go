package authz

import (
	"context"
	"net/netip"

	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
)

// askable is a provider that a rule may ask about a token which names no issuer.
type askable struct {
	*oidc.Provider
	fingerprint string // for keys, without a conversion at each request
}

// askedOf are those of a rule's providers that can be asked, in the rule's order.
func askedOf(b *Bearer, verifier *oidc.Verifier) (list []askable) {
	if b == nil {
		return nil
	}
	for _, name := range b.Providers {
		for p := range verifier.Providers() {
			if fingerprint := p.Fingerprint(); p.Name() == name && p.Introspector() != nil {
				list = append(list, askable{p, string(fingerprint[:])})
			}
		}
	}
	return list
}

// providersToAsk are they without what they need to be remembered.
func (r *rule) providersToAsk() (list []*oidc.Provider) {
	for _, p := range r.asked {
		list = append(list, p.Provider)
	}
	return list
}

// ask judges a token that names no issuer by asking the rule's providers in turn:
// the first that knows it decides. What a provider answers is remembered for that
// provider, as it is configured, alone: another rule's providers are asked
// themselves (CVE-2026-33496 was a memory without that).
//
// A good answer that is remembered, of whichever provider, is used before anybody
// is asked: a provider that is down doesn't stand in the way of another's tokens.
// Nor does one that couldn't be asked: where nobody knows the token then, that
// can't be decided.
func (a *authenticator) ask(ctx context.Context, raw oidc.RawToken, r *Request, providers []askable) (result oidc.Result, remembered bool) {
	now := r.Time
	if len(raw) > a.verifier.MaxBytes() {
		return a.verifier.Verify(ctx, raw, now, netip.Addr{}), false // refused unread
	}
	keys := make([]cache.Key, len(providers))
	for i, p := range providers {
		keys[i] = a.tokens.keyer.Key(string(raw), p.fingerprint)
		if result, ok := a.recalled(a.tokens.good, keys[i], now); ok {
			return result, true
		}
	}
	var undecided oidc.Result
	all := true // what is undecided was remembered
	for i, p := range providers {
		result, remembered := a.recalled(a.tokens.refused, keys[i], now)
		if !remembered {
			result = a.judge(ctx, keys[i], raw, r, p.Provider)
		}
		if !result.Undecided() {
			return result, remembered
		}
		all = all && remembered
		undecided = undecided.OrElse(result)
	}
	return undecided, all
}

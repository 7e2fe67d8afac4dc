package oidctest

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// User is somebody who can log in. There are no passwords.
type User struct {
	Subject string // sub

	// Claims are what tokens and the userinfo endpoint say of the user. Those of
	// the scopes profile, email, address and phone (OpenID Connect Core 1.0,
	// section 5.4) are given to clients that asked for the scope, others to all.
	Claims map[string]any
}

// AddUser puts a user at the end of the list on the login page. A second call with
// the same subject replaces the claims, for those who are logged in as well, and
// undoes Disable. New has made "alice", who has the claims that Sign gives her.
func (p *Provider) AddUser(u User) {
	if _, err := marshal(u.Claims); err != nil {
		panic("oidctest: user " + u.Subject + ": " + err.Error())
	}
	u.Claims = maps.Clone(u.Claims)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.disabled, u.Subject)
	if i := slices.IndexFunc(p.users, func(other User) bool { return other.Subject == u.Subject }); i >= 0 {
		p.users[i] = u
		return
	}
	p.users = append(p.users, u)
}

// EndSession logs a user out of the provider everywhere: the next login asks, and
// what logins have given is over. A refresh gets invalid_grant.
func (p *Provider) EndSession(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epochs[subject]++
}

// Disable does what EndSession does, and refuses the user until AddUser.
func (p *Provider) Disable(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disabled[subject] = true
	p.epochs[subject]++
}

// longestName is how long a name may be that somebody types, in bytes.
const longestName = 64

// admit says why a user can't log in, on the login page; "" if there is no reason.
func (p *Provider) admit(subject string) (complaint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := slices.ContainsFunc(p.users, func(u User) bool { return u.Subject == subject })
	unprintable := strings.ContainsFunc(subject, func(r rune) bool { return !unicode.IsPrint(r) })
	switch {
	case p.disabled[subject]:
		return subject + " may not log in."
	case known:
		return ""
	case subject == "":
		return "Choose somebody, or type a name."
	case len(subject) > longestName || unprintable:
		return "That name is too long, or isn’t one."
	}
	return ""
}

// userClaims are the claims by which section 5.4 fills a scope.
var userClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
		"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// claimsOf gives what a client that asked for these scopes learns of a user, and
// the sub. Somebody who only typed a name has that name.
func (p *Provider) claimsOf(subject string, scopes []string) map[string]any {
	claims := map[string]any{"name": subject, "preferred_username": subject}
	p.mu.Lock()
	for _, u := range p.users {
		if u.Subject == subject {
			claims = maps.Clone(u.Claims)
		}
	}
	p.mu.Unlock()
	if claims == nil {
		claims = map[string]any{}
	}
	for scope, names := range userClaims {
		if !slices.Contains(scopes, scope) {
			for _, name := range names {
				delete(claims, name)
			}
		}
	}
	claims["sub"] = subject
	return claims
}

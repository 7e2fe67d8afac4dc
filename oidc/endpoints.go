package oidc

import (
	"fmt"
	"net/url"
)

// Endpoints say one by one where a provider is, in place of its discovery document:
// for one whose document can't be had, or names addresses that aren't good for
// everybody. Browsers and we may know it by different names, and neither has to be
// the issuer's, which iss alone is compared with. What is empty is discovered, and
// where nothing that is needed is empty, discovery isn't asked.
//
// They are https, or http on a loopback address.
type Endpoints struct {
	Authorization, EndSession   string // where browsers are sent to
	Token, UserInfo, Revocation string // where we ask, and where tokens and secrets go

	// SendsIssuer: the provider puts iss into all that it answers to logins (RFC 9207),
	// so that an answer without is refused, also where discovery doesn't say so.
	SendsIssuer bool
}

// check refuses addresses that can't be used.
func (e *Endpoints) check() error {
	for _, configured := range [...]struct{ name, address string }{
		{"authorization", e.Authorization}, {"token", e.Token}, {"userinfo", e.UserInfo},
		{"end-session", e.EndSession}, {"revocation", e.Revocation},
	} {
		if configured.address == "" {
			continue
		}
		err := checkURL(configured.address, true)
		if err == nil {
			err = checkQuery(configured.address)
		}
		if err != nil {
			return fmt.Errorf("%s endpoint: %w", configured.name, err)
		}
	}
	return nil
}

// checkQuery says whether parameters can be added to a checked address.
func checkQuery(address string) error {
	u, _ := url.Parse(address) // checkURL saw to it
	if u.Fragment != "" {
		return fmt.Errorf("%s has a fragment (RFC 6749, 3.1)", quote(address))
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return fmt.Errorf("the query of %s can't be read", quote(address))
	}
	return nil
}

// at is where an endpoint is: where it is configured to be, or else where the member
// of this name says. The zero Metadata is that of a provider that isn't discovered.
func (m *Metadata) at(configured, name string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	return m.endpoint(name)
}

package config

import (
	"fmt"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func (c *checker) session(s *configv1.Session) {
	if s == nil {
		return
	}
	keys := s.GetKeys()
	for i, key := range keys {
		c.secret(fmt.Sprintf("session.keys[%d]", i), key)
	}
	c.unique("session.keys", "file", len(keys), func(i int) string { return keys[i].GetFile() })
	c.unique("session.keys", "env", len(keys), func(i int) string { return keys[i].GetEnv() })
	switch {
	case len(keys) == 0 && c.inCookies():
		c.errorf("session.keys", "is missing, and sessions in cookies are sealed with it; write keys: [{file: /run/secrets/session-key}], a file that holds what openssl rand -base64 32 prints")
	case len(keys) == 0:
		c.warnf("session.keys", "is missing, so cookies are sealed with a random key: a login that is under way fails when Credence restarts, or when another replica gets its second half")
	}
	if c.inCookies() && c.file.wrote("session.max_sessions") {
		c.warnf("session.max_sessions", "is about store: memory; sessions in cookies aren't counted")
	}
	c.sessionTimes(s)
	c.cookie(s.GetCookie())
}

// inCookies says whether the cookies themselves hold the sessions.
func (c *checker) inCookies() bool {
	return c.good("session.store") && c.config.GetSession().GetStore() == configv1.SessionStore_SESSION_STORE_COOKIE
}

func (c *checker) sessionTimes(s *configv1.Session) {
	if !c.good("session.lifetime") {
		return
	}
	lifetime := s.GetLifetime().AsDuration()
	if idle := s.GetIdle().AsDuration(); idle > lifetime && c.good("session.idle") {
		c.errorf("session.idle", "is %s, longer than lifetime (%s), and would never end a session; write a shorter time", durationText(idle), durationText(lifetime))
	}
	if leeway := s.GetRefreshLeeway().AsDuration(); leeway >= lifetime && c.file.wrote("session.refresh_leeway") {
		c.warnf("session.refresh_leeway", "is %s, and no session lives longer than %s: tokens that live no longer are renewed at every request", durationText(leeway), durationText(lifetime))
	}
}

// cookie checks what browsers would refuse. All our cookies are Secure, and clients
// are on https or on this machine, so that same_site: none is always possible.
func (c *checker) cookie(cookie *configv1.Cookie) {
	if cookie.GetPartitioned() && cookie.GetSameSite() != configv1.SameSite_SAME_SITE_NONE && c.good("session.cookie.same_site") {
		c.errorf("session.cookie.partitioned", "is for pages inside those of other sites, to which no cookie gets without same_site: none; write that, or remove it")
	}
	const field = "session.cookie.domain"
	switch domain := cookie.GetDomain(); {
	case domain == "":
	case strings.HasPrefix(domain, "."):
		c.errorf(field, "begins with a dot, which browsers ignore; remove it")
	case domain != strings.ToLower(domain):
		c.errorf(field, "has capitals; write %s", quote(strings.ToLower(domain)))
	case isIPv4(domain) || isIPv6(strings.Trim(domain, "[]")):
		c.errorf(field, "is an address, and only names have others below them; remove it")
	case !isHostname(domain):
		c.errorf(field, "%s isn't the name of a domain; write such as example.com, without scheme, port and *", quote(domain))
	case !strings.Contains(domain, "."):
		c.errorf(field, "is a single label, and browsers take no cookie for those; write a name below it, such as app.%s", domain)
	default:
		c.warnf(field, "sends sessions to every host below %s, and whoever can set cookies on one of them can log its visitors out, and in as somebody else; leave it out where one host is enough", domain)
	}
}

// cookieDomain is the domain of the session's cookie, or empty where there is none or
// a wrong one.
func (c *checker) cookieDomain() string {
	if !c.good("session.cookie.domain") {
		return ""
	}
	return c.config.GetSession().GetCookie().GetDomain()
}

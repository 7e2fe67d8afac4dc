package oidctest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// session is a person's session at the provider, in one browser: what makes the
// second login silent. What its logins gave ends with it. It has no end in time,
// so that a test's clock may jump. The Provider's mu guards what changes.
type session struct {
	subject string
	sid     string // in ID tokens
	epoch   int    // EndSession begins a new one for the subject
	login   time.Time
	ended   bool
}

// live reports whether a session hasn't ended. The caller holds mu.
func (p *Provider) live(s *session) bool {
	return s != nil && !s.ended && s.epoch == p.epochs[s.subject]
}

// cookieName tells providers on one host apart, as cookies don't know of ports.
func (p *Provider) cookieName() string {
	sum := sha256.Sum256([]byte(p.Issuer()))
	return "oidctest-" + hex.EncodeToString(sum[:4])
}

// cookie is a browser's session cookie; an empty value deletes it. It is for plain
// http too, which loopback is.
func (p *Provider) cookie(r *http.Request, value string) string {
	c := http.Cookie{
		Name: p.cookieName(), Value: value, Path: p.basePath() + "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c.String()
}

// sessionOf gives the live session of the browser that sent a request, or nil, and
// when its person logged in.
func (p *Provider) sessionOf(r *http.Request) (*session, time.Time) {
	cookie, err := r.Cookie(p.cookieName())
	if err != nil {
		return nil, time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions.get(cookie.Value)
	if !p.live(s) {
		return nil, time.Time{}
	}
	return s, s.login
}

// logIn begins a session, or goes on with that of the same person, under a new
// value of the cookie. Another person's session in this browser ends.
func (p *Provider) logIn(r *http.Request, subject string) (s *session, now time.Time, value string) {
	value, now = rand.Text(), time.Now()
	old, err := r.Cookie(p.cookieName())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		s = p.sessions.get(old.Value)
		p.sessions.remove(old.Value)
	}
	if !p.live(s) || s.subject != subject {
		if s != nil {
			s.ended = true
		}
		s = &session{subject: subject, sid: rand.Text(), epoch: p.epochs[subject]}
	}
	s.login = now
	p.sessions.put(value, s)
	return s, now, value
}

package oidctest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestPagesAreGuarded(t *testing.T) {
	r := newParty(t, nil)
	elements := regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)
	silent := r.login("alice", "") // begins the session
	for _, row := range []struct {
		name, path string
		scripts    int // script elements
	}{
		{"the login page", "/authorize?" + r.request("prompt=login&client_id=web"), 0},
		{"an answer by post", "/authorize?" + r.request("response_mode=form_post&state="+url.QueryEscape(`"><script>`)), 1},
		{"an error", "/authorize?client_id=" + url.QueryEscape("<script>alert(1)</script>"), 0},
		{"the question at logout", "/end_session?state=" + url.QueryEscape(`"><script>`), 0},
	} {
		page, err := get(t, r.browser, r.p.Issuer()+row.path)
		if err != nil {
			t.Fatal(err)
		}
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: no %s in %s", row.name, want, policy)
			}
		}
		scripts := 0
		for _, element := range elements.FindAllStringSubmatch(string(page.body), -1) {
			sum := sha256.Sum256([]byte(element[2]))
			if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, element[1]+"-src 'sha256-"+hash+"'") {
				t.Errorf("%s: the policy doesn't name the %s %q", row.name, element[1], element[2])
			}
			if element[1] == "script" {
				scripts++
			}
		}
		if scripts != row.scripts || strings.Contains(string(page.body), "style=") || strings.Count(string(page.body), "<script") != scripts {
			t.Errorf("%s: %d scripts, want %d: %s", row.name, scripts, row.scripts, page.body)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", row.name, name, got, want)
			}
		}
	}
	if silent.Get("code") == "" {
		t.Errorf("got %v", silent)
	}
}

func TestSessionCookie(t *testing.T) {
	for _, row := range []struct{ name, issuer, at, path, secure string }{
		{"over https", "https://idp.test", "https://idp.test", "Path=/;", "; Secure"},
		{"over http, below a path", "http://127.0.0.1:9000/realms/a", "http://127.0.0.1:9000/realms/a", "Path=/realms/a/;", ""},
	} {
		p := newProvider(t, oidctest.Options{Issuer: row.issuer})
		r := newPartyAt(t, p, nil)
		answer := r.post("/sign-in", url.Values{"name": {"alice"}, "request": {r.request("")}})
		got := answer.header.Get("Set-Cookie")
		if answer.status != http.StatusSeeOther || !strings.Contains(got, row.path) || !strings.Contains(got, "; HttpOnly"+row.secure+"; SameSite=Lax") {
			t.Errorf("%s: got %d, %q", row.name, answer.status, got)
		}
		if strings.Contains(got, "Secure") != (row.secure != "") || strings.Contains(got, "Expires") || strings.Contains(got, "Max-Age") {
			t.Errorf("%s: got %q", row.name, got)
		}
	}
}

// Two providers on one host, as cookies see it.
func TestProvidersOnOneHostDontShareSessions(t *testing.T) {
	first := newPartyAt(t, newProvider(t, oidctest.Options{Issuer: "http://127.0.0.1:9001"}), nil)
	second := newPartyAt(t, newProvider(t, oidctest.Options{Issuer: "http://127.0.0.1:9002"}), nil)
	second.browser.Jar = first.browser.Jar
	first.login("alice", "")
	if got := second.login("alice", "prompt=none").Get("error"); got != "login_required" {
		t.Errorf("at the second: got %q", got)
	}
	second.login("alice", "")
	if got := first.login("alice", "prompt=none"); got.Get("code") == "" {
		t.Errorf("at the first, later: got %v", got)
	}
}

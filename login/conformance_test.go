package login

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// TestConformance plays the OpenID Foundation's modules for relying parties, by
// their names, through a whole login; those of the form_post plan in both ways.
func TestConformance(t *testing.T) {
	for _, module := range oidctest.Modules() {
		t.Run(module.Name, func(t *testing.T) { conform(t, module, false) })
		if slices.Contains(module.Plans, "oidcc-client-formpost-basic-certification-test-plan") || strings.Contains(module.Name, "form-post") {
			t.Run(module.Name+"-formpost", func(t *testing.T) { conform(t, module, true) })
		}
	}
}

func conform(t *testing.T, module oidctest.Module, posted bool) {
	var handler *Handler
	bubble(t, func(s *setup) {
		s.module, s.party.UserInfo = module.Name, true
		s.session.Refresh = map[string]session.RefreshFunc{"web": func(ctx context.Context, r *session.Record) *audit.Refusal {
			return renew(ctx, handler.clients[0].Party, r)
		}}
		if posted {
			formPost(s)
		}
	}, func(r *rig) {
		handler = r.handler
		b := r.browser()
		got := b.open(base + "/login?iss=https%3A%2F%2Fissuer.test&target_link_uri=" + app + "/a")
		passes := strings.HasPrefix(got.location, authorization)
		if module.Step != oidctest.AtDiscovery {
			back := b.at(got, "alice")
			if (back.Form != nil) != posted {
				t.Errorf("posted: %v", back.Form)
			}
			passes = b.back(back).location == app+"/a"
		}
		if module.Step != oidctest.AtDiscovery && module.Step != oidctest.AtLogin && !passes {
			t.Fatal("the first login failed")
		}
		switch module.Step {
		case oidctest.AtSecondLogin:
			time.Sleep(2 * time.Minute)
			passes = b.back(b.at(b.open(base+"/login?prompt=login&return_to="+app+"/b"), "alice")).location == app+"/b"
		case oidctest.AtRefresh:
			time.Sleep(6 * time.Minute) // the access token is good for five
			passes = b.refreshed(module.Want)
		case oidctest.AtLogout:
			back, err := r.idp.Logout(r.t.Context(), b.there, b.logout().location)
			if err != nil {
				t.Fatal(err)
			}
			page := b.open(back.URL)
			passes = page.status == 200 && strings.Contains(page.body, "You are logged out") && !strings.Contains(page.body, "isn’t known")
		}
		if status, _ := b.session(); module.Step == oidctest.AtLogin && passes != (status == 200) {
			t.Errorf("the session answers %d", status)
		}
		if module.Want == oidctest.Accept && !passes || module.Want == oidctest.Refuse && passes {
			t.Errorf("%s: passes: %v, want it to %s: %s", module.Story, passes, module.Want, r.log.String())
		}
		if n := r.idp.Requests(oidctest.ClaimsSource); n != 0 {
			t.Errorf("%d requests to an address in an answer", n)
		}
	})
}

// refreshed says whether the session goes on with new tokens; one that must not has
// to end for that reason.
func (b *browser) refreshed(want oidctest.Want) bool {
	b.t.Helper()
	lines := func(yield func(string) bool) {
		for _, c := range b.jar.Cookies(must(url.Parse(app))) {
			if !yield(c.String()) {
				return
			}
		}
	}
	verdict, refusal := b.sessions.Check(b.t.Context(), "web", lines, time.Now())
	if want == oidctest.Refuse && (refusal == nil || refusal.Reason != audit.SessionEnded) {
		b.t.Errorf("got %v, want session_ended", refusal)
	}
	return refusal == nil && verdict.Record.Refreshes == 1
}

func renew(ctx context.Context, party *oidc.RelyingParty, r *session.Record) *audit.Refusal {
	g, refusal := party.Refresh(ctx, oidc.Grant{
		Identity:    oidc.Identity{Issuer: oidc.Issuer(r.Issuer), Subject: oidc.Subject(r.Subject), SID: r.SID},
		Claims:      oidc.UnflattenClaims(r.Claims),
		AccessToken: oidc.RawToken(r.AccessToken), RefreshToken: oidc.RawToken(r.RefreshToken), IDToken: oidc.RawToken(r.IDToken),
	})
	if refusal == nil {
		r.AccessExpires, r.AccessToken = g.Expires, string(g.AccessToken)
	}
	return refusal
}

package login

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

// The faults of docs/known-faults.md that are about the browser's side, each tried as
// somebody would who knows it from elsewhere.

// TestSEC_5_31_NothingTellsHowItFailed: a binding cookie or a state that was altered
// anywhere, cut or made by another key gets the one answer that any other gets, but
// for its reference (CVE-2026-47775: an oracle needs two).
func TestSEC_5_31_NothingTellsHowItFailed(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		const name = "__Host-credence-binding"
		cookies := b.jar.Cookies(must(url.Parse(app)))
		binding := cookies[slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == name })].Value
		state := back.Values().Get("state")

		foreign := must(session.NewRing(session.RingOptions{}))
		made := newBinding(time.Now())
		altered := func(sealed string) (list []string) {
			for i := range sealed {
				changed := []byte(sealed)
				changed[i] = "AB"[b2i(changed[i] == 'A')]
				list = append(list, string(changed), sealed[:i])
			}
			// By whole blocks of the ciphers that others use, where a padding could fit.
			for _, block := range []int{8, 11, 16, 22} {
				list = append(list, sealed[block:], sealed[:len(sealed)-block], sealed[:len(sealed)-block]+strings.Repeat("A", block), sealed[len(sealed)-block:]+sealed[block:])
			}
			return append(list, sealed+sealed, sealed+"A", strings.ToUpper(sealed), strings.ToLower(sealed), strings.Repeat("A", len(sealed)))
		}
		answers := map[string]int{}
		visit := func(cookie, address string) {
			req := httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, address, nil)
			maps.Copy(req.Header, b.header)
			req.Header.Set("Cookie", name+"="+cookie)
			w := httptest.NewRecorder()
			r.handler.ServeHTTP(w, req)
			body := referenceOnPage.ReplaceAllString(w.Body.String(), "")
			header := w.Header().Clone()
			text, _ := json.Marshal([]any{w.Code, header, body})
			answers[string(text)]++
		}
		for _, cookie := range append(altered(binding), foreign.Seal(session.PurposeBinding, bindingName, made.bytes()), r.handler.ring.Seal(session.PurposeState, bindingName, made.bytes()), r.handler.ring.Seal(session.PurposeBinding, "other", made.bytes())) {
			visit(cookie, back.URL)
		}
		if len(answers) != 1 {
			t.Errorf("%d kinds of answers to altered binding cookies: %v", len(answers), answers)
		}
		clear(answers)
		for _, changedState := range append(altered(state), foreign.Seal(session.PurposeState, stateOfLogin, made.begin("web", "", false, time.Now()).appendTo(nil)), r.handler.ring.Seal(session.PurposeState, stateOfLogout, made.begin("web", "", false, time.Now()).appendTo(nil))) {
			if changedState != "" {
				visit(binding, changed(back, "state", changedState))
			}
		}
		if len(answers) != 1 {
			t.Errorf("%d kinds of answers to altered states: %v", len(answers), answers)
		}
		if got := r.idp.Requests(oidctest.TokenEndpoint); got != 0 {
			t.Errorf("%d codes went to the provider", got)
		}
		b.back(back).leadsTo(app + "/") // and all the while the login was good
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestSEC_5_35_OneLineForEachLogin: what a provider or a person says is one line in
// either log, and no page obeys it.
func TestSEC_5_35_OneLineForEachLogin(t *testing.T) {
	const hostile = "x\r\n{\"msg\":\"login\",\"verdict\":\"allow\"}\x1b]0;owned\a\x1b[2J\x00\x7f\u0085\u009b31m\u2028\u2029\u202e\u2066\ufeff<script>alert(1)</script>"
	bubble(t, func(s *setup) {
		s.handler.Clients[0].ShownClaims = append(s.handler.Clients[0].ShownClaims, hostile)
		s.party.UserInfo = true
	}, func(r *rig) {
		info := must(json.Marshal(map[string]any{"sub": "alice", "name": hostile, "email": hostile, "groups": []string{hostile}, hostile: hostile}))
		r.idp.Break(oidctest.UserInfo, oidctest.Fault{Body: string(info), ContentType: "application/json"})
		b := r.browser()
		b.header.Set("User-Agent", hostile)
		b.header.Set("Referer", hostile)
		for _, name := range []string{"error", "error_description", "error_uri", "iss", "state", "code", "session_state", hostile} {
			back := b.at(b.start(app+"/"), "")
			b.open(changed(back, name, hostile))
		}
		for _, name := range []string{"client", "return_to", "target_link_uri", "iss", "login_hint", "prompt", hostile} {
			b.open(base + "/login?" + url.Values{name: {hostile}}.Encode())
		}
		b.open(base + "/" + url.PathEscape(hostile))
		b.open(base + "/logout?client=" + url.QueryEscape(hostile))
		b.open(base + "/signed-out?state=" + url.QueryEscape(hostile))
		b.post(base+"/logout", url.Values{"client": {hostile}, "token": {hostile}})
		r.idp.Break(oidctest.TokenEndpoint, oidctest.Fault{Status: 400, Body: `{"error":` + string(must(json.Marshal(hostile))) + `,"error_description":` + string(must(json.Marshal(hostile))) + `}`})
		b.back(b.at(b.start(app+"/"), "alice"))
		r.idp.Mend(oidctest.TokenEndpoint)
		b = r.browser()
		b.back(b.at(b.start(app+"/"), "alice")).leadsTo(app + "/")
		for _, path := range []string{"/session", "/logout", "/signed-out"} {
			b.open(base + path) // where nothing of it is markup, as of every page
		}
		synctest.Wait()
		r.close()
		for name, log := range map[string]*written{"log": &r.log, "audit log": &r.audit} {
			text := log.String()
			if !strings.Contains(text, "login") {
				t.Errorf("the %s says nothing", name)
			}
			for line := range strings.Lines(text) {
				if name == "audit log" && !json.Valid([]byte(line)) {
					t.Errorf("%s: not JSON: %q", name, line)
				}
				if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 {
					t.Errorf("%s: %q isn't escaped in %q", name, line[i:min(len(line), i+4)], line)
				}
				if strings.HasPrefix(line, `{"msg":"login","verdict":"allow"`) {
					t.Errorf("%s: a line of somebody else's: %q", name, line)
				}
			}
		}
	})
}

// TestSEC_5_49_CookieLinesThatAreNothing: no Cookie line brings an endpoint down or
// makes anybody of nobody (CVE-2023-28625).
func TestSEC_5_49_CookieLinesThatAreNothing(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		back := b.at(b.start(app+"/"), "alice")
		lines := [][]string{
			{""}, {"="}, {";"}, {"a"}, {","}, {" "}, {"=="}, {"=;=;="}, {";;;;"}, {"a="}, {"=a"}, {"\x00"}, {"\xff\xfe"}, {"\t"}, {"a; b; c"}, {`"`}, {`"="`}, {"", "", ""}, {"=", ";", "a", ""},
			{"__Host-credence.web"}, {"__Host-credence.web="}, {"__Host-credence.web=="}, {"__Host-credence.web=;"}, {"__Host-credence.web=\x00"}, {`__Host-credence.web=""`}, {"__Host-credence.web=0"}, {"__Host-credence.web=1"}, {"__Host-credence.web=6"},
			{"__Host-credence.web.1=", "__Host-credence.web="}, {"__Host-credence.=x"}, {"__Host-credence.web.=x"}, {"__Host-credence.web.1.1=x"}, {"__Host-credence.web.-1=x"}, {"__Host-credence.web.1000000000=x"},
			{"__Host-credence-binding"}, {"__Host-credence-binding="}, {"__Host-credence-binding==;"}, {"__Host-credence-binding=A"}, {"__Host-credence-binding=" + strings.Repeat("A", 10_000)}, {"__Host-credence-=x"},
			{strings.Repeat("__Host-credence-binding=A;", 5000)}, {strings.Repeat("=;", 20_000)}, {strings.Repeat("a", 60_000)}, slices.Repeat([]string{"a=b"}, 5000),
		}
		for _, lines := range lines {
			for _, c := range []struct{ method, address string }{
				{"GET", base + "/login?client=web"}, {"GET", back.URL}, {"GET", base + "/callback"}, {"GET", base + "/logout"}, {"GET", base + "/session"}, {"GET", base + "/signed-out"}, {"POST", base + "/logout"}, {"POST", base + "/login"}, {"POST", base + "/callback"},
			} {
				req := httptest.NewRequestWithContext(r.t.Context(), c.method, c.address, strings.NewReader("client=web"))
				maps.Copy(req.Header, b.header)
				req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
				req.Header["Cookie"] = lines
				w := httptest.NewRecorder()
				r.handler.ServeHTTP(w, req)
				if w.Code >= 500 || w.Code == 0 {
					t.Errorf("%s %.80s with %.80q: got %d", c.method, c.address, lines, w.Code)
				}
				for _, set := range w.Result().Cookies() {
					if strings.HasPrefix(set.Name, "__Host-credence.web") && set.Value != "" {
						t.Errorf("%s %.80s with %.80q: a session is set", c.method, c.address, lines)
					}
				}
			}
		}
		if got := r.idp.Requests(oidctest.TokenEndpoint); got != 0 {
			t.Errorf("%d codes went to the provider", got)
		}
		if log := r.log.String(); strings.Contains(log, "panic") {
			t.Errorf("log: %s", log)
		}
		b.back(back).leadsTo(app + "/")
	})
}

// TestSEC_5_54_5_55_NothingOfBeforeIsLeft: whatever sessions a browser has, tossed or
// its own, good or not, a login leaves it one that nobody had before, and what was
// good is over, also elsewhere (CVE-2024-7341, CVE-2026-34454).
func TestSEC_5_54_5_55_NothingOfBeforeIsLeft(t *testing.T) {
	for name, edit := range map[string]func(*setup){"in cookies": nil, "in a store": func(s *setup) { s.session.Store = session.NewMemory(100) }} {
		bubble(t, edit, func(r *rig) {
			eve, b := r.browser(), r.browser()
			eve.back(eve.at(eve.start(app+"/"), "eve"))
			site := must(url.Parse(app))
			tossed := eve.jar.Cookies(site)
			for _, c := range tossed {
				c.Path, c.Secure = "/", true
			}
			// The victim has eve's session, and is led through a login.
			b.jar.SetCookies(site, tossed)
			if _, m := b.session(); m["subject"] != "eve" {
				t.Fatalf("%s: the story doesn't begin: %v", name, m)
			}
			b.back(b.at(b.open(base+"/login?client=web&prompt=login"), "alice"))
			if _, m := b.session(); m["subject"] != "alice" {
				t.Errorf("%s: got %v", name, m)
			}
			for _, c := range b.jar.Cookies(site) {
				for _, old := range tossed {
					if c.Name == old.Name && c.Value == old.Value {
						t.Errorf("%s: %s is as eve had it", name, c.Name)
					}
				}
			}
			if status, m := eve.session(); status != 401 {
				t.Errorf("%s: eve's browser has a session: %v", name, m)
			}
			// A login that fails leaves the session of before: nobody logs somebody out by
			// that. A page that says so doesn't begin another.
			back := b.at(b.open(base+"/login?client=web&prompt=login"), "")
			b.fails(b.back(back), audit.LoginDenied)
			if _, m := b.session(); m["subject"] != "alice" {
				t.Errorf("%s: after a login that was refused: %v", name, m)
			}
			// What is there, and opens with no key, goes at a login and at a logout.
			stranger := r.browser()
			stranger.header.Set("Cookie", "__Host-credence.web=2abc; __Host-credence.web.1=def")
			got := stranger.post(base+"/logout", url.Values{"client": {"web"}}).header.Values("Set-Cookie")
			for _, want := range []string{"__Host-credence.web=;", "__Host-credence.web.1=;"} {
				if !slices.ContainsFunc(got, func(c string) bool { return strings.HasPrefix(c, want) && strings.HasSuffix(c, "Max-Age=0") }) {
					t.Errorf("%s: a logout sets %q, and doesn't delete %s", name, got, want)
				}
			}
		})
	}
}

// travels notes where requests go.
type travels struct {
	http.RoundTripper
	mu sync.Mutex
	to []string
}

func (c *travels) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.to = append(c.to, req.URL.Scheme+"://"+req.URL.Host+" "+req.Host)
	c.mu.Unlock()
	return c.RoundTripper.RoundTrip(req)
}

// TestSEC_5_52_5_64_OurRequestsGoToTheProvider: through a login, its refresh of keys
// and a logout with every host that a client can name, requests of ours go to the
// configured issuer alone (CVE-2026-4874), and answers lead to configured hosts.
func TestSEC_5_52_5_64_OurRequestsGoToTheProvider(t *testing.T) {
	var log travels
	bubble(t, func(s *setup) {
		log.RoundTripper = s.party.Client.Transport
		client := *s.party.Client
		client.Transport = &log
		s.party.Client, s.party.UserInfo = &client, true
		s.party.Keys = oidc.NewKeySet(oidc.KeySetOptions{Name: "corp", Issuer: "https://issuer.test", Client: &client})
	}, func(r *rig) {
		b := r.browser()
		named := func(address string, form url.Values) *response {
			method, body := http.MethodGet, ""
			if form != nil {
				method, body = http.MethodPost, form.Encode()
			}
			req := httptest.NewRequestWithContext(r.t.Context(), method, address, strings.NewReader(body))
			maps.Copy(req.Header, b.header)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range b.jar.Cookies(must(url.Parse(app))) {
				req.AddCookie(c)
			}
			req.Host = "evil.test"
			for _, header := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "X-Host", "X-Forwarded-For", "X-Client-Session-Host", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Original-Url", "X-Rewrite-Url"} {
				req.Header.Set(header, "evil.test")
			}
			got := b.serve(req)
			if strings.Contains(got.location+got.body+strings.Join(got.header.Values("Set-Cookie"), ""), "evil") {
				t.Errorf("%s: got %q, %v, %s", address, got.location, got.header, got.body)
			}
			return got
		}
		extra := "&client_session_host=evil.test&host=evil.test&issuer=https://evil.test&jwks_uri=https://evil.test&token_endpoint=https://evil.test&request_uri=https://evil.test&redirect_uri=https://evil.test&post_logout_redirect_uri=https://evil.test"
		back := b.at(named(base+"/login?client=web"+extra, nil), "alice")
		if q := must(url.Parse(back.URL)); q.Host != "app.example.com" {
			t.Errorf("the provider leads to %s", back.URL)
		}
		named(back.URL+extra, nil).leadsTo(app + "/")
		form := b.form()
		form.Set("post_logout_redirect_uri", "https://evil.test")
		named(base+"/logout", form).leadsBelow("https://issuer.test/end_session?")
		r.handler.Close()
		if len(log.to) < 4 {
			t.Errorf("only %q", log.to)
		}
		for _, to := range log.to {
			if to != "https://issuer.test " && to != "https://issuer.test issuer.test" {
				t.Errorf("a request went to %s", to)
			}
		}
	})
}

// TestSEC_5_53_ParametersAreOurs: what a client adds to the login's address never
// becomes a parameter at the provider (CVE-2026-9689), and a callback isn't taken with
// one of its own twice, however that is spelled.
func TestSEC_5_53_ParametersAreOurs(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		plain := must(url.Parse(b.open(base + "/login?client=web").location)).Query()
		for _, name := range []string{"redirect_uri", "client_id", "scope", "response_type", "response_mode", "state", "nonce", "code_challenge", "code_challenge_method", "request", "request_uri", "claims", "id_token_hint", "resource", "audience", "acr_values", "display"} {
			for _, spelled := range []string{name, strings.ToUpper(name), "%" + hexOf(name[0]) + name[1:], name + "[]", " " + name, name + "%00"} {
				got := must(url.Parse(b.open(base + "/login?client=web&" + strings.ReplaceAll(spelled, " ", "%20") + "=https%3A%2F%2Fevil.test%26" + name + "%3Devil").location)).Query()
				for key, values := range got {
					if len(values) != 1 || strings.Contains(values[0], "evil") || len(plain[key]) != 1 {
						t.Errorf("%s: %s is %q", spelled, key, values)
					}
				}
				if len(got) != len(plain) {
					t.Errorf("%s: got %v", spelled, got)
				}
			}
		}
		// What is taken over stays one value.
		hint := must(url.Parse(b.open(base + "/login?client=web&login_hint=a%26redirect_uri%3Dhttps%3A%2F%2Fevil.test%23%3Fx").location)).Query()
		if hint.Get("login_hint") != "a&redirect_uri=https://evil.test#?x" || hint.Get("redirect_uri") != base+"/callback" || len(hint) != len(plain)+1 {
			t.Errorf("got %v", hint)
		}
		back := b.at(b.start(app+"/"), "alice")
		for _, again := range []string{"state", "%73tate", "code", "c%6fde", "iss", "i%73s", "error", "%65rror"} {
			query := back.URL + "&" + again + "=x"
			if strings.HasSuffix(again, "rror") {
				query += "&" + again + "=y"
			}
			b.fails(b.open(query), audit.LoginMalformed)
		}
		for _, path := range []string{"/callback/..;/logout", "/callback;x=1", "/callback%2f", "/callback/", "/..;/.credence/callback", "/callback%3f", "//callback"} {
			if got := b.open(base + path + "?" + must(url.Parse(back.URL)).RawQuery); got.status != 404 {
				t.Errorf("%s: got %d", path, got.status)
			}
		}
		if got := r.idp.Requests(oidctest.TokenEndpoint); got != 0 {
			t.Errorf("%d codes went to the provider", got)
		}
		b.back(back).leadsTo(app + "/")
	})
}

func hexOf(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) }

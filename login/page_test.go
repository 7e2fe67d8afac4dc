package login

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc/oidctest"
	"github.com/credence-authz/credence/session"
)

func TestSessionPage(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		if page := b.open(base + "/session"); page.status != 200 || !strings.Contains(page.body, "no session") || !strings.Contains(page.body, `href="/.credence/login"`) {
			t.Errorf("got %d: %s", page.status, page.body)
		}
		b.login(app + "/")
		page := b.open(base + "/session")
		for _, want := range []string{
			"<dd>Example Corp</dd>", "<dd>alice</dd>", "<dt>name</dt><dd>Alice &lt;b&gt;Ünal&lt;/b&gt;</dd>", "<dd>alice@example.com</dd>", "<dd>staff, ops</dd>",
			`<time datetime="2000-01-01T12:00:00Z">1 January 2000, 12:00 UTC</time>`, `href="/.credence/logout?client=web"`,
		} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page lacks %q: %s", want, page.body)
			}
		}
		b.fails(b.open(base+"/session?client=nobody"), audit.LoginMalformed)
		b.fails(b.open(base+"/session?client=web&client=web"), audit.LoginMalformed)
	})
}

// TestSEC_5_62_OnlyShownClaims: of whatever kind they are, and never a token.
func TestSEC_5_62_OnlyShownClaims(t *testing.T) {
	claims := map[string]any{"name": []any{"a", 1}, "email": map[string]any{"x": []int{}}, "groups": []string{}, "n": 1.5, "b": true, "long": strings.Repeat("ü", 2000), "quote\"d": "<"}
	bubble(t, func(s *setup) {
		s.handler.Clients[0].ShownClaims = []string{"name", "email", "groups", "n", "b", "long", "quote\"d", "absent"}
	}, func(r *rig) {
		r.idp.AddUser(oidctest.User{Subject: "alice", Claims: claims})
		b := r.browser()
		b.login(app + "/")
		_, m := b.session()
		shown, _ := m["claims"].(map[string]any)
		if len(shown) != 7 || shown["n"] != 1.5 || shown["quote\"d"] != "<" {
			t.Errorf("got %v", shown)
		}
		page := b.open(base + "/session")
		for _, want := range []string{"<dd>[&#34;a&#34;,1]</dd>", "<dd>{&#34;x&#34;:[]}</dd>", "<dd>[]</dd>", "<dd>1.5</dd>", "<dd>true</dd>", "<dd>" + strings.Repeat("ü", 512) + "…</dd>", "<dt>quote&#34;d</dt><dd>&lt;</dd>"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the page lacks %.40q: %s", want, page.body)
			}
		}
	})
}

func TestWantsJSON(t *testing.T) {
	for accept, want := range map[string]bool{"": false, "*/*": false, "text/html,application/xhtml+xml,*/*;q=0.8": false, "application/json": true, "application/json, text/plain, */*": true, "text/html, application/json": false} {
		if got := wantsJSON(&http.Request{Header: http.Header{"Accept": {accept}}}); got != want {
			t.Errorf("%q: got %v", accept, got)
		}
	}
}

// TestWrongMethodsAndPaths: a page each, and never a redirect by the mux.
func TestWrongMethodsAndPaths(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		for _, c := range []struct {
			method, address, allow string
			want                   int
		}{
			{"PUT", base + "/login", "GET, POST", 405}, {"DELETE", base + "/callback", "GET, POST", 405}, {"PATCH", base + "/logout", "GET, POST", 405},
			{"POST", base + "/session", "GET", 405}, {"POST", base + "/signed-out", "GET", 405}, {"OPTIONS", base + "/login", "GET, POST", 405}, {"TRACE", base + "/login", "GET, POST", 405},
			{"HEAD", base + "/login?client=web", "GET, POST", 405}, {"HEAD", base + "/callback", "GET, POST", 405}, {"HEAD", base + "/logout", "", 200}, {"HEAD", base + "/session", "", 200},
			{"GET", base, "", 404}, {"GET", base + "/", "", 404}, {"GET", base + "/login/", "", 404}, {"GET", app + "//evil.test/.credence/login", "", 404}, {"GET", base + "/../.credence/login", "", 404},
			{"GET", base + "//login", "", 404}, {"GET", base + "/%2e%2e/login", "", 404}, {"GET", base + "/x", "", 404}, {"GET", app + "/", "", 404}, {"GET", base + "/LOGIN", "", 404}, {"CONNECT", base + "/login/../x", "", 404},
		} {
			req := httptest.NewRequestWithContext(r.t.Context(), c.method, c.address, nil)
			got := b.serve(req)
			if got.status != c.want || got.header.Get("Allow") != c.allow || got.location != "" {
				t.Errorf("%s %s: got %d, Allow %q, Location %q", c.method, c.address, got.status, got.header.Get("Allow"), got.location)
			}
		}
		if got := b.open(base + "/nowhere"); !strings.Contains(got.body, `href="/"`) || !strings.Contains(got.body, "There is nothing here") || strings.Contains(got.body, "login") {
			t.Errorf("no way on, or talk of a login: %s", got.body)
		}
		if got := b.post(base+"/session", url.Values{}); !strings.Contains(got.body, "This can’t be done here") || strings.Contains(got.body, "login") {
			t.Errorf("talk of a login: %s", got.body)
		}
		b.header.Set("Accept", "application/json")
		if got := b.open(base + "/nowhere"); !strings.HasPrefix(got.body, `{"error":"login_malformed","message":"the login can't be understood","reference":"`) {
			t.Errorf("got %s", got.body)
		}
	})
}

// TestEndpoints: the list that others go by is what is answered.
func TestEndpoints(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for _, path := range Endpoints {
			if got := r.browser().open(base + path); got.status == 404 {
				t.Errorf("%s: got 404", path)
			}
		}
		if len(Endpoints) != 5 {
			t.Errorf("got %q", Endpoints)
		}
	})
}

// TestSEC_5_32_5_47_HugeRequests: a page, and work that is bounded.
func TestSEC_5_32_5_47_HugeRequests(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		b.fails(b.post(base+"/callback", url.Values{"state": {strings.Repeat("a", 1<<20)}}), audit.LoginMalformed)
		b.fails(b.post(base+"/logout", url.Values{"client": {strings.Repeat("a", 1<<20)}}), audit.LoginMalformed)
		b.fails(b.open(base+"/login?"+strings.Repeat("a&", 100_000)), audit.LoginMalformed)
		req := httptest.NewRequestWithContext(r.t.Context(), "POST", base+"/callback", strings.NewReader("{}"))
		req.Header.Set("Content-Type", "application/json")
		b.fails(b.serve(req), audit.LoginMalformed)
		for _, cookie := range []string{
			strings.Repeat("__Host-credence-binding=a; ", 5000), strings.Repeat("a=b; ", 5000), "__Host-credence-binding=" + strings.Repeat("a", 60_000), "__Host-credence-binding=; =;;a",
			"__Host-credence-binding=" + r.handler.ring.Seal(session.PurposeBinding, bindingName, []byte("x")),
		} {
			req := httptest.NewRequestWithContext(r.t.Context(), "GET", base+"/login?client=web", nil)
			req.Header.Set("Cookie", cookie)
			b.serve(req).leadsBelow(authorization)
		}
	})
}

// TestPanicIsAPage: with the stack in the log, and nothing of it on the page.
func TestPanicIsAPage(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		r.handler.clients[0].Party = nil
		page := b.fails(b.start(app+"/"), audit.InternalError)
		if strings.Contains(page.body, "goroutine") || !strings.Contains(r.log.String(), "goroutine") {
			t.Error("the stack isn't where it belongs")
		}
	})
}

func TestReplacedPages(t *testing.T) {
	files := fstest.MapFS{
		"layout.html":     {Data: []byte("<!doctype html>{{.Style}}<h1>ACME</h1>{{template \"content\" .}}")},
		"error.html":      {Data: []byte(`{{define "content"}}Oops: {{.Reason}} {{.Reference}}{{if eq .Reason "login_state_invalid"}}{{index .Choices 7}}{{end}}{{end}}`)},
		"style.css":       {Data: []byte("h1 { color: red }\r\n/* </ */ a > b {}")},
		"signed-out.html": {Data: []byte(`{{define "content"}}Bye {{.Continue}}{{end}}`)},
	}
	bubble(t, func(s *setup) { s.handler.Pages = files }, func(r *rig) {
		b := r.browser()
		page := b.open(base + "/login?client=x")
		sum := sha256.Sum256([]byte("h1 { color: red }\n/* </ */ a > b {}"))
		if !strings.Contains(page.body, "<style>h1 { color: red }\n/* </ */ a > b {}</style><h1>ACME</h1>Oops: login_malformed ") {
			t.Errorf("got %s", page.body)
		}
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; form-action 'self';") {
			t.Errorf("got %q", policy)
		}
		if page := b.open(base + "/signed-out"); !strings.Contains(page.body, "ACME</h1>Bye /") {
			t.Errorf("got %s", page.body)
		}
		if page := b.open(base + "/session"); !strings.Contains(page.body, "ACME</h1>\n") || !strings.Contains(page.body, "no session") {
			t.Errorf("got %s", page.body)
		}
		// A template that fails with one page's data.
		page = b.open(base + "/callback?state=x")
		if page.status != 500 || !strings.Contains(page.body, "The login can’t be continued.") || !strings.Contains(r.log.String(), "page can't be made") {
			t.Errorf("got %d: %s", page.status, page.body)
		}
	})
}

func TestPagesThatCantBe(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"syntax":             {"error.html": {Data: []byte("{{")}},
		"no such field":      {"session.html": {Data: []byte(`{{define "content"}}{{.Nothing}}{{end}}`)}},
		"layout":             {"layout.html": {Data: []byte(`{{`)}},
		"no content":         {"choose.html": {Data: []byte(`hello`)}},
		"end of the style":   {"style.css": {Data: []byte(`</STYLE><script>`)}},
		"not a file, style":  {"style.css/a": {}},
		"not a file, layout": {"layout.html/a": {}},
		"not a file, page":   {"error.html/a": {}},
	} {
		if _, err := loadPages(files, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := loadPages(os.DirFS(t.TempDir()+"/nothing"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a folder that isn't there: no error")
	}
}

// TestFilesThatReplaceNothing: one line that names them and what there is. Kubernetes
// has hidden links of its own in a folder that it mounts.
func TestFilesThatReplaceNothing(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string // empty: nothing is logged
	}{
		"all known":         {fstest.MapFS{"style.css": {}, "..data/style.css": {}, ".error.html.swp": {}}, ""},
		"a slip":            {fstest.MapFS{"eror.html": {}, "style.css": {}}, "files=[eror.html] known=\"[layout.html style.css error.html logout.html session.html signed-out.html choose.html continue.html]\""},
		"another, a folder": {fstest.MapFS{"logo.svg": {}, "img/a.png": {}}, `files="[img logo.svg]"`},
	} {
		var log bytes.Buffer
		if _, err := loadPages(c.files, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := log.String(); !strings.Contains(got, c.want) || (got != "") != (c.want != "") || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: logged %q, want %q", name, got, c.want)
		}
	}
}

// TestPagesAreAccessible: a language, one heading, labels, no script and nothing
// from elsewhere; colours for day and night.
func TestPagesAreAccessible(t *testing.T) {
	p := must(loadPages(nil, nil))
	for _, name := range pageNames {
		page := string(must(p.render(name, Page{Title: "T", Message: "M", Continue: "/", Sessions: make([]PageSession, 2), Choices: make([]PageChoice, 2)})))
		for _, want := range []string{`<html lang="en">`, `name="viewport"`, "<main>", "<h1>T</h1>", "<title>T</title>", "prefers-color-scheme: dark", ":focus-visible"} {
			if strings.Count(page, want) != 1 {
				t.Errorf("%s has %d × %q", name, strings.Count(page, want), want)
			}
		}
		for _, not := range []string{"<script", "src=", "http://", "https://", "style=", "onclick", "javascript"} {
			if strings.Contains(page, not) {
				t.Errorf("%s has %q", name, not)
			}
		}
	}
}

func TestEveryReasonHasASentence(t *testing.T) {
	for _, reason := range audit.Reasons() {
		if text := sentence(reason.Public()); text != "" && (!strings.HasSuffix(text, ".") || text[0] < 'A' || text[0] > 'Z') {
			t.Errorf("%v: %q", reason, text)
		}
	}
}

func TestOptionsThatCantBe(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		good := Options{Prefix: "/.credence", Sessions: r.sessions, Ring: r.handler.ring, Clients: []Client{{Name: "web", Party: strangerAt(base + "/callback")}}}
		if _, err := New(good); err != nil {
			t.Fatal(err)
		}
		for want, edit := range map[string]func(*Options){
			"sessions or ring is missing":                  func(o *Options) { o.Ring = nil },
			"there are no clients":                         func(o *Options) { o.Clients = nil },
			`prefix "/a/" isn't`:                           func(o *Options) { o.Prefix = "/a/" },
			`prefix "/a/../b" isn't`:                       func(o *Options) { o.Prefix = "/a/../b" },
			`prefix "/{a}" isn't`:                          func(o *Options) { o.Prefix = "/{a}" },
			`prefix "a" isn't`:                             func(o *Options) { o.Prefix = "a" },
			"trusted hops -1 is":                           func(o *Options) { o.TrustedHops = -1 },
			"the name isn't":                               func(o *Options) { o.Clients[0].Name = "a.b" },
			"relying party is missing":                     func(o *Options) { o.Clients[0].Party = nil },
			"logout 3 isn't known":                         func(o *Options) { o.Clients[0].Logout = 3 },
			`isn't an origin and "/.credence/c`:            func(o *Options) { o.Clients[0].Party = strangerAt(app + "/callback") },
			`return address "https://a/b" isn't an origin`: func(o *Options) { o.Clients[0].ReturnTo = []string{"https://a/b"} },
			`post-logout redirect URI "bye" isn't`:         func(o *Options) { o.Clients[0].PostLogoutRedirectURI = "bye" },
			`"web" is there twice`:                         func(o *Options) { o.Clients = append(o.Clients, o.Clients[0]) },
			"style":                                        func(o *Options) { o.Pages = fstest.MapFS{"style.css": {Data: []byte("</style>")}} },
		} {
			o := good
			o.Clients = slices.Clone(good.Clients)
			edit(&o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		// Where people go who don't say where, and no prefix at all.
		o := good
		o.Prefix, o.Clients = "", slices.Clone(good.Clients)
		o.Clients[0].Party, o.Clients[0].ReturnTo = strangerAt("http://localhost:3000/callback"), []string{"https://a.example.com"}
		h := must(New(o))
		if c := h.clients[0]; c.home != "https://a.example.com/" || c.base != "http://localhost:3000" || h.overTLS {
			t.Errorf("got %+v", c)
		}
	})
}

// TestScannersAreNotAudited: what isn't there is no login that failed.
func TestScannersAreNotAudited(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		b := r.browser()
		for _, path := range []string{"/wp-login.php", base + "/nothing"} {
			if got := b.open(app + strings.TrimPrefix(path, app)); got.status != 404 {
				t.Errorf("%s: got %d", path, got.status)
			}
		}
		r.close()
		if text := r.audit.String(); text != "" {
			t.Errorf("audited: %s", text)
		}
	})
}

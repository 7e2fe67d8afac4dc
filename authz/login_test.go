package authz

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// web is a client whose people log in at app.example.com, and may come back to two
// other origins.
var web = Client{
	Name: "web", Provider: "corp", LoginURL: "https://app.example.com/.credence/login",
	ReturnTo: []string{"https://app.example.com", "https://api.example.com", "http://localhost:8000", "http://[::1]:9000"},
}

var loginPaths = []string{"/.credence/login", "/.credence/callback"}

// newSessions are sessions in cookies.
func newSessions(t testing.TB, o session.Options) *session.Sessions {
	t.Helper()
	ring, err := session.NewRing(session.RingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.Ring = ring
	if o.Idle == 0 {
		o.Idle, o.Lifetime = time.Hour, 12*time.Hour
	}
	s, err := session.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newSite is an engine with these rules, whose people log in by web.
func newSite(t testing.TB, o session.Options, rules ...Rule) (*Engine, *session.Sessions) {
	t.Helper()
	sessions := newSessions(t, o)
	corp := newIssuer(t, "corp")
	return newEngine(t, Options{
		Rules: rules, Sessions: sessions, Clients: []Client{web, {Name: "other", Provider: "corp", LoginURL: web.LoginURL, ReturnTo: web.ReturnTo}},
		LoginPaths: loginPaths, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
	}), sessions
}

// app wants a session of web for every request.
var app = Rule{Name: "app", Login: "web", Headers: map[string]string{"x-user": "claims.sub"}}

// navigate is what a browser sends with a page's address.
var navigate = []Header{
	{"accept", "text/html,application/xhtml+xml"}, {"sec-fetch-site", "none"}, {"sec-fetch-mode", "navigate"},
	{"sec-fetch-dest", "document"}, {"sec-fetch-user", "?1"},
}

func TestOnlyNavigationsAreSentToTheLogin(t *testing.T) {
	engine, _ := newSite(t, session.Options{}, app)
	without := func(name string) []Header {
		return slices.DeleteFunc(slices.Clone(navigate), func(h Header) bool { return h.Name == name })
	}
	with := func(h ...Header) []Header { return append(slices.Clone(navigate), h...) }
	for _, row := range []struct {
		name, method string
		headers      []Header
		status       int
	}{
		{"a page", "GET", navigate, 302},
		{"a page, asked for by its head", "HEAD", navigate, 302},
		{"a browser too old for Sec-Fetch", "GET", []Header{{"accept", "text/html"}}, 302},
		{"capitals", "GET", []Header{{"accept", "TEXT/HTML"}}, 302},
		{"curl", "GET", []Header{{"accept", "*/*"}}, 401},
		{"nothing said", "GET", nil, 401},
		{"fetch", "GET", []Header{{"accept", "*/*"}, {"sec-fetch-mode", "cors"}, {"sec-fetch-dest", "empty"}, {"sec-fetch-site", "same-origin"}}, 401},
		{"fetch that wants HTML", "GET", []Header{{"accept", "text/html"}, {"sec-fetch-mode", "cors"}, {"sec-fetch-dest", "empty"}}, 401},
		{"an old XMLHttpRequest", "GET", []Header{{"accept", "text/html, */*"}, {"x-requested-with", "XMLHttpRequest"}}, 401},
		{"a frame", "GET", append(without("sec-fetch-dest"), Header{"sec-fetch-dest", "iframe"}), 401},
		{"an image", "GET", []Header{{"accept", "image/*"}, {"sec-fetch-mode", "no-cors"}, {"sec-fetch-dest", "image"}}, 401},
		{"a destination that isn't said", "GET", without("sec-fetch-dest"), 401},
		{"a mode that isn't said", "GET", without("sec-fetch-mode"), 401},
		{"a prefetch", "GET", with(Header{"sec-purpose", "prefetch;prerender"}), 401},
		{"a WebSocket", "GET", []Header{{"upgrade", "websocket"}, {"accept", "text/html"}}, 401},
		{"gRPC", "POST", []Header{{"content-type", "application/grpc"}, {"accept", "text/html"}}, 401},
		{"a program with a token that this rule doesn't take", "GET", with(Header{"authorization", "Bearer abc"}), 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get("/", row.headers...)
			r.Method = row.method
			d := engine.Decide(t.Context(), r)
			wantReason(t, d, audit.NoCredential)
			if d.Denial.Status != row.status {
				t.Errorf("got status %d, want %d", d.Denial.Status, row.status)
			}
			if location := value(t, d.Denial.Headers, "location"); (location != "") != (row.status == 302) {
				t.Errorf("got location %q", location)
			}
			if len(d.SetCookies) > 0 || value(t, d.Denial.Headers, "set-cookie") != "" {
				t.Error("a denial sets a cookie")
			}
			if got := value(t, d.Denial.Headers, "cache-control"); got != "no-store" {
				t.Errorf("got Cache-Control %q", got)
			}
		})
	}
}

func TestAFormWithoutASessionIsAnsweredWithAPage(t *testing.T) {
	engine, _ := newSite(t, session.Options{}, app)
	r := get(`/"><script>`, navigate...)
	r.Method = "POST"
	d := engine.Decide(t.Context(), r)
	wantReason(t, d, audit.NoCredential)
	if d.Denial.Status != 401 || value(t, d.Denial.Headers, "content-type") != "text/html; charset=utf-8" {
		t.Errorf("got %d %v", d.Denial.Status, d.Denial.Headers)
	}
	if !strings.Contains(d.Denial.Body, `<a href="https://app.example.com/.credence/login?client=web&amp;return_to=https%3A%2F%2Fapp.example.com%2F">`) || strings.Contains(d.Denial.Body, "script") {
		t.Errorf("got %s", d.Denial.Body)
	}
}

func TestWhereALoginLeadsBackTo(t *testing.T) {
	engine, _ := newSite(t, session.Options{}, app)
	for _, row := range []struct{ name, host, target, want string }{
		{"path and query", "app.example.com", "/a/b?c=d&e=%2F", "https://app.example.com/a/b?c=d&e=%2F"},
		{"another origin", "api.example.com", "/", "https://api.example.com/"},
		{"the default port", "api.example.com:443", "/", "https://api.example.com/"},
		{"capitals and a final dot", "APP.example.com.", "/", "https://app.example.com/"},
		{"a port", "localhost:8000", "/x", "http://localhost:8000/x"},
		{"a port that the proxy took off", "localhost", "/x", "http://localhost:8000/x"},
		{"a port of the proxy's own", "app.example.com:10000", "/x", "https://app.example.com/x"},
		{"an IPv6 address", "[::1]:9000", "/x", "http://[::1]:9000/x"},
		{"a host that isn't configured", "evil.example", "/", ""},
		{"a host below a configured one", "x.app.example.com", "/", ""},
		{"a target far too long", "app.example.com", "/" + strings.Repeat("a", 2048), "https://app.example.com/"},
		{"a target just short enough", "app.example.com", "/" + strings.Repeat("a", 2047), "https://app.example.com/" + strings.Repeat("a", 2047)},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get(row.target, navigate...)
			r.Host = row.host
			d := engine.Decide(t.Context(), r)
			location := value(t, d.Denial.Headers, "location")
			if row.want == "" {
				if d.Denial.Status != 401 || location != "" {
					t.Errorf("got %d %q, want 401 and no location", d.Denial.Status, location)
				}
				return
			}
			u, err := url.Parse(location)
			if err != nil {
				t.Fatal(err)
			}
			if base, _, _ := strings.Cut(location, "?"); base != web.LoginURL {
				t.Errorf("got the login at %q", base)
			}
			q := u.Query()
			if got := q.Get("return_to"); got != row.want {
				t.Errorf("got return_to %q, want %q", got, row.want)
			}
			if q.Get("client") != "web" || len(q) != 2 {
				t.Errorf("got %v", q)
			}
		})
	}
}

func TestTheLoginPagesAreOpenToAll(t *testing.T) {
	engine, _ := newSite(t, session.Options{}, app)
	for _, row := range []struct {
		name, method, host, target string
		want                       audit.Reason
	}{
		{"the login", "GET", "app.example.com", "/.credence/login?client=web", audit.OwnEndpoint},
		{"the callback", "POST", "app.example.com", "/.credence/callback", audit.OwnEndpoint},
		{"another host", "GET", "api.example.com", "/.credence/login", audit.NoCredential},
		{"another path", "GET", "app.example.com", "/.credence/other", audit.NoCredential},
		{"below", "GET", "app.example.com", "/.credence/login/x", audit.NoCredential},
		{"another method", "DELETE", "app.example.com", "/.credence/login", audit.NoCredential},
		{"another spelling", "GET", "app.example.com", "/.credence//login", audit.AmbiguousPath},
		{"a letter escaped", "GET", "app.example.com", "/.credenc%65/login", audit.AmbiguousPath},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get(row.target, Header{"cookie", "__Host-credence.web=abc; a=b"}, Header{"x-user", "admin"})
			r.Method, r.Host = row.method, row.host
			d := engine.Decide(t.Context(), r)
			if d.Reason != row.want && !(row.want == audit.NoCredential && d.Reason == audit.SessionInvalid) {
				t.Errorf("got %v, want %v", d.Reason, row.want)
			}
			if row.want != audit.OwnEndpoint {
				return
			}
			if slices.Contains(d.Remove, "cookie") || value(t, d.Set, "cookie") != "" {
				t.Error("our cookies are cut out on the way to our own pages")
			}
			if !slices.Contains(d.Remove, "x-user") {
				t.Error("a forged identity header stays")
			}
		})
	}
}

// TestSEC_P1_MetadataIsOpenToAll holds that exactly the addresses of metadata are open,
// also where nobody logs in.
func TestSEC_P1_MetadataIsOpenToAll(t *testing.T) {
	const at = "/.well-known/oauth-protected-resource"
	corp := newIssuer(t, "corp")
	engine := newEngine(t, Options{
		Rules:      []Rule{{Name: "api", Bearer: &Bearer{Providers: []string{"corp"}}, Headers: map[string]string{"x-user": "claims.sub"}}},
		Metadata:   []string{"https://API.example.com:8443" + at + "/v1", "https://mcp.example.com" + at, "http://[::1]:8000" + at + "/v6", "not a URL"},
		LoginPaths: loginPaths, // of no client
		Verifier:   newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
	})
	for _, row := range []struct {
		name, method, host, target string
		want                       audit.Reason
	}{
		{"a document", "GET", "api.example.com", at + "/v1", audit.OwnEndpoint},
		{"with a port and a query", "HEAD", "api.example.com:8443", at + "/v1?x", audit.OwnEndpoint},
		{"a preflight", "OPTIONS", "mcp.example.com", at, audit.OwnEndpoint},
		{"at an address of version 6", "GET", "[::1]:8000", at + "/v6", audit.OwnEndpoint},
		{"another host's path", "GET", "mcp.example.com", at + "/v1", audit.NoCredential},
		{"another path of the host's", "GET", "api.example.com", at, audit.NoCredential},
		{"below", "GET", "api.example.com", at + "/v1/x", audit.NoCredential},
		{"a host that has none", "GET", "app.example.com", at + "/v1", audit.NoCredential},
		{"another method", "POST", "api.example.com", at + "/v1", audit.NoCredential},
		{"another spelling", "GET", "api.example.com", at + "//v1", audit.AmbiguousPath},
		{"a login page of no client", "GET", "api.example.com", loginPaths[0], audit.NoCredential},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get(row.target, Header{"x-user", "admin"})
			r.Method, r.Host = row.method, row.host
			d := engine.Decide(t.Context(), r)
			if d.Reason != row.want || d.Allow != (row.want == audit.OwnEndpoint) {
				t.Errorf("got %v, want %v", d.Reason, row.want)
			}
			if d.Allow && !slices.Contains(d.Remove, "x-user") {
				t.Error("a forged identity header stays")
			}
		})
	}
}

func TestClientsThatCannotWork(t *testing.T) {
	for _, row := range []struct {
		name string
		c    Client
	}{
		{"a relative address", Client{Name: "web", LoginURL: "/login", ReturnTo: web.ReturnTo}},
		{"an address with a query", Client{Name: "web", LoginURL: "https://app.example.com/login?x", ReturnTo: web.ReturnTo}},
		{"nowhere to return to", Client{Name: "web", LoginURL: web.LoginURL}},
		{"a page to return to", Client{Name: "web", LoginURL: web.LoginURL, ReturnTo: []string{"https://app.example.com/x"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := New(Options{Clients: []Client{row.c}, Sessions: newSessions(t, session.Options{}), Counters: audit.NewCounters()}); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := New(Options{Clients: []Client{web}, Counters: audit.NewCounters()}); err == nil {
		t.Error("clients without sessions are accepted")
	}
	if err := checkRules([]Rule{{Name: "app", Login: "web"}}); err == nil || !errAs[*RuleError](problems(err)[0]) {
		t.Errorf("a rule with a client that isn't there: got %v", err)
	}
}

func TestReadHeadersOfALogin(t *testing.T) {
	read, err := ReadHeaders(Options{Clients: []Client{web}}) // ours are cut out on every rule
	if err != nil || !slices.Contains(read.Names, "cookie") {
		t.Fatalf("got %q, %v", read.Names, err)
	}
	if read, err = ReadHeaders(Options{Rules: []Rule{app}, Clients: []Client{web}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(navigationHeaders[:], "cookie", "authorization") {
		if !slices.Contains(read.Names, name) {
			t.Errorf("%s isn't among %q", name, read.Names)
		}
	}
}

func TestPeopleReadPagesAndProgramsJSON(t *testing.T) {
	rules := []Rule{
		{Name: "staff", Login: "web", Match: Match{Paths: []string{"/staff"}}, Require: `claims.sub == "root"`},
		{Name: "api", Bearer: &Bearer{Providers: []string{"corp"}}, Match: Match{Paths: []string{"/api"}}},
	}
	engine, sessions := newSite(t, session.Options{}, rules...)
	cookie := Header{"cookie", logIn(t, sessions, session.Record{})}
	for _, row := range []struct {
		name, path string
		headers    []Header
		id         string
		status     int
		page       bool
		want       string // on the page
	}{
		{"a person who may not", "/staff", append([]Header{cookie}, navigate...), "4f1c-9", 403, true, `<a href="https://app.example.com/.credence/logout">`},
		{"with an id to report", "/staff", append([]Header{cookie}, navigate...), "4f1c-9", 403, true, "<small>requirement_false, request 4f1c-9</small>"},
		{"with an id that a proxy wouldn't make", "/staff", append([]Header{cookie}, navigate...), "<script>", 403, true, "<small>requirement_false</small>"},
		{"a path that no rule is for", "/nothing", navigate, "", 403, true, "No rule allows this request."},
		{"a script", "/staff", []Header{cookie, {"accept", "*/*"}}, "", 403, false, ""},
		{"a program that says it navigates", "/nothing", append([]Header{bearer("a.b.c")}, navigate...), "", 403, false, ""},
		{"an API without a token", "/api", navigate, "", 401, true, "no_credential"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get(row.path, row.headers...)
			r.ID = row.id
			d := engine.Decide(t.Context(), r)
			html := value(t, d.Denial.Headers, "content-type") == "text/html; charset=utf-8"
			if d.Denial.Status != row.status || html != row.page || row.page && !strings.Contains(d.Denial.Body, row.want) || strings.Contains(d.Denial.Body, "script>") {
				t.Errorf("got %d %v %s", d.Denial.Status, d.Denial.Headers, d.Denial.Body)
			}
			if value(t, d.Denial.Headers, "cache-control") != "no-store" {
				t.Errorf("got %v", d.Denial.Headers)
			}
			if policy := value(t, d.Denial.Headers, "content-security-policy"); row.page && !strings.Contains(policy, "default-src 'none'") {
				t.Errorf("got policy %q", policy)
			}
		})
	}
}

func TestWhyNobodyIsSentToLogIn(t *testing.T) {
	engine, _ := newSite(t, session.Options{}, app)
	r := get("/", navigate...)
	r.Host = "127.0.0.1:8000"
	d := engine.Decide(t.Context(), r)
	wantReason(t, d, audit.NoCredential)
	if d.Detail != "the host 127.0.0.1 is on no return_to of client web, so nobody is sent to log in" {
		t.Errorf("got detail %q", d.Detail)
	}
}

package authz

import (
	"cmp"
	"encoding/json"
	"os"
	"reflect"
	"runtime"
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

// The faults of docs/known-faults.md that are about a whole decision, each tried as
// somebody would who knows it from elsewhere.

// hearsay are headers by which a client tells some proxy or framework what only a
// proxy knows: where the request came from, what it was before, who sent it.
var hearsay = []string{
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-uri", "x-forwarded-url", "x-forwarded-path", "x-forwarded-prefix", "x-forwarded-method",
	"x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-server", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
	"x-forwarded-client-cert", "x-forwarded-tls-client-cert", "x-forwarded-tls-client-cert-info", "x_forwarded_host", "x_forwarded_uri", "forwarded", "forwarded-for", "via",
	"x-original-url", "x-original-uri", "x-original-host", "x-original-method", "x-original-path", "x-original-forwarded-for", "x-rewrite-url", "x-override-url", "x-http-destinationurl", "x-proxy-url", "x-host", "x-url-scheme",
	"x-envoy-original-path", "x-envoy-original-host", "x-envoy-internal", "x-envoy-external-address", "x-envoy-decorator-operation", "x-envoy-auth-partial-body", "x-envoy-peer-metadata", "x-envoy-attempt-count",
	"x-http-method-override", "x-http-method", "x-method-override", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip", "x-cluster-client-ip", "x-remote-addr", "client-ip",
	"ssl-client-cert", "x-ssl-client-cert", "x-client-cert", "client-cert", "x-amzn-mtls-clientcert", "x-auth-request-user", "x-auth-request-email", "x-auth-request-redirect", "x-remote-user", "remote-user", "x-webauth-user", "x-goog-iap-jwt-assertion",
	"x-authorization", "proxy-authorization", "x-access-token", "x-auth-token", "x-id-token", "access-token", "token", "dpop-nonce", "x-jwt-assertion", "x-jwt-payload", "x-credence-user", "x-credence-rule", "x-ext-authz-check-result",
	"user-agent", "x-health-check", "x-probe", "x-purpose", "host", "origin", "referer", ":path", ":authority", ":method", ":scheme",
}

// TestSEC_5_26_HearsayChangesNothing: what is decided is decided by the
// proxy's own account of the request. No header of the client's changes the decision
// or any part of the answer (CVE-2023-27487, CVE-2026-40575, CVE-2026-34457).
// Held as well: SEC-5.39, SEC-5.40.
func TestSEC_5_26_HearsayChangesNothing(t *testing.T) {
	corp := newIssuer(t, "corp")
	sessions := newSessions(t, session.Options{})
	api := []string{"api.example.com"}
	e := newEngine(t, Options{
		Sessions: sessions, Clients: []Client{web}, LoginPaths: loginPaths, TrustedHops: 1,
		Metadata: []string{"https://api.example.com/.well-known/oauth-protected-resource"},
		Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
		Rules: []Rule{
			{Name: "health", Match: Match{Hosts: api, Paths: []string{"/healthz"}}, Public: true},
			{Name: "read", Match: Match{Hosts: api, Paths: []string{"/orders"}, Methods: []string{"GET"}}, Public: true},
			{Name: "orders", Match: Match{Hosts: api, Paths: []string{"/orders"}}, Bearer: &Bearer{Providers: []string{"corp"}, ResourceMetadata: "https://api.example.com/.well-known/oauth-protected-resource"}},
			{Name: "described", Match: Match{Hosts: api, Paths: []string{"/described"}}, Public: true, Headers: map[string]string{"x-seen": `request.method + " " + request.scheme + " " + request.host + " " + request.path + " " + request.query`}},
			{Name: "here", Match: Match{Hosts: api, Paths: []string{"/here"}}, Public: true, Require: `request.scheme == "https" && request.host == "app.example.com" && request.method == "DELETE"`},
			{Name: "app", Match: Match{Hosts: []string{"app.example.com"}}, Login: "web"},
		},
	})
	ask := func(method, host, target string, headers ...Header) *Request {
		r := get(target, headers...)
		r.Method, r.Host = method, host
		return r
	}
	token, cookie := bearer(corp.Sign(oidctest.Token{})), Header{"cookie", logIn(t, sessions, session.Record{})}
	requests := map[string]func() *Request{
		"nothing that leads anywhere": func() *Request { return ask("GET", "api.example.com", "/admin") },
		"a host without rules":        func() *Request { return ask("GET", "evil.test", "/healthz") },
		"a public path":               func() *Request { return ask("GET", "api.example.com", "/healthz") },
		"a method that isn't public":  func() *Request { return ask("DELETE", "api.example.com", "/orders") },
		"a bad token":                 func() *Request { return ask("DELETE", "api.example.com", "/orders", bearer("a.b.c")) },
		"a good token":                func() *Request { return ask("DELETE", "api.example.com", "/orders", token) },
		"a rule that tells":           func() *Request { return ask("GET", "api.example.com", "/described?a=b") },
		"a rule that asks":            func() *Request { return ask("GET", "api.example.com", "/here") },
		"a path of two readings":      func() *Request { return ask("GET", "api.example.com", "/healthz/..;/orders") },
		"nobody's navigation":         func() *Request { return ask("GET", "app.example.com", "/deep?a=b", navigate...) },
		"nobody's form":               func() *Request { return ask("POST", "app.example.com", "/deep", navigate...) },
		"a session":                   func() *Request { return ask("GET", "app.example.com", "/", cookie) },
		"the login":                   func() *Request { return ask("GET", "app.example.com", "/.credence/login") },
	}
	says := []string{
		"/healthz", "/.credence/login", "api.example.com", "app.example.com", "127.0.0.1", "127.0.0.1, 10.0.0.1", "https", "GET", "alice", "admin", "true", "200", "443", token.Value, strings.TrimPrefix(token.Value, "Bearer "),
		"for=127.0.0.1;host=app.example.com;proto=https", `By=x;Hash=0;Subject="CN=admin";URI=spiffe://a/admin`, "kube-probe/1.33", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Envoy/HC",
	}
	now := time.Now()
	for name, request := range requests {
		decided := func(more ...Header) Decision {
			r := request()
			r.Time, r.Headers = now, append(slices.Clone(more), r.Headers...)
			d := e.Decide(t.Context(), r)
			d.Cached = false
			d.Set, d.Remove = slices.Clone(d.Set), slices.Clone(d.Remove)
			return d
		}
		want := decided()
		var all []Header
		for _, header := range hearsay {
			for _, value := range says {
				all = append(all, Header{header, value})
				if got := decided(Header{header, value}); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, with %s: %s:\ngot  %+v %+v\nwant %+v %+v", name, header, value, got, got.Denial, want, want.Denial)
				}
			}
		}
		for batch := range slices.Chunk(all, 500) {
			if got := decided(batch...); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, with %d headers at once: got %+v, want %+v", name, len(batch), got, want)
			}
		}
	}
}

// TestSEC_5_24_PresenceIsNoProof: a credential that is merely there lets nobody in
// (CVE-2022-29226), be it of another kind than the rule asks for, another proxy's, or
// ours by its name alone.
func TestSEC_5_24_PresenceIsNoProof(t *testing.T) {
	corp := newIssuer(t, "corp")
	sessions := newSessions(t, session.Options{})
	e := newEngine(t, Options{
		Sessions: sessions, Clients: []Client{web}, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
		Rules: []Rule{
			{Name: "app", Match: Match{Paths: []string{"/app"}}, Login: "web"}, {Name: "api", Match: Match{Paths: []string{"/api"}}, Bearer: orders.Bearer},
			{Name: "both", Match: Match{Paths: []string{"/both"}}, Login: "web", Bearer: orders.Bearer}, {Name: "neither", Match: Match{Paths: []string{"/neither"}}},
		},
	})
	good, own := corp.Sign(oidctest.Token{}), logIn(t, sessions, session.Record{})
	elsewhere := logIn(t, newSessions(t, session.Options{}), session.Record{})
	_, value, _ := strings.Cut(own, "=")
	for name, c := range map[string]struct {
		headers []Header
		allowed []string // paths
	}{
		"nothing":                     {nil, nil},
		"a forged token":              {[]Header{bearer("forged")}, nil},
		"a forged JWT":                {[]Header{bearer(good[:strings.LastIndexByte(good, '.')+1])}, nil},
		"an empty token":              {[]Header{{"authorization", "Bearer "}}, nil},
		"a good token":                {[]Header{bearer(good)}, []string{"/api", "/both"}},
		"a session":                   {[]Header{{"cookie", own}}, []string{"/app", "/both"}},
		"a session, and a bad token":  {[]Header{{"cookie", own}, bearer("forged")}, []string{"/app"}},
		"a good token in a cookie":    {[]Header{{"cookie", "__Host-credence.web=" + good + "; access_token=" + good}}, nil},
		"a session as a token":        {[]Header{bearer(value)}, nil},
		"a session by another name":   {[]Header{{"cookie", "session=" + value + "; credence.web=" + value + "; __Secure-credence.web=" + value}}, nil},
		"a session in another header": {[]Header{{"x-cookie", own}, {"set-cookie", own}, {"cookie2", own}}, nil},
		"another installation's":      {[]Header{{"cookie", elsewhere}}, nil},
		"a cookie of the name":        {[]Header{{"cookie", "__Host-credence.web=1"}}, nil},
		"cookies of Envoy's filter":   {[]Header{{"cookie", "BearerToken=" + good + "; OauthHMAC=AAAA; OauthExpires=99999999999; IdToken=" + good + "; RefreshToken=x"}}, nil},
		"cookies of oauth2-proxy":     {[]Header{{"cookie", "_oauth2_proxy=" + value + "; _oauth2_proxy_0=" + value}}, nil},
		"a password":                  {[]Header{{"authorization", "Basic YWRtaW46"}}, nil},
		"a token in many places":      {[]Header{{"x-access-token", good}, {"proxy-authorization", "Bearer " + good}, {"x-forwarded-access-token", good}, {"token", good}}, nil},
	} {
		for _, path := range []string{"/app", "/api", "/both", "/neither"} {
			for _, target := range []string{path, path + "?access_token=" + good} {
				d := e.Decide(t.Context(), get(target, c.headers...))
				if want := slices.Contains(c.allowed, path); d.Allow != want {
					t.Errorf("%s on %s: got %v (%s), want allow %t", name, path, d.Reason, d.Detail, want)
				}
			}
		}
	}
}

// TestSEC_5_28_TwoCredentialsWhileKeysAreFetched: what can't be told apart is refused
// before anybody waits for keys, and hurts nobody who does (CVE-2024-45809,
// CVE-2025-64527).
func TestSEC_5_28_TwoCredentialsWhileKeysAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		corp, e := newCorp(t, orders)
		corp.AddKey("EdDSA", "new")
		corp.Break(oidctest.JWKS, oidctest.Fault{Delay: time.Second})
		fresh, forged := corp.Sign(oidctest.Token{KeyID: "new"}), corp.Sign(oidctest.Token{KeyID: "new", Alg: "none"})
		before := corp.Requests(oidctest.JWKS)
		var asking sync.WaitGroup
		for i := range 200 {
			two := []Header{bearer(fresh), bearer([]string{fresh, forged, "x"}[i%3])}
			if i%2 == 0 {
				slices.Reverse(two)
			}
			if i%5 == 0 {
				two = []Header{{"authorization", two[0].Value + "," + two[1].Value}}
			}
			asking.Go(func() {
				began := time.Now()
				wantReason(t, e.Decide(t.Context(), get("/", two...)), audit.MalformedAuthorization)
				if took := time.Since(began); took != 0 {
					t.Errorf("it waited for %v", took)
				}
			})
			asking.Go(func() { wantReason(t, e.Decide(t.Context(), get("/", bearer(fresh))), audit.Allowed) })
			asking.Go(func() {
				wantReason(t, e.Decide(t.Context(), get("/", bearer(forged))), audit.AlgorithmNotAllowed)
			})
		}
		asking.Wait()
		if got := corp.Requests(oidctest.JWKS) - before; got != 1 {
			t.Errorf("%d fetches, want one", got)
		}
	})
}

// TestSEC_5_34_RepeatedHeaders: a header that a rule reads counts only where all of
// its lines say the same, joined or not (CVE-2026-26308); an expression sees all of
// them, joined by commas.
func TestSEC_5_34_RepeatedHeaders(t *testing.T) {
	e := newEngine(t, Options{Rules: []Rule{
		{Name: "gold", Match: Match{Paths: []string{"/"}, Headers: map[string]string{"x-tier": "gold"}}, Public: true},
		{Name: "asked", Match: Match{Paths: []string{"/asked"}}, Public: true, Require: `request.headers["x-tier"] == "gold"`},
		{Name: "told", Match: Match{Paths: []string{"/told"}}, Public: true, Headers: map[string]string{"x-seen": `request.headers["x-tier"]`}},
	}})
	lines := func(values ...string) (list []Header) {
		for _, v := range values {
			list = append(list, Header{"x-tier", v})
		}
		return list
	}
	for _, row := range []struct {
		name    string
		headers []Header
		match   bool   // the rule's own condition
		asked   bool   // the expression
		told    string // what the expression sees
	}{
		{"once", lines("gold"), true, true, "gold"},
		{"twice the same", lines("gold", "gold"), true, false, "gold,gold"},
		{"another behind", lines("gold", "iron"), false, false, "gold,iron"},
		{"another before", lines("iron", "gold"), false, false, "iron,gold"},
		{"an empty one behind", lines("gold", ""), false, false, "gold,"},
		{"an empty one before", lines("", "gold"), false, false, ",gold"},
		{"joined by the proxy", lines("gold,iron"), false, false, "gold,iron"},
		{"joined, the same", lines("gold,gold"), false, false, "gold,gold"},
		{"with a blank behind", lines("gold "), false, false, "gold%20"},
		{"in another case", lines("Gold"), false, false, "Gold"},
		{"under another spelling of its name", []Header{{"x_tier", "gold"}}, false, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if d := e.Decide(t.Context(), get("/", row.headers...)); d.Allow != row.match {
				t.Errorf("the rule's condition: got %v, want %t", d.Reason, row.match)
			}
			if d := e.Decide(t.Context(), get("/asked", row.headers...)); d.Allow != row.asked {
				t.Errorf("an expression: got %v, want %t", d.Reason, row.asked)
			}
			if d := e.Decide(t.Context(), get("/told", row.headers...)); value(t, d.Set, "x-seen") != row.told {
				t.Errorf("an expression sees %q, want %q", value(t, d.Set, "x-seen"), row.told)
			}
		})
	}
}

// TestSEC_5_35_OneLineForEachDecision: whatever a client writes, the audit log has one
// line of JSON for it, and nothing in that line moves a terminal's cursor
// (CVE-2024-45808, CVE-2024-21499).
func TestSEC_5_35_OneLineForEachDecision(t *testing.T) {
	corp := newIssuer(t, "corp")
	var written, logged lines
	log := audit.NewLog(&written, audit.AllowsAll)
	e := newEngine(t, Options{
		Rules: []Rule{{Name: "orders", Match: Match{Hosts: []string{"api.example.com"}}, Bearer: orders.Bearer, Headers: map[string]string{"x-user": "claims.sub"}, Require: `claims.sub != "nobody"`}},
		Audit: log, Log: newTextLog(&logged), Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
	})
	const hostile = "x\r\n{\"reason\":\"allowed\"}\x1b]0;owned\a\x1b[2J\x00\x7f\u0085\u009b31m\u2028\u2029\u202e\u2066\ufeff\u200b\"\\"
	claim := func(name string) oidctest.Token { return oidctest.Token{Claims: map[string]any{name: hostile}} }
	header := func(name string) oidctest.Token { return oidctest.Token{Header: map[string]any{name: hostile}} }
	sent := 0
	for name, token := range map[string]oidctest.Token{
		"sub": claim("sub"), "iss": claim("iss"), "aud": claim("aud"), "client_id": claim("client_id"), "jti": claim("jti"), "scope": claim("scope"),
		"kid": header("kid"), "typ": header("typ"), "alg": header("alg"), "crit": {Header: map[string]any{"crit": []string{hostile}}},
		"a claim's name": {RawClaims: `{"a\r\n\u001b\u202e":1,"a\r\n\u001b\u202e":1}`}, "claims that aren't JSON": {RawClaims: hostile},
	} {
		for _, edit := range []func(*Request){
			func(*Request) {}, func(r *Request) { r.Target = "/" + hostile }, func(r *Request) { r.Target = "/?" + hostile }, func(r *Request) { r.Method = hostile }, func(r *Request) { r.Host = hostile },
			func(r *Request) { r.ID = hostile }, func(r *Request) { r.Headers[0].Value += hostile }, func(r *Request) { r.Headers = append(r.Headers, Header{hostile, hostile}) },
			func(r *Request) { r.Target = "/%0d%0a%1b%e2%80%a8%e2%80%ae" },
		} {
			r := get("/", bearer(corp.Sign(token)))
			edit(r)
			d := e.Decide(t.Context(), r)
			sent++
			for _, h := range slices.Concat(d.Set, cmp.Or(d.Denial, &Denial{}).Headers) {
				if strings.ContainsFunc(h.Value, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("%s: the header %s is %q", name, h.Name, h.Value)
				}
			}
		}
	}
	log.Close()
	n := 0
	for line := range strings.Lines(written.String()) {
		n++
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 {
			t.Errorf("%q isn't escaped in %q", line[i:min(len(line), i+4)], line)
		}
	}
	if n != sent {
		t.Errorf("%d lines for %d decisions", n, sent)
	}
	if strings.Contains(logged.String(), "panic") {
		t.Errorf("log: %s", &logged)
	}
}

// TestSEC_5_4_SeparatorsCostNothing: a header of a million of what others split at
// (CVE-2025-30204, CVE-2025-22868) allocates no more than a header of one.
func TestSEC_5_4_SeparatorsCostNothing(t *testing.T) {
	corp := newIssuer(t, "corp")
	sessions := newSessions(t, session.Options{})
	e := newEngine(t, Options{
		Sessions: sessions, Clients: []Client{web}, LoginPaths: loginPaths, TrustedHops: 3, Verifier: newVerifier(corp.provider(t, "corp", oidc.ProviderOptions{})),
		Rules: []Rule{{Name: "api", Match: Match{Paths: []string{"/api"}}, Bearer: orders.Bearer}, {Name: "all", Login: "web"}},
	})
	const size, flat, most = 1 << 20, 64 << 10, 8 << 20
	for _, separator := range []string{".", ",", " ", ";", "=", "; ", ", ", "/", "&", "%2e", "..", `\`, "\t", `"`, "a.", "Bearer ", "Bearer,", "q=", "__Host-credence.web=."} {
		long := strings.Repeat(separator, size/len(separator))
		foreign := get("/")
		foreign.Host = long
		for _, row := range []struct {
			name string
			r    *Request
			most uint64
		}{
			{"Authorization", get("/api", Header{"authorization", long}), flat},
			{"a token", get("/api", bearer("a"+long+"a")), flat},
			{"a proof", get("/api", Header{"authorization", "DPoP a.b.c"}, Header{"dpop", long}), flat},
			{"X-Forwarded-For", get("/api", Header{"x-forwarded-for", long}, bearer("opaque")), flat},
			{"Host", foreign, flat},
			{"Content-Type", get("/api", Header{"content-type", long}), flat},
			// Of these a copy is made, of another case, without escapes, or of what is left.
			{"Accept", get("/", Header{"accept", long}), most},
			{"Cookie", get("/", Header{"cookie", long}), most},
			{"the path", get("/" + long), most},
			{"the query", get("/?" + long), most},
		} {
			if got := bytesPerRun(func() {
				if d := e.Decide(t.Context(), row.r); d.Allow {
					t.Errorf("%s of %q is let in", row.name, separator)
				}
			}); got > row.most {
				t.Errorf("%s of %q: %d bytes allocated, want at most %d", row.name, separator, got, row.most)
			}
		}
	}
}

// bytesPerRun is how many bytes f allocates.
func bytesPerRun(f func()) uint64 {
	const runs = 3
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// TestSEC_5_56_OneAtSign: the expression that docs/login.md gives for the people of a
// domain takes an address with one @ and that domain, and nothing like it
// (CVE-2026-40574).
func TestSEC_5_56_OneAtSign(t *testing.T) {
	const text = `claims.email_verified && claims.email.matches("^[^@]+@example[.]com$")`
	if page, err := os.ReadFile("../docs/login.md"); err != nil || !strings.Contains(string(page), "`require: "+text+"`") {
		t.Errorf("the page gives another expression (%v)", err)
	}
	for address, want := range map[string]bool{
		`"alice@example.com"`: true, `"a.b+c@example.com"`: true,
		`"alice@evil.test@example.com"`: false, `"alice@example.com@evil.test"`: false, `"alice@@example.com"`: false, `"@example.com"`: false, `"example.com"`: false, `""`: false,
		`"alice@evil-example.com"`: false, `"alice@exampleXcom"`: false, `"alice@sub.example.com"`: false, `"alice@example.com.evil.test"`: false, `"alice@EXAMPLE.com"`: false,
		`"alice@example.com\n"`: false, `"alice@evil.test\n@example.com"`: false, `"alice@evil.test\nbob@example.com"`: false, `"\"alice@evil.test\"@example.com"`: false, `"alice@example.com "`: false, `"alice@example.com\u0000"`: false,
		`["alice@example.com"]`: false, `["alice@example.com","bob@evil.test"]`: false, `{"a":"alice@example.com"}`: false, `null`: false, `true`: false, `1`: false,
	} {
		if got := required(t, text, `{"email_verified":true,"email":`+address+`}`, get("/")) == nil; got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
	for _, verified := range []string{`false`, `"true"`, `1`, `null`, `["true"]`} {
		if required(t, text, `{"email":"alice@example.com","email_verified":`+verified+`}`, get("/")) == nil {
			t.Errorf("email_verified %s is enough", verified)
		}
	}
	for _, claims := range []string{`{}`, `{"email":"alice@example.com"}`, `{"email_verified":true}`, `{"Email":"alice@example.com","Email_Verified":true}`} {
		if required(t, text, claims, get("/")) == nil {
			t.Errorf("%s is enough", claims)
		}
	}
}

package e2e

import (
	"slices"
	"strings"
	"testing"
)

const identityRules = `
rules:
  - name: public
    match: {paths: [/public]}
    public: true
  - name: whole
    match: {paths: [/whole]}
    bearer: {providers: [corp]}
    headers: {x-user-id: claims.sub, x-user-groups: claims.groups, x-user-tenant: claims.tenant}
  - name: forwarding
    match: {paths: [/forwarding]}
    bearer: {providers: [corp]}
    forward_authorization: true
`

// spellings are ways to write x-user-id that some application takes for it: CGI
// and its heirs fold every one of them into HTTP_X_USER_ID.
var spellings = []string{"X-User-Id", "x-user-id", "X-USER-ID", "X_User_Id", "x_user_id", "x-user_id", "X_USER-ID", "x.user.id", "x-user.id", "x!user!id", "x~user'id"}

// forgedIdentity are header lines, one for each spelling.
func forgedIdentity() (lines []string) {
	for _, name := range spellings {
		lines = append(lines, name+": admin")
	}
	return append(lines, "X-User-Groups: admins", "x_user_groups: admins", "X-User-Tenant: gold", "x-user_tenant: gold")
}

// identities are what identityRules tell the application about alice of staff.
var identities = []struct {
	name, target string
	want         []string // as seen.identity gives them
}{
	{"on a public rule", "/public", nil},
	{"on a rule that sets them, one of them to a claim that is absent", "/whole", []string{"x-user-groups: staff", "x-user-id: alice"}},
	{"on a rule of the host that sets none", "/forwarding", nil},
}

// identity are the lines that an application may take for x-user-…, sorted.
func (s seen) identity() (lines []string) {
	for name, values := range s.Header {
		if folded := strings.NewReplacer("_", "-", ".", "-", "!", "-", "~", "-", "'", "-").Replace(name); strings.HasPrefix(folded, "x-user-") {
			for _, v := range values {
				lines = append(lines, name+": "+v)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Identity headers are Credence's word alone, whatever the rule and whatever the
// client sends.
// Held as well: SEC-5.41, SEC-5.42.
func TestSEC_O7_ForgedIdentity(t *testing.T) {
	t.Parallel()
	w := startWorld(t, identityRules, bothEncodings...)
	forged := append(forgedIdentity(), "X-Other: mine")
	token := bearer(w.provider, staff())
	for _, c := range identities {
		t.Run(c.name, func(t *testing.T) {
			w.envoy.eachWay(t, func(t *testing.T, client *client) {
				got := client.get(t, c.target, append(slices.Clone(forged), token)...).upstream(t)
				if identity := got.identity(); !slices.Equal(identity, c.want) {
					t.Errorf("got %q, want %q", identity, c.want)
				}
				if got.get("x-other") != "mine" {
					t.Errorf("got x-other %q: what isn't about identity passes", got.get("x-other"))
				}
			})
		})
	}
	t.Run("named in Connection", func(t *testing.T) {
		// A proxy that strips hop-by-hop headers after the check would strip ours.
		for _, name := range []string{"headers", "encode_raw_headers"} {
			got := w.envoy.client(t, name).get(t, "/whole", token, "Connection: x-user-id, x-user-groups", "X-User-Id: admin").upstream(t)
			if got.get("x-user-id") != "alice" || got.get("x-user-groups") != "staff" {
				t.Errorf("%s: got %q %q, want alice of staff", name, got.get("x-user-id"), got.get("x-user-groups"))
			}
		}
	})
}

// The application gets a credential only where a rule says so.
func TestAuthorizationForwarding(t *testing.T) {
	t.Parallel()
	w := startWorld(t, identityRules, bothEncodings...)
	token := bearer(w.provider, staff())
	w.envoy.eachWay(t, func(t *testing.T, client *client) { checkForwarding(t, client, token) })
}

// checkForwarding sends what the rules of identityRules forward, and what they don't.
func checkForwarding(t *testing.T, client *client, token string) {
	t.Helper()
	_, value, _ := strings.Cut(token, ": ")
	for _, c := range []struct{ name, target, sent, want string }{
		{"a verified token", "/whole", token, ""},
		{"a verified token, folded in two lines", "/whole", strings.Replace(token, "Bearer ", "Bearer\r\n ", 1), ""},
		{"a verified token where the rule forwards it", "/forwarding", token, value},
		{"a token that nobody looked at", "/public", token, ""},
		{"a DPoP token, which no rule takes yet", "/public", "Authorization: DPoP " + strings.TrimPrefix(value, "Bearer "), ""},
		{"a password, which is the application's own affair", "/public", "Authorization: Basic YTpi", "Basic YTpi"},
	} {
		if strings.Contains(c.sent, "\r\n") && client.http2 {
			continue // only HTTP/1.1 can fold
		}
		if got := client.get(t, c.target, c.sent).upstream(t).get("authorization"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	cookies := client.get(t, "/whole", token, "Cookie: a=1", "Cookie: b=2").upstream(t).values("cookie")
	if got := strings.Join(cookies, "; "); got != "a=1; b=2" {
		t.Errorf("got cookie %q: the application's own pass", got)
	}
}

// A claim may hold anything that JSON can. Whatever it is, the application gets
// one line of printable ASCII that says no more than the claim.
func TestClaimsInHeaders(t *testing.T) {
	t.Parallel()
	w := startWorld(t, `
rules:
  - name: whole
    bearer: {providers: [corp]}
    headers: {x-claim: claims.value}
    response_headers: {x-claim: claims.value}
`, append(bothEncodings, ingress{Name: "validating", Filter: "validate_mutations: true"})...)
	for _, c := range []struct {
		name  string
		claim any
		want  string // empty: no header
	}{
		{"text", "plain text, with a comma", "plain text, with a comma"},
		{"a line break", "a\r\nx-admin: true", "a%0D%0Ax-admin: true"},
		{"control bytes", "a\x00\x1b[31m\x7f", "a%00%1B[31m%7F"},
		{"letters beyond ASCII", "Zoë", "Zo%C3%AB"},
		{"a percent sign", "100%", "100%25"},
		{"spaces at the ends", " a ", "%20a%20"},
		{"a list", []string{"a", "b,c", "d"}, "a,b%2Cc,d"},
		{"a number", 42, "42"},
		{"a truth", true, "true"},
		{"nothing", "", ""},
		{"null", nil, ""},
		{"an object", map[string]any{"a": 1}, ""},
		{"more than a header should hold", strings.Repeat("a", 9<<10), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.envoy.eachWay(t, func(t *testing.T, client *client) {
				a := client.get(t, "/", bearer(w.provider, staff(map[string]any{"value": c.claim})), "X-Claim: forged", "x_claim: forged")
				if got := a.upstream(t).get("x-claim") + a.upstream(t).get("x_claim"); got != c.want {
					t.Errorf("application: got %q, want %q", got, c.want)
				}
				if got := a.header.Get("X-Claim"); got != c.want {
					t.Errorf("client: got %q, want %q", got, c.want)
				}
				if got := a.header.Get("X-Admin"); got != "" {
					t.Errorf("client: got x-admin %q", got)
				}
			})
		})
	}
}

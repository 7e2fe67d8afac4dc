package authz

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

// required judges a require expression on claims and a request.
func required(t testing.TB, text, claims string, r *Request) *audit.Refusal {
	t.Helper()
	return compiled(t, Rule{Bearer: &Bearer{}, Require: text}).judgeRequire(nil, &input{request: r, claims: claimsOf(t, claims)})
}

func TestRequire(t *testing.T) {
	const claims = `{
		"sub": "alice", "groups": ["staff", "ops"], "admin": true, "guest": false, "age": 42, "score": 0.5, "big": 18446744073709551616, "nothing": null, "empty": "",
		"realm_access": {"roles": ["reader", "writer"], "deep": {"er": 1}}, "https://example.com/roles": {"a b": "c"},
		"teams": [{"name": "red", "lead": true}, {"name": "blue"}], "mixed": [1, "a", null, true, {"x": 1}, [2]], "no": [], "none": {},
		"address": {"city": "Bern", "zip": 3000}, "home": {"zip": 3000, "city": "Bern"}, "scope": "a b", "yes": "true"
	}`
	const (
		yes     = audit.Allowed
		no      = audit.RequirementFalse
		missing = audit.ClaimMissing
		failed  = audit.RequirementFailed
	)
	rows := []struct {
		text string
		want audit.Reason
	}{
		{`true`, yes},
		{`false`, no},
		{`claims.sub == "alice"`, yes},
		{`claims.sub == "bob"`, no},
		{`claims["sub"] == "alice"`, yes},
		{`claims.sub.startsWith("al") && claims.sub.size() == 5`, yes},
		{`"staff" in claims.groups`, yes},
		{`"staf" in claims.groups`, no},
		{`claims.groups == ["staff", "ops"]`, yes},
		{`claims.groups[1] == "ops"`, yes},
		{`claims.groups[2] == "ops"`, failed},
		{`claims.groups.exists(g, g.endsWith("ps"))`, yes},
		{`claims.groups.all(g, g.size() > 3)`, no},
		{`claims.groups.exists_one(g, g == "ops")`, yes},
		{`claims.groups.filter(g, g != "ops").size() == 1`, yes},
		{`claims.groups.map(g, g + "!") == ["staff!", "ops!"]`, yes},
		{`size(claims.groups) == 2 && size(claims.no) == 0 && size(claims.none) == 0 && size(claims.realm_access) == 2`, yes},

		// A missing claim has a reason of its own, wherever it is.
		{`claims.department == "ops"`, missing},
		{`claims.realm_access.groups == "ops"`, missing},
		{`claims["https://example.com/roles"].x == "c"`, missing},
		{`"ops" in claims.department`, missing},
		{`claims.department.exists(d, d == "ops")`, missing},
		{`claims[claims.sub] == "x"`, missing},
		{`claims.teams.all(t, t.lead)`, missing},
		{`has(claims.department) && claims.department == "ops"`, no},
		{`!has(claims.department) || claims.department == "ops"`, yes},
		{`has(claims.sub) && has(claims.realm_access.roles) && !has(claims.realm_access.groups) && has(claims.nothing)`, yes},
		{`has(claims.department.name)`, missing},
		{`"department" in claims`, no},
		{`"sub" in claims && "city" in claims.address`, yes},
		{`has(claims.department) ? claims.department == "ops" : claims.sub == "alice"`, yes},

		// One side is enough for || and &&, on either side of a missing claim.
		{`claims.department == "ops" || claims.sub == "alice"`, yes},
		{`claims.sub == "alice" || claims.department == "ops"`, yes},
		{`claims.department == "ops" || claims.sub == "bob"`, missing},
		{`claims.department == "ops" || has(claims.other)`, missing},
		{`claims.department == "ops" && claims.sub == "bob"`, no},
		{`claims.sub == "alice" && claims.department == "ops"`, missing},

		// Wrong types don't compare, or compare as unequal.
		{`claims.sub > 5`, failed},
		{`claims.sub == 5`, no},
		{`claims.age == "42"`, no},
		{`claims.sub.name == "x"`, failed},
		{`claims.groups.name == "x"`, failed},
		{`claims.nothing.name == "x"`, failed},
		{`"a" in claims.sub`, failed},
		{`claims.sub.exists(x, x == 1)`, failed},
		{`claims.sub + 1 == 2`, failed},
		{`claims.groups["staff"] == 1`, failed},
		{`claims.realm_access[1] == 1`, failed},
		{`claims.realm_access < claims.address`, failed},
		{`1 / (claims.age - 42) == 1`, failed},
		{`int(claims.sub) == 1`, failed},
		{`request.headers["x-absent"] == "1"`, failed},
		{`has(claims.department) || request.headers["x-absent"] == "1"`, failed},

		// Only true is true.
		{`claims.admin`, yes},
		{`claims.guest`, no},
		{`claims.yes`, no},
		{`claims.age`, no},
		{`claims.nothing`, no},
		{`claims.groups`, no},
		{`claims.realm_access`, no},
		{`claims.absent`, missing},
		{`!claims.guest`, yes},
		{`!claims.yes`, failed},

		// Numbers are numbers, whole or not.
		{`claims.age == 42 && claims.age == 42.0 && claims.age >= 18.5`, yes},
		{`claims.score == 0.5 && claims.score < 1`, yes},
		{`claims.big > 1e19 && claims.big == 18446744073709551616.0`, yes},
		{`type(claims.age) == int && type(claims.score) == double && type(claims.big) == double`, yes},
		{`claims.nothing == null && claims.sub != null`, yes},
		{`claims.empty == ""`, yes},

		// Objects and lists of them.
		{`claims.realm_access.roles.exists(r, r == "writer")`, yes},
		{`"writer" in claims.realm_access.roles`, yes},
		{`claims.realm_access.deep.er == 1`, yes},
		{`claims["https://example.com/roles"]["a b"] == "c"`, yes},
		{`claims.teams.exists(t, t.name == "blue")`, yes},
		{`claims.teams.exists(t, has(t.lead) && t.lead)`, yes},
		{`claims.teams[0].name == "red"`, yes},
		{`claims.mixed == [1, "a", null, true, {"x": 1}, [2]]`, yes},
		{`claims.mixed[4].x == 1 && claims.mixed[5][0] == 2`, yes},
		{`claims.address == claims.home`, yes},
		{`claims.address == {"city": "Bern", "zip": 3000}`, yes},
		{`{"city": "Bern", "zip": 3000} == claims.address`, yes},
		{`claims.address != {"city": "Bern"}`, yes},
		{`claims.address == claims.realm_access`, no},
		{`claims.address == "Bern"`, no},
		{`claims.realm_access == {"deep": {"er": 1}, "roles": ["reader", "writer"]}`, yes},
		{`claims.address.exists(k, k == "zip" && claims.address[k] == 3000)`, yes},
		{`claims.address.map(k, k) == ["city", "zip"] && claims.home.map(k, k) == ["zip", "city"]`, yes},
		{`claims.address in [claims.home]`, yes},
		{`type(claims.address) == map && dyn(claims.address) == claims.home`, yes},
		{`claims == claims`, yes},

		// The request.
		{`request.method == "GET" && request.scheme == "https" && request.host == "api.example.com" && request.path == "/v1/a b" && request.query == "q=%20"`, yes},
		{`request.headers["x-one"] == "1" && request.headers["x-two"] == "1,2" && !("x-three" in request.headers)`, yes},
		{`request.context_extensions["policy"] == "orders" && size(request.context_extensions) == 1`, yes},
		{`request.time == timestamp("2026-01-02T12:00:00Z") && request.time.getHours("UTC") < 18`, yes},
		{`request.path.matches("^/v1/[a-z ]+$")`, yes},
		{`request.path.startsWith("/" + "v1/")`, yes},
		{`claims.groups.exists(request, request == "ops") && claims.groups.exists(claims, claims == "ops")`, yes},
	}
	r := &Request{
		Method: "GET", Scheme: "https", Host: "API.example.com:443", Target: "/v1/a%20b?q=%20",
		Headers:           []Header{{"x-one", "1"}, {"x-two", "1"}, {"x-two", "2"}},
		ContextExtensions: []Header{{"policy", "orders"}},
		Time:              time.Date(2026, 1, 2, 13, 0, 0, 0, time.FixedZone("CET", 3600)),
	}
	if refusal := r.normalise(); refusal != nil {
		t.Fatal(refusal)
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			got, refusal := yes, required(t, row.text, claims, r)
			if refusal != nil {
				got = refusal.Reason
			}
			if got != row.want {
				t.Errorf("got %v, want %v", refusal, row.want)
			}
		})
	}
}

// TestMissingClaimIsNamed: the claim without which it failed, not another that was
// asked for in passing.
func TestMissingClaimIsNamed(t *testing.T) {
	rows := []struct{ text, want string }{
		{`claims.a == "x"`, "a"},
		{`claims.a.b == "x"`, "a"},
		{`claims.here.b == "x"`, "b"},
		{`claims["a b"] == "x"`, "a b"},
		{`has(claims.z) || claims.a == "x"`, "a"},
		{`claims.a == "x" || has(claims.z)`, "a"},
		{`claims.list.all(e, e.a == has(e.z))`, "a"},
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			refusal := required(t, row.text, `{"here":{},"list":[{"x":1}]}`, get("/"))
			if want := "the token has no claim " + strconv.Quote(row.want); refusal == nil || refusal.Reason != audit.ClaimMissing || refusal.Detail != want {
				t.Errorf("got %v, want %q", refusal, want)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	rows := []struct {
		public     bool
		text, want string
	}{
		{false, `claims.sub ==`, "column 14: "},
		{false, `claims.sub == "a`, "column 15: "},
		{false, `claim.sub == "a"`, "column 1: undeclared reference to 'claim'"},
		{false, `claims.sub = "a"`, "column 12: "},
		{false, `claims.sub = "a"`, "; did you mean ==?"},
		{false, `claims.sub === "a"`, "; did you mean ==?"},
		{false, `claims.a and claims.b`, "expecting <EOF>; did you mean &&?"},
		{false, `"staff" in claims.groups OR true`, "; did you mean ||?"},
		{false, `not(claims.a)`, "; did you mean !?"},
		{false, `claims`, "its value is map(string, dyn)"},
		{false, `"staff"`, "its value is string"},
		{false, `1 + 1`, "its value is int"},
		{false, `claims[1] == "a"`, "column 7: found no matching overload"},
		{false, `1 + "a" == 2`, "column 3: found no matching overload"},
		{false, `request.headers.x == 1`, "found no matching overload"},
		{false, `request == 1`, "column 1: undeclared reference to 'request'"},
		{false, `request.meth == "GET"`, "column 8: undeclared reference to 'request.meth'"},
		{false, `request.time > 5`, "found no matching overload"},
		{false, `nosuch(claims.sub)`, "column 7: undeclared reference to 'nosuch'"},
		{false, `claims.sub.nosuch()`, "undeclared reference to 'nosuch'"},
		{false, `a == b`, "column 1: undeclared reference to 'a'"}, // both are reported
		{false, `a == b`, "; column 6: undeclared reference to 'b'"},
		{false, `sub`, `; write claims.sub for a claim, "sub" for text`},
		{true, `staff == request.path`, `undeclared reference to 'staff'; write "staff" for text`},
		{true, `claims.sub == "a"`, "column 1: undeclared reference to 'claims'"},
		{true, `has(claims.sub)`, "undeclared reference to 'claims'; a public rule has none"},
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			r := Rule{Public: row.public, Require: row.text}
			err := checkRules([]Rule{r})
			if err == nil || !strings.HasPrefix(err.Error(), "rules[0].require: ") || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// What is in a string, or is a member's name, isn't meant as an operator.
func TestMeantOperator(t *testing.T) {
	for text, want := range map[string]string{
		`claims.and == 'x = "y' && claims . or`: "||", // the blanks make it a word by itself, which is only advice
		`claims.and == 'x = "y' && foo`:         "",
		`"and" in claims.not`:                   "",
		`"a \" = b" == claims.é.or`:             "",
		`"a = b`:                                "",
		`a >= b && b != c || c <= d`:            "",
		`claims.a == "×" AnD claims.b`:          "&&",
	} {
		if got := meantOperator(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestCostIsBounded: a long token times a loop in a loop isn't a way to keep a
// core busy.
func TestCostIsBounded(t *testing.T) {
	numbers := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("7,", n), ",") + "]" }
	words := func(n int) string {
		return `["` + strings.TrimSuffix(strings.Repeat(`group-of-people","`, n), `,"`) + "]"
	}
	object := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":[%d],`, i, i)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	const passes, stops = audit.Allowed, audit.RequirementFailed
	rows := []struct {
		name, text, claim string
		want              audit.Reason
	}{
		{"one loop over all that a token can hold", `claims.a.all(x, x == 7)`, numbers(8000), passes},
		{"one loop over the names of an object", `claims.a.all(x, x.startsWith("k"))`, object(1000), passes},
		{"a search", `!(8 in claims.a)`, numbers(8000), passes},
		{"a loop in a loop over what is usual", `claims.a.all(x, claims.a.all(y, x == y))`, words(60), passes},
		{"a search in a loop over what is usual", `claims.a.all(x, x in claims.a)`, words(300), passes},
		{"a loop in a loop over all that a token can hold", `claims.a.all(x, claims.a.all(y, x == y))`, numbers(8000), stops},
		{"three of them", `claims.a.all(x, claims.a.all(y, claims.a.all(z, x == y && y == z)))`, numbers(200), stops},
		{"behind an ||, which forgives errors", `claims.a.all(x, claims.a.all(y, x == y)) || true`, numbers(8000), stops},
		{"a search in a loop", `claims.a.exists(x, 8 in claims.a)`, numbers(8000), stops},
		{"a comparison in a loop", `claims.a.all(x, claims.a == claims.a)`, numbers(8000), stops},
		{"a size in a loop", `claims.a.all(x, claims.a.size() > x)`, numbers(8000), stops},
		{"a comparison of objects in a loop", `claims.a.all(x, claims.a == claims.a)`, object(1000), stops},
		{"all headers in a loop", `claims.a.all(x, size(request.headers) >= 20)`, numbers(8000), stops},
		{"a header in a loop", `claims.a.all(x, request.headers["accept"] != "")`, numbers(8000), passes},
		{"an index in a loop", `claims.a.all(x, claims.a[0] == x)`, numbers(8000), passes},
		{"a member in a loop", `claims.a.all(x, claims.a.k7[0] == 7)`, object(1000), passes},
		{"a computed member in a loop", `claims.a.all(x, claims.a[x].size() == 1)`, object(1000), passes},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := compiled(t, Rule{Bearer: &Bearer{}, Require: row.text})
			in := &input{request: browserRequest(""), claims: claimsOf(t, `{"a":`+row.claim+`}`)}
			var refusal *audit.Refusal
			allocations := testing.AllocsPerRun(1, func() { refusal = r.judgeRequire(nil, in) })
			got := passes
			if refusal != nil {
				got = refusal.Reason
			}
			if got != row.want {
				t.Errorf("got %v, want %v", refusal, row.want)
			}
			if allocations > 4*maxCost {
				t.Errorf("%v allocations", allocations)
			}
		})
	}
}

// What a request says isn't written down, whatever CEL has to say about it.
func TestDetailsHoldNothingOfTheRequest(t *testing.T) {
	const secret = "s3cret-of-the-client"
	r := get("/?"+secret, Header{"x-key", secret}, Header{"x-name", secret})
	for _, text := range []string{
		`timestamp(request.headers["x-key"]) < request.time`, `duration(request.headers["x-key"]) > duration("1s")`,
		`int(request.headers["x-key"]) > 1`, `"a".matches("(" + request.headers["x-key"])`, `claims[request.headers["x-name"]] == "a"`,
		`claims.sub.matches("[" + request.query)`, `request.headers[request.query] == "x"`, `dyn(request.headers["x-key"]) + 1 == 2`,
	} {
		refusal := required(t, text, `{"sub":"alice"}`, r)
		if refusal == nil || strings.Contains(refusal.Error(), secret) {
			t.Errorf("%s: got %v", text, refusal)
		}
	}
}

func TestHeadersAreFoundInAnyCase(t *testing.T) {
	r := get("/", Header{"x-blocked", "1"}, Header{"x-two", "a"}, Header{"x-two", "b"})
	for _, text := range []string{
		`"X-Blocked" in request.headers`, `request.headers["X-BLOCKED"] == "1"`, `has(request.headers.x) == false`,
		`request.headers["x-two"] == "a,b"`, `size(request.headers) == 2`, `request.headers.exists(k, k == "x-blocked")`,
		`request.headers == {"x-blocked": "1", "x-two": "a,b"}`, `request.headers == request.headers`,
	} {
		if refusal := required(t, text, `{}`, r); refusal != nil {
			t.Errorf("%s: %v", text, refusal)
		}
	}
}

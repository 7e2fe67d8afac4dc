package authz

import (
	"slices"
	"strings"
	"testing"
)

func TestReadHeaders(t *testing.T) {
	engine := []string{"authorization", "content-type", "x-request-id"}
	for _, row := range []struct {
		name  string
		rule  Rule
		names []string
		all   bool
	}{
		{"nothing beyond the engine's own", Rule{Require: `request.method == "GET"`}, engine, false},
		{"a header of a match", Rule{Match: Match{Headers: map[string]string{"x-tier": "gold"}}}, []string{"authorization", "content-type", "x-request-id", "x-tier"}, false},
		{"an index", Rule{Require: `request.headers["x-a"] == "1"`}, []string{"authorization", "content-type", "x-a", "x-request-id"}, false},
		{"in", Rule{Require: `"x-a" in request.headers`}, []string{"authorization", "content-type", "x-a", "x-request-id"}, false},
		{"an index of claims beside it", Rule{Require: `request.headers["x-a"] == claims["x-b"]`}, []string{"authorization", "content-type", "x-a", "x-request-id"}, false},
		{"an index of claims that could be one of headers", Rule{Require: `request.headers[claims["x-b"]] == "1"`}, engine, true},
		{"in claims", Rule{Require: `"x-b" in claims`}, engine, false},
		{"an index by a claim", Rule{Require: `request.headers[claims.name] == "1"`}, engine, true},
		{"a loop", Rule{Require: `request.headers.exists(k, k == "x")`}, engine, true},
		{"a field", Rule{Require: `request.headers.accept == "x"`}, engine, true},
		{"size", Rule{Public: true, Require: `size(request.headers) < 40`}, engine, true},
		{"in a response header", Rule{Public: true, ResponseHeaders: map[string]string{"x": `request.headers["x-b"]`}}, []string{"authorization", "content-type", "x-b", "x-request-id"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.rule.Headers = map[string]string{"X-User-Id": "request.host"}
			got, err := ReadHeaders(Options{Rules: []Rule{row.rule}})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Names, row.names) || got.All != row.all || !slices.Equal(got.Identity, []string{"x-user-id"}) {
				t.Errorf("got %+v, want names %q, all %t", got, row.names, row.all)
			}
		})
	}
}

// Every name that an application could take for an identity header ends in one of the
// endings; where a name has none, no header is left out.
func TestEndings(t *testing.T) {
	for _, row := range []struct {
		set  []string
		want []string
		all  bool
	}{
		{[]string{"x-user-id", "x-user.groups", "x_tenant_id", "subject", "x-acr2"}, []string{"acr2", "groups", "id", "subject"}, false},
		{[]string{"x-user-"}, []string{""}, true},
		{[]string{"x-user-id", "x~"}, []string{"", "id"}, true},
		{nil, nil, false},
	} {
		rule := Rule{Name: "a", Public: true, Headers: map[string]string{}}
		for _, name := range row.set {
			rule.Headers[name] = `"a"`
		}
		got, err := ReadHeaders(Options{Rules: []Rule{rule}})
		if err != nil || !slices.Equal(got.Endings(), row.want) || got.All != row.all {
			t.Errorf("%q: got %q, all %t, %v, want %q, %t", row.set, got.Endings(), got.All, err, row.want, row.all)
		}
		names := newIdentityNames(got.Identity)
		for _, set := range row.set {
			for _, c := range "-_.!~" {
				forged := strings.Map(func(r rune) rune {
					if isAlphanumeric(byte(r)) {
						return r
					}
					return c
				}, set)
				ends := slices.ContainsFunc(got.Endings(), func(end string) bool { return strings.HasSuffix(forged, end) })
				if names.forged(forged) && !ends && !got.All {
					t.Errorf("%s could be taken for %s and isn't sent", forged, set)
				}
			}
		}
	}
}

// A proxy that was set up for other rules may leave out what these read.
func TestProxyThatLeavesOutWhatIsRead(t *testing.T) {
	rules := []Rule{
		{Name: "blocked", Public: true, Require: `!("x-blocked" in request.headers)`, Headers: map[string]string{"x-user-id": `"nobody"`}},
	}
	e := newEngine(t, Options{Rules: rules})
	now, err := ReadHeaders(Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, sent, detail string
	}{
		{"as printed", now.String(), ""},
		{"again", now.String(), ""},
		{"more than is read", "authorization content-type x-a x-blocked x-request-id / x-b x-user-id", ""},
		{"without a header that is read", "authorization content-type x-request-id / x-user-id", "the rules read x-blocked"},
		{"without one that is set", "authorization content-type x-blocked x-request-id / x-user", "the rules read x-user-id"},
		{"the wrong way round", "x-user-id / authorization content-type x-blocked x-request-id", "the rules read authorization"},
		{"nothing", "", "the rules read authorization"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := get("/")
			r.ContextExtensions = []Header{{"tenant", "a"}, {HeadersExtension, row.sent}}
			d := e.Decide(t.Context(), r)
			if d.Allow != (row.detail == "") || d.Detail != row.detail {
				t.Errorf("got %v, %q, want %q", d.Reason, d.Detail, row.detail)
			}
		})
	}
	if d := e.Decide(t.Context(), get("/")); !d.Allow {
		t.Errorf("a proxy that says nothing is denied: %v", d.Reason)
	}
	any := newEngine(t, Options{Rules: []Rule{{Name: "any", Public: true, Require: `size(request.headers) < 9`}}})
	r := get("/")
	r.ContextExtensions = []Header{{HeadersExtension, now.String()}}
	if d := any.Decide(t.Context(), r); d.Allow {
		t.Error("rules that read any header take a list")
	}
}

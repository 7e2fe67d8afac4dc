package authz

import (
	"slices"
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
		{"an index by a claim", Rule{Require: `request.headers[claims.name] == "1"`}, engine, true},
		{"a loop", Rule{Require: `request.headers.exists(k, k == "x")`}, engine, true},
		{"a field", Rule{Require: `request.headers.accept == "x"`}, engine, true},
		{"size", Rule{Public: true, Require: `size(request.headers) < 40`}, engine, true},
		{"in a response header", Rule{Public: true, ResponseHeaders: map[string]string{"x": `request.headers["x-b"]`}}, []string{"authorization", "content-type", "x-b", "x-request-id"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.rule.Headers = map[string]string{"X-User-Id": "request.host"}
			got, err := ReadHeaders([]Rule{row.rule})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Names, row.names) || got.All != row.all || !slices.Equal(got.Identity, []string{"x-user-id"}) {
				t.Errorf("got %+v, want names %q, all %t", got, row.names, row.all)
			}
		})
	}
}

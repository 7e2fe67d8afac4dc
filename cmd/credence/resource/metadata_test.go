package resource

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

var orders = Resource{
	Identifier: "https://api.example.com/v1", Name: "orders",
	Issuers: []string{"https://login.example.com/realms/corp/", "https://partner.example.com"},
	Scopes:  []string{"orders.read", "orders.write"}, Documentation: "https://docs.example.com/?a=1&b=2",
}

var resources = []Resource{
	orders,
	{Identifier: "https://api.example.com", Name: "all", Issuers: []string{"https://login.example.com"}},
	{Identifier: "http://localhost:8000/", Name: "local", Issuers: []string{"http://localhost:9000"}},
	{Identifier: "http://[::1]:8000/mcp/", Name: "v6", Issuers: []string{"http://[::1]:9000"}},
}

func newHandler(t *testing.T) *Handler {
	t.Helper()
	h, err := New(resources)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, host, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMetadataURL(t *testing.T) {
	for _, row := range []struct{ name, identifier, want string }{
		{"a path", "https://api.example.com/v1/orders", "https://api.example.com/.well-known/oauth-protected-resource/v1/orders"},
		{"none", "https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"the host's slash is left out", "https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"the path's stays", "https://api.example.com/v1/", "https://api.example.com/.well-known/oauth-protected-resource/v1/"},
		{"a port", "http://[::1]:8000/mcp", "http://[::1]:8000/.well-known/oauth-protected-resource/mcp"},
	} {
		if got := (Resource{Identifier: row.identifier}).MetadataURL(); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

// TestSEC_P1_P2_Document holds what a document says.
func TestSEC_P1_P2_Document(t *testing.T) {
	h := newHandler(t)
	for _, row := range []struct {
		name, target, host string
		want               map[string]any
	}{
		{"everything", "/.well-known/oauth-protected-resource/v1", "api.example.com", map[string]any{
			"resource": "https://api.example.com/v1", "resource_name": "orders",
			"authorization_servers": []any{"https://login.example.com/realms/corp/", "https://partner.example.com"},
			"scopes_supported":      []any{"orders.read", "orders.write"}, "bearer_methods_supported": []any{"header"},
			"resource_documentation": "https://docs.example.com/?a=1&b=2",
		}},
		{"the least", "/.well-known/oauth-protected-resource", "api.example.com", map[string]any{
			"resource": "https://api.example.com", "resource_name": "all",
			"authorization_servers": []any{"https://login.example.com"}, "bearer_methods_supported": []any{"header"},
		}},
	} {
		w := ask(h, "GET", row.host, row.target)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 || err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %d %s, %v", row.name, w.Code, w.Body, err)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Cache-Control": "public, max-age=300",
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "", "X-Content-Type-Options": "nosniff", "Set-Cookie": "",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", row.name, name, got, want)
			}
		}
	}
}

// TestSEC_P4_TheHostOnlySelects holds that nothing of a request gets into a document,
// and that a host which isn't configured has none.
func TestSEC_P4_TheHostOnlySelects(t *testing.T) {
	h := newHandler(t)
	want := ask(h, "GET", "api.example.com", Prefix+"/v1").Body.String()
	for _, row := range []struct {
		name, method, host, target string
		status                     int
		same                       bool // as the document of orders
	}{
		{"a port", "GET", "api.example.com:8443", Prefix + "/v1", 200, true},
		{"capitals and a final dot", "GET", "API.Example.com.", Prefix + "/v1", 200, true},
		{"a query", "GET", "api.example.com", Prefix + "/v1?resource=https://evil.example", 200, true},
		{"an address of version 6", "GET", "[::1]", Prefix + "/mcp/", 200, false},
		{"an address of version 6 with a port", "GET", "[::1]:1", Prefix + "/mcp/", 200, false},
		{"no port where one is configured", "GET", "localhost", Prefix, 200, false},
		{"another host", "GET", "evil.example", Prefix + "/v1", 404, false},
		{"a host below", "GET", "x.api.example.com", Prefix + "/v1", 404, false},
		{"no host", "GET", "", Prefix + "/v1", 404, false},
		{"a path below", "GET", "api.example.com", Prefix + "/v1/x", 404, false},
		{"a slash at the end", "GET", "api.example.com", Prefix + "/v1/", 404, false},
		{"the path of another host's", "GET", "localhost", Prefix + "/v1", 404, false},
		{"POST", "POST", "api.example.com", Prefix + "/v1", 405, false},
		{"DELETE", "DELETE", "api.example.com", Prefix + "/v1", 405, false},
		{"HEAD", "HEAD", "api.example.com", Prefix + "/v1", 200, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := ask(h, row.method, row.host, row.target)
			if w.Code != row.status {
				t.Errorf("got %d, want %d", w.Code, row.status)
			}
			if got := w.Body.String(); (got == want) != row.same {
				t.Errorf("got %s", got)
			}
			if got := w.Header().Get("Cache-Control"); row.status != 200 && got != "no-store" {
				t.Errorf("got Cache-Control %q, want no-store", got)
			}
		})
	}
}

// A page of another origin may ask, with a header of its own.
func TestPreflight(t *testing.T) {
	h := newHandler(t)
	w := ask(h, "OPTIONS", "api.example.com", Prefix+"/v1")
	if w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("got %d %s, want an empty 204", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS", "Access-Control-Allow-Headers": "*",
		"Access-Control-Allow-Credentials": "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
	if got := ask(h, "OPTIONS", "evil.example", Prefix+"/v1").Code; got != 404 {
		t.Errorf("another host: got %d, want 404", got)
	}
}

func TestResourcesThatCannotBeServed(t *testing.T) {
	for name, list := range map[string][]Resource{
		"no host":                   {{Identifier: "https:///v1"}},
		"not a URL":                 {{Identifier: "https://[/v1"}},
		"relative":                  {{Identifier: "/v1"}},
		"the same place":            {orders, orders},
		"the same place, by port":   {{Identifier: "http://localhost:1/x"}, {Identifier: "http://localhost:2/x"}},
		"the same place, by slash":  {{Identifier: "https://a.example.com"}, {Identifier: "https://a.example.com/"}},
		"the same place, by scheme": {{Identifier: "http://localhost/x"}, {Identifier: "https://localhost/x"}},
	} {
		if _, err := New(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

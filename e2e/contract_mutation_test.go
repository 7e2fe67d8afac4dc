package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The ways to ask for a header.
const (
	appendAdd    = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	addIfAbsent  = corev3.HeaderValueOption_ADD_IF_ABSENT
	overwriteAdd = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	overwrite    = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS
)

// set is a header by append_action alone.
func set(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
}

// setAppend is a header with the older field append as well.
func setAppend(name, value string, action corev3.HeaderValueOption_HeaderAppendAction, add bool) *corev3.HeaderValueOption {
	h := set(name, value, action)
	h.Append = wrapperspb.Bool(add) //nolint:staticcheck // deprecated, and wins over append_action all the same
	return h
}

// Request headers: Credence sends both append: false and OVERWRITE_IF_EXISTS_OR_ADD,
// the one way to overwrite that doesn't hang on a default.
func TestContractRequestHeaders(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})

	client := []string{"X-E: client", "x-e: again"}
	for _, c := range []struct {
		fact   string
		sent   []string
		header *corev3.HeaderValueOption
		want   []string
	}{
		{"append: false with OVERWRITE_IF_EXISTS_OR_ADD overwrites every line", client, setAppend("x-e", "ours", overwriteAdd, false), []string{"ours"}},
		{"append: false with OVERWRITE_IF_EXISTS_OR_ADD adds what is absent", nil, setAppend("x-e", "ours", overwriteAdd, false), []string{"ours"}},
		{"append_action is ignored: APPEND_IF_EXISTS_OR_ADD overwrites", client, set("x-e", "ours", appendAdd), []string{"ours"}},
		{"append_action is ignored: ADD_IF_ABSENT overwrites", client, set("x-e", "ours", addIfAbsent), []string{"ours"}},
		{"append_action is ignored: OVERWRITE_IF_EXISTS adds", nil, set("x-e", "ours", overwrite), []string{"ours"}},
		{"append: true joins by a comma", client[:1], setAppend("x-e", "ours", overwriteAdd, true), []string{"client,ours"}},
		{"append: true drops what the client didn't send", nil, setAppend("x-e", "ours", overwriteAdd, true), nil},
		{"names are lower-cased", client, setAppend("X-E", "ours", overwriteAdd, false), []string{"ours"}},
		{"an empty value is forwarded empty", client, setAppend("x-e", "", overwriteAdd, false), []string{""}},
		{"what isn't named passes through", client, nil, []string{"client", "again"}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			ok := &authv3.OkHttpResponse{}
			if c.header != nil {
				ok.Headers = []*corev3.HeaderValueOption{c.header}
			}
			got := e.client(t, "plain").get(t, "/", slices.Concat(c.sent, []string{a.say(t, allow(ok))})...).upstream(t)
			if !slices.Equal(got.values("x-e"), c.want) {
				t.Errorf("got %q, want %q", got.values("x-e"), c.want)
			}
		})
	}
}

func TestContractRemovedHeaders(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})

	ours := []*corev3.HeaderValueOption{setAppend("x-e", "ours", overwriteAdd, false)}
	for _, c := range []struct {
		fact, sent string
		remove     string
		set        []*corev3.HeaderValueOption
		name, want string // what is left
	}{
		{"headers_to_remove is applied after headers", "x-e: client", "x-e", ours, "x-e", ""},
		{"removal doesn't mind the case", "X-E: client", "x-E", nil, "x-e", ""},
		{"authorization can be removed", "Authorization: Bearer one", "authorization", nil, "authorization", ""},
		{"cookie can be removed", "Cookie: a=1", "cookie", nil, "cookie", ""},
		{"an underscore survives the removal of the hyphen", "X_E: client", "x-e", nil, "x_e", "client"},
		{"a dot survives the removal of the hyphen", "x.e: client", "x-e", nil, "x.e", "client"},
		{"each spelling can be removed by its own name", "X_E: client", "x_e", nil, "x_e", ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			header := a.say(t, allow(&authv3.OkHttpResponse{Headers: c.set, HeadersToRemove: []string{c.remove}}))
			got := e.client(t, "plain").get(t, "/", c.sent, header).upstream(t)
			if got.get(c.name) != c.want {
				t.Errorf("got %s: %q, want %q", c.name, got.get(c.name), c.want)
			}
		})
	}
	t.Run("the host and pseudo-headers can't be removed", func(t *testing.T) {
		header := a.say(t, allow(&authv3.OkHttpResponse{HeadersToRemove: []string{"host", ":path", ":method"}}))
		got := e.client(t, "plain").get(t, "/x", header).upstream(t)
		if got.Host != "shop.test" || got.Target != "/x" || got.Method != "GET" {
			t.Errorf("got %s %s for %s", got.Method, got.Target, got.Host)
		}
	})
}

// An identity that is too large for a request's limits is an error, not a request
// without it.
func TestContractHeaderLimits(t *testing.T) {
	t.Parallel()
	a, u := startAuthorizer(t), startUpstream(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: u.address, Ingresses: []ingress{{Name: "plain"}}})
	var many []*corev3.HeaderValueOption
	for i := range 300 {
		many = append(many, setAppend(fmt.Sprint("x-e-", i), "ours", overwriteAdd, false))
	}
	for _, c := range []struct {
		fact string
		set  []*corev3.HeaderValueOption
	}{
		{"300 headers set are a 500", many},
		{"a header of 100 KB set is a 500", []*corev3.HeaderValueOption{setAppend("x-e", strings.Repeat("x", 100_000), overwriteAdd, false)}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := e.client(t, "plain").get(t, "/", a.say(t, allow(&authv3.OkHttpResponse{Headers: c.set})))
			if got.status != 500 || u.requests.Load() != 0 {
				t.Errorf("got %d and %d requests at the application, want 500 and none", got.status, u.requests.Load())
			}
		})
	}
}

// Response headers: Credence sends OVERWRITE_IF_EXISTS_OR_ADD and leaves append
// unset.
func TestContractResponseHeaders(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{
		Name: "plain", Routes: "- {match: {path: /local}, direct_response: {status: 204}}\n- {match: {path: /down}, route: {cluster: nowhere}}",
	}}})
	for _, c := range []struct {
		fact, target string
		header       *corev3.HeaderValueOption
		want         []string
	}{
		{"OVERWRITE_IF_EXISTS_OR_ADD overwrites the application's", "/", set("x-app", "ours", overwriteAdd), []string{"ours"}},
		{"APPEND_IF_EXISTS_OR_ADD adds a line", "/", set("x-app", "ours", appendAdd), []string{"app", "ours"}},
		{"ADD_IF_ABSENT leaves the application's", "/", set("x-app", "ours", addIfAbsent), []string{"app"}},
		{"append: false destroys the application's", "/", setAppend("x-app", "ours", appendAdd, false), []string{"ours"}},
		{"they reach the answers that Envoy gives itself", "/local", set("x-app", "ours", overwriteAdd), []string{"ours"}},
		{"they reach a 503 for want of an application", "/down", set("x-app", "ours", overwriteAdd), []string{"ours"}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			header := a.say(t, allow(&authv3.OkHttpResponse{ResponseHeadersToAdd: []*corev3.HeaderValueOption{c.header}}))
			got := e.client(t, "plain").get(t, c.target, header).header.Values("X-App")
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestContractDeniedHeaders(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{
		{Name: "plain"}, {Name: "validating", Filter: "validate_mutations: true"},
	}})
	for _, c := range []struct {
		fact    string
		headers []*corev3.HeaderValueOption
		name    string
		want    []string
	}{
		{"OVERWRITE_IF_EXISTS_OR_ADD adds", []*corev3.HeaderValueOption{set("www-authenticate", "Bearer", overwriteAdd)}, "WWW-Authenticate", []string{"Bearer"}},
		{"several lines of one name are kept", []*corev3.HeaderValueOption{set("set-cookie", "a=1", appendAdd), set("set-cookie", "b=2", appendAdd)}, "Set-Cookie", []string{"a=1", "b=2"}},
		{"append: true drops the header", []*corev3.HeaderValueOption{setAppend("location", "/x", appendAdd, true)}, "Location", nil},
		{"content-type can be replaced", []*corev3.HeaderValueOption{set("content-type", "application/json", overwriteAdd)}, "Content-Type", []string{"application/json"}},
		{"content-type is text/plain otherwise", nil, "Content-Type", []string{"text/plain"}},
		{"a wrong content-length is corrected", []*corev3.HeaderValueOption{set("content-length", "4000", overwriteAdd)}, "Content-Length", []string{"4"}},
	} {
		t.Run(c.fact, func(t *testing.T) {
			got := e.client(t, "plain").get(t, "/", a.say(t, deny(401, "body", c.headers...)))
			if values := got.header.Values(c.name); !slices.Equal(values, c.want) {
				t.Errorf("got %q, want %q", values, c.want)
			}
		})
	}

	t.Run("CR LF in a denied header splits the response, unless mutations are validated", func(t *testing.T) {
		header := a.say(t, deny(401, "", set("location", "/x\r\nset-cookie: split=1", overwriteAdd)))
		if got := e.client(t, "plain").get(t, "/", header); !strings.Contains(got.lines, "\r\nset-cookie: split=1\r\n") {
			t.Errorf("got %q, want a set-cookie line of its own: then Credence could leave validation to Envoy", got.lines)
		}
		if got := e.client(t, "validating").get(t, "/", header); got.status != 500 || strings.Contains(got.lines, "split=1") {
			t.Errorf("validating: got %q, want a 500 without it", got.lines)
		}
	})
	t.Run("CR LF in a request header is a 503, and a 500 where mutations are validated", func(t *testing.T) {
		header := a.say(t, allow(&authv3.OkHttpResponse{Headers: []*corev3.HeaderValueOption{setAppend("x-e", "a\r\nx-f: b", overwriteAdd, false)}}))
		if got := e.client(t, "plain").get(t, "/", header).status; got != 503 {
			t.Errorf("got %d, want 503", got)
		}
		if got := e.client(t, "validating").get(t, "/", header).status; got != 500 {
			t.Errorf("validating: got %d, want 500", got)
		}
	})
}

func TestContractQuery(t *testing.T) {
	t.Parallel()
	a := startAuthorizer(t)
	e := startProxy(t, proxy{Authorizer: a.address, Application: startUpstream(t).address, Ingresses: []ingress{{Name: "plain"}}})
	for _, c := range []struct {
		fact, target string
		set          *corev3.QueryParameter
		remove, want string
	}{
		{"a value is written raw", "/p?b=1", &corev3.QueryParameter{Key: "b", Value: "x&y=z"}, "", "/p?b=x&y=z"},
		{"a name is written raw", "/p", &corev3.QueryParameter{Key: "a=1&b", Value: "2"}, "", "/p?a=1&b=2"},
		{"an escaped value stays escaped", "/p", &corev3.QueryParameter{Key: "b", Value: "x%20y%26"}, "", "/p?b=x%20y%26"},
		{"every parameter of the name is replaced", "/p?b=1&b=2", &corev3.QueryParameter{Key: "b", Value: "3"}, "", "/p?b=3"},
		{"every parameter of the name is removed", "/p?a=1&b=2&a=3", nil, "a", "/p?b=2"},
		{"removal minds the case", "/p?A=1", nil, "a", "/p?A=1"},
		{"removal knows the raw name only", "/p?%61=1", nil, "a", "/p?%61=1"},
		{"a removal sorts, and gives bare names an equals sign", "/p?z&a=1&b=2", nil, "a", "/p?b=2&z="},
	} {
		t.Run(c.fact, func(t *testing.T) {
			ok := &authv3.OkHttpResponse{}
			if c.set != nil {
				ok.QueryParametersToSet = []*corev3.QueryParameter{c.set}
			}
			if c.remove != "" {
				ok.QueryParametersToRemove = []string{c.remove}
			}
			if got := e.client(t, "plain").get(t, c.target, a.say(t, allow(ok))).upstream(t); got.Target != c.want {
				t.Errorf("got %s, want %s", got.Target, c.want)
			}
		})
	}
}

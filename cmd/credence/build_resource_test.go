package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/cmd/credence/resource"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/oidc/oidctest"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// agentsPage is docs/agents.md, and the two configurations that it shows: of a resource,
// and of a rule that wants a better login.
func agentsPage(t *testing.T) (page, text string, shown []string) {
	t.Helper()
	page = "../../docs/agents.md"
	all, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if shown = blocks(t, page, "yaml"); len(shown) != 2 {
		t.Fatalf("%s shows %d configurations, want two", page, len(shown))
	}
	return page, string(all), shown
}

// challengeOf is the one of a denial.
func challengeOf(d authz.Decision) string {
	for _, h := range d.Denial.Headers {
		if h.Name == "www-authenticate" {
			return h.Value
		}
	}
	return ""
}

// TestAgentsPage holds that what docs/agents.md shows is what its configuration does.
func TestAgentsPage(t *testing.T) {
	page, text, shown := agentsPage(t)
	path := filepath.Join(t.TempDir(), "credence.yaml")
	if err := os.WriteFile(path, []byte(shown[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range file.Warnings {
		t.Errorf("warning: %s", w)
	}
	a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)

	d := a.engine.Decide(t.Context(), &authz.Request{Method: "GET", Host: "mcp.example.com", Target: "/mcp"})
	if challenge := challengeOf(d); d.Denial.Status != 401 || !strings.Contains(text, "www-authenticate: "+challenge+"\n") {
		t.Errorf("%s doesn't show the challenge %d %s", page, d.Denial.Status, challenge)
	}
	w := answerOf(a.login, resource.Prefix+"/mcp")
	if w.Code != 200 || !strings.Contains(text, "\n"+w.Body.String()) {
		t.Errorf("%s doesn't show the metadata %d %s", page, w.Code, w.Body)
	}
}

// TestAgentsPageShowsStepUp holds the same of the login that isn't enough.
func TestAgentsPageShowsStepUp(t *testing.T) {
	page, text, shown := agentsPage(t)
	provider := startProvider(t)
	a := start(t, strings.Replace(shown[1], "https://login.example.com/realms/corp", provider.Issuer(), 1))
	token := provider.Sign(oidctest.Token{Claims: map[string]any{"aud": "https://mcp.example.com/mcp", "acr": "phr", "auth_time": time.Now().Add(-time.Hour).Unix()}})
	d := a.engine.Decide(t.Context(), &authz.Request{
		Method: "GET", Host: "mcp.example.com", Target: "/mcp/payments", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + token}},
	})
	if d.Allow || d.Denial.Status != 401 || !strings.Contains(text, "www-authenticate: "+challengeOf(d)+"\n") {
		t.Errorf("%s doesn't show the answer %+v", page, d.Denial)
	}
}

// answerOf is a handler's to a GET at mcp.example.com. The path isn't tidied up.
func answerOf(h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.URL.Path = "mcp.example.com", path
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Metadata and login pages share a listener, and each answers for itself.
func TestMetadataBesideTheLogin(t *testing.T) {
	login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "login "+r.URL.Path) })
	c := &configv1.Config{
		Providers: []*configv1.Provider{{Name: "corp", Issuer: "https://login.example.com"}},
		Resources: []*configv1.Resource{{Name: "api", Resource: "https://mcp.example.com/v1", Providers: []string{"corp"}}},
	}
	both, err := withMetadata(c, login, nil)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := withMetadata(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, target string
		both, alone  int
		byLogin      bool
	}{
		{"metadata", resource.Prefix + "/v1", 200, 200, false},
		{"no metadata", resource.Prefix, 404, 404, false},
		{"a path that only begins alike", resource.Prefix + "s", 200, 404, true},
		{"a login page", "/.credence/login", 200, 404, true},
		{"an unclean path", "/.credence//login/../x", 200, 404, true},
	} {
		got := answerOf(both, row.target)
		if got.Code != row.both || (got.Body.String() == "login "+row.target) != row.byLogin {
			t.Errorf("%s: got %d %s, want %d", row.name, got.Code, got.Body, row.both)
		}
		if got := answerOf(alone, row.target); got.Code != row.alone {
			t.Errorf("%s, without a login: got %d %s, want %d", row.name, got.Code, got.Body, row.alone)
		}
	}
	if got, err := withMetadata(&configv1.Config{}, nil, nil); got != nil || err != nil {
		t.Errorf("neither: got %v, %v", got, err)
	}
}

func TestMetadataTellsOfDPoP(t *testing.T) {
	dpop, err := buildDPoP(&configv1.DPoP{Origins: []string{"https://mcp.example.com"}, MaxAge: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	c := &configv1.Config{
		Providers: []*configv1.Provider{{Name: "corp", Issuer: "https://login.example.com"}},
		Resources: []*configv1.Resource{{Name: "mcp", Resource: "https://mcp.example.com/mcp", Providers: []string{"corp"}}},
	}
	for _, d := range []*oidc.DPoP{nil, dpop} {
		h, err := withMetadata(c, nil, d)
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(answerOf(h, resource.Prefix+"/mcp").Body.String(), `"dpop_signing_alg_values_supported":["ES256",`)
		if told != (d != nil) {
			t.Errorf("DPoP %t: told %t", d != nil, told)
		}
	}
}

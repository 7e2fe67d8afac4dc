package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Chromium does by itself what the tests of the login rely on.
func TestChromium(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/set":
			for _, c := range []string{"__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax", "__Secure-b=2; Path=/; Secure; Domain=app.localhost; Max-Age=60", "plain=3"} {
				w.Header().Add("Set-Cookie", c)
			}
		case "/away":
			http.Redirect(w, r, "/?from=away", http.StatusFound)
		case "/denied":
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><p>%s<br>%s %s<form action=/><input name=q value=old><button>Go</button></form>",
			r.Header.Get("Cookie"), r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest"))
	}))
	t.Cleanup(site.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "http://"), ":")
	app, sibling := "http://app.localhost:"+port, "http://one.app.localhost:"+port
	b := startBrowser(t)

	t.Run("pages", func(t *testing.T) {
		if got := b.open(t, app+"/denied"); got != http.StatusUnauthorized {
			t.Errorf("got %d, want 401", got)
		}
		if got := b.open(t, app+"/away"); got != http.StatusOK || b.url(t) != app+"/?from=away" {
			t.Errorf("got %d %s", got, b.url(t))
		}
		b.fill(t, "input", "new")
		b.click(t, "button")
		b.awaitURL(t, app+"/?q=new")
		b.awaitText(t, "navigate document")
	})
	t.Run("cookies", func(t *testing.T) {
		b.open(t, app+"/set")
		got := b.cookies(t, "app.localhost")
		if a := got["__Host-a"]; a == nil || !a.Secure || !a.HTTPOnly || !a.Session || a.SameSite != network.CookieSameSiteLax || a.Domain != "app.localhost" {
			t.Errorf("got %+v", a)
		}
		if b := got["__Secure-b"]; b == nil || b.HTTPOnly || b.Session || b.Domain != ".app.localhost" {
			t.Errorf("got %+v", b)
		}
		another := b.newTab(t)
		another.open(t, sibling+"/")
		if got := another.text(t); !strings.Contains(got, "__Secure-b=2") || strings.Contains(got, "__Host-a") {
			t.Errorf("a subdomain got %s", got)
		}
		if got := b.cookies(t, "one.app.localhost"); len(got) != 1 {
			t.Errorf("a subdomain has %v", got)
		}
		if got := startBrowser(t).cookies(t, "app.localhost"); len(got) != 0 {
			t.Errorf("another profile has %v", got)
		}
	})
	t.Run("what isn't a navigation of a tab", func(t *testing.T) {
		b.open(t, app+"/")
		if got := b.fetch(t, "/", map[string]any{}); got.Status != 200 || got.Type != "basic" || !strings.Contains(got.Body, "cors empty") {
			t.Errorf("fetch: got %+v", got)
		}
		if got := b.frame(t, "/"); !strings.Contains(got, "navigate iframe") {
			t.Errorf("a frame: got %s", got)
		}
	})
	t.Run("pictures", func(t *testing.T) {
		b.photograph(t, "chromium")
	})
	t.Run("nothing but this machine is there", func(t *testing.T) {
		b.open(t, app+"/")
		got := evaluate[string](t, b, "fetch('http://example.com/', {mode: 'no-cors'}).then(() => 'reached', (e) => e.message)")
		if got != "Failed to fetch" {
			t.Errorf("got %s", got)
		}
	})
}

// A Chromium that has ended leaves no program and no profile behind.
func TestChromiumLeavesNothing(t *testing.T) {
	t.Parallel()
	chromiumPath(t)
	var programs []string
	var profile string
	t.Run("one that runs", func(t *testing.T) {
		b := startBrowser(t)
		b.open(t, "about:blank")
		programs = family(t, fmt.Sprint(chromedp.FromContext(b.ctx).Browser.Process().Pid))
		if len(programs) < 3 {
			missing(t, fmt.Sprintf("/proc shows no children of %v", programs))
		}
		line, err := os.ReadFile("/proc/" + programs[0] + "/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		_, profile, _ = strings.Cut(string(line), "\x00--user-data-dir=")
		profile, _, _ = strings.Cut(profile, "\x00")
		if _, err := os.Stat(profile); err != nil {
			t.Fatalf("got the programs %v with the profile %q, %v", programs, profile, err)
		}
	})
	await(t, "the programs "+strings.Join(programs, ", ")+" are gone", func() bool { // the last of them ends as a child of init
		return !slices.ContainsFunc(programs, func(pid string) bool {
			name, err := os.ReadFile("/proc/" + pid + "/comm")
			return err == nil && strings.HasPrefix(string(name), "chrom")
		})
	})
	if _, err := os.Stat(profile); !os.IsNotExist(err) {
		t.Errorf("left %q, %v", profile, err)
	}
}

// family are the ids of a running program and of all that it started.
func family(t *testing.T, pid string) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[string][]string{}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name is in brackets and may have any in it; state and parent follow.
		if rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(rest) > 1 {
			children[rest[1]] = append(children[rest[1]], filepath.Base(filepath.Dir(path)))
		}
	}
	found := []string{pid}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

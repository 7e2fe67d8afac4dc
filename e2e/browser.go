package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// tab is one of a running Chromium. Tabs of one Chromium share its profile, which
// was empty when it started.
type tab struct {
	ctx context.Context
}

// chromiumFlags keep it from anything but this machine, and from its own affairs.
// Names below localhost are this machine in Chromium itself, and trustworthy enough
// there for Secure cookies over plain HTTP.
var chromiumFlags = map[string]any{
	"disable-component-update": true,
	"disable-gpu":              true,
	"disable-quic":             true,
	"host-resolver-rules":      "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
	"no-proxy-server":          true,
	"no-sandbox":               true, // which root has to, and some containers
}

// startBrowser runs a Chromium with an empty profile, for as long as the test runs,
// and gives its first tab. More flags are in place of those of the same name.
func startBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromiumPath(t)))
	for name, value := range chromiumFlags {
		options = append(options, chromedp.Flag(name, value))
	}
	options = append(options, more...)
	// It closes itself in the clean-up, later than the test's context ends.
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closing, closed := context.WithTimeout(ctx, exchangeLimit)
		defer closed()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("chromium: %v", err)
		}
		cancel()
		stop()
	})
	b := &tab{ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // without a limit: Chromium lives as long as this context
		t.Fatalf("chromium: %v", err)
	}
	return b
}

// chromiumPath is the Chromium to test with. Without one the test is skipped.
func chromiumPath(t *testing.T) string {
	t.Helper()
	return programPath(t, "tests in a browser: run tools/install chromium, or name one in CREDENCE_CHROMIUM",
		os.Getenv("CREDENCE_CHROMIUM"), filepath.Join("..", ".tools", "chromium", "bin", "chromium"), "chromium")
}

// newTab opens another tab of the same Chromium.
func (b *tab) newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("another tab: %v", err)
	}
	return &tab{ctx: ctx}
}

// run does something in the tab, within a limit that nothing here needs.
func run[T any](t *testing.T, b *tab, action chromedp.Action[T]) (T, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, exchangeLimit)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// evaluate gives what an expression in JavaScript is, or what the promise that it is
// comes to.
func evaluate[T any](t *testing.T, b *tab, expression string) T {
	t.Helper()
	value, err := run(t, b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// quote writes a value in JavaScript.
func quote(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// open goes to an address, as if it was typed, and gives the status of the page that
// this ends on; 0 for one that no server gave.
func (b *tab) open(t *testing.T, address string) int {
	t.Helper()
	response, err := run(t, b, chromedp.NavigateResponse(address))
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	if response == nil {
		return 0
	}
	return int(response.Status)
}

// url is the address of the page, and its text what a person reads there.
func (b *tab) url(t *testing.T) string { t.Helper(); return evaluate[string](t, b, "location.href") }
func (b *tab) text(t *testing.T) string {
	t.Helper()
	return evaluate[string](t, b, "document.body.innerText")
}

// await waits until an expression is true on whatever page is there then.
func (b *tab) await(t *testing.T, what, expression string) {
	t.Helper()
	await(t, "the page: "+what, func() bool {
		is, err := run(t, b, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && is // an error is a page that goes away
	})
}

// awaitURL waits until the page at an address is there in full.
func (b *tab) awaitURL(t *testing.T, address string) {
	t.Helper()
	b.await(t, "is "+address, "document.readyState === 'complete' && location.href === "+quote(t, address))
}

// awaitText waits until the page says something.
func (b *tab) awaitText(t *testing.T, text string) {
	t.Helper()
	b.await(t, "says "+text, "document.readyState === 'complete' && document.body.innerText.includes("+quote(t, text)+")")
}

// fill types a text into a field, once that is there, in place of what it holds.
func (b *tab) fill(t *testing.T, selector, text string) {
	t.Helper()
	b.await(t, "has "+selector, "document.readyState === 'complete' && document.querySelector("+quote(t, selector)+")")
	evaluate[string](t, b, "document.querySelector("+quote(t, selector)+").value = ''")
	if _, err := run(t, b, chromedp.SendKeys(chromedp.CSS(selector), text)); err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
}

// click clicks on something, once it is there.
func (b *tab) click(t *testing.T, selector string) {
	t.Helper()
	if _, err := run(t, b, chromedp.Click(chromedp.CSS(selector))); err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
}

// These log in at the page of a provider that the tab is on, or soon will be.

func (b *tab) logInAtKeycloak(t *testing.T, user, password string) {
	t.Helper()
	b.fill(t, "#username", user)
	b.fill(t, "#password", password)
	b.click(t, "#kc-login")
}

func (b *tab) logInAtNodeProvider(t *testing.T, user string) {
	t.Helper()
	b.fill(t, "input[name=login]", user)
	b.fill(t, "input[name=password]", "any")
	b.click(t, "button[type=submit]")
}

func (b *tab) logInAtTestProvider(t *testing.T, user string) {
	t.Helper()
	b.fill(t, "#name", user)
	b.click(t, "#name ~ button")
}

// cookies are those that the profile holds for a host, by name.
func (b *tab) cookies(t *testing.T, host string) map[string]*network.Cookie {
	t.Helper()
	all, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		t.Fatalf("cookies: %v", err)
	}
	found := map[string]*network.Cookie{}
	for _, c := range all.Cookies {
		below, domain := strings.CutPrefix(c.Domain, ".")
		if c.Domain == host || domain && (host == below || strings.HasSuffix(host, c.Domain)) {
			found[c.Name] = c
		}
	}
	return found
}

// fetched is what a page got by fetch().
type fetched struct {
	Status int
	Type   string // basic, cors, opaqueredirect…
	URL    string
	Header map[string]string // lower case; those that the page may see
	Body   string
}

// fetch asks for something from the page, with these options of fetch().
func (b *tab) fetch(t *testing.T, address string, options map[string]any) fetched {
	t.Helper()
	return evaluate[fetched](t, b, fmt.Sprintf(`fetch(%s, %s).then(async (r) => (
		{Status: r.status, Type: r.type, URL: r.url, Header: Object.fromEntries(r.headers), Body: await r.text()}))`,
		quote(t, address), quote(t, options)))
}

// frame puts an address of the page's own origin into a frame and gives the text
// that appears there.
func (b *tab) frame(t *testing.T, address string) string {
	t.Helper()
	return evaluate[string](t, b, fmt.Sprintf(`new Promise((done) => {
		const frame = document.createElement('iframe')
		frame.onload = () => done(frame.contentDocument?.body.innerText ?? 'a page of another origin')
		frame.src = %s
		document.body.append(frame)
	})`, quote(t, address)))
}

// widths are those that pages are looked at in, in CSS pixels.
var widths = map[string]struct{ width, height int64 }{
	"desktop": {1280, 800},
	"phone":   {390, 844},
}

// photograph takes pictures of the page in each width, and says where it doesn't fit
// one. They are in the folder that CREDENCE_SCREENSHOTS names; without one they go
// where go test -artifacts keeps things.
func (b *tab) photograph(t *testing.T, name string) {
	t.Helper()
	folder := cmp.Or(os.Getenv("CREDENCE_SCREENSHOTS"), t.ArtifactDir())
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	for device, size := range widths {
		if _, err := run(t, b, chromedp.EmulateViewport(size.width, size.height)); err != nil {
			t.Fatalf("%s: %v", device, err)
		}
		if wide := evaluate[int64](t, b, "document.documentElement.scrollWidth"); wide > size.width {
			t.Errorf("%s: the page is %d pixels wide on a %s of %d", name, wide, device, size.width)
		}
		picture, err := run(t, b, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatalf("%s: %v", device, err)
		}
		if kind := http.DetectContentType(picture); kind != "image/png" {
			t.Errorf("%s: got a picture of %s", name, kind)
		}
		if err := os.WriteFile(filepath.Join(folder, name+"-"+device+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run(t, b, chromedp.EmulateReset()); err != nil {
		t.Fatal(err)
	}
}

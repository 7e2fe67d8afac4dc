package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// visit plays a person with a browser: opens a page of the application, logs in at
// the provider, comes back to the page, and logs out.
func (d *demo) visit(ctx context.Context) error {
	b := &http.Client{Jar: new(jar), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	start := d.url + "/account?tab=orders"
	if err := d.logIn(ctx, b, start); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	if err := d.logOut(ctx, b, start); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return nil
}

// logIn ends at the page of the application that it starts at.
func (d *demo) logIn(ctx context.Context, b *http.Client, start string) error {
	login, err := sentOn(ctx, b, start)
	if err != nil {
		return err
	}
	provider, err := sentOn(ctx, b, login)
	if err != nil {
		return err
	}
	back, err := d.provider.Login(ctx, b, provider, "alice")
	if err != nil {
		return err
	}
	landed, err := sentOn(ctx, b, back.URL)
	if err != nil {
		return err
	}
	if landed != start {
		return fmt.Errorf("the login ends at %q, not at the page that it began at", landed)
	}
	last, err := navigate(ctx, b, start)
	switch {
	case err != nil:
		return err
	case last.status != http.StatusOK || !strings.Contains(last.text, "alice@example.com"):
		return fmt.Errorf("the page answers %d, without the person's address: %s", last.status, last.text)
	case strings.Contains(last.text, "__Host-"):
		return errors.New("the session's cookie reaches the application")
	}
	fmt.Fprintf(d.Out, "%-36s %d, as it should\n    at %s, back at %s, and the application knows alice\n",
		"a person who logs in", last.status, d.provider.Issuer(), start)
	return nil
}

var formToken = regexp.MustCompile(`name="token" value="([\w-]+)"`)

// logOut answers the page that asks, as its button does. After that the session is
// over, for copies of its cookie too.
func (d *demo) logOut(ctx context.Context, b *http.Client, start string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, start, nil)
	if err != nil {
		return err
	}
	for _, c := range b.Jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	address := d.url + "/.credence/logout"
	asks, err := navigate(ctx, b, address)
	if err != nil {
		return err
	}
	token := formToken.FindStringSubmatch(asks.text)
	if token == nil {
		return fmt.Errorf("%s answers %d, without a token: %s", address, asks.status, asks.text)
	}
	sent, err := submit(ctx, b, address, url.Values{"client": {"web"}, "token": {token[1]}})
	if err != nil {
		return err
	}
	if sent.location == "" {
		return fmt.Errorf("%s answers %d to the button, and doesn't go on to the provider: %s", address, sent.status, sent.text)
	}
	back, err := d.provider.Logout(ctx, b, sent.location)
	if err != nil {
		return err
	}
	last, err := navigate(ctx, b, back.URL)
	if err != nil {
		return err
	}
	if last.status != http.StatusOK || !strings.Contains(last.text, "You are logged out") {
		return fmt.Errorf("it ends with %d: %s", last.status, last.text)
	}
	at, err := sentOn(ctx, b, start)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(at, d.url+"/.credence/login?") {
		return fmt.Errorf("the page sends the person to %q, not to log in", at)
	}
	status, body, err := get(ctx, start, req.Header)
	if err != nil {
		return err
	}
	if copied := (step{status: http.StatusUnauthorized, reason: "session_revoked"}); !copied.fits(status, body) {
		return fmt.Errorf("a copy of the session's cookie: got %d %s", status, body)
	}
	fmt.Fprintf(d.Out, "%-36s %d, as it should\n    %s\n", "a copy of the cookie, after a logout", status, strings.TrimSpace(body))
	return nil
}

// sentOn gives where a page sends the browser.
func sentOn(ctx context.Context, b *http.Client, address string) (string, error) {
	p, err := navigate(ctx, b, address)
	if err == nil && p.location == "" {
		err = fmt.Errorf("%s answers %d and sends nobody on", address, p.status)
	}
	return p.location, err
}

// page is an answer to a browser.
type page struct {
	status         int
	location, text string
}

// navigate opens an address as a browser's tab does.
func navigate(ctx context.Context, b *http.Client, address string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Sec-Fetch-Site", "none")
	return open(b, req)
}

// submit sends the form of a page of the same origin.
func submit(ctx context.Context, b *http.Client, action string, form url.Values) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, action, strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "null") // what browsers send from a page with no-referrer
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return open(b, req)
}

func open(b *http.Client, req *http.Request) (page, error) {
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	resp, err := b.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return page{resp.StatusCode, resp.Header.Get("Location"), string(text)}, err
}

// jar keeps cookies as browsers do on localhost, which to them is as good as https.
// net/http/cookiejar would send no Secure cookie there.
type jar struct {
	mu      sync.Mutex
	cookies []kept
}

type kept struct {
	host string
	*http.Cookie
}

func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		var rest []kept
		for _, k := range j.cookies {
			if k.host != u.Hostname() || k.Name != c.Name {
				rest = append(rest, k)
			}
		}
		if j.cookies = rest; c.MaxAge >= 0 {
			j.cookies = append(rest, kept{u.Hostname(), c})
		}
	}
}

func (j *jar) Cookies(u *url.URL) (list []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range j.cookies {
		if k.host == u.Hostname() {
			list = append(list, k.Cookie)
		}
	}
	return list
}

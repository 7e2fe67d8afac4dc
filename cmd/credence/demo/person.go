package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// logIn plays a person with a browser: opens a page of the application, logs in at
// the provider, comes back to the page, and logs out.
func (d *demo) logIn(ctx context.Context) error {
	b := &http.Client{Jar: new(jar), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	start := d.url + "/account?tab=orders"
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
	req.Header = http.Header{
		"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
	}
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

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
	page := d.url + "/account?tab=orders"
	sent := func(from *http.Response, want int) (string, error) {
		location, err := from.Location()
		if err != nil || from.StatusCode != want {
			return "", fmt.Errorf("%s answers %s, with the location %q", from.Request.URL.Path, from.Status, from.Header.Get("Location"))
		}
		return location.String(), nil
	}
	first, _, err := navigate(ctx, b, page)
	if err != nil {
		return err
	}
	login, err := sent(first, http.StatusFound)
	if err != nil {
		return err
	}
	second, _, err := navigate(ctx, b, login)
	if err != nil {
		return err
	}
	provider, err := sent(second, http.StatusFound)
	if err != nil {
		return err
	}
	back, err := d.provider.Login(ctx, b, provider, "alice")
	if err != nil {
		return err
	}
	third, _, err := navigate(ctx, b, back.URL)
	if err != nil {
		return err
	}
	if landed := third.Header.Get("Location"); landed != page {
		return fmt.Errorf("the login ends at %q with %s, not at the page it began at", landed, third.Status)
	}
	last, text, err := navigate(ctx, b, page)
	switch {
	case err != nil:
		return err
	case last.StatusCode != http.StatusOK || !strings.Contains(text, "alice@example.com"):
		return fmt.Errorf("the page answers %s, without the person's address: %s", last.Status, text)
	case strings.Contains(text, "__Host-"):
		return errors.New("the session's cookie reaches the application")
	}
	fmt.Fprintf(d.Out, "%-36s %d, as it should\n    at %s, back at %s, and the application knows alice\n",
		"a person who logs in", last.StatusCode, d.provider.Issuer(), page)
	return nil
}

// navigate opens an address as a browser's tab does.
func navigate(ctx context.Context, b *http.Client, address string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header = http.Header{
		"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
	}
	resp, err := b.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp, string(text), err
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

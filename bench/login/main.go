// Command login runs a provider for people, and once the server that is measured is
// ready, logs in there as a browser would and writes the session's cookie to a file as
// NAME=VALUE. Then the provider goes on until the command is ended.
//
//	login -provider HOST:PORT -server HOST:PORT -cookie FILE
//
// The server's configuration has to have the client bench with the secret bench, and
// https://shop.example.test/.credence/callback as its redirect_uri.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

const (
	host  = "shop.example.test"
	alice = "f3b0c442-98fc-1c14-9afb-f4c8996fb924" // as in the tokens of mkframe
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("login: ")
	provider := flag.String("provider", "", "where the provider listens")
	server := flag.String("server", "", "where the server's login pages are")
	file := flag.String("cookie", "", "`file` for the cookie")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *provider, *server, *file); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, provider, server, file string) error {
	p := oidctest.New(oidctest.Options{Issuer: "http://" + provider})
	p.AddUser(oidctest.User{Subject: alice, Claims: map[string]any{
		"email": "alice@example.test", "preferred_username": "alice", "groups": []string{"users", "admin", "billing"},
	}})
	p.AddLoginClient(oidctest.LoginClient{ID: "bench", Secret: "bench", RedirectURIs: []string{"https://" + host + "/.credence/callback"}})
	if err := p.Start(provider); err != nil {
		return err
	}
	defer p.Close()
	cookie, err := logIn(ctx, p, server)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(cookie), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// logIn goes through the login pages, again and again until the server is ready.
func logIn(ctx context.Context, p *oidctest.Provider, server string) (cookie string, err error) {
	for range 300 {
		if cookie, err = logInOnce(ctx, p, server); err == nil {
			return cookie, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return "", err
}

func logInOnce(ctx context.Context, p *oidctest.Provider, server string) (cookie string, err error) {
	b := &browser{server: server}
	address, err := b.open(ctx, "https://"+host+"/.credence/login?client=bench&return_to="+url.QueryEscape("https://"+host+"/"))
	if err != nil {
		return "", err
	}
	back, err := p.Login(ctx, nil, address, alice)
	if err != nil {
		return "", err
	}
	if _, err := b.open(ctx, back.URL); err != nil {
		return "", err
	}
	for _, c := range b.cookies {
		if c.Name == "__Host-credence.bench" {
			return c.Name + "=" + c.Value, nil
		}
	}
	return "", errors.New("the login sets no session cookie")
}

// browser opens pages of the host at the server, and keeps their cookies.
type browser struct {
	server  string
	cookies []*http.Cookie
}

// open gives where the page sends the browser.
func (b *browser) open(ctx context.Context, address string) (location string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	u.Scheme, u.Host = "http", b.server
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	req.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "X-Forwarded-Proto": {"https"}}
	var pairs []string
	for _, c := range b.cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	req.Header.Set("Cookie", strings.Join(pairs, "; "))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b.cookies = append(b.cookies, resp.Cookies()...)
	if location = resp.Header.Get("Location"); location == "" {
		return "", fmt.Errorf("%s answers %s and sends nobody on", u.Path, resp.Status)
	}
	return location, nil
}

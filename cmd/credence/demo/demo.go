// Package demo shows Credence at work: a provider, a sample application, Credence
// itself and a real Envoy before them, all on loopback and all ended together.
//
// Nothing in it is a stand-in for what is shown: the provider signs real tokens,
// Credence runs from a configuration file that can be read, and Envoy is the one
// that would run in production. Where Envoy isn't installed, Credence is asked
// over gRPC as Envoy would ask it, and the demo says what is missing.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc/oidctest"
)

// Options are what the demo gets from outside.
type Options struct {
	// Serve runs Credence until ctx ends; decisions takes its audit lines.
	Serve func(ctx context.Context, file *config.File, decisions io.Writer) error

	// EnvoyConfig is what envoy-config prints for a configuration: that of an Envoy at
	// the address listen, before the application at upstream.
	EnvoyConfig func(file *config.File, listen, upstream string) ([]byte, error)

	// Envoy is the path of the program; empty means that there is none.
	Envoy string

	// Smoke goes through the story and ends, in place of waiting for a person.
	Smoke bool

	Out io.Writer
}

// Run runs the demo until ctx ends, or with Smoke until the story is told. The
// error says which step went otherwise than it should.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "credence-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	d := &demo{Options: o, dir: dir, provider: oidctest.New(oidctest.Options{Audience: audience})}
	if err := d.provider.Start("127.0.0.1:0"); err != nil {
		return err
	}
	defer d.provider.Close()
	app, err := d.startApp(ctx)
	if err != nil {
		return err
	}
	defer app.Close()

	credenceEnded, err := d.startCredence(ctx, stop)
	if err != nil {
		return err
	}
	defer func() { stop(nil); <-credenceEnded }()
	if o.Envoy != "" {
		envoyEnded, err := d.startEnvoy(ctx, stop)
		if err != nil {
			return err
		}
		defer func() { stop(nil); <-envoyEnded }()
	}
	if err := d.waitUntilReady(ctx); err != nil {
		return err
	}
	if o.Envoy == "" || !o.Smoke {
		d.introduce()
	}
	if o.Smoke || o.Envoy == "" {
		if err := d.tell(ctx); err != nil || o.Smoke {
			return err
		}
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

const audience = "shop"

type demo struct {
	Options
	dir      string
	provider *oidctest.Provider
	file     *config.File // that Credence runs from

	appAddress, checkAddress, probeAddress string

	frontAddress string // of Envoy
	url          string // the same as a browser has it; empty without Envoy
}

// configText is the demo's configuration, as a user would write it.
const configText = `# What the demo runs with.
listen:
  check: %[1]s
  probe: %[2]s
  login: %[4]s
providers:
  - name: demo
    issuer: %[3]s
    audiences: [shop]
clients:
  - name: web
    provider: demo
    client_id: shop-web
    client_secret: {file: %[6]s/client-secret}
    redirect_uri: %[5]s/.credence/callback
    scopes: [openid, profile, email]
session:
  keys: [{file: %[6]s/session-key}]
rules:
  - name: welcome
    match: {paths: [/, /token/*]}
    public: true
  - name: account
    match: {hosts: [localhost], paths: [/account]}
    login: web
    headers:
      x-user-id: claims.sub
      x-user-email: claims.email
      x-user-groups: claims.groups
  - name: orders
    match: {paths: [/orders, /orders/**], methods: [GET]}
    bearer: {providers: [demo], scopes: [orders.read]}
    require: '"staff" in claims.groups'
    headers:
      x-user-id: claims.sub
      x-user-email: claims.email
      x-user-groups: claims.groups
audit: {allows: all}
log: {level: warn}
`

func (d *demo) configPath() string { return filepath.Join(d.dir, "credence.yaml") }

func (d *demo) startCredence(ctx context.Context, stop context.CancelCauseFunc) (ended <-chan struct{}, err error) {
	if d.checkAddress, err = freeAddress(ctx, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if d.probeAddress, err = freeAddress(ctx, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	loginAddress, err := freeAddress(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if d.frontAddress, err = freeAddress(ctx, frontDoor); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(d.frontAddress)
	if err != nil {
		return nil, err
	}
	d.url = "http://localhost:" + port
	if err := d.register(); err != nil {
		return nil, err
	}
	path := d.configPath()
	text := fmt.Sprintf(configText, d.checkAddress, d.probeAddress, d.provider.Issuer(), loginAddress, d.url, d.dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if d.file, err = config.Load(path); err != nil {
		return nil, fmt.Errorf("the demo's own configuration: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		decisions := &decisionPrinter{out: d.Out}
		if err := d.Serve(ctx, d.file, decisions); err != nil {
			stop(fmt.Errorf("credence ended: %w", err))
		}
	}()
	return done, nil
}

// register makes the shop's client at the provider, and the secrets of both.
func (d *demo) register() error {
	secret := rand.Text()
	d.provider.AddLoginClient(oidctest.LoginClient{
		ID: "shop-web", Secret: secret, RedirectURIs: []string{d.url + "/.credence/callback"},
		PostLogoutRedirectURIs: []string{d.url + "/.credence/signed-out"}, AccessTTL: time.Hour,
	})
	d.provider.AddUser(oidctest.User{Subject: "bob", Claims: map[string]any{
		"name": "Bob", "preferred_username": "bob", "email": "bob@example.com", "groups": []string{"visitors"},
	}})
	key := make([]byte, 32)
	rand.Read(key)
	return errors.Join(
		os.WriteFile(filepath.Join(d.dir, "client-secret"), []byte(secret), 0o600),
		os.WriteFile(filepath.Join(d.dir, "session-key"), []byte(base64.StdEncoding.EncodeToString(key)), 0o600),
	)
}

func (d *demo) waitUntilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("credence or Envoy wasn't ready within a minute"))
	defer cancel()
	urls := []string{"http://" + d.probeAddress + "/readyz"}
	if d.Envoy != "" {
		urls = append(urls, d.url+"/")
	}
	for _, url := range urls {
		for !isOK(ctx, url) {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func isOK(ctx context.Context, url string) bool {
	status, _, err := get(ctx, url, nil)
	return err == nil && status == http.StatusOK
}

func get(ctx context.Context, url string, header http.Header) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(b), err
}

// freeAddress finds a free port: the one asked for, or any other of that host.
func freeAddress(ctx context.Context, want string) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", want)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(want)
		if splitErr != nil {
			return "", splitErr
		}
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	defer l.Close()
	return l.Addr().String(), nil
}

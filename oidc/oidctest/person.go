package oidctest

import (
	"context"
	"net/http"
	"net/url"
)

// Callback is how the provider sends a browser back to a client.
type Callback struct {
	URL  string     // where to; of an answer by query it holds the answer
	Form url.Values // what is posted there; nil for a GET
}

// Values gives the answer, by whichever way it came: code, state, iss, error.
func (c Callback) Values() url.Values {
	if c.Form != nil {
		return c.Form
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil
	}
	return u.Query()
}

// Request is what the browser sends next.
func (c Callback) Request(ctx context.Context) (*http.Request, error) {
	if c.Form == nil {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	}
	return formRequest(ctx, c.URL, c.Form)
}

// Login plays a person whom a client has sent to the authorization endpoint: it
// opens the address, says who it is if it is asked, and gives how the browser
// would go on to the client, which it doesn't do. An empty subject cancels.
//
// The client is the browser: with a Jar, a second Login is silent, whatever the
// subject, as long as the session lasts. Nil is a browser without a Jar that
// reaches the provider in process.
//
// The error says what the provider's page said when it led nowhere. That the
// provider refuses is no error if it sends the person back with that.
func (p *Provider) Login(ctx context.Context, client *http.Client, authorizationURL, subject string) (Callback, error) {
	b := p.browser(client)
	if err := b.open(ctx, authorizationURL); err != nil {
		return Callback{}, err
	}
	control, value := "name", subject
	if subject == "" {
		control, value = "cancel", "yes"
	}
	if _, err := b.submit(ctx, control, value); err != nil {
		return Callback{}, err
	}
	return b.callback()
}

// Logout plays a person whom a client has sent to the end_session_endpoint, who
// confirms it if asked. The Callback is zero if it ends on the provider's page.
func (p *Provider) Logout(ctx context.Context, client *http.Client, endSessionURL string) (Callback, error) {
	b := p.browser(client)
	if err := b.open(ctx, endSessionURL); err != nil {
		return Callback{}, err
	}
	if _, err := b.submit(ctx, "confirm", "yes"); err != nil {
		return Callback{}, err
	}
	if b.status == http.StatusOK {
		return Callback{}, nil
	}
	return b.callback()
}

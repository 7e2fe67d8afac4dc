package oidctest

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// browser is what a person has in front of them: one page, or a redirect that
// hasn't been followed yet.
type browser struct {
	client   http.Client
	at       *url.URL
	status   int
	location string // of a redirect; "" for a page
	page     document
}

// document is a page as far as a person without eyes needs it.
type document struct {
	forms []form
	said  []string // its paragraphs
}

type form struct {
	action   string
	hidden   url.Values
	controls []string // names of the other inputs and of buttons
}

func (p *Provider) browser(client *http.Client) *browser {
	if client == nil {
		client = &http.Client{Transport: p.Transport()}
	}
	b := &browser{client: *client}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

func (b *browser) open(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("oidctest: opening a page: %w", err)
	}
	return b.send(r)
}

// submit sends the form that has a control of this name, with it, and reports
// whether the page has such a form.
func (b *browser) submit(ctx context.Context, control, value string) (bool, error) {
	i := slices.IndexFunc(b.page.forms, func(f form) bool { return slices.Contains(f.controls, control) })
	if i < 0 {
		return false, nil
	}
	f := b.page.forms[i]
	f.hidden.Set(control, value)
	action, err := b.at.Parse(f.action)
	if err != nil {
		return true, fmt.Errorf("oidctest: a form's action: %w", err)
	}
	r, err := formRequest(ctx, action.String(), f.hidden)
	if err != nil {
		return true, fmt.Errorf("oidctest: submitting a form: %w", err)
	}
	return true, b.send(r)
}

func (b *browser) send(r *http.Request) error {
	response, err := b.client.Do(r)
	if err != nil {
		return fmt.Errorf("oidctest: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("oidctest: reading a page: %w", err)
	}
	b.at, b.status, b.location = r.URL, response.StatusCode, response.Header.Get("Location")
	b.page = readDocument(string(text))
	return nil
}

// callback gives the way back to the client, by redirect or by a form of nothing
// but hidden fields.
func (b *browser) callback() (Callback, error) {
	if b.location != "" {
		u, err := b.at.Parse(b.location)
		if err != nil {
			return Callback{}, fmt.Errorf("oidctest: Location: %w", err)
		}
		return Callback{URL: u.String()}, nil
	}
	if b.status == http.StatusOK && len(b.page.forms) == 1 {
		return Callback{URL: b.page.forms[0].action, Form: b.page.forms[0].hidden}, nil
	}
	return Callback{}, fmt.Errorf("oidctest: %s answered %d and leads nowhere: %s", b.at.Path, b.status, strings.Join(b.page.said, " "))
}

func formRequest(ctx context.Context, address string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

// readDocument reads one of this package's pages, which are XML as well. Of
// anything else it gives what it understands.
func readDocument(text string) document {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var page document
	var current *form // nil outside a form
	paragraph := false
	for {
		token, err := d.Token()
		if err != nil {
			return page
		}
		switch element := token.(type) {
		case xml.StartElement:
			attribute := map[string]string{}
			for _, a := range element.Attr {
				attribute[a.Name.Local] = a.Value
			}
			switch name := attribute["name"]; {
			case element.Name.Local == "p":
				paragraph = true
				page.said = append(page.said, "")
			case element.Name.Local == "form":
				page.forms = append(page.forms, form{action: attribute["action"], hidden: url.Values{}})
				current = &page.forms[len(page.forms)-1]
			case current == nil || name == "":
			case attribute["type"] == "hidden":
				current.hidden.Add(name, attribute["value"])
			default:
				current.controls = append(current.controls, name)
			}
		case xml.CharData:
			if paragraph {
				page.said[len(page.said)-1] += string(element)
			}
		case xml.EndElement:
			if element.Name.Local == "p" {
				paragraph = false
			}
			if element.Name.Local == "form" {
				current = nil
			}
		}
	}
}

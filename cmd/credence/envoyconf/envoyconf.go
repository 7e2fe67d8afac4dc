// Package envoyconf writes the configuration of an Envoy that asks Credence about
// every request. Each setting that isn't Envoy's default stands there for a
// reason, which the text gives: it is meant to be read, and copied from.
package envoyconf

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Options say what stands around the Envoy. Addresses are "host:port"; that of
// Credence may also be "unix:/path".
type Options struct {
	Listen   string // where clients come in
	Check    string // where Credence answers: its listen.check
	Upstream string // the application

	// Login is where Credence's login pages are and the metadata of resources; empty
	// where there are none. Prefix is the path that the pages are under, and Metadata
	// that of the metadata; each is empty without them.
	Login, Prefix, Metadata string

	// Headers are the request headers that Credence reads, by name. Empty sends all.
	Headers []string

	// Endings are of headers that are sent beside Headers: those that rules set, in
	// every spelling, so that a client's can be removed.
	Endings []string

	// Extension is what Credence is told about the proxy with every request.
	Extension map[string]string

	// Timeout is how long Envoy waits for a decision; zero means half a second.
	Timeout time.Duration
}

//go:embed envoy.yaml.tmpl
var text string

var bootstrap = template.Must(template.New("envoy.yaml").Option("missingkey=error").Parse(text))

// address is an address in the words of Envoy's configuration, on one line.
type address string

// Bootstrap is a whole static configuration, as YAML.
func Bootstrap(o Options) ([]byte, error) {
	if o.Timeout < 0 {
		return nil, fmt.Errorf("--timeout %v: write one above 0", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = 500 * time.Millisecond
	}
	var in struct {
		Listen, Check, Upstream, Login address

		Timeout, Prefix, Metadata string
		Headers, Endings          []string
		Extension                 map[string]string
	}
	in.Headers, in.Endings, in.Extension, in.Prefix, in.Metadata = o.Headers, o.Endings, o.Extension, o.Prefix, o.Metadata
	in.Timeout = strconv.FormatFloat(o.Timeout.Seconds(), 'f', -1, 64) + "s"
	for _, a := range []struct {
		name, from string
		to         *address
	}{{"--listen", o.Listen, &in.Listen}, {"listen.check", o.Check, &in.Check}, {"--upstream", o.Upstream, &in.Upstream}, {"listen.login", o.Login, &in.Login}} {
		var err error
		if a.to == &in.Login && o.Login == "" {
			continue
		}
		if *a.to, err = parseAddress(a.from, a.to == &in.Listen); err != nil {
			return nil, fmt.Errorf("%s %q: %w", a.name, a.from, err)
		}
	}
	var b bytes.Buffer
	if err := bootstrap.Execute(&b, in); err != nil {
		return nil, fmt.Errorf("envoyconf: %w", err)
	}
	return b.Bytes(), nil
}

// parseAddress reads an address; everywhere says that it is one to listen on, where
// no host means every interface.
func parseAddress(s string, everywhere bool) (address, error) {
	if path, unix := strings.CutPrefix(s, "unix:"); unix {
		return address(fmt.Sprintf("{pipe: {path: %q}}", path)), nil
	}
	host, port, err := net.SplitHostPort(s)
	if wrong, ok := errors.AsType[*net.AddrError](err); ok {
		return "", fmt.Errorf("%s; write such as 127.0.0.1:8000", wrong.Err)
	}
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("port %q isn't a number up to 65535", port)
	}
	if host == "" {
		if !everywhere {
			return "", errors.New("it has no host to connect to")
		}
		host = "0.0.0.0"
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	return address(fmt.Sprintf("{socket_address: {address: %q, port_value: %d}}", host, n)), nil
}

package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// Metadata is what a provider says of itself (OpenID Connect Discovery 1.0, 3).
type Metadata struct {
	JWKSURL string // jwks_uri: where its keys are

	document  Claims // the whole of it; only what is above was checked
	plainHTTP bool   // it came from a loopback address
}

// endpoint is an address in the document, by the name of its member. A document may
// well do without, and the others can be used also where this isn't an address to
// ask at.
func (m *Metadata) endpoint(name string) (string, error) {
	address, _ := m.document.Lookup(name).Text()
	if address == "" {
		return "", errors.New("the document has no " + name)
	}
	if err := checkURL(address, m.plainHTTP); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return address, nil
}

// wellKnown is what a discovery document's address ends in.
const wellKnown = "/.well-known/openid-configuration"

// Discover fetches and checks a provider's discovery document. It is at
// discoveryURL or, if that is empty, under the issuer; either way its issuer has
// to equal this one, byte for byte. The keys it names may be on another host, as
// with the large providers, but are believed over https only; plain http is for a
// document that came from a loopback address itself, and leads to loopback.
//
// The client comes from [NewClient], which bounds the answer.
func Discover(ctx context.Context, client *http.Client, issuer Issuer, discoveryURL string) (*Metadata, error) {
	if discoveryURL == "" {
		discoveryURL = strings.TrimSuffix(string(issuer), "/") + wellKnown
	}
	base, ok := strings.CutSuffix(discoveryURL, wellKnown)
	if !ok {
		return nil, fmt.Errorf("discovery URL %s doesn't end in %s", quote(discoveryURL), wellKnown)
	}
	if err := checkURL(discoveryURL, true); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	// go-oidc would compare the issuer that a case-folding decoder read. This turns
	// its comparison off; readMetadata makes the one that counts.
	ctx = gooidc.InsecureIssuerURLContext(gooidc.ClientContext(ctx, client), string(issuer))
	provider, err := gooidc.NewProvider(ctx, base)
	if err != nil {
		if _, ok := errors.AsType[*url.Error](err); ok {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		return nil, fmt.Errorf("discovery at %q: %s", discoveryURL, excerpt(err.Error())) // may hold the whole answer
	}
	var document json.RawMessage // the bytes as they came
	err = provider.Claims(&document)
	if err == nil {
		var m *Metadata
		from, _ := url.Parse(discoveryURL)
		if m, err = readMetadata(document, issuer, isLoopback(from)); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("discovery at %q: %w", discoveryURL, err)
}

func readMetadata(document []byte, issuer Issuer, plainHTTP bool) (*Metadata, error) {
	o, err := parseObject(document)
	if err != nil {
		return nil, err
	}
	said, ok := o.Lookup("issuer").Text()
	switch {
	case !ok:
		return nil, errors.New("the document has no issuer")
	case said != string(issuer):
		hint := ""
		if strings.TrimRight(said, "/") == strings.TrimRight(string(issuer), "/") {
			hint = ": they differ by a slash at the end"
		}
		return nil, fmt.Errorf("the document's issuer is %s, the configured one %s%s; they have to be equal, byte for byte",
			excerpt(said), excerpt(string(issuer)), hint)
	}
	keys, ok := o.Lookup("jwks_uri").Text()
	if !ok {
		return nil, errors.New("the document has no jwks_uri")
	}
	if err := checkURL(keys, plainHTTP); err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	return &Metadata{JWKSURL: keys, document: o, plainHTTP: plainHTTP}, nil
}

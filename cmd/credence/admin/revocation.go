package admin

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

// revocation is the body of POST /revocations: one provider, by name or by issuer,
// and one of the names that the provider gave.
type revocation struct {
	Provider
	subject, sid, tokenID, clientID string
}

// parse reads the body of a revocation.
func parse(body []byte, providers []Provider) (r revocation, err error) {
	err = members(body, "provider or issuer, and one of subject, sid, token_id and client_id", map[string]*string{
		"provider": &r.Name, "issuer": &r.Issuer,
		"subject": &r.subject, "sid": &r.sid, "token_id": &r.tokenID, "client_id": &r.clientID,
	})
	if err != nil {
		return r, err
	}
	if n := given(r.subject, r.sid, r.tokenID, r.clientID); n != 1 {
		return r, fmt.Errorf("write exactly one of subject, sid, token_id and client_id; this has %d", n)
	}
	if given(r.Name, r.Issuer) != 1 {
		return r, errors.New("write either provider, its name in the configuration, or issuer, its URL")
	}
	i := slices.IndexFunc(providers, func(p Provider) bool { return p.Name == r.Name || p.Issuer == r.Issuer })
	switch {
	case i < 0 && r.Name != "":
		return r, fmt.Errorf("no provider is called %q; there are: %s", r.Name, list(providers))
	case i < 0:
		return r, fmt.Errorf("no provider has the issuer %q, to the byte; there are: %s", r.Issuer, list(providers))
	}
	r.Provider = providers[i]
	return r, nil
}

// members reads a body strictly: one JSON object, of these members and no others, each
// of which is text. encoding/json would take "SUBJECT" for subject, and the last of two;
// go-jose's copy of it takes names as they are, and once.
func members(body []byte, known string, fields map[string]*string) error {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("the request isn't one JSON object: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		field := fields[name]
		if field == nil {
			return fmt.Errorf("%q isn't known; write %s", name, known)
		}
		text, ok := members[name].(string)
		// The replacement character stands where there were bytes that aren't text.
		if !ok || text == "" || strings.ContainsRune(text, utf8.RuneError) {
			return fmt.Errorf("%s has to be text, and not empty", name)
		}
		*field = text
	}
	return nil
}

// given is how many of the texts there are.
func given(texts ...string) (n int) {
	for _, text := range texts {
		if text != "" {
			n++
		}
	}
	return n
}

func list(providers []Provider) string {
	texts := make([]string, len(providers))
	for i, p := range providers {
		texts[i] = fmt.Sprintf("%s (%s)", p.Name, p.Issuer)
	}
	return cmp.Or(strings.Join(texts, ", "), "none")
}

// apply puts the revocation in force until then; by then all that it is about has
// to have expired.
func (r *revocation) apply(v *session.Revocations, now, until time.Time) {
	switch {
	case r.subject != "":
		v.Subject(r.Issuer, r.subject, now, until)
	case r.sid != "":
		v.SID(r.Issuer, r.sid, now, until)
	case r.tokenID != "":
		v.Token(r.Issuer, r.tokenID, until)
	default:
		v.Client(r.Issuer, r.clientID, now, until)
	}
}

// record is the line of the audit log.
func (r *revocation) record(now time.Time) *audit.Record {
	detail := ""
	switch {
	case r.sid != "":
		detail = fmt.Sprintf("sid %q", r.sid)
	case r.tokenID != "":
		detail = fmt.Sprintf("token_id %q", r.tokenID)
	}
	return &audit.Record{
		Event: audit.Revocation, Time: now, Allowed: true, Reason: audit.Allowed,
		Provider: r.Name, Subject: r.subject, ClientID: r.clientID, Detail: detail,
	}
}

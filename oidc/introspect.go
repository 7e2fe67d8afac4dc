package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
)

// IntrospectorOptions say where a provider is asked about tokens, as whom, and how
// often.
type IntrospectorOptions struct {
	Name   string // the provider's, for logs
	Issuer Issuer

	// URL of the introspection endpoint; empty means discovery's
	// introspection_endpoint. DiscoveryURL is as in KeySetOptions.
	URL, DiscoveryURL string

	// Auth proves who is asking. Without it anybody could find out by us which
	// tokens are good (RFC 7662, 2.1 and 4).
	Auth *ClientAuth

	// TTL is the longest time that an answer stands. Zero means a minute.
	TTL time.Duration

	// AcceptMissingAudience takes an answer without aud, which RFC 7662 allows. The
	// token may then be meant for any service of the provider.
	AcceptMissingAudience bool

	// Signed has the provider sign its answers, and believes no others. Nil means that
	// they are as good as the connection that they come over.
	Signed *SignedAnswers

	// MaxConcurrent bounds the requests under way, and MaxPerSecond those that begin.
	// What is over is IntrospectionBusy. Zero means 64 and 200.
	MaxConcurrent, MaxPerSecond int

	Client *http.Client // from NewClient; nil means one with the zero ClientOptions
	Log    *slog.Logger // nil means nowhere
}

// Introspector asks a provider about tokens (RFC 7662). It remembers no answers:
// that is the caller's. Where the endpoint has to be discovered, [Introspector.Run]
// does that in the background.
type Introspector struct {
	asker
	options IntrospectorOptions // defaults filled in

	active, inactive, unavailable atomic.Uint64
}

// IntrospectorStats count what came of introspections.
type IntrospectorStats struct {
	Active, Inactive uint64 // answers
	Unavailable      uint64 // no answer that can be used
	Busy             uint64 // not asked, for want of budget
}

const (
	defaultAnswerTTL  = time.Minute
	introspectTimeout = 5 * time.Second
	maxIntrospection  = 64 << 10 // bytes of an answer
)

// NewIntrospector checks the options.
func NewIntrospector(o IntrospectorOptions) (*Introspector, error) {
	if o.Auth == nil || o.Auth.options.Method == PublicClient {
		return nil, errors.New("introspection needs client credentials")
	}
	if o.Signed != nil {
		signed, err := o.Signed.complete(o.Auth)
		if err != nil {
			return nil, err
		}
		o.Signed = signed
	}
	o.TTL = cmp.Or(max(o.TTL, 0), defaultAnswerTTL)
	o.MaxConcurrent, o.MaxPerSecond = orDefaults(o.MaxConcurrent, o.MaxPerSecond)
	a, err := newAsker("introspection", o.URL, o.Name, directory{o.Issuer, o.DiscoveryURL, o.Client, o.Log}, o.MaxConcurrent, o.MaxPerSecond)
	if err != nil {
		return nil, err
	}
	return &Introspector{asker: a, options: o}, nil
}

// fingerprint holds all that answers depend on but the provider itself.
func (i *Introspector) fingerprint() string {
	o := &i.options
	text := fmt.Sprintf("%q %q %q %d %t", o.URL, o.DiscoveryURL, o.Auth.options.ID, o.TTL, o.AcceptMissingAudience)
	if o.Signed != nil {
		text += fmt.Sprintf(" %q %q", o.Signed.Audience, o.Signed.Algorithms)
	}
	return text
}

// Stats gives the counts so far.
func (i *Introspector) Stats() IntrospectorStats {
	return IntrospectorStats{
		Active: i.active.Load(), Inactive: i.inactive.Load(), Unavailable: i.unavailable.Load(), Busy: i.budget.refused(),
	}
}

// Ready refuses as long as it isn't known where to ask.
func (i *Introspector) Ready() *audit.Refusal {
	if _, problem := i.endpoint.get(); problem != "" {
		return unanswered(problem)
	}
	return nil
}

// Run discovers the endpoint, and again every hour in case it has moved, until ctx
// ends. It returns at once where the URL is configured.
func (i *Introspector) Run(ctx context.Context) { i.endpoint.run(ctx) }

// ask gives what the provider says, at the time now, of an active token that came from
// this address. Nothing of the token, of our credentials, or of an answer that isn't one
// is in a refusal: an endpoint that misbehaves may say the token back.
func (i *Introspector) ask(ctx context.Context, raw RawToken, now int64, from netip.Addr) (Claims, *audit.Refusal) {
	address, problem := i.endpoint.get()
	if problem != "" {
		i.unavailable.Add(1)
		return Claims{}, unanswered(problem)
	}
	if !i.budget.take(from) {
		return Claims{}, i.budget.exceeded(audit.IntrospectionBusy)
	}
	defer i.budget.give(from)
	answer, refusal := i.post(ctx, address, raw, now)
	switch active := answer.Lookup("active"); {
	case refusal != nil:
		i.unavailable.Add(1)
		return Claims{}, refusal
	case active.Kind() == KindTrue:
		i.active.Add(1)
		return answer, nil
	default:
		i.inactive.Add(1)
		return Claims{}, refuse(audit.TokenInactive, inactivity(active))
	}
}

// inactivity says what there is in place of true.
func inactivity(active Value) string {
	switch active.Kind() {
	case KindFalse:
		return ""
	case KindAbsent:
		return "the answer has no active"
	default:
		return "the answer's active isn't a boolean"
	}
}

// post sends the question (RFC 7662, 2.1) and reads the answer strictly.
func (i *Introspector) post(ctx context.Context, address string, raw RawToken, now int64) (Claims, *audit.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, introspectTimeout)
	defer cancel()
	// In the body, so that no server on the way logs the token with the URL.
	form := url.Values{"token": {string(raw)}, "token_type_hint": {"access_token"}}
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
		// Asking twice does no harm: net/http may ask again where the provider has
		// just closed an idle connection. It isn't sent.
		"Idempotency-Key": {},
	}
	if i.options.Signed != nil {
		header.Set("Accept", signedAnswer)
	}
	if err := i.options.Auth.prove(header, form); err != nil {
		return Claims{}, unanswered("our client credentials: " + plain(err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return Claims{}, unanswered(plain(err))
	}
	req.Header = header
	resp, err := i.client.Do(req)
	if err != nil {
		return Claims{}, unanswered(plain(err))
	}
	defer resp.Body.Close()
	document, err := io.ReadAll(io.LimitReader(resp.Body, maxIntrospection+1))
	if resp.StatusCode != http.StatusOK {
		return Claims{}, refusedStatus(resp)
	}
	switch {
	case err != nil:
		return Claims{}, unanswered("the answer ends early: " + plain(err))
	case len(document) > maxIntrospection:
		return Claims{}, unanswered("the answer is over " + strconv.Itoa(maxIntrospection) + " bytes")
	}
	if i.options.Signed != nil {
		return i.options.Signed.open(ctx, i.options.Issuer, resp.Header, document, now)
	}
	claims, err := parseObject(document)
	if err != nil {
		return Claims{}, unanswered("the answer isn't a JSON object that reads only one way")
	}
	return claims, nil
}

// refusedStatus explains an answer that isn't 200.
func refusedStatus(resp *http.Response) *audit.Refusal {
	detail := "the introspection endpoint answers with status " + strconv.Itoa(resp.StatusCode)
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		detail += ": it doesn't take our client credentials"
	case resp.StatusCode/100 == 3:
		detail += ": redirects aren't followed, so configure the address it leads to"
	}
	refusal := unanswered(detail)
	refusal.RetryAfter = retryAfter(resp.Header)
	return refusal
}

// unanswered is what a token gets that couldn't be asked about.
func unanswered(detail string) *audit.Refusal {
	return &audit.Refusal{Reason: audit.IntrospectionUnavailable, Detail: detail, RetryAfter: retryAfterFailure}
}

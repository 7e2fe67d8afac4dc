package authz

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// Options are what an [Engine] is made of. Verifier, Tokens and Counters have to be
// there.
type Options struct {
	Rules    []Rule
	Verifier *oidc.Verifier

	// Tokens remembers verdicts; it is shared with the engines before and after.
	Tokens *Tokens

	// Sessions are those of the browsers that logged in by Clients; nil where there
	// are none. LoginPaths are the paths of the login pages on their hosts, which
	// everybody may reach.
	Sessions   *session.Sessions
	Clients    []Client
	LoginPaths []string

	// Metadata are the URLs of the metadata of protected resources that is served
	// beside the login pages, which everybody may read.
	Metadata []string

	// Revocations are judged for bearer tokens; Sessions has its own. Nil means none.
	Revocations *session.Revocations

	// DPoP checks the proofs of tokens that are bound to a key; nil refuses them. It
	// remembers used proofs, and is shared with the engines before and after.
	DPoP *oidc.DPoP

	// DistrustCertificates takes no client certificate for one that the proxy saw:
	// whoever reaches this server could claim any.
	DistrustCertificates bool

	// TrustedHops is how many proxies before this server add to X-Forwarded-For. The
	// budgets for questions to providers are shared out by the address that comes of
	// it; zero doesn't look at the header, and shares them out to nobody.
	TrustedHops int

	// Realm is the one of WWW-Authenticate, in characters that need no quoting.
	// Empty means credence.
	Realm string

	Counters *audit.Counters
	Audit    *audit.Log   // nil writes no audit lines
	Log      *slog.Logger // for faults of our own; nil means slog.Default
}

// Engine decides. It is immutable and may be used by any number of requests at
// once; another configuration is another Engine.
type Engine struct {
	index    *index
	headers  headerGuard
	identity identityNames
	bearer   *authenticator
	sessions *session.Sessions
	dpop     *oidc.DPoP

	distrustCertificates bool

	revocations *session.Revocations
	realm       string
	counters    *audit.Counters
	noRule      *audit.RuleCounters
	audit       *audit.Log
	log         *slog.Logger
}

// New makes an engine, or gives every problem at once: each is a [*RuleError].
func New(o Options) (*Engine, error) {
	if len(o.Clients) > 0 && o.Sessions == nil {
		return nil, errors.New("clients without sessions")
	}
	rules, problems := compileRules(o)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, r := range rules {
		r.asked = askedOf(r.Bearer, o.Verifier)
	}
	read := readHeaders(rules, &o)
	return &Engine{
		index: newIndex(rules), headers: headerGuard{reads: read}, identity: newIdentityNames(read.Identity),
		bearer: newAuthenticator(o.Verifier, o.Tokens, o.TrustedHops), sessions: o.Sessions, dpop: o.DPoP,
		distrustCertificates: o.DistrustCertificates, revocations: o.Revocations, realm: cmp.Or(o.Realm, "credence"),
		counters: o.Counters, noRule: o.Counters.Rule(audit.NoRuleName), audit: o.Audit, log: cmp.Or(o.Log, slog.Default()),
	}, nil
}

// Decide judges a request, counts the decision and writes it down. It has no
// other effect, always answers, and waits no longer than ctx. The Decision may be
// made of the Request's memory: it holds until the Request is used again.
func (e *Engine) Decide(ctx context.Context, r *Request) Decision {
	j := e.decide(ctx, r)
	defer j.release()
	return j.Decision
}

// decide is Decide without the last copy: the decision holds until release.
func (e *Engine) decide(ctx context.Context, r *Request) *judgement {
	began := time.Now()
	if r.Time.IsZero() {
		r.Time = began
	}
	j := e.judge(ctx, r, nil)
	e.record(r, j, began)
	return j
}

// judge is decide without a trace in counters and log. A panic is a denial: the
// proxy would take a broken call for an outage, and may be set to let those pass.
// Where inspect isn't nil, every check of a token is told, and nothing remembered.
func (e *Engine) judge(ctx context.Context, r *Request, inspect *inspection) (j *judgement) {
	j = judgements.Get().(*judgement)
	j.engine, j.request, j.inspect = e, r, inspect
	defer func() {
		if v := recover(); v != nil {
			e.logPanic(ctx, v)
			j.Decision = j.denied(&audit.Refusal{Reason: audit.InternalError, Detail: "panic"})
		}
	}()
	refusal := j.judge(ctx)
	if refusal == nil {
		// The client may have gone, and the proxy given up, while policy was judged;
		// what leaves then must not be an allow.
		if err := ctx.Err(); err != nil {
			refusal = &audit.Refusal{Reason: audit.Interruption(err), Err: err}
		}
	}
	if refusal != nil {
		j.Decision = j.denied(refusal)
	}
	return j
}

// logPanic writes down what went wrong, but not the panic's value, which may hold a
// token: its text is the runtime's, or a type's name.
func (e *Engine) logPanic(ctx context.Context, v any) {
	p, ok := v.(*cache.PanicError) // of a verification, from its own goroutine
	if !ok {
		p = &cache.PanicError{Value: v, Stack: debug.Stack()}
	}
	e.log.LogAttrs(ctx, slog.LevelError, "a panic was answered with a denial; please report it",
		slog.String("panic", p.Error()), slog.String("stack", string(p.Stack)))
}

// judgement is the way of one request: each step fills in what the next needs.
type judgement struct {
	Decision
	engine  *Engine
	request *Request
	rule    *rule
	token   oidc.Result
	nonce   string // for the next DPoP proof; empty where none is asked for
	in      input
	inspect *inspection // nil but for Explain
	memo    memo
}

var judgements = sync.Pool{New: func() any { return new(judgement) }}

// release makes j ready for another request.
func (j *judgement) release() {
	*j = judgement{}
	judgements.Put(j)
}

// judge goes the way: request, rule, credential, identity, policy, mutations. A
// nil refusal leaves an allowed Decision.
func (j *judgement) judge(ctx context.Context) *audit.Refusal {
	if refusal := j.request.normalise(); refusal != nil {
		return refusal
	}
	if refusal := j.engine.headers.judge(j.request); refusal != nil {
		return refusal
	}
	presented, malformed := j.request.presented()
	if refusal := j.match(); refusal != nil {
		return refusal
	}
	// On a public rule as well: the application behind it would have to choose
	// between two credentials.
	if malformed != nil {
		return malformed
	}
	if j.recallAnswer(presented) {
		j.Reason = audit.Allowed
		if j.revoked() {
			return refuse(audit.TokenRevoked, "")
		}
	} else if refusal := j.judgeAnew(ctx, presented); refusal != nil {
		return refusal
	}
	j.engine.identity.clean(&j.Decision, j.request)
	j.cutOwnCookies()
	if !j.rule.ForwardAuthorization && presented.token != "" {
		j.Remove = append(j.Remove, "authorization")
	}
	j.request.remove = j.Remove // its memory is used again
	j.Allow = true
	return nil
}

// judgeAnew asks who it is, what the rule wants of them, and what an allowed request
// takes with it.
func (j *judgement) judgeAnew(ctx context.Context, presented credential) *audit.Refusal {
	if malformed := presented.judge(); malformed != nil {
		return malformed
	}
	if j.Reason = audit.PublicRule; j.rule.own {
		j.Reason = audit.OwnEndpoint
	}
	if !j.rule.Public {
		if refusal := j.identify(ctx, presented); refusal != nil {
			return refusal
		}
		if j.inspect != nil {
			j.inspect.identified = true
		}
		j.Reason = audit.Allowed
	}
	j.in.request, j.in.claims = j.request, j.token.Claims
	for i := range policyChecks {
		if refusal := policyChecks[i].judge(j.rule, &j.token, &j.in); refusal != nil {
			return refusal
		}
	}
	if refusal := j.rule.mutations(&j.Decision, &j.in); refusal != nil {
		return refusal
	}
	j.keepAnswer()
	if j.nonce != "" {
		j.ResponseHeaders = append(j.ResponseHeaders, Header{"dpop-nonce", j.nonce})
	}
	return nil
}

// match finds the first rule that fits. A path with several readings is judged
// only by a rule that says so.
func (j *judgement) match() *audit.Refusal {
	r := j.engine.index.first(j.request)
	switch {
	case r != nil && r.own && !strings.HasPrefix(j.request.Target, j.request.path):
		// In escapes, for which the proxy may know another route than ours.
		return refuse(audit.AmbiguousPath, "one of our own endpoints in another spelling")
	case r != nil && (r.AllowAmbiguousPath || !j.request.ambiguous):
		j.rule, j.Rule = r, r.Name
		return nil
	case j.request.ambiguous:
		return refuse(audit.AmbiguousPath, "")
	}
	return refuse(audit.NoRule, "")
}

// identify asks who it is. What it learns of a good credential stands in the
// decision even where policy then denies. A bearer token that the rule accepts
// decides, whatever it says, and a session only where there is none.
func (j *judgement) identify(ctx context.Context, presented credential) *audit.Refusal {
	switch {
	case j.rule.Bearer != nil && presented.token != "":
		return j.identifyByToken(ctx, presented)
	case j.rule.login != nil:
		return j.identifyBySession(ctx)
	default:
		return refuse(audit.NoCredential, "")
	}
}

func (j *judgement) identifyByToken(ctx context.Context, presented credential) *audit.Refusal {
	raw := presented.token
	if j.inspect != nil {
		j.token, j.inspect.findings = j.engine.bearer.verifier.Inspect(ctx, raw, j.request.Time, j.rule.providersToAsk()...)
		j.inspect.token = j.token
	} else if len(j.rule.asked) > 0 && !j.engine.bearer.verifier.Judges(raw) {
		j.token, j.Cached = j.engine.bearer.ask(ctx, raw, j.request, j.rule.asked)
	} else {
		j.token, j.Cached = j.engine.bearer.authenticate(ctx, raw, j.request, &j.memo)
	}
	if j.token.Refusal != nil {
		return j.token.Refusal
	}
	if !j.token.Good() {
		return refuse(audit.InternalError, "a verdict without a provider")
	}
	j.Provider = j.token.Provider.Name()
	sub, _ := j.token.Claims.Lookup("sub").Text()
	j.Subject = oidc.Subject(sub)
	j.ClientID = clientID(j.token.Claims)
	if j.revoked() {
		return refuse(audit.TokenRevoked, "")
	}
	return j.proven(presented)
}

// clientID is the client that a token was issued to: client_id (RFC 9068, 2.2),
// or azp where that is absent.
func clientID(claims oidc.Claims) string {
	for _, name := range [...]string{"client_id", "azp"} {
		if id, ok := claims.Lookup(name).Text(); ok && id != "" {
			return id
		}
	}
	return ""
}

// denied makes the decision of a refusal. Nothing that was prepared for an allow
// stays in it.
func (j *judgement) denied(refusal *audit.Refusal) Decision {
	d := deny(refusal)
	d.Rule, d.Provider, d.Subject, d.ClientID, d.Client, d.Cached = j.Rule, j.Provider, j.Subject, j.ClientID, j.Client, j.Cached
	d.SetCookies = j.SetCookies
	d.Denial = j.engine.denial(j.request, j.rule, refusal)
	return d
}

func (e *Engine) record(r *Request, j *judgement, began time.Time) {
	d, counters := &j.Decision, e.noRule
	if j.rule != nil {
		counters = j.rule.counters
	}
	took := time.Since(began)
	e.counters.Count(counters, d.Reason, took)
	e.audit.Write(&audit.Record{
		Time: began, RequestID: r.ID, Method: r.Method, Host: r.host, Path: r.path, Rule: d.Rule,
		Allowed: d.Allow, Reason: d.Reason, Detail: d.Detail, Provider: d.Provider, Subject: string(d.Subject),
		ClientID: d.ClientID, Client: d.Client, Cached: d.Cached, Took: took,
	})
}

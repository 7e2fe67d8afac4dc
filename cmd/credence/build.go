package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/cache"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
	"github.com/credence-authz/credence/session"
)

// authorizer is all that decides, built from a configuration: what serve puts
// behind a listener, and explain asks directly.
type authorizer struct {
	engine    *authz.Engine
	verifier  *oidc.Verifier
	providers []provider
	parties   []party                 // by which people log in
	login     http.Handler            // the login pages and the metadata of resources; nil without either
	loggedOut func()                  // waits for what logouts began; nil without clients
	caches    map[string]*cache.Cache // by what they keep, for metrics
	recheck   *authz.Recheck          // of what is remembered of good tokens; nil where that isn't done
	counters  *audit.Counters
	audit     *audit.Log
	admin     http.Handler // what the operator asks

	revocations *session.Revocations // of sessions and tokens alike

	stop    context.CancelFunc
	running sync.WaitGroup
}

// buildAuthorizer makes an authorizer of a checked configuration. Its key sets
// stand still until run.
func buildAuthorizer(file *config.File, decisions io.Writer, log *slog.Logger) (*authorizer, error) {
	c := file.Config
	a := &authorizer{counters: audit.NewCounters(), revocations: new(session.Revocations)}
	for i, p := range c.GetProviders() {
		built, err := buildProvider(c, p, log)
		if err != nil {
			return nil, usageError{config.Problems{file.Problem(fmt.Sprintf("providers[%d]", i), plainWords(err))}}
		}
		a.providers = append(a.providers, built)
	}
	tokens, err := a.buildTokens(c.GetCache(), a.longestVerdict(c.GetLimits()))
	if err != nil {
		return nil, err
	}
	if decisions != nil {
		a.audit = audit.NewLog(decisions, buildAllows(c.GetAudit().GetAllows()))
	}
	if n := c.GetAudit().GetRecheck(); n > 0 {
		a.recheck = authz.NewRecheck(n, log)
		tokens.Recheck = a.recheck
	}
	a.verifier = oidc.NewVerifier(a.believed(), int(c.GetLimits().GetTokenBytes()))
	if doubt, err := a.verifier.CheckDecryption(); err != nil {
		a.close()
		return nil, usageError{config.Problems{file.Problem("providers", "decryption_keys: "+err.Error())}}
	} else if doubt != "" {
		log.Warn("decryption_keys of the providers", "problem", doubt)
	}
	o := engineOptions(c)
	if o.DPoP, err = buildDPoP(c.GetDpop()); err != nil {
		a.close()
		return nil, usageError{config.Problems{file.Problem("dpop", err.Error())}}
	}
	o.Verifier, o.Tokens, o.Revocations, o.Counters, o.Audit, o.Log = a.verifier, tokens, a.revocations, a.counters, a.audit, log
	a.admin = a.buildAdmin(c)
	if len(c.GetClients()) > 0 {
		if o.Sessions, err = a.buildLogin(file, log); err != nil {
			a.close()
			return nil, err
		}
	}
	if a.login, err = withMetadata(c, a.login, o.DPoP); err != nil {
		a.close()
		return nil, usageError{config.Problems{file.Problem("resources", plainWords(err))}}
	}
	if a.engine, err = authz.New(o); err != nil {
		a.close()
		return nil, usageError{positions(file, err)}
	}
	return a, nil
}

// engineOptions are those that the configuration alone says.
func engineOptions(c *configv1.Config) authz.Options {
	o := authz.Options{Rules: buildRules(c), Clients: buildClients(c), LoginPaths: loginPaths(c), Realm: c.GetRealm(),
		DistrustCertificates: c.GetListen().GetCheck().GetInsecureAllowAnyCaller()}
	if slices.ContainsFunc(c.GetProviders(), func(p *configv1.Provider) bool { return p.GetIntrospection() != nil || p.GetUserinfo() != nil }) {
		o.TrustedHops = int(c.GetLimits().GetTrustedHops())
	}
	for _, r := range buildResources(c) {
		o.Metadata = append(o.Metadata, r.MetadataURL())
	}
	return o
}

// positions turns problems with rules into problems with lines.
func positions(file *config.File, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var problems config.Problems
	for _, e := range joined.Unwrap() {
		r, ok := errors.AsType[*authz.RuleError](e)
		if !ok {
			return err
		}
		field := fmt.Sprintf("rules[%d].%s", r.Rule, r.Field)
		if r.Key != "" {
			field += fmt.Sprintf("[%q]", r.Key)
		}
		problems = append(problems, file.Problem(field, r.Err.Error()))
	}
	return problems
}

// run keeps what is known of the providers fresh until close: longer than ctx, since what is
// drained is still judged.
func (a *authorizer) run(ctx context.Context) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	for _, p := range a.providers {
		if p.keys != nil {
			a.running.Go(func() { p.keys.Run(ctx) })
		}
		if introspector := p.introspector(); introspector != nil {
			a.running.Go(func() { introspector.Run(ctx) })
		}
		if userInfo := p.userInfo(); userInfo != nil {
			a.running.Go(func() { userInfo.Run(ctx) })
		}
	}
	for _, p := range a.parties {
		a.running.Go(func() { p.Run(ctx) })
	}
}

// close ends what run began and writes out the audit log.
func (a *authorizer) close() {
	if a.loggedOut != nil {
		a.loggedOut()
	}
	if a.stop != nil {
		a.stop()
	}
	a.running.Wait()
	if a.recheck != nil {
		a.recheck.Close()
	}
	a.closeCaches()
	if a.audit != nil {
		a.audit.Close()
	}
}

// believed are the providers whose bearer tokens are.
func (a *authorizer) believed() (list []*oidc.Provider) {
	for _, p := range a.providers {
		if p.tokens != nil {
			list = append(list, p.tokens)
		}
	}
	return list
}

// askable are the providers that can be asked about a token which names no issuer.
func (a *authorizer) askable() (list []*oidc.Provider) {
	for _, p := range a.providers {
		if p.introspector() != nil {
			list = append(list, p.tokens)
		}
	}
	return list
}

// longestVerdict is the length of the longest remembered verdict on a good token, in
// bytes. The flat form of a token's claims is shorter than twice the token, save for
// one made of nothing but tiny members, which is then verified each time. What a
// provider says of a token has nothing to do with the token's length.
func (a *authorizer) longestVerdict(l *configv1.Limits) int {
	longest := 2 * int(l.GetTokenBytes())
	if len(a.askable()) > 0 {
		longest = max(longest, 32<<10)
	}
	if slices.ContainsFunc(a.providers, func(p provider) bool { return p.userInfo() != nil }) {
		longest += oidc.MaxUserInfo
	}
	return longest
}

func (a *authorizer) buildTokens(c *configv1.Cache, longest int) (*authz.Tokens, error) {
	goodTTL, refusedTTL := c.GetTokenTtl().AsDuration(), c.GetRefusalTtl().AsDuration()
	forTemplates := int(c.GetTokenMib()) / 4
	a.caches = map[string]*cache.Cache{}
	for _, part := range []struct {
		name          string
		mib, maxValue int
		life          time.Duration
	}{
		{"tokens", int(c.GetTokenMib()) - forTemplates, longest, goodTTL},
		{"templates", forTemplates, maxTemplate, goodTTL},
		{"refusals", int(c.GetRefusalMib()), maxRefusal, refusedTTL},
	} {
		if part.mib == 0 {
			continue
		}
		made, err := cache.New(cache.Options{MiB: part.mib, MaxValue: min(part.maxValue, part.mib<<20/8), MaxLife: part.life})
		if err != nil {
			a.closeCaches()
			return nil, err
		}
		a.caches[part.name] = made
	}
	tokens := authz.NewTokens(a.caches["tokens"], a.caches["refusals"], goodTTL, refusedTTL)
	tokens.Templates = a.caches["templates"]
	return tokens, nil
}

func (a *authorizer) closeCaches() {
	for _, c := range a.caches {
		c.Close()
	}
}

// The longest remembered refusal, which has a detail, and the longest template, in bytes.
const (
	maxRefusal  = 4 << 10
	maxTemplate = 4 << 10
)

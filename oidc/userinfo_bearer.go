package oidc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/credence-authz/credence/audit"
)

// UserInfoWhen says about which access tokens userinfo is asked.
//
// It can't be asked about all: a token that is bound to a key can be used only by who has
// the key (RFC 9449, 7.1; RFC 8705, 3), and without sub there is nothing to compare the
// answer with.
type UserInfoWhen uint8

const (
	// UserInfoOpenID asks about tokens whose scope has openid, which is what userinfo is
	// for (OpenID Connect Core 1.0, 5.3): tokens that a login gave. Those of machines have
	// what they have, and so have those that can't be asked about.
	UserInfoOpenID UserInfoWhen = iota

	// UserInfoLeftOut asks about tokens that say that they leave out a claim.
	UserInfoLeftOut

	// UserInfoAlways asks about every token, and refuses those that can't be asked about.
	UserInfoAlways
)

// UserInfoOptions say where a provider's userinfo is asked about access tokens, about
// which, and how often.
type UserInfoOptions struct {
	Name   string // the provider's, for logs
	Issuer Issuer

	// URL of the userinfo endpoint; empty means discovery's userinfo_endpoint.
	// DiscoveryURL is as in KeySetOptions.
	URL, DiscoveryURL string

	When UserInfoWhen

	// TTL is the longest time that an answer stands. Zero means five minutes.
	TTL time.Duration

	// Keys verify answers that are signed. Nil means that none of those is believed.
	// Whoever made the set runs it.
	Keys *KeySet

	// MaxConcurrent bounds the requests under way, and MaxPerSecond those that begin;
	// one client address gets a quarter of each. What is over is UserInfoBusy. Zero means
	// 64 and 200.
	MaxConcurrent, MaxPerSecond int

	Client *http.Client // from NewClient; nil means one with the zero ClientOptions
	Log    *slog.Logger // nil means nowhere
}

// UserInfo completes access tokens that were found good by what the provider's userinfo
// says of the same person. It remembers no answers: that is the caller's. Where the
// endpoint has to be discovered, [UserInfo.Run] does that in the background.
type UserInfo struct {
	asker
	options UserInfoOptions // defaults filled in

	answered, refused, unavailable atomic.Uint64
}

// UserInfoStats count what came of questions to userinfo.
type UserInfoStats struct {
	Answered    uint64
	Refused     uint64 // it doesn't take the token, or is about somebody else
	Unavailable uint64 // no answer that can be used
	Busy        uint64 // not asked, for want of budget
}

const (
	defaultUserInfoTTL = 5 * time.Minute
	userInfoTimeout    = 5 * time.Second

	// MaxUserInfo is the longest answer of userinfo about an access token, in bytes.
	MaxUserInfo = 64 << 10
)

// NewUserInfo checks the options.
func NewUserInfo(o UserInfoOptions) (*UserInfo, error) {
	o.TTL = cmp.Or(max(o.TTL, 0), defaultUserInfoTTL)
	o.MaxConcurrent, o.MaxPerSecond = orDefaults(o.MaxConcurrent, o.MaxPerSecond)
	a, err := newAsker("userinfo", o.URL, o.Name, directory{o.Issuer, o.DiscoveryURL, o.Client, o.Log}, o.MaxConcurrent, o.MaxPerSecond)
	if err != nil {
		return nil, err
	}
	return &UserInfo{asker: a, options: o}, nil
}

// fingerprint holds all that answers depend on but the provider itself.
func (u *UserInfo) fingerprint() string {
	o := &u.options
	return fmt.Sprintf("%q %q %d %d %t", o.URL, o.DiscoveryURL, o.When, o.TTL, o.Keys != nil)
}

// Stats gives the counts so far.
func (u *UserInfo) Stats() UserInfoStats {
	return UserInfoStats{
		Answered: u.answered.Load(), Refused: u.refused.Load(), Unavailable: u.unavailable.Load(), Busy: u.budget.refused(),
	}
}

// Ready refuses as long as it isn't known where to ask.
func (u *UserInfo) Ready() *audit.Refusal {
	_, refusal := u.address()
	return refusal
}

func (u *UserInfo) address() (string, *audit.Refusal) {
	address, problem := u.endpoint.get()
	if problem != "" {
		return "", &audit.Refusal{Reason: audit.UserInfoUnavailable, Detail: problem, RetryAfter: retryAfterFailure}
	}
	return address, nil
}

// Run discovers the endpoint, and again every hour in case it has moved, until ctx
// ends. It returns at once where the URL is configured.
func (u *UserInfo) Run(ctx context.Context) { u.endpoint.run(ctx) }

// userInfoChecks come after all others, where a provider has userinfo: nobody is asked
// about a token that isn't good.
var userInfoChecks = [...]check{{"userinfo", (*verification).userInfo, true, (*verification).foundUserInfo}}

// andUserInfo appends them to those that are left.
func (t *verification) andUserInfo() {
	if t.Provider.options.UserInfo != nil && !t.alone {
		t.checks = slices.Concat(t.checks, userInfoChecks[:])
	}
}

func (t *verification) userInfo(ctx context.Context) *audit.Refusal {
	u := t.Provider.options.UserInfo
	asks, obstacle := u.wants(t.Claims)
	switch {
	case !asks:
		return nil
	case obstacle != "":
		return refuse(audit.UserInfoRefused, "userinfo can't be asked: "+obstacle)
	}
	info, refusal := u.ask(ctx, t.Provider, t.Claims, t.raw, t.from)
	t.Until = min(t.Until, t.now+u.options.TTL.Milliseconds())
	t.From = max(t.From, t.now-clockBack.Milliseconds())
	if refusal == nil {
		t.Claims, t.added = t.Claims.completedBy(info)
	}
	return refusal
}

// wants says whether userinfo is to be asked about a token of these claims, and what is
// in the way of that: where it isn't to be asked, why not.
func (u *UserInfo) wants(c Claims) (asks bool, obstacle string) {
	switch sub, _ := c.Lookup("sub").Text(); {
	case c.Lookup("cnf").Exists():
		obstacle = "the token is bound to a key, and only its client can use it"
	case sub == "":
		obstacle = "the token has no sub to compare with"
	}
	switch u.options.When {
	case UserInfoOpenID:
		_, openID := c.Scopes([]string{"openid"})
		if !openID {
			obstacle = "the token's scope lacks openid"
		}
		return obstacle == "", obstacle
	case UserInfoLeftOut:
		if !c.leavesOutSome() {
			obstacle = "the token doesn't say that a claim was left out"
		}
		return obstacle == "", obstacle
	default:
		return true, obstacle
	}
}

// ask asks about a token of these claims that came from this address. The refusals:
// UserInfoRefused, UserInfoUnavailable, UserInfoBusy.
func (u *UserInfo) ask(ctx context.Context, p *Provider, c Claims, raw RawToken, from netip.Addr) (Claims, *audit.Refusal) {
	address, refusal := u.address()
	if refusal != nil {
		u.unavailable.Add(1)
		return Claims{}, refusal
	}
	if !u.budget.take(from) {
		return Claims{}, u.budget.exceeded(audit.UserInfoBusy)
	}
	defer u.budget.give(from)
	q := userInfoQuestion{
		client: u.client, timeout: userInfoTimeout, judge: u.judge(p, c), of: "the token", most: MaxUserInfo,
		refused: audit.UserInfoRefused, invalid: audit.UserInfoUnavailable, unavailable: audit.UserInfoUnavailable,
	}
	sub, _ := c.Lookup("sub").Text()
	info, refusal := q.ask(ctx, address, raw, Subject(sub))
	switch {
	case refusal == nil:
		u.answered.Add(1)
	case refusal.Reason == audit.UserInfoRefused:
		u.refused.Add(1)
	default:
		u.unavailable.Add(1)
	}
	return info, refusal
}

// judge judges signed answers, which are for the client that the token was given to
// (OpenID Connect Core 1.0, 5.3.2), or for us.
func (u *UserInfo) judge(p *Provider, c Claims) *Provider {
	judge := &Provider{options: p.options}
	judge.options.Keys = u.options.Keys
	judge.options.Audiences = slices.Clone(p.options.Audiences)
	for _, name := range [...]string{"client_id", "azp"} {
		if client, _ := c.Lookup(name).Text(); client != "" {
			judge.options.Audiences = append(judge.options.Audiences, client)
		}
	}
	return judge
}

// completedBy is a token's claims with what userinfo says beside them, and the names of
// that. What a token says of itself stands: it was given for this service, perhaps with
// less than the person has elsewhere. A statement that something is verified, such as
// email_verified, is about the email beside it: it comes with that one, in place of the
// token's, or where the token has the same.
func (c Claims) completedBy(info Claims) (completed Claims, added []string) {
	own, theirs := c.byName(), info.byName()
	taken := func(name string) bool {
		if slices.Contains(tokenClaims, name) {
			return false
		}
		about, ok := strings.CutSuffix(name, "_verified")
		switch {
		case !ok:
			return !own[name].Exists()
		case !own[about].Exists():
			return theirs[about].Exists() || !own[name].Exists()
		}
		return !own[name].Exists() && own[about] == theirs[about]
	}
	for name := range info.Members() {
		if taken(name) {
			added = append(added, name)
		}
	}
	return c.without(func(name string) bool {
		about, ok := strings.CutSuffix(name, "_verified")
		return ok && !own[about].Exists() && theirs[about].Exists()
	}).with(info, taken), added
}

// LeavesOut says whether a token has the claim of this name elsewhere: as a distributed
// claim (OpenID Connect Core 1.0, 5.6.2), or as Entra ID says it of groups where there
// is no room for that. Where elsewhere is, is nothing to follow.
func (c Claims) LeavesOut(name string) bool {
	groups, _ := c.Lookup("hasgroups").Bool()
	return name != "" && c.Lookup("_claim_names").Lookup(name).Exists() || name == "groups" && groups
}

func (c Claims) leavesOutSome() bool {
	return c.LeavesOut("groups") || c.Lookup("_claim_names").Len() > 0
}

func (t *verification) foundUserInfo() string {
	switch asked, why := t.Provider.options.UserInfo.wants(t.Claims); {
	case !asked:
		return "not asked: " + why
	case len(t.added) == 0:
		return "nothing that the token doesn't say"
	default:
		return strconv.Itoa(len(t.added)) + " more: " + quote(strings.Join(t.added, ", "))
	}
}

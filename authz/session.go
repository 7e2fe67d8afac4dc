package authz

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/oidc"
	"github.com/credence-authz/credence/session"
)

// identifyBySession asks who it is by the browser's session. What the session
// learned on the way, such as renewed tokens, goes back in cookies, whatever policy
// then says.
func (j *judgement) identifyBySession(ctx context.Context) *audit.Refusal {
	sessions, client := j.engine.sessions, j.rule.login
	cookies := j.request.Values("cookie")
	j.Client = client.Name
	var record *session.Record
	if j.inspect != nil {
		var refusal *audit.Refusal
		if record, refusal = sessions.Peek(ctx, client.Name, cookies, j.request.Time); refusal != nil {
			return client.explained(refusal, j.request)
		}
	} else {
		verdict, refusal := sessions.Check(ctx, client.Name, cookies, j.request.Time)
		if refusal != nil {
			return client.explained(refusal, j.request)
		}
		record, j.SetCookies = verdict.Record, verdict.SetCookies
	}
	j.token = oidc.Result{Claims: oidc.UnflattenClaims(record.Claims)}
	if !j.token.Claims.Exists() {
		return refuse(audit.InternalError, "a session without claims")
	}
	if j.inspect != nil {
		j.inspect.token = j.token
	}
	j.Provider, j.Subject = client.Provider, oidc.Subject(record.Subject)
	return nil
}

// explained says of a request without a session why nobody is sent to log in, where
// the configuration is the reason.
func (l *login) explained(refusal *audit.Refusal, r *Request) *audit.Refusal {
	if refusal.Reason != audit.NoCredential || l.originOf(r) != nil {
		return refusal
	}
	return refuse(audit.NoCredential, "the host "+r.host+" is on no return_to of client "+l.Name+", so nobody is sent to log in")
}

// cutOwnCookies keeps our cookies from the application: with them it could be the
// person towards every other application.
func (j *judgement) cutOwnCookies() {
	sessions := j.engine.sessions
	if j.rule.Name == ownLoginName || sessions == nil {
		return
	}
	var few [4]string
	rest, cut := few[:0], false
	for line := range j.request.Values("cookie") {
		others, ours := sessions.Foreign(line)
		if cut = cut || ours; others != "" {
			rest = append(rest, others)
		}
	}
	if !cut {
		return
	}
	if text := textOnly(strings.Join(rest, "; ")); text != "" {
		j.Set = append(j.Set, Header{"cookie", text})
		return
	}
	j.Remove = append(j.Remove, "cookie")
}

// textOnly leaves out the cookies that aren't UTF-8, which no answer can carry.
func textOnly(cookies string) string {
	if utf8.ValidString(cookies) {
		return cookies
	}
	pairs := slices.Collect(strings.SplitSeq(cookies, ";"))
	pairs = slices.DeleteFunc(pairs, func(pair string) bool { return !utf8.ValidString(pair) })
	return strings.TrimSpace(strings.Join(pairs, ";"))
}

// presentsSession says whether the request has one of our cookies.
func (e *Engine) presentsSession(r *Request) bool {
	if e.sessions == nil {
		return false
	}
	for line := range r.Values("cookie") {
		if _, ours := e.sessions.Foreign(line); ours {
			return true
		}
	}
	return false
}

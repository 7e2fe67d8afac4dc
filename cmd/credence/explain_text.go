package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// page is lines with a heading in the margin.
type page struct {
	strings.Builder
	heading string
}

func (p *page) section(heading string) { p.heading = heading }

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(p, "%-11s %s\n", p.heading, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	p.heading = ""
}

// notKnownHere stands below what passes: the running process may know better.
const notKnownHere = "unless it was revoked or logged out, which only the running process knows"

func explainText(w io.Writer, rules []*configv1.Rule, r *authz.Request, x authz.Explanation) error {
	var p page
	p.section("request")
	p.line("%s %s://%s%s", printable(r.Method), printable(r.Scheme), printable(r.Host), printable(r.Target))
	if x.Path != "" {
		p.line("judged as host %s, path %s", x.Host, printable(x.Path))
	}
	if x.Ambiguous {
		p.line("the path has more than one reading")
	}
	p.section("rules")
	configured := func(t authz.Trial) bool { return !strings.HasPrefix(t.Name, "credence:") } // those are our own
	if x.Decision.Reason == audit.NoRule && !slices.ContainsFunc(x.Rules, configured) {
		p.line("no rule names host %q; rules name: %s", x.Host, hostsOf(rules))
	}
	for _, t := range x.Rules {
		if t.Failure == "" {
			p.line("%s fits", t.Name)
		} else {
			p.line("%s doesn't fit: %s", t.Name, t.Failure)
		}
	}
	if x.Credential != "" {
		p.section("credential")
		p.line("%s", x.Credential)
	}
	p.section("token")
	findingLines(&p, x.Token)
	p.section("policy")
	for _, t := range x.Policy {
		if t.Failure == "" {
			p.line("ok    %s", t.Name)
		} else {
			p.line("FAIL  %s: %s", t.Name, t.Failure)
		}
	}
	decisionLines(&p, &x.Decision)
	_, err := io.WriteString(w, p.String())
	return err
}

// findingLines tells what each check found. Checks that had nothing to look at
// any more aren't named.
func findingLines(p *page, findings []oidc.Finding) {
	for _, f := range findings {
		switch {
		case f.Refusal != nil:
			p.line("FAIL  %-15s %s", f.Check, f.Refusal.Error())
		case f.Judged:
			p.line("ok    %-15s %s", f.Check, f.Detail)
		}
	}
}

func decisionLines(p *page, d *authz.Decision) {
	p.section("decision")
	verdict := "deny"
	if d.Allow {
		verdict = "allow"
	} else if d.Denial != nil {
		verdict = fmt.Sprintf("deny with %d", d.Denial.Status)
	}
	p.line("%s: %s", verdict, d.Reason)
	if d.Detail != "" {
		p.line("%s", d.Detail)
	}
	if d.Reason == audit.Allowed {
		p.line(notKnownHere)
	}
	if !d.Allow {
		p.section("meaning")
		p.line("%s", d.Reason.Hint())
	}
	if d.Denial != nil {
		answerLines(p, d.Denial)
		return
	}
	p.section("upstream")
	for _, h := range d.Set {
		p.line("set %s: %s", h.Name, printable(h.Value))
	}
	for _, name := range d.Remove {
		p.line("remove %s", printable(name))
	}
	for _, q := range d.SetQuery {
		p.line("set query parameter %s: %s", q.Name, printable(q.Value))
	}
	for _, name := range d.RemoveQuery {
		p.line("remove query parameter %s", printable(name))
	}
	p.section("response")
	for _, h := range d.ResponseHeaders {
		p.line("set %s: %s", h.Name, printable(h.Value))
	}
	p.section("metadata")
	for _, name := range slices.Sorted(maps.Keys(d.Metadata)) {
		p.line("%s: %s", name, printable(fmt.Sprint(d.Metadata[name])))
	}
}

// answerLines tells what the client gets; a redirect has no body.
func answerLines(p *page, d *authz.Denial) {
	p.section("answer")
	for _, h := range d.Headers {
		if d.Status == http.StatusFound && h.Name == "location" {
			p.line("sent to log in: %s", h.Value)
			continue
		}
		p.line("%s: %s", h.Name, h.Value)
	}
	if body := strings.TrimSpace(d.Body); body != "" {
		p.line("%s", body)
	}
}

// hostsOf are the hosts that rules name: some of them, and how many more.
func hostsOf(rules []*configv1.Rule) string {
	const most = 10
	var hosts []string
	for _, r := range rules {
		hosts = append(hosts, r.GetMatch().GetHosts()...)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if more := len(hosts) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(hosts[:most], ", "), more)
	}
	return strings.Join(hosts, ", ")
}

// printable escapes what a terminal could take amiss.
func printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

// explanationJSON is an Explanation for programs.
func explanationJSON(x authz.Explanation) any {
	d := x.Decision
	out := map[string]any{
		"allow": d.Allow, "reason": d.Reason.String(), "rule": d.Rule, "detail": d.Detail,
		"host": x.Host, "path": x.Path, "ambiguous": x.Ambiguous, "credential": x.Credential,
		"rules": trialsJSON(x.Rules), "token": findingsJSON(x.Token), "policy": trialsJSON(x.Policy),
	}
	if d.Reason.Class() != audit.ClassAllow {
		out["meaning"] = d.Reason.Hint()
	}
	if d.Denial != nil {
		out["answer"] = map[string]any{"status": d.Denial.Status, "headers": headersJSON(d.Denial.Headers), "body": d.Denial.Body}
	} else {
		out["upstream"] = map[string]any{
			"set": headersJSON(d.Set), "remove": d.Remove, "set_query": headersJSON(d.SetQuery), "remove_query": d.RemoveQuery,
		}
		out["response_headers"] = headersJSON(d.ResponseHeaders)
		out["metadata"] = d.Metadata
	}
	return out
}

func trialsJSON(trials []authz.Trial) []map[string]any {
	list := []map[string]any{}
	for _, t := range trials {
		list = append(list, map[string]any{"name": t.Name, "ok": t.Failure == "", "failure": t.Failure})
	}
	return list
}

func headersJSON(headers []authz.Header) map[string]string {
	m := map[string]string{}
	for _, h := range headers {
		m[h.Name] = h.Value
	}
	return m
}

func findingsJSON(findings []oidc.Finding) []map[string]any {
	list := []map[string]any{}
	for _, f := range findings {
		if !f.Judged {
			continue
		}
		one := map[string]any{"check": f.Check, "ok": f.Refusal == nil, "detail": f.Detail}
		if f.Refusal != nil {
			one["reason"], one["detail"] = f.Refusal.Reason.String(), f.Refusal.Error()
		}
		list = append(list, one)
	}
	return list
}

// rawJSON shows claims as they are, numbers digit by digit.
func rawJSON(c oidc.Claims) json.RawMessage { return c.AppendJSON(nil) }

package main

import (
	"regexp"

	"github.com/credence-authz/credence/audit"
)

// ready says whether every provider's tokens can be judged and people can log in;
// optional providers count only where they are asked for.
func (a *authorizer) ready(optional bool) bool { return len(a.unready(optional)) == 0 }

// unready are the providers and clients that keep it from being ready, and why.
func (a *authorizer) unready(optional bool) (list []string) {
	for _, p := range a.providers {
		if refusal := p.ready(); refusal != nil && (optional || !p.optional) {
			list = append(list, "provider "+p.name+": "+withoutAddresses(refusal))
		}
	}
	for _, p := range a.parties {
		if refusal := p.Ready(); refusal != nil && (optional || !p.optional) {
			list = append(list, "client "+p.name+": "+withoutAddresses(refusal))
		}
	}
	return list
}

// URLs in an error: those that errors of net/http begin with, those that say where
// something is, and all others.
var (
	askedURL = regexp.MustCompile(`\b(?:Get|Post) "https?://[^"]*": `)
	atURL    = regexp.MustCompile(` at "https?://[^"]*"`)
	anyURL   = regexp.MustCompile(`https?://[^\s"]*`)
)

// withoutAddresses is a refusal for those who run the platform: what is wrong, but no
// URL, in which there may be more than they are to know. The log has it whole.
func withoutAddresses(r *audit.Refusal) string {
	text := r.Reason.String()
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	text = atURL.ReplaceAllString(askedURL.ReplaceAllString(text, ""), "")
	return anyURL.ReplaceAllString(text, "…")
}

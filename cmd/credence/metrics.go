package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/credence-authz/credence/audit"
)

// metrics reads the counts that the packages keep at the moment they are asked
// for, so that counting costs a decision nothing but an addition. The labels are
// closed sets: rules and providers of the configuration, reasons, caches.
type metrics struct {
	authorizer         *authorizer
	version, goVersion string // of the binary
}

var _ prometheus.Collector = (*metrics)(nil)

var (
	decisionsDesc    = describe("decisions_total", "Decisions by rule, verdict and reason; rule - stands for none.", "rule", "verdict", "reason")
	latencyDesc      = describe("decision_seconds", "Time that a decision took, without transport.")
	auditDroppedDesc = describe("audit_dropped_total", "Audit lines lost because the log couldn't be written in time.")

	eventsDesc = describe("session_events_total", "Logins, logouts, refreshes and revocations, by how they ended.", "event", "reason")

	cacheLookupsDesc  = describe("cache_lookups_total", "Look-ups in the caches of verified tokens, refused ones and answer templates, by result.", "cache", "result")
	cacheEvictedDesc  = describe("cache_evicted_total", "Entries pushed out for want of room.", "cache")
	cacheRejectedDesc = describe("cache_rejected_total", "Entries that weren't kept: too large, or refused by the store.", "cache")
	cacheEntriesDesc  = describe("cache_entries", "Entries, expired ones not yet cleaned up among them.", "cache")

	rechecksDesc   = describe("rechecks_total", "Remembered verdicts that were verified again in the background (audit.recheck).")
	falseAllowDesc = describe("false_allow_total", "Of those, the ones that turned out wrong: a token was let in that shouldn't have been, or as somebody else.")

	keysDesc         = describe("provider_keys", "Usable keys of the provider.", "provider")
	keysSkippedDesc  = describe("provider_keys_skipped", "Keys of the provider's set that can't be used.", "provider")
	keysAgeDesc      = describe("provider_keys_age_seconds", "Time since the keys were last fetched or confirmed; absent before the first time.", "provider")
	keysFetchesDesc  = describe("provider_keys_fetches_total", "Fetches of the provider's keys.", "provider")
	keysFailuresDesc = describe("provider_keys_fetch_failures_total", "Fetches that failed; the last good keys stay in use.", "provider")

	introspectionsDesc = describe("introspections_total", "Questions to the provider about tokens, by result: active, inactive, unavailable (no answer that can be used), busy (not asked, for want of budget).", "provider", "result")

	userInfoDesc = describe("userinfo_requests_total", "Questions to the provider's userinfo about bearer tokens, by result: answered, refused (the token isn't taken, or is another subject's), unavailable (no answer that can be used), busy (not asked, for want of budget).", "provider", "result")

	buildDesc = describe("build_info", "Always 1; the labels say what runs.", "version", "go_version")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("credence_"+name, help, labels, nil)
}

func newMetrics(a *authorizer) *metrics {
	version, goVersion := buildVersion()
	return &metrics{a, version, goVersion}
}

// Describe gives no descriptions: which rules and reasons there are shows as they
// occur.
func (*metrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads every count once.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	a := m.authorizer
	a.counters.Each(func(rule string, reason audit.Reason, n uint64) {
		verdict := "deny"
		if reason.Class() == audit.ClassAllow {
			verdict = "allow"
		}
		count(decisionsDesc, n, rule, verdict, reason.String())
	})
	upTo, n, sum := a.counters.Latency()
	buckets := make(map[float64]uint64, len(upTo))
	for bound, n := range upTo {
		buckets[bound.Seconds()] = n
	}
	out <- prometheus.MustNewConstHistogram(latencyDesc, n, sum.Seconds(), buckets)
	count(auditDroppedDesc, a.audit.Dropped())
	a.audit.EachEvent(func(event audit.Event, reason audit.Reason, n uint64) {
		count(eventsDesc, n, event.String(), reason.String())
	})

	for name, c := range a.caches {
		s := c.Stats()
		count(cacheLookupsDesc, s.Hits, name, "hit")
		count(cacheLookupsDesc, s.Misses-s.Expired, name, "miss")
		count(cacheLookupsDesc, s.Expired, name, "expired")
		count(cacheEvictedDesc, s.Evicted, name)
		count(cacheRejectedDesc, s.Rejected, name)
		gauge(cacheEntriesDesc, float64(s.Entries), name)
	}
	if a.recheck != nil {
		count(rechecksDesc, a.recheck.Rechecks())
		count(falseAllowDesc, a.recheck.FalseAllows())
	}
	for _, p := range a.providers {
		if p.keys != nil {
			s := p.keys.Stats()
			gauge(keysDesc, float64(s.Keys), p.name)
			gauge(keysSkippedDesc, float64(s.SkippedKeys), p.name)
			if !s.LastSuccess.IsZero() {
				gauge(keysAgeDesc, time.Since(s.LastSuccess).Seconds(), p.name)
			}
			count(keysFetchesDesc, s.Fetches, p.name)
			count(keysFailuresDesc, s.Failures, p.name)
		}
		if introspector := p.introspector(); introspector != nil {
			s := introspector.Stats()
			count(introspectionsDesc, s.Active, p.name, "active")
			count(introspectionsDesc, s.Inactive, p.name, "inactive")
			count(introspectionsDesc, s.Unavailable, p.name, "unavailable")
			count(introspectionsDesc, s.Busy, p.name, "busy")
		}
		if userInfo := p.userInfo(); userInfo != nil {
			s := userInfo.Stats()
			count(userInfoDesc, s.Answered, p.name, "answered")
			count(userInfoDesc, s.Refused, p.name, "refused")
			count(userInfoDesc, s.Unavailable, p.name, "unavailable")
			count(userInfoDesc, s.Busy, p.name, "busy")
		}
	}
	gauge(buildDesc, 1, m.version, m.goVersion)
}

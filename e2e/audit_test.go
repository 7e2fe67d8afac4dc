package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A decision is one line, which can be found by the id in Envoy's own log and by
// what the metrics call it.
func TestAuditLines(t *testing.T) {
	t.Parallel()
	w := startWorld(t, orderRules, bothEncodings...)
	client := w.envoy.client(t, "encode_raw_headers")
	token := bearer(w.provider, staff())
	// Minutes are those of the clock. What follows takes no time, but may begin in the
	// last moment of one.
	await(t, "a minute has begun", func() bool { return time.Now().Second() < 30 })
	id := client.get(t, "/orders?x=1", token).upstream(t).get("x-request-id")
	for range 3 {
		client.get(t, "/orders", token) // left out: the same subject and rule in a minute
	}
	client.get(t, "/orders", bearer(w.provider, staff(map[string]any{"scope": "x"})))
	client.get(t, "/%1b%0a/orders/"+strings.Repeat("x", 2000))

	var lines []map[string]any
	w.credence.await(t, "writes three lines", func() bool {
		lines = nil
		for line := range strings.Lines(w.credence.stdout.String()) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil {
				lines = append(lines, fields)
			}
		}
		return len(lines) >= 3
	})
	if len(lines) != 3 {
		t.Fatalf("got %d lines, want 3", len(lines))
	}
	for i, want := range []map[string]any{
		{"verdict": "allow", "reason": "allowed", "rule": "orders", "subject": "alice", "client_id": "web", "provider": "corp",
			"method": "GET", "host": "shop.test", "path": "/orders", "request_id": id},
		{"verdict": "deny", "reason": "insufficient_scope", "rule": "orders", "subject": "alice", "detail": "it lacks orders.read"},
		{"verdict": "deny", "reason": "ambiguous_path"},
	} {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if lines[i][name] != want[name] {
				t.Errorf("line %d: got %s %v, want %v", i, name, lines[i][name], want[name])
			}
		}
	}
	if path, _ := lines[2]["path"].(string); len(path) > 600 || strings.Contains(w.credence.stdout.String(), "\x1b") {
		t.Errorf("got a path of %d bytes, or an escape in the log", len(path))
	}
}

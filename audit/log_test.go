package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// written gives the lines that a log makes of records. It has a clock of its own, so that
// Close waits for as long as writing takes.
func written(t *testing.T, allows Allows, records ...Record) []map[string]any {
	t.Helper()
	var b bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		l := NewLog(&b, allows)
		for i := range records {
			l.Write(&records[i])
		}
		l.Close()
	})
	var list []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}

func TestRecordIsOneLine(t *testing.T) {
	r := Record{
		Time: noon, RequestID: "id", Method: "GET", Host: "h", Path: "/p", Rule: "orders", Allowed: true, Reason: Allowed, Detail: "d",
		Provider: "corp", Subject: "alice", ClientID: "web", Cached: true, Took: 42 * time.Microsecond, LeftOut: 3,
	}
	got := written(t, AllowsAll, r)
	want := map[string]any{
		"time": "2026-01-02T12:00:00Z", "level": "INFO", "msg": "decision", "verdict": "allow", "reason": "allowed", "rule": "orders", "method": "GET", "host": "h", "path": "/p",
		"provider": "corp", "subject": "alice", "client_id": "web", "request_id": "id", "detail": "d", "cached": true, "left_out": 3.0, "took_us": 42.0,
	}
	if len(got) != 1 || len(got[0]) != len(want) {
		t.Fatalf("got %v", got)
	}
	for name, v := range want {
		if got[0][name] != v {
			t.Errorf("%s: got %v, want %v", name, got[0][name], v)
		}
	}
}

// TestRevocationIsNoVerdict: an operator's act is written whatever allows says, and
// nothing in it can be taken for a request that was let in.
func TestRevocationIsNoVerdict(t *testing.T) {
	r := Record{Event: Revocation, Time: noon, Allowed: true, Reason: Allowed, Provider: "corp", Subject: "alice", ClientID: "web", Detail: "d", Took: time.Second}
	got := written(t, AllowsNone, r, r)
	want := map[string]any{"time": "2026-01-02T12:00:00Z", "level": "INFO", "msg": "revocation", "provider": "corp", "subject": "alice", "client_id": "web", "detail": "d"}
	if len(got) != 2 || !maps.Equal(got[0], want) || !maps.Equal(got[1], want) {
		t.Errorf("got %v, want %v twice", got, want)
	}
}

func TestEmptyFieldsAreLeftOut(t *testing.T) {
	got := written(t, AllowsAll, Record{Time: noon, Reason: NoRule})
	if len(got) != 1 || len(got[0]) != 6 || got[0]["verdict"] != "deny" || got[0]["reason"] != "no_rule" {
		t.Errorf("got %v", got)
	}
}

// TestSEC_5_35_ForeignTextStaysInItsField: one line, whatever is in it.
func TestSEC_5_35_ForeignTextStaysInItsField(t *testing.T) {
	hostile := "a\r\nb\x1b[31m\u2028\u2029\x00\"}\xff{"
	var b bytes.Buffer
	l := NewLog(&b, AllowsNone)
	l.Write(&Record{Time: noon, Reason: NoRule, RequestID: hostile, Method: hostile, Host: hostile, Path: hostile, Subject: hostile, ClientID: hostile, Detail: hostile})
	l.Close()
	if n := strings.Count(b.String(), "\n"); n != 1 || strings.ContainsAny(strings.TrimSuffix(b.String(), "\n"), "\r\n\x1b\u2028\u2029\x00") {
		t.Errorf("got %q", b.String())
	}
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil || m["path"] != strings.ToValidUTF8(hostile, "\ufffd") {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestForeignTextIsBounded(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	got := written(t, AllowsAll, Record{Time: noon, Path: long, Detail: long, Subject: long, RequestID: long, Host: long, Method: long, ClientID: long})
	for _, name := range []string{"path", "detail", "subject", "request_id", "host", "method", "client_id"} {
		if text, _ := got[0][name].(string); text != long[:maxText]+"…" {
			t.Errorf("%s: got %d bytes", name, len(text))
		}
	}
	got = written(t, AllowsAll, Record{Time: noon, Path: long[:maxText]})
	if got[0]["path"] != long[:maxText] {
		t.Errorf("got %v", got[0]["path"])
	}
}

// TestLogKeepsCopies: a record's strings may be views into a message whose memory
// is used again once the request is answered.
func TestLogKeepsCopies(t *testing.T) {
	var b bytes.Buffer
	held := &holding{w: &b, free: make(chan struct{})}
	l := NewLog(held, AllowsAll)
	message := []byte("secret-of-alice")
	seen := unsafe.String(&message[0], len(message))
	for range 3 { // the first may be on its way to the writer at once
		l.Write(&Record{Time: noon, Allowed: true, RequestID: seen, Method: seen, Host: seen, Path: seen, Detail: seen, Subject: seen, ClientID: seen})
	}
	copy(message, "token-of-robert")
	close(held.free)
	l.Close()
	if strings.Contains(b.String(), "robert") || strings.Count(b.String(), "secret-of-alice") != 3*7 {
		t.Errorf("got %s", b.String())
	}
}

// holding is a writer that nobody reads from until free is closed.
type holding struct {
	w    io.Writer
	free chan struct{}
}

func (h *holding) Write(p []byte) (int, error) {
	<-h.free
	return h.w.Write(p)
}

func TestWhichAllowsAreWritten(t *testing.T) {
	records := []Record{
		{Time: noon, Allowed: true, Reason: Allowed, Subject: "alice"},
		{Time: noon, Allowed: true, Reason: Allowed, Subject: "alice"},
		{Time: noon, Reason: NoRule, Subject: "alice"},
		{Time: noon, Reason: NoRule, Subject: "alice"},
	}
	for allows, want := range map[Allows]int{AllowsAll: 4, AllowsSampled: 3, AllowsNone: 2} {
		if got := written(t, allows, records...); len(got) != want {
			t.Errorf("%d: got %d lines, want %d", allows, len(got), want)
		}
	}
}

// TestFullQueueDrops: nobody waits for a disk.
func TestFullQueueDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		held := &holding{w: &b, free: make(chan struct{})}
		l := NewLog(held, AllowsAll)
		const sent = queueLength + 100
		for range sent {
			l.Write(&Record{Time: noon, Reason: NoRule})
		}
		if got := l.Dropped(); got < 99 || got > 100 { // one may be with the writer
			t.Errorf("dropped %d", got)
		}
		close(held.free)
		l.Close()
		if got := uint64(strings.Count(b.String(), "\n")) + l.Dropped(); got != sent {
			t.Errorf("%d of %d records are neither written nor counted", sent-got, sent)
		}
	})
}

func TestClosedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewLog(&b, AllowsAll)
		for range 1000 {
			l.Write(&Record{Time: noon})
		}
		l.Close()
		if got := strings.Count(b.String(), "\n"); got != 1000 {
			t.Errorf("closing left %d of 1000 records unwritten", 1000-got)
		}
		l.Write(&Record{Time: noon})
		if got := l.Dropped(); got != 1 {
			t.Errorf("dropped %d, want 1", got)
		}
		l.Close()
	})
}

// TestCloseDoesntWaitForAReaderThatIsGone: a program that is told to end ends.
func TestCloseDoesntWaitForAReaderThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &holding{w: io.Discard, free: make(chan struct{})}
		defer close(held.free)
		l := NewLog(held, AllowsAll)
		for range 10 {
			l.Write(&Record{Time: noon})
		}
		synctest.Wait() // the first is with the writer
		began := time.Now()
		l.Close()
		if took := time.Since(began); took != closeLimit || l.Dropped() != 9 {
			t.Errorf("closing took %v and dropped %d", took, l.Dropped())
		}
	})
}

func TestNoLog(t *testing.T) {
	var l *Log
	l.Write(&Record{})
	if l.Dropped() != 0 {
		t.Error("a log that isn't there dropped something")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestUnwritableIsCounted(t *testing.T) {
	l := NewLog(broken{}, AllowsAll)
	l.Write(&Record{Time: noon})
	l.Close()
	if got := l.Dropped(); got != 1 {
		t.Errorf("dropped %d, want 1", got)
	}
}

func TestLogAtOnce(t *testing.T) {
	l := NewLog(io.Discard, AllowsSampled)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				l.Write(&Record{Time: noon, Allowed: i%2 == 0, Subject: "alice"})
				l.Dropped()
			}
		})
	}
	wg.Go(l.Close)
	wg.Wait()
}

func TestEventsAreCountedAndAlwaysWritten(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(&b, AllowsNone)
	for range 2 {
		l.Write(&Record{Event: Login, Allowed: true, Reason: Allowed, Subject: "alice"})
	}
	l.Write(&Record{Event: Logout, Allowed: true, Reason: Allowed})
	l.Write(&Record{Event: Login, Reason: LoginDenied})
	l.Write(&Record{Reason: NoRule})
	l.Close()
	got := map[string]uint64{}
	l.EachEvent(func(event Event, reason Reason, n uint64) { got[event.String()+" "+reason.String()] = n })
	want := map[string]uint64{"login allowed": 2, "logout allowed": 1, "login login_denied": 1}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := strings.Count(b.String(), `"msg":"login"`); n != 3 {
		t.Errorf("got %d lines of logins, want 3", n)
	}
	var none *Log
	none.EachEvent(func(Event, Reason, uint64) { t.Error("counted nowhere") })
}

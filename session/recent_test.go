package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestRecentForgets(t *testing.T) {
	m := recent[int]{life: time.Minute, max: 3}
	want := func(id ID, now time.Time, want int, there bool) {
		t.Helper()
		if got, ok := m.get(id, now); got != want || ok != there {
			t.Errorf("got %d, %v, want %d, %v", got, ok, want, there)
		}
	}
	want(ID{1}, noon, 0, false)
	m.put(ID{1}, 1, 0, noon)
	want(ID{1}, noon.Add(time.Minute-1), 1, true)
	want(ID{1}, noon.Add(time.Minute), 0, false)
	m.put(ID{1}, 2, 0, noon.Add(30*time.Second))
	m.put(ID{2}, 3, 0, noon.Add(61*time.Second)) // the first of id 1 goes, not the second
	want(ID{1}, noon.Add(61*time.Second), 2, true)
	for n := range 10 {
		m.put(ID{3, byte(n)}, n, 0, noon.Add(62*time.Second))
	}
	want(ID{2}, noon.Add(62*time.Second), 0, false)
	want(ID{3, 9}, noon.Add(62*time.Second), 9, true)
	if n := m.count.Load(); n != 3 || len(m.queue) != 3 {
		t.Errorf("%d remembered, %d queued", n, len(m.queue))
	}
	if m.claim(ID{3, 9}, 0, noon.Add(63*time.Second)) || !m.claim(ID{4}, 7, noon.Add(63*time.Second)) {
		t.Error("claimed what was taken, or not what was free")
	}
}

// wantHeld is about what is there by now, and not what get would give of it.
func wantHeld[V any](t *testing.T, m *recent[V], values, bytes int) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(m.count.Load()) != values || len(m.queue) != values || m.bytes != bytes || m.sweeping != (values > 0) || m.queue != nil && values == 0 {
		t.Errorf("%d are remembered, %d queued, with %d bytes; want %d with %d", m.count.Load(), len(m.queue), m.bytes, values, bytes)
	}
}

// TestRecentForgetsByItself: nothing stays in a process that has nothing to do.
func TestRecentForgetsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := recent[int]{life: time.Minute, max: 100, maxBytes: 1000}
		for range 3 {
			m.put(ID{1}, 1, 10, time.Now())
			time.Sleep(30 * time.Second)
			m.put(ID{2}, 2, 10, time.Now())
			time.Sleep(30 * time.Second)
			wantHeld(t, &m, 1, 10)
			time.Sleep(30 * time.Second)
			wantHeld(t, &m, 0, 0)
			time.Sleep(time.Hour)
		}
	})
}

func TestRecentBoundsBytes(t *testing.T) {
	m := recent[int]{life: time.Minute, max: 100, maxBytes: 1000}
	for n := range byte(50) {
		m.put(ID{n % 7}, int(n), 300, noon) // replaced ones count until they are gone
		if m.bytes > 1000 || m.bytes != 300*len(m.queue) {
			t.Fatalf("%d bytes in %d", m.bytes, len(m.queue))
		}
	}
	if m.count.Load() != 3 {
		t.Errorf("%d remembered, want 3", m.count.Load())
	}
	m.put(ID{200}, 1, 5000, noon)
	if got, ok := m.get(ID{200}, noon); !ok || got != 1 || len(m.queue) != 1 {
		t.Error("one that is too large by itself isn't the only one")
	}
}

// TestVersionsAreBounded: the renewed sessions of a minute don't fill the memory.
func TestVersionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{life: 5 * time.Minute}
		s := newTestSessions(t, Options{Refresh: map[string]RefreshFunc{"web": p.refresh}})
		b := p.login(t, s)
		time.Sleep(5 * time.Minute)
		r := b.wants(s, time.Now(), audit.Allowed)
		n := len(b.cookies["__Host-credence.web"])
		for _, text := range r.texts() {
			n += len(*text)
		}
		wantHeld(t, &s.newest, 1, n+512)
		if s.newest.maxBytes != maxVersions {
			t.Errorf("%d bytes may be held", s.newest.maxBytes)
		}
		time.Sleep(rememberVersion)
		wantHeld(t, &s.newest, 0, 0)
	})
}

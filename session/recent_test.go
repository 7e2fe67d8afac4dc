package session

import (
	"testing"
	"time"
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
	m.put(ID{1}, 1, noon)
	want(ID{1}, noon.Add(time.Minute-1), 1, true)
	want(ID{1}, noon.Add(time.Minute), 0, false)
	m.put(ID{1}, 2, noon.Add(30*time.Second))
	m.put(ID{2}, 3, noon.Add(61*time.Second)) // the first of id 1 goes, not the second
	want(ID{1}, noon.Add(61*time.Second), 2, true)
	for n := range 10 {
		m.put(ID{3, byte(n)}, n, noon.Add(62*time.Second))
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

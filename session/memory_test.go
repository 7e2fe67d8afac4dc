package session

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// must puts value under the key of n into an empty place.
func must(t *testing.T, m *Memory, n byte, value string, life time.Duration) {
	t.Helper()
	if ok, err := m.Swap(t.Context(), Key{n}, nil, []byte(value), time.Now().Add(life)); !ok || err != nil {
		t.Fatalf("%d: %v, %v", n, ok, err)
	}
}

func has(t *testing.T, m *Memory, n byte) bool {
	t.Helper()
	value, err := m.Get(t.Context(), Key{n})
	if err != nil {
		t.Fatal(err)
	}
	return value != nil
}

func TestMemoryDropsTheLeastUsed(t *testing.T) {
	m := NewMemory(3)
	for n := range byte(3) {
		must(t, m, n, "v", time.Hour)
	}
	has(t, m, 0)
	if ok, err := m.Swap(t.Context(), Key{1}, []byte("v"), []byte("w"), time.Now().Add(time.Hour)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	must(t, m, 3, "v", time.Hour)
	var there []bool
	for n := range byte(4) {
		there = append(there, has(t, m, n))
	}
	if want := []bool{true, true, false, true}; !slices.Equal(there, want) || len(m.sessions) != 3 {
		t.Errorf("got %v, want %v", there, want)
	}
	for n := range 100 {
		must(t, m, byte(n+10), "v", time.Hour)
	}
	if len(m.sessions) != 3 {
		t.Errorf("%d sessions, want 3", len(m.sessions))
	}
}

func TestMemoryOfNone(t *testing.T) {
	m := NewMemory(0)
	must(t, m, 1, "v", time.Hour)
	must(t, m, 2, "v", time.Hour)
	if len(m.sessions) != 1 || !has(t, m, 2) {
		t.Errorf("%d sessions", len(m.sessions))
	}
}

func TestMemorySwapsWhatItIsToldToReplace(t *testing.T) {
	m := NewMemory(3)
	until := time.Now().Add(time.Hour)
	tests := []struct {
		name       string
		old, value string
		want       bool
		is         string
	}{
		{"nothing to replace", "v1", "v2", false, ""},
		{"new", "", "v1", true, "v1"},
		{"new again", "", "v2", false, "v1"},
		{"replaced", "v1", "v2", true, "v2"},
		{"replaced by a late one", "v1", "v3", false, "v2"},
	}
	for _, test := range tests {
		var old []byte
		if test.old != "" {
			old = []byte(test.old)
		}
		ok, err := m.Swap(t.Context(), Key{1}, old, []byte(test.value), until)
		if err != nil || ok != test.want {
			t.Errorf("%s: got %v, %v", test.name, ok, err)
		}
		if is, err := m.Get(t.Context(), Key{1}); err != nil || string(is) != test.is {
			t.Errorf("%s: there is %q, want %q", test.name, is, test.is)
		}
	}
	if err := m.Delete(t.Context(), Key{1}); err != nil || has(t, m, 1) {
		t.Errorf("not deleted: %v", err)
	}
	if err := m.Delete(t.Context(), Key{1}); err != nil {
		t.Error(err)
	}
}

func TestMemoryForgetsWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(10)
		for n := range byte(5) {
			must(t, m, n, "v", time.Minute)
		}
		time.Sleep(time.Minute)
		if has(t, m, 0) || len(m.sessions) != 4 {
			t.Errorf("%d sessions", len(m.sessions))
		}
		must(t, m, 1, "again", time.Minute)
		if len(m.sessions) != 1 {
			t.Errorf("%d sessions, want 1", len(m.sessions))
		}
	})
}

func TestMemoryAtOnce(t *testing.T) {
	m := NewMemory(5)
	var wg sync.WaitGroup
	for g := range byte(4) {
		wg.Go(func() {
			for i := range 500 {
				key := Key{byte(i) % 10, g % 2}
				old, _ := m.Get(t.Context(), key)
				_, _ = m.Swap(t.Context(), key, old, []byte{g}, time.Now().Add(time.Hour))
				if i%7 == 0 {
					_ = m.Delete(t.Context(), key)
				}
			}
		})
	}
	wg.Wait()
	if len(m.sessions) > 5 {
		t.Errorf("%d sessions, want 5 at most", len(m.sessions))
	}
}

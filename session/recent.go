package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// recent remembers something about sessions for a short time: no more of them than
// max, the latest. Reading takes no lock.
type recent[V any] struct {
	life time.Duration
	max  int

	count   atomic.Int64
	entries sync.Map // of ID → *noted[V]

	mu    sync.Mutex
	queue []*noted[V] // the oldest first; some are no longer in entries
}

type noted[V any] struct {
	id    ID
	value V
	until time.Time
}

func (m *recent[V]) get(id ID, now time.Time) (value V, ok bool) {
	if m.count.Load() == 0 {
		return value, false
	}
	e, found := m.entries.Load(id)
	if !found {
		return value, false
	}
	n := e.(*noted[V])
	if !now.Before(n.until) {
		return value, false
	}
	return n.value, true
}

func (m *recent[V]) put(id ID, value V, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(id, value, now)
}

// claim is put for the first who comes, and says no to the others.
func (m *recent[V]) claim(id ID, value V, now time.Time) bool {
	if _, taken := m.get(id, now); taken {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.get(id, now); taken {
		return false
	}
	m.store(id, value, now)
	return true
}

func (m *recent[V]) store(id ID, value V, now time.Time) {
	for len(m.queue) > 0 && (len(m.queue) >= m.max || !now.Before(m.queue[0].until)) {
		oldest := m.queue[0]
		m.queue[0] = nil
		m.queue = m.queue[1:]
		if m.entries.CompareAndDelete(oldest.id, oldest) {
			m.count.Add(-1)
		}
	}
	n := &noted[V]{id, value, now.Add(m.life)}
	m.queue = append(m.queue, n)
	if _, there := m.entries.Swap(id, n); !there {
		m.count.Add(1)
	}
}

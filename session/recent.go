package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// recent remembers something about sessions for a short time: no more of them than
// max, and of no more than maxBytes, the latest. Reading takes no lock.
type recent[V any] struct {
	life          time.Duration
	max, maxBytes int

	count   atomic.Int64
	entries sync.Map // of ID → *noted[V]

	mu       sync.Mutex
	queue    []*noted[V] // the oldest first; some are no longer in entries
	bytes    int         // of the queue
	sweeping bool        // a timer will call sweep
}

type noted[V any] struct {
	id    ID
	value V
	bytes int
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

// put remembers value, which holds on to so many bytes that are worth counting.
func (m *recent[V]) put(id ID, value V, bytes int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(id, value, bytes, now)
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
	m.store(id, value, 0, now)
	return true
}

func (m *recent[V]) store(id ID, value V, bytes int, now time.Time) {
	m.forget(now)
	for len(m.queue) > 0 && (len(m.queue) >= m.max || m.bytes+bytes > m.maxBytes) {
		m.forgetOldest()
	}
	n := &noted[V]{id, value, bytes, now.Add(m.life)}
	m.queue = append(m.queue, n)
	m.bytes += bytes
	if _, there := m.entries.Swap(id, n); !there {
		m.count.Add(1)
	}
	if !m.sweeping {
		m.sweeping = true
		time.AfterFunc(m.life, m.sweep)
	}
}

// sweep forgets what is over although nothing new comes: it may hold tokens, which
// aren't to stay in a process that has nothing to do.
func (m *recent[V]) sweep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.forget(now)
	if m.sweeping = len(m.queue) > 0; m.sweeping {
		time.AfterFunc(max(m.queue[0].until.Sub(now), time.Second), m.sweep)
	}
}

// forget drops what is over.
func (m *recent[V]) forget(now time.Time) {
	for len(m.queue) > 0 && !now.Before(m.queue[0].until) {
		m.forgetOldest()
	}
	if len(m.queue) == 0 {
		m.queue = nil // gives back the room of a rush
	}
}

func (m *recent[V]) forgetOldest() {
	oldest := m.queue[0]
	m.queue[0] = nil
	m.queue = m.queue[1:]
	m.bytes -= oldest.bytes
	if m.entries.CompareAndDelete(oldest.id, oldest) {
		m.count.Add(-1)
	}
}

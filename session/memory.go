package session

import (
	"bytes"
	"container/list"
	"context"
	"sync"
	"time"
)

// Memory is a [Store] in this process. It keeps so many sessions; one more ends
// the one that wasn't used for the longest time.
type Memory struct {
	max int

	mu       sync.Mutex
	sessions map[Key]*list.Element // of *kept
	used     list.List             // the latest first
}

type kept struct {
	key   Key
	value []byte
	until time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store of at most so many sessions, of at least one.
func NewMemory(sessions int) *Memory {
	return &Memory{max: max(sessions, 1), sessions: map[Key]*list.Element{}}
}

// Get gives what is under key and marks it as used. It never fails.
func (m *Memory) Get(_ context.Context, key Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.live(key)
	if e == nil {
		return nil, nil
	}
	m.used.MoveToFront(e)
	return e.Value.(*kept).value, nil
}

// Swap puts value under key, if old is there. It never fails.
func (m *Memory) Swap(_ context.Context, key Key, old, value []byte, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.live(key)
	switch {
	case e == nil && old != nil, e != nil && (old == nil || !bytes.Equal(e.Value.(*kept).value, old)):
		return false, nil
	case e == nil:
		m.makeRoom()
		m.sessions[key] = m.used.PushFront(&kept{key: key, value: value, until: until})
	default:
		k := e.Value.(*kept)
		k.value, k.until = value, until
		m.used.MoveToFront(e)
	}
	return true, nil
}

// Delete removes what is under key. It never fails.
func (m *Memory) Delete(_ context.Context, key Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.sessions[key]; e != nil {
		m.remove(e)
	}
	return nil
}

// live gives the session under key, unless its time is over.
func (m *Memory) live(key Key) *list.Element {
	e := m.sessions[key]
	if e != nil && !time.Now().Before(e.Value.(*kept).until) {
		m.remove(e)
		return nil
	}
	return e
}

// makeRoom drops the sessions that weren't used for the longest time: one where
// there is no room, and those behind it whose time is over.
func (m *Memory) makeRoom() {
	if len(m.sessions) >= m.max {
		m.remove(m.used.Back())
	}
	for e := m.used.Back(); e != nil && !time.Now().Before(e.Value.(*kept).until); e = m.used.Back() {
		m.remove(e)
	}
}

func (m *Memory) remove(e *list.Element) {
	delete(m.sessions, m.used.Remove(e).(*kept).key)
}

package audit

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Allows says which allowed requests are written down. Denials always are.
type Allows uint8

const (
	// AllowsSampled writes the first of each subject and rule in a minute.
	AllowsSampled Allows = iota
	AllowsAll
	AllowsNone
)

// Log writes one line of JSON a decision, and one each login, logout and refresh. Writing never holds up a decision: a
// record goes into a queue, and where the queue is full the record is dropped and
// counted.
type Log struct {
	allows  Allows
	sampler *sampler
	queue   chan *Record // of pointers: an empty queue of records is a megabyte for the collector to look through
	dropped atomic.Uint64
	handler slog.Handler
	events  [eventCount][NumReasons]atomic.Uint64

	closing sync.RWMutex // held shared while a record is put into the queue
	closed  bool
	done    chan struct{}
}

// queueLength is how many records may wait to be written.
const queueLength = 4096

// NewLog makes a log on w. Close it to have the queue written out.
func NewLog(w io.Writer, allows Allows) *Log {
	l := &Log{
		allows: allows, sampler: newSampler(), queue: make(chan *Record, queueLength), done: make(chan struct{}),
		handler: slog.NewJSONHandler(PlainJSON(w), nil),
	}
	go l.write()
	return l
}

// Write takes a record, or leaves it out. It keeps copies of the record's strings,
// not the strings: those may be views into a message whose memory is used again as
// soon as the request is answered.
func (l *Log) Write(r *Record) {
	if l == nil {
		return
	}
	if r.Event != Decision && r.Event < eventCount && r.Reason < reasonCount { // Counters have the decisions
		l.events[r.Event][r.Reason].Add(1)
	}
	if r.Allowed && r.Event == Decision {
		switch l.allows {
		case AllowsNone:
			return
		case AllowsSampled:
			var first bool
			if r.LeftOut, first = l.sampler.first(r); !first {
				return
			}
		}
	}
	l.closing.RLock()
	defer l.closing.RUnlock()
	if l.closed {
		l.dropped.Add(1)
		return
	}
	select {
	case l.queue <- r.kept():
	default:
		l.dropped.Add(1)
	}
}

// EachEvent gives the counts of what isn't a decision, by what it was and how it
// ended, where there are any.
func (l *Log) EachEvent(give func(event Event, reason Reason, count uint64)) {
	if l == nil {
		return
	}
	for event := Decision + 1; event < eventCount; event++ {
		for reason := range l.events[event] {
			if n := l.events[event][reason].Load(); n > 0 {
				give(event, Reason(reason), n)
			}
		}
	}
}

// Dropped is how many records were lost because nobody took them in time.
func (l *Log) Dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// closeLimit is how long Close waits for somebody to read what is queued.
const closeLimit = 2 * time.Second

// Close writes what is queued and ends the log. Records after it are dropped, and
// so are those that nobody reads within two seconds: a program that is told to end
// ends.
func (l *Log) Close() {
	l.closing.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.closing.Unlock()
	select {
	case <-l.done:
	case <-time.After(closeLimit):
		l.dropped.Add(uint64(len(l.queue)))
	}
}

func (l *Log) write() {
	defer close(l.done)
	var attrs []slog.Attr
	for r := range l.queue {
		line := slog.NewRecord(r.Time, slog.LevelInfo, r.Event.String(), 0)
		attrs = r.attrs(attrs[:0])
		line.AddAttrs(attrs...)
		// A log that can't be written has nowhere to say so but the counter.
		if l.handler.Handle(context.Background(), line) != nil {
			l.dropped.Add(1)
		}
	}
}

package oidctest

import (
	"strconv"
	"testing"
)

func TestRecentIsBounded(t *testing.T) {
	var r recent[int]
	for i := range 3 * remembered {
		key := strconv.Itoa(i)
		r.put(key, i)
		r.put(key, i) // changes nothing
		if i%3 == 0 {
			r.remove(key)
		}
	}
	if len(r.values) > remembered || len(r.order) > 2*remembered {
		t.Errorf("got %d values, %d in order", len(r.values), len(r.order))
	}
	last := 3*remembered - 1
	if r.get(strconv.Itoa(last)) != last || !r.has(strconv.Itoa(last)) || r.has("1") || r.get("1") != 0 || r.has(strconv.Itoa(last-2)) {
		t.Error("it remembers others than the last")
	}
}

// Removing alone doesn't let it grow either.
func TestRecentForgetsTheRemoved(t *testing.T) {
	var r recent[int]
	for i := range 5 * remembered {
		r.put(strconv.Itoa(i), i)
		r.remove(strconv.Itoa(i))
	}
	if len(r.values) != 0 || len(r.order) > 2*remembered {
		t.Errorf("got %d values, %d in order", len(r.values), len(r.order))
	}
}

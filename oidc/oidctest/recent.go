package oidctest

import "slices"

// remembered is how many of a kind the provider keeps: codes, refresh tokens,
// people's sessions. What came first goes first.
const remembered = 10_000

// recent keeps the values that were put into it last, at most [remembered] of
// them. The zero value is empty. Keys are never put again after a remove.
type recent[V any] struct {
	values map[string]V
	order  []string // of the keys, oldest first; those removed go when it gets long
}

func (r *recent[V]) put(key string, v V) {
	if r.values == nil {
		r.values = map[string]V{}
	}
	if _, there := r.values[key]; !there {
		r.order = append(r.order, key)
	}
	r.values[key] = v
	if len(r.order) > 2*remembered {
		r.order = slices.DeleteFunc(r.order, func(key string) bool { _, there := r.values[key]; return !there })
	}
	for len(r.values) > remembered {
		delete(r.values, r.order[0])
		r.order = r.order[1:]
	}
}

// get gives the zero V for a key that isn't there.
func (r *recent[V]) get(key string) V { return r.values[key] }

func (r *recent[V]) has(key string) bool {
	_, there := r.values[key]
	return there
}

func (r *recent[V]) remove(key string) { delete(r.values, key) }

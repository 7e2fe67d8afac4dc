package cache

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func TestSEC_5_15_5_16_KeysOfDifferentPartsDiffer(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
	lists := []struct {
		name  string
		parts []string
	}{
		{"no part", nil},
		{"one empty part", []string{""}},
		{"two empty parts", []string{"", ""}},
		{"a token", []string{token}},
		{"a prefix of it", []string{token[:len(token)-1]}},
		{"a suffix of it", []string{token[1:]}},
		{"the token and a byte", []string{token + "A"}},
		{"the token and a space", []string{token + " "}},
		{"the token and a zero byte", []string{token + "\x00"}},
		{"the token twice in one part", []string{token + token}},
		{"the token twice in two parts", []string{token, token}},
		{"the token in upper case", []string{strings.ToUpper(token)}},
		{"the token in lower case", []string{strings.ToLower(token)}},
		{"one letter in the other case", []string{"E" + token[1:]}},
		{"with a provider", []string{"corp", token}},
		{"with another provider", []string{"corq", token}},
		{"provider and token swapped", []string{token, "corp"}},
		{"a byte moved to the provider", []string{"corp" + token[:1], token[1:]}},
		{"a byte moved to the token", []string{"cor", "p" + token}},
		{"all in one part", []string{"corp" + token}},
		{"an empty part before", []string{"", "corp", token}},
		{"an empty part between", []string{"corp", "", token}},
		{"an empty part behind", []string{"corp", token, ""}},
		{"the encoding of two parts in one", []string{"a\x01\x00\x00\x00\x00\x00\x00\x00b"}},
		{"those two parts", []string{"a", "b"}},
		{"all that is hashed of them, in one", []string{"\x01\x00\x00\x00\x00\x00\x00\x00a\x01\x00\x00\x00\x00\x00\x00\x00b"}},
	}
	keyer := NewKeyer()
	seen := make(map[Key]string)
	for _, l := range lists {
		key := keyer.Key(l.parts...)
		if other, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", l.name, other)
		}
		seen[key] = l.name
	}
	for _, l := range lists {
		if got := seen[keyer.Key(l.parts...)]; got != l.name {
			t.Errorf("%s has another key when asked again, that of %q", l.name, got)
		}
	}
}

func TestKeyersDiffer(t *testing.T) {
	a, b := NewKeyer(), NewKeyer()
	if a.Key("token") == b.Key("token") {
		t.Error("two keyers give the same key: the key isn't random")
	}
}

func TestKeyerAtTheSameTime(t *testing.T) {
	keyer := NewKeyer()
	var want [50]Key
	for i := range want {
		want[i] = numbered(keyer, i)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				if got := numbered(keyer, i%len(want)); got != want[i%len(want)] {
					t.Errorf("key %d changed", i%len(want))
					return
				}
			}
		})
	}
	wg.Wait()
}

// Memory that waits for the next call has no token in it, and nothing that the next
// one would clear again.
func TestKeyLeavesNoTokenBehind(t *testing.T) {
	keyer := NewKeyer()
	keyer.Key(strings.Repeat("token", 1000), "corp")
	keyer.Key("a", "b")
	s := keyer.states.Get().(*keyState)
	if len(s.list) != 0 {
		t.Errorf("got %d bytes, want none", len(s.list))
	}
	if left := bytes.Trim(s.list[:cap(s.list)], "\x00"); len(left) != 0 {
		t.Errorf("got %d bytes of lists, want none", len(left))
	}
}

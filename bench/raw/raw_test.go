package raw

import (
	"slices"
	"testing"
)

func TestMessages(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frames string
		want   []string
		bad    bool
	}{
		{"nothing", "", nil, false},
		{"one", "\x00\x00\x00\x00\x02ab", []string{"ab"}, false},
		{"an empty one, and another", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01a", []string{"", "a"}, false},
		{"a prefix that is cut short", "\x00\x00\x00\x00", nil, true},
		{"a message that is cut short", "\x00\x00\x00\x00\x02a", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			messages, err := Messages([]byte(tc.frames))
			var got []string
			for _, m := range messages {
				got = append(got, string(m))
			}
			if !slices.Equal(got, tc.want) || (err != nil) != tc.bad {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

package oidc

import (
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	for name, c := range map[string]struct {
		remote string
		lines  []string
		hops   int
		want   string
	}{
		"no proxy":                             {"192.0.2.1:999", []string{"203.0.113.9"}, 0, "192.0.2.1"},
		"one proxy":                            {"10.0.0.1:1", []string{"203.0.113.9"}, 1, "203.0.113.9"},
		"what the client made up":              {"10.0.0.1:1", []string{"1.1.1.1, 2.2.2.2, 203.0.113.9"}, 1, "203.0.113.9"},
		"two proxies":                          {"10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9, 10.0.0.2"}, 2, "203.0.113.9"},
		"several lines":                        {"10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9", "10.0.0.2"}, 2, "203.0.113.9"},
		"fewer entries than hops":              {"10.0.0.1:1", []string{"1.1.1.1"}, 2, "10.0.0.1"},
		"no header":                            {"10.0.0.1:1", nil, 1, "10.0.0.1"},
		"not an address":                       {"10.0.0.1:1", []string{"unknown"}, 1, "10.0.0.1"},
		"empty entry":                          {"10.0.0.1:1", []string{"1.1.1.1,"}, 1, "10.0.0.1"},
		"with a port":                          {"10.0.0.1:1", []string{"203.0.113.9:4711"}, 1, "203.0.113.9"},
		"IPv6":                                 {"[2001:db8::1]:1", []string{"2001:db8::2"}, 1, "2001:db8::2"},
		"IPv6 in brackets":                     {"[2001:db8::1]:1", []string{"[2001:db8::2]"}, 1, "2001:db8::2"},
		"IPv6 with a port":                     {"[2001:db8::1]:1", []string{"[2001:db8::2]:4711"}, 1, "2001:db8::2"},
		"IPv4 in IPv6":                         {"[::ffff:192.0.2.1]:1", nil, 0, "192.0.2.1"},
		"a zone isn't an address":              {"[fe80::1%eth0]:1", nil, 0, "fe80::1"},
		"Unix socket":                          {"@", nil, 1, "invalid IP"},
		"a megabyte of entries before the one": {"10.0.0.1:1", []string{strings.Repeat("1.1.1.1,", 1<<17) + "203.0.113.9"}, 1, "203.0.113.9"},
	} {
		if got := ClientAddress(c.lines, c.hops, c.remote).String(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

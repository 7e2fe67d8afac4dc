package oidc

import (
	"net/netip"
	"strings"
)

// ClientAddress is the address that a request came from, for budgets to be shared out
// by, as far as hops proxies that are trusted tell: each adds its own client to the end
// of X-Forwarded-For, so the one hops entries from the end was added by the outermost
// of them, and what is before it is whatever the client likes. With fewer entries the
// request didn't pass them all, and the connection's address counts. It is the zero
// Addr where that isn't known either, as on a Unix socket.
func ClientAddress(forwarded []string, hops int, connection string) netip.Addr {
	if hops > 0 {
		if entry, found := forwardedFor(forwarded, hops); found {
			if a, ok := parseAddress(entry); ok {
				return a
			}
		}
	}
	a, _ := parseAddress(connection)
	return a
}

// forwardedFor is the entry so many from the end of the list, whose lines follow
// each other (RFC 9110, 5.3). It walks no further than that.
func forwardedFor(lines []string, hops int) (entry string, found bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; {
			comma := strings.LastIndexByte(line, ',')
			entry, more = strings.TrimSpace(line[comma+1:]), comma >= 0
			if hops--; hops == 0 {
				return entry, true
			}
			line = line[:max(comma, 0)]
		}
	}
	return "", false
}

// parseAddress reads an address with or without a port; some proxies add one.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}

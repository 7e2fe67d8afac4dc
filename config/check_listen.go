package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// maxSocketPath is the longest path of a Unix socket: 103 bytes on macOS, 107 on
// Linux.
const maxSocketPath = 103

// address is where a listener listens: a port of an interface, or a Unix socket.
type address struct {
	host netip.Addr // the zero Addr is every interface
	port uint16     // 0 is any free one
	path string     // of the socket; empty for TCP
}

// private says whether only this machine can reach it.
func (a address) private() bool { return a.path != "" || a.host.IsValid() && a.host.IsLoopback() }

// collides says whether two listeners can't have these addresses at once.
func (a address) collides(b address) bool {
	if a.path != "" || b.path != "" {
		return a.path == b.path
	}
	return a.port != 0 && a.port == b.port &&
		(a.host == b.host || a.host.IsUnspecified() || b.host.IsUnspecified() || !a.host.IsValid() || !b.host.IsValid())
}

func (c *checker) listen(l *configv1.Listen) {
	taken := map[string]address{}
	c.listener("listen.check", l.GetCheck(), taken)
	c.listener("listen.probe", l.GetProbe(), taken)
	if isPublic(c.config) {
		c.listener("listen.login", l.GetLogin(), taken)
	}
	c.admin("listen.admin.address", l.GetAdmin().GetAddress(), taken)
	check, ok := taken["listen.check"]
	if ok && c.good("listen.check.callers") && c.good("listen.check.tls.client_ca_file") && c.good("listen.check.insecure_allow_any_caller") {
		c.callers(l.GetCheck(), check)
	}
}

// listener checks what all listeners have, and notes its address among those taken.
func (c *checker) listener(at string, l interface {
	GetAddress() string
	GetTls() *configv1.ServerTLS
}, taken map[string]address) {
	c.serverTLS(at+".tls", l.GetTls())
	if own, ok := c.address(at+".address", l.GetAddress()); ok {
		c.alone(at+".address", own, taken)
		taken[at] = own
	}
}

// admin checks where the admin API is, which may be nowhere. It asks nobody who they
// are, so nothing but a file's permissions may stand before it.
func (c *checker) admin(field, written string, taken map[string]address) {
	if written == "" {
		return
	}
	if !strings.HasPrefix(written, "unix:") {
		c.errorf(field, "is %s; write the path of a Unix socket, such as unix:/run/credence/admin.sock, because whoever reaches it can end anybody's session", quote(written))
		return
	}
	if own, ok := c.address(field, written); ok {
		c.alone(field, own, taken)
	}
}

// alone makes sure that no other listener has the address.
func (c *checker) alone(field string, own address, taken map[string]address) {
	for _, other := range slices.Sorted(maps.Keys(taken)) {
		if own.collides(taken[other]) {
			c.errorf(field, "is the address of %s; each needs its own", other)
		}
	}
}

// callers makes sure that the Check service isn't open to everyone by accident:
// whoever reaches it can claim to be any client.
func (c *checker) callers(l *configv1.CheckListener, at address) {
	for i, name := range l.GetCallers() {
		if strings.Contains(name, "*") {
			c.errorf(fmt.Sprintf("listen.check.callers[%d]", i), "has a *, and names are compared exactly; list each caller")
		}
	}
	ca, callers := l.GetTls().GetClientCaFile() != "", l.GetCallers()
	switch open := l.GetInsecureAllowAnyCaller(); {
	case open && len(callers) > 0:
		c.errorf("listen.check.insecure_allow_any_caller", "lets in everyone, so callers would mean nothing; remove one of them")
	case len(callers) > 0 && !ca:
		c.errorf("listen.check.callers", "need client certificates; add tls.client_ca_file")
	case !open && !at.private() && !ca:
		c.errorf("listen.check.address", "can be reached from other machines; add tls.client_ca_file and callers, or insecure_allow_any_caller: true where something else guards it, or listen on a loopback address or a Unix socket")
	case !open && !at.private() && len(callers) == 0:
		c.errorf("listen.check.callers", "is missing; list who may call, by a name in the certificate such as spiffe://cluster.local/ns/gateway/sa/envoy")
	}
}

func (c *checker) serverTLS(field string, t *configv1.ServerTLS) {
	c.filePath(field+".certificate_file", t.GetCertificateFile())
	c.filePath(field+".key_file", t.GetKeyFile())
	c.filePath(field+".client_ca_file", t.GetClientCaFile())
}

// filePath reports a path that can't be meant; empty is none.
func (c *checker) filePath(field, path string) {
	switch {
	case strings.HasPrefix(path, "file:"):
		c.errorf(field, "is a URL; write the path alone, such as /run/tls/tls.crt")
	case strings.HasPrefix(path, "~"):
		c.errorf(field, "begins with ~, which isn't expanded; write the whole path")
	}
}

// address reads an address, or reports why it isn't one.
func (c *checker) address(field, s string) (a address, ok bool) {
	if path, unix := strings.CutPrefix(s, "unix:"); unix {
		if !strings.HasPrefix(path, "/") || len(path) > maxSocketPath {
			c.errorf(field, "isn't the absolute path of a socket, of %d bytes at most; write one such as unix:/run/credence/check.sock", maxSocketPath)
			return a, false
		}
		return address{path: path}, true
	}
	host, port, err := net.SplitHostPort(s)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil {
		c.errorf(field, `is %s; write an address and a port, such as "127.0.0.1:9001", ":9001" for every interface, or unix:/path`, quote(s))
		return a, false
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "localhost":
		a.host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case err == nil:
		a.host = ip.Unmap()
	case host != "":
		c.errorf(field, "has the name %s; write an IP address, because what a name means can change", quote(host))
		return a, false
	}
	a.port = uint16(n)
	return a, true
}

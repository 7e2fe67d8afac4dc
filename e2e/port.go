package e2e

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// reservePort gives a free port of 127.0.0.1 for an Envoy that has to listen at a known
// place. Until the test ends, nobody else is given that port: a socket that is bound and
// never listens holds it. Envoy binds it too, since both say SO_REUSEPORT, and gets all
// connections, since only it listens.
func reservePort(t *testing.T) string {
	t.Helper()
	holder, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(holder)
	t.Cleanup(func() { unix.Close(holder) })
	if err := unix.SetsockoptInt(holder, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(holder, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(holder)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(bound.(*unix.SockaddrInet4).Port)
}

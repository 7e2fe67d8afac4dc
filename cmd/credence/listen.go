package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Who may use a Unix socket. A proxy that shares Credence's group may ask it, and
// mayn't end anybody's session.
const (
	ownerAndGroup fs.FileMode = 0o660
	ownerAlone    fs.FileMode = 0o600
)

// openListener listens on "host:port" or "unix:/path", a socket that those may use
// whom mode names; setting is what to change where that can't be.
func openListener(ctx context.Context, setting, address string, mode fs.FileMode) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	var l net.Listener
	var err error
	if unix {
		l, err = openSocket(ctx, path, mode)
	} else {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("the address is in use by another program")
	}
	if err != nil {
		return nil, addressError{setting, address, err}
	}
	return l, nil
}

// openSocket listens on a Unix socket. One that a killed process left behind is taken
// over; one that somebody answers on isn't.
func openSocket(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			c.Close()
		}
		// Anything but a refusal may be a server that is busy.
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, syscall.EADDRINUSE
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

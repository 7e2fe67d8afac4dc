package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// operator tells a running Credence something over its admin socket.
type operator struct {
	config, socket string
	timeout        time.Duration
}

func (o *operator) addFlags(c *cobra.Command, timeout time.Duration) {
	flags := c.Flags()
	flags.StringVarP(&o.config, "config", "c", defaultConfig, "configuration file, whose listen.admin is asked")
	flags.StringVar(&o.socket, "socket", "", "path of the admin socket, in place of the configuration's")
	flags.DurationVar(&o.timeout, "timeout", timeout, "how long to wait")
}

// path is that of the socket: the flag's, or the configuration's.
func (o *operator) path() (string, error) {
	address := o.socket
	if address == "" {
		file, err := loadConfig(o.config)
		if err != nil {
			return "", err
		}
		if address = file.Config.GetListen().GetAdmin().GetAddress(); address == "" {
			return "", usageError{fmt.Errorf("%s has no listen.admin, so the Credence that runs with it can't be told; add one, such as unix:/run/credence/admin.sock, or name a socket with --socket", o.config)}
		}
	}
	return strings.TrimPrefix(address, "unix:"), nil
}

// post sends what is asked for as JSON, and reads the answer into answered, where that
// isn't nil. What Credence refuses as a mistake is a usageError.
func (o *operator) post(ctx context.Context, path string, asked map[string]string, answered any) error {
	socket, err := o.path()
	if err != nil {
		return err
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is another user's; run this as the user that Credence runs as", socket)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s isn't there; is Credence running, with this listen.admin?", socket)
	case err != nil:
		return fmt.Errorf("%s can't be asked: %w", socket, err)
	}
	defer resp.Body.Close()
	const enough = 64 << 10
	answer := json.NewDecoder(io.LimitReader(resp.Body, enough))
	stranger := fmt.Errorf("%s answered %s, which Credence's admin socket doesn't; is it another program's?", socket, resp.Status)
	var refused struct{ Error string }
	switch {
	case resp.StatusCode == http.StatusNoContent && answered == nil:
		return nil
	case resp.StatusCode == http.StatusOK && answered != nil:
		if answer.Decode(answered) != nil {
			return stranger
		}
		return nil
	case answer.Decode(&refused) != nil || refused.Error == "":
		return stranger
	case resp.StatusCode == http.StatusBadRequest:
		return usageError{errors.New(refused.Error)}
	}
	return errors.New(refused.Error)
}

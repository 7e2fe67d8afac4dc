package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// serverTLS makes the TLS configuration of a listener, nil for cleartext. Files
// that can't be used are found now; later changes are taken over as they come,
// and one that can't be used leaves the last good certificate in place.
func serverTLS(setting string, t *configv1.ServerTLS, callers []string, log *slog.Logger) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	files := &tlsFiles{certificate: t.GetCertificateFile(), key: t.GetKeyFile(), clientCA: t.GetClientCaFile(), callers: callers, setting: setting, log: log}
	if err := files.read(files.fileStamp()); err != nil {
		return nil, usageError{fmt.Errorf("%s.tls: %w", setting, err)}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return files.current(), nil },
		NextProtos:         []string{"h2", "http/1.1"},
	}, nil
}

// tlsFiles is a certificate, its key and the callers' authorities, read again
// when one of the files has changed.
type tlsFiles struct {
	certificate, key, clientCA string
	callers                    []string

	setting string // for the log
	log     *slog.Logger

	mu      sync.Mutex
	config  *tls.Config
	stamp   string    // of the files when they were last read, well or not
	checked time.Time // when the files were last looked at
}

// recheck is how long the files aren't looked at again.
const recheck = time.Second

// current is the configuration for a new connection.
func (f *tlsFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < recheck {
		return f.config
	}
	f.checked = time.Now()
	if stamp := f.fileStamp(); stamp != f.stamp {
		if err := f.read(stamp); err != nil {
			f.log.Error("a changed certificate can't be used; the one before it stays in use", "listener", f.setting, "err", err)
		} else {
			f.log.Info("certificate read again", "listener", f.setting)
		}
	}
	return f.config
}

// read makes a configuration of the files as they are now. The caller holds mu, or
// nobody else has f yet.
func (f *tlsFiles) read(stamp string) error {
	f.stamp, f.checked = stamp, time.Now()
	pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if f.clientCA != "" {
		pem, err := os.ReadFile(f.clientCA)
		if err != nil {
			return err
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", f.clientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if len(f.callers) > 0 {
			c.VerifyConnection = f.verifyCaller
		}
	}
	f.config = c
	return nil
}

// fileStamp changes when one of the files does.
func (f *tlsFiles) fileStamp() string {
	var stamp []string
	for _, path := range [...]string{f.certificate, f.key, f.clientCA} {
		if info, err := os.Stat(path); err == nil {
			stamp = append(stamp, fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()))
		}
	}
	return strings.Join(stamp, "\n")
}

var errCaller = errors.New("the caller's certificate names none of listen.check.callers")

// verifyCaller compares the names in a verified certificate with those listed,
// exactly. It runs on resumed connections too, which VerifyPeerCertificate doesn't.
func (f *tlsFiles) verifyCaller(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errCaller
	}
	leaf := state.PeerCertificates[0]
	for _, uri := range leaf.URIs {
		if slices.Contains(f.callers, uri.String()) {
			return nil
		}
	}
	for _, name := range leaf.DNSNames {
		if slices.Contains(f.callers, name) {
			return nil
		}
	}
	return errCaller
}

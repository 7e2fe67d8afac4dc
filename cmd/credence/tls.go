package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
func serverTLS(setting string, t *configv1.ServerTLS, callers []string) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	files := &tlsFiles{certificate: t.GetCertificateFile(), key: t.GetKeyFile(), clientCA: t.GetClientCaFile(), callers: callers}
	if err := files.read(); err != nil {
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

	mu      sync.Mutex
	config  *tls.Config
	stamp   string    // of the files that config was made of
	checked time.Time // when the files were last looked at
}

// recheck is how long the files aren't looked at again.
const recheck = time.Second

// current is the configuration for a new connection.
func (f *tlsFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) > recheck && f.fileStamp() != f.stamp {
		// A pair that doesn't fit yet is one being replaced: the old one stays.
		_ = f.readLocked()
	}
	return f.config
}

func (f *tlsFiles) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readLocked()
}

func (f *tlsFiles) readLocked() error {
	f.checked = time.Now()
	stamp := f.fileStamp()
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
	f.config, f.stamp = c, stamp
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

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
	"github.com/credence-authz/credence/session"
)

// checkFiles says what is wrong with the files that a configuration names, each at the
// field that names it, and with its expressions beside. What is built of them stops at
// the first; here all shows at once. Where no file is wrong, the expressions are left to
// who builds: thousands take their time.
func checkFiles(file *config.File, listeners bool) error {
	f := &fileChecks{file: file}
	if listeners {
		f.listeners(file.Config.GetListen())
	}
	f.providers(file.Config)
	f.clients(file.Config)
	if folder := file.Config.GetLogin().GetPages(); folder != "" {
		f.folder("login.pages", folder)
	}
	if len(f.problems) == 0 {
		return nil
	}
	_, err := authz.ReadHeaders(readOptions(file.Config))
	if rules, ok := errors.AsType[config.Problems](positions(file, err)); ok {
		f.problems = append(f.problems, rules...)
	}
	f.problems.Sort()
	return usageError{f.problems}
}

// fileChecks collects what is wrong with files.
type fileChecks struct {
	file     *config.File
	problems config.Problems
}

// add reports what is wrong with what a field names; place is how the message calls it.
func (f *fileChecks) add(field, place string, err error) {
	if _, ok := errors.AsType[*fs.PathError](err); ok || !strings.Contains(err.Error(), place) {
		err = fmt.Errorf("%s: %s", place, plainWords(err))
	}
	f.problems = append(f.problems, f.file.Problem(field, err.Error()))
}

func (f *fileChecks) listeners(l *configv1.Listen) {
	f.serverTLS("listen.check.tls", l.GetCheck().GetTls())
	f.serverTLS("listen.probe.tls", l.GetProbe().GetTls())
	f.serverTLS("listen.login.tls", l.GetLogin().GetTls())
}

func (f *fileChecks) serverTLS(at string, t *configv1.ServerTLS) {
	f.certificate(at+".certificate_file", t.GetCertificateFile(), at+".key_file", t.GetKeyFile())
	f.authorities(at+".client_ca_file", t.GetClientCaFile())
}

func (f *fileChecks) providers(c *configv1.Config) {
	for i, p := range c.GetProviders() {
		at := fmt.Sprintf("providers[%d]", i)
		f.authorities(at+".ca_file", p.GetCaFile())
		n := p.GetConnection()
		f.certificate(at+".connection.client_certificate_file", n.GetClientCertificateFile(), at+".connection.client_key_file", n.GetClientKeyFile())
		f.content(at+".connection.bearer_token_file", n.GetBearerTokenFile(), oneToken)
		f.content(at+".keys.file", p.GetKeys().GetFile(), func(data []byte) error { _, err := oidc.ParseKeys(data); return err })
		if keep := p.GetKeys().GetKeepFile(); keep != "" {
			f.folder(at+".keys.keep_file", filepath.Dir(keep))
		}
		for i, key := range p.GetDecryptionKeys() {
			f.secret(fmt.Sprintf("%s.decryption_keys[%d]", at, i), key, func(text string) error { _, err := oidc.ParseDecryptionKeys([]byte(text)); return err })
		}
		if asks := p.GetIntrospection(); asks != nil {
			f.clientAuth(at+".introspection", p.GetIssuer(), asks)
		}
	}
	for i, key := range c.GetDpop().GetNonceKeys() {
		f.secret(fmt.Sprintf("dpop.nonce_keys[%d]", i), key, func(text string) error { _, err := parseNonceKey(text); return err })
	}
}

func (f *fileChecks) clients(c *configv1.Config) {
	issuers := map[string]string{}
	for _, p := range c.GetProviders() {
		issuers[p.GetName()] = p.GetIssuer()
	}
	for i, client := range c.GetClients() {
		f.clientAuth(fmt.Sprintf("clients[%d]", i), issuers[client.GetProvider()], client)
	}
	for i, key := range c.GetSession().GetKeys() {
		f.secret(fmt.Sprintf("session.keys[%d]", i), key, func(text string) error {
			_, err := session.NewRing(session.RingOptions{Keys: []func() (string, error){func() (string, error) { return text, nil }}})
			if err != nil {
				err = errors.New("it " + strings.TrimPrefix(err.Error(), "session: session key 1 "))
			}
			return err
		})
	}
}

// clientAuth looks at what a client proves itself with.
func (f *fileChecks) clientAuth(at, issuer string, client clientCredentials) {
	field, place := placeOf(at+".client_secret", client.GetClientSecret())
	if client.GetAuthentication() == configv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT {
		field, place = at+".key_file", strconv.Quote(client.GetKeyFile())
	}
	if _, err := buildClientAuth(issuer, client); err != nil {
		f.add(field, place, err)
	}
}

// secret reads one, and has its text checked.
func (f *fileChecks) secret(at string, s *configv1.Secret, check func(text string) error) {
	text, err := config.NewSecret(s).Read()
	if err == nil {
		err = check(text)
	}
	if err != nil {
		field, place := placeOf(at, s)
		f.add(field, place, err)
	}
}

// placeOf is where a secret is: the field that says it, and a message's words for it.
func placeOf(at string, s *configv1.Secret) (field, place string) {
	if s.GetEnv() != "" {
		return at + ".env", "the environment variable " + s.GetEnv()
	}
	return at + ".file", strconv.Quote(s.GetFile())
}

// content reads a file, and has it checked; no path is none.
func (f *fileChecks) content(field, path string, check func([]byte) error) []byte {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = check(data)
	}
	if err != nil {
		f.add(field, strconv.Quote(path), err)
		return nil
	}
	return data
}

func (f *fileChecks) authorities(field, path string) {
	f.content(field, path, func(data []byte) error {
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return errors.New("it holds no PEM certificate")
		}
		return nil
	})
}

// certificate looks at one and its key. A mistake that the key's file hasn't is the
// certificate's.
func (f *fileChecks) certificate(field, path, keyField, keyPath string) {
	certificate, key := f.content(field, path, anything), f.content(keyField, keyPath, anything)
	if certificate == nil || key == nil {
		return
	}
	_, err := tls.X509KeyPair(certificate, key)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "certificate input"), strings.HasPrefix(err.Error(), "x509: "):
		f.add(field, strconv.Quote(path), err)
	default:
		f.add(keyField, strconv.Quote(keyPath), err)
	}
}

func (f *fileChecks) folder(field, path string) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = errors.New("it isn't a folder")
	}
	if err != nil {
		f.add(field, strconv.Quote(path), err)
	}
}

func anything(data []byte) error {
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	return nil
}

func oneToken(data []byte) error {
	if len(strings.Fields(string(data))) != 1 {
		return errors.New("it doesn't hold one token")
	}
	return nil
}

// packages are what errors of packages begin with. Whoever reads them wrote a
// configuration, and is shown the field that it is about.
var packages = [...]string{"session: ", "login: ", "resource: ", "tls: ", "keys to decrypt tokens: "}

// plainWords is an error's text without the package that it came from, and without the
// path, which stands before it.
func plainWords(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	text := err.Error()
	for _, prefix := range packages {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

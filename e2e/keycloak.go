package e2e

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// keycloak is the one Keycloak of a test run: it takes 10 seconds and 400 MB. A
// test has a realm of its own there, which shares nothing with others.
type keycloak struct {
	cmd    *exec.Cmd
	output transcript
	ended  chan struct{} // closed once it has ended
	home   string
	origin string // "http://127.0.0.1:port"
	secure string // "https://127.0.0.1:port"; empty for the one that tests share
}

// theKeycloak is started by the first test that wants it and ended by TestMain.
var theKeycloak struct {
	sync.Mutex
	*keycloak
	err error
}

// keycloakAdministrator is the password of the user admin, in a Keycloak that only
// this machine reaches.
const keycloakAdministrator = "administrator"

// startKeycloak gives the running Keycloak.
func startKeycloak(t *testing.T) *keycloak {
	t.Helper()
	part, java := partPath(t, "keycloak", "CREDENCE_KEYCLOAK"), programPath(t, "Keycloak", "java")
	theKeycloak.Lock()
	defer theKeycloak.Unlock()
	if theKeycloak.keycloak == nil && theKeycloak.err == nil {
		theKeycloak.keycloak, theKeycloak.err = runKeycloak(part, java)
	}
	if theKeycloak.err != nil {
		t.Fatal(theKeycloak.err)
	}
	return theKeycloak.keycloak
}

// endKeycloak ends it, if it was started.
func endKeycloak() {
	theKeycloak.Lock()
	defer theKeycloak.Unlock()
	if theKeycloak.keycloak != nil {
		theKeycloak.end()
	}
}

// startSecureKeycloak runs one for this test alone, which speaks TLS as well and knows the
// client certificates that the same authority issued.
func startSecureKeycloak(t *testing.T, c *credentials) *keycloak {
	t.Helper()
	part, java := partPath(t, "keycloak", "CREDENCE_KEYCLOAK"), programPath(t, "Keycloak", "java")
	const option = "https-client-auth=request" // which can't be said to one that is built
	if built, err := os.ReadFile(filepath.Join(part, "conf", "keycloak.conf")); err != nil || !bytes.Contains(built, []byte("\n"+option)) {
		missing(t, "Keycloak isn't built with "+option+" in its conf/keycloak.conf: run tools/install keycloak")
	}
	k, err := runKeycloak(part, java, "--https-port=0", "--https-certificate-file="+c.CertFile,
		"--https-certificate-key-file="+c.KeyFile, "--truststore-paths="+c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.end)
	return k
}

// runKeycloak runs one, with more options than all have.
func runKeycloak(part, java string, more ...string) (*keycloak, error) {
	// What it writes goes to a home of its own, which has the rest by links.
	home, err := os.MkdirTemp("", "credence-keycloak-")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"conf", "lib", "providers", "themes"} {
		if err := os.Symlink(filepath.Join(part, name), filepath.Join(home, name)); err != nil {
			return nil, err
		}
	}
	// kc.sh would leave Java behind when it is killed, so this is what it does.
	args := []string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED", "--add-opens=java.base/java.security=ALL-UNNAMED",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager", "-Dpicocli.disable.closures=true",
		"-Dkc.home.dir=" + home, "-Djboss.server.config.dir=" + filepath.Join(home, "conf"),
		"-cp", filepath.Join(home, "lib", "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
		"start", "--optimized", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1", "--http-port=0", "--hostname-strict=false",
	}
	args = append(args, more...)
	k := &keycloak{home: home, ended: make(chan struct{}), cmd: exec.CommandContext(context.Background(), java, args...)}
	k.cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD="+keycloakAdministrator)
	k.cmd.Stdout, k.cmd.Stderr = &k.output, &k.output
	leaveNoOrphan(k.cmd)
	if err := k.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	go func() {
		defer close(k.ended)
		_ = k.cmd.Wait() // how it ended is in ProcessState
	}()
	if err := k.awaitListening(); err != nil {
		k.end()
		return nil, fmt.Errorf("keycloak: %w:\n%s", err, k.output.tail())
	}
	return k, nil
}

var listeningOn = regexp.MustCompile(`Listening on: (http://127\.0\.0\.1:\d+)(?: and (https://127\.0\.0\.1:\d+))?`)

func (k *keycloak) awaitListening() error {
	const patience = 5 * time.Minute
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if said := listeningOn.FindStringSubmatch(k.output.String()); said != nil {
			k.origin, k.secure = said[1], said[2]
			return nil
		}
		select {
		case <-k.ended:
			return errors.New("it ended")
		default:
		}
	}
	return fmt.Errorf("it isn't ready after %s", patience)
}

func (k *keycloak) end() {
	_ = k.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-k.ended:
	case <-time.After(10 * time.Second):
		_ = k.cmd.Process.Kill()
		<-k.ended
	}
	_ = os.RemoveAll(k.home)
}

// realm is what a test wants of Keycloak: an issuer of its own. Refresh tokens are
// good for one use.
type realm struct {
	Name    string
	Clients []realmClient
	Users   []realmUser

	// Origin is that of the realm's pages and of its issuer, where they aren't at
	// Keycloak's own address; empty: they are.
	Origin string

	// Lifetimes, in whole seconds; zero: Keycloak's defaults.
	AccessToken, SessionIdle, SessionLifetime time.Duration

	keycloak *keycloak // nil: the one that tests share
}

// realmClient is a client that has to use PKCE; without a secret it is a public one.
// With Audiences it has a service account, whose tokens are for them.
type realmClient struct {
	ID, Secret                           string
	RedirectURIs, PostLogoutRedirectURIs []string
	Audiences                            []string

	// Passwords lets it have tokens for a person's password, without a browser.
	Passwords bool

	// CertificateBound binds its tokens to the certificate that it shows.
	CertificateBound bool

	// ThinTokens leaves groups out of its access tokens: userinfo has them.
	ThinTokens bool
}

type realmUser struct {
	Name, Password string
	Groups         []string
}

//go:embed keycloak-realm.json.tmpl
var realmText string

var realmTemplate = template.Must(template.New("keycloak-realm.json").Funcs(template.FuncMap{
	"join": strings.Join,
	"json": func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(text), err
	},
	"seconds": func(d time.Duration, otherwise string) (int, error) {
		if d == 0 {
			var err error
			if d, err = time.ParseDuration(otherwise); err != nil {
				return 0, err
			}
		}
		return int(d.Seconds()), nil
	},
}).Parse(realmText))

// startRealm has Keycloak make a realm, for as long as the test runs.
func startRealm(t *testing.T, r realm) *realm {
	t.Helper()
	if r.keycloak == nil {
		r.keycloak = startKeycloak(t)
	}
	r.Name += fmt.Sprintf("-%d", time.Now().UnixNano()) // tests may be run more than once
	var text bytes.Buffer
	if err := realmTemplate.Execute(&text, &r); err != nil {
		t.Fatal(err)
	}
	r.keycloak.administer(t.Context(), t, http.MethodPost, "/admin/realms", text.String())
	t.Cleanup(func() {
		r.keycloak.administer(context.WithoutCancel(t.Context()), t, http.MethodDelete, "/admin/realms/"+r.Name, "")
	})
	return &r
}

// Groups are the names of all groups that users are in.
func (r *realm) Groups() []string {
	names := []string{}
	seen := map[string]bool{}
	for _, u := range r.Users {
		for _, g := range u.Groups {
			if !seen[g] {
				seen[g] = true
				names = append(names, g)
			}
		}
	}
	return names
}

// issuer is the realm's.
func (r *realm) issuer() string { return cmp.Or(r.Origin, r.keycloak.origin) + "/realms/" + r.Name }

// accountPage is where people log in to Keycloak itself.
func (r *realm) accountPage() string { return r.issuer() + "/account/" }

// endSessions logs a user out of everything, as an administrator does.
func (r *realm) endSessions(t *testing.T, user string) {
	t.Helper()
	var found []struct{ ID string }
	text := r.keycloak.administer(t.Context(), t, http.MethodGet, "/admin/realms/"+r.Name+"/users?exact=true&username="+url.QueryEscape(user), "")
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found) != 1 {
		t.Fatalf("the user %q: got %s, %v", user, text, err)
	}
	r.keycloak.administer(t.Context(), t, http.MethodPost, "/admin/realms/"+r.Name+"/users/"+found[0].ID+"/logout", "{}")
}

// administer does something by Keycloak's administration, and gives the answer.
func (k *keycloak) administer(ctx context.Context, t *testing.T, method, path, body string) string {
	t.Helper()
	var granted struct {
		Token string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {keycloakAdministrator}}
	text := k.exchange(ctx, t, http.MethodPost, "/realms/master/protocol/openid-connect/token", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if err := json.Unmarshal([]byte(text), &granted); err != nil {
		t.Fatalf("keycloak: %v in %s", err, text)
	}
	return k.exchange(ctx, t, method, path, body, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + granted.Token}})
}

func (k *keycloak) exchange(ctx context.Context, t *testing.T, method, path, body string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, k.origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Close = header, true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("keycloak: %v\n%s", err, k.output.tail())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		t.Fatalf("keycloak: %s %s: %s, %v: %s\n%s", method, path, resp.Status, err, text, k.output.tail())
	}
	return string(text)
}

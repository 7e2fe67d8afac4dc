package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/credence-authz/credence/oidc/oidctest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"credence": main})
}

// TestScripts runs the command lines of testdata/script. Each has a folder of its
// own, with
//
//	keys.json	the key set of https://login.example.com
//	ours.jwk	our key, to which encrypted.token is encrypted
//	*.token		tokens that it signed, named after what is to be known of them
//
// $BUSY is an address where somebody else listens. Beside the usual commands,
//
//	status N CMD...	runs a command that has to end with that exit status
//	await CMD...	runs a command until it succeeds
//	fill FILE...	replaces variables in files
func TestScripts(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The scripts run in parallel, and so after this function.
	t.Cleanup(func() { busy.Close() })
	provider := oidctest.New(oidctest.Options{Issuer: "https://login.example.com"})
	t.Cleanup(provider.Close)
	files := map[string]string{
		"keys.json": string(provider.KeySet()), "ours.jwk": string(namedKey("ours")),
		"encrypted.token": encrypt(t, provider.Sign(oidctest.Token{})) + "\n",
	}
	files["with-scheme.token"] = "Bearer " + provider.Sign(oidctest.Token{}) + "\n"
	for name, token := range map[string]oidctest.Token{
		"good":           {Claims: map[string]any{"groups": []string{"staff"}}},
		"expired":        {TTL: -time.Hour},
		"wrong-audience": {Claims: map[string]any{"aud": "billing"}},
		"no-scope":       {Claims: map[string]any{"scope": "openid", "groups": []string{"staff"}}},
		"guest":          {Claims: map[string]any{"groups": []string{"guests"}}},
	} {
		files[name+".token"] = provider.Sign(token) + "\n"
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": runWithStatus, "await": runUntilSuccess, "fill": fillFiles,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("BUSY", busy.Addr().String())
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func runWithStatus(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Check(err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("got exit status %d, want %d", got, want)
	}
}

func runUntilSuccess(ts *testscript.TestScript, _ bool, args []string) {
	const patience = time.Minute
	for end := time.Now().Add(patience); ts.Exec(args[0], args[1:]...) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("waited %s in vain", patience)
		}
	}
}

func fillFiles(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

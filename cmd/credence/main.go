// Command credence is an external authorizer for Envoy: `credence serve` answers
// ext_authz Check, `credence demo` shows it at work, and the other commands tell
// what a configuration or a token is worth. `credence help` lists them.
//
// Exit status: 0 for success, 1 for a failure while running, 2 for a wrong command
// line or configuration, in which case nothing has listened yet.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	root := newRootCommand()
	begun := false // a command ran, so the command line was right
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil && !begun {
		err = usageError{err}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitStatus(err))
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "credence",
		Short:         "An external authorizer for Envoy and Istio",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionLine(), // so that there is --version
	}
	root.SetVersionTemplate("{{.Version}}")
	root.AddCommand(newServeCommand(), newDemoCommand(), newCheckConfigCommand(),
		newExplainCommand(), newTokenCommand(), newEnvoyConfigCommand(), newRevokeCommand(), newKeysCommand(), newHealthCommand(), newVersionCommand())
	return root
}

// noArguments is for commands to which everything is told by flags.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.Flags().Lookup("config") != nil && filepath.Ext(args[0]) != "":
		return fmt.Errorf("%s takes no argument, and got %q; name a configuration with -c", c.CommandPath(), args[0])
	}
	return fmt.Errorf("%s takes no argument, and got %q; with --help it tells its flags", c.CommandPath(), args[0])
}

// usageError is a mistake in the command line or in the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	if _, wrong := errors.AsType[usageError](err); wrong {
		return 2
	}
	return 1
}

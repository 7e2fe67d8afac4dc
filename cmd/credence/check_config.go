package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/config"
)

func newCheckConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config FILE",
		Short: "Say whether a configuration can be used, and what is wrong with it",
		Long: "check-config reads a configuration as serve would, with every expression compiled,\n" +
			"and prints each problem with its line. It asks no provider and listens nowhere.\n" +
			"Exit status 2 means that serve would refuse it.",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			for _, w := range file.Warnings {
				fmt.Fprintln(c.ErrOrStderr(), w)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: good: %d providers, %d rules\n",
				args[0], len(file.Config.GetProviders()), len(file.Config.GetRules()))
			return err
		},
	}
}

// loadConfig reads a file and compiles its expressions, so that whoever has it
// can build from it.
func loadConfig(path string) (*config.File, error) {
	file, err := config.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	if err := compileOnly(file); err != nil {
		return nil, usageError{err}
	}
	return file, nil
}

// exactArgs is cobra.ExactArgs as a mistake in the command line.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %d argument, not %d; usage: %s", c.Name(), n, len(args), c.UseLine())}
		}
		return nil
	}
}

package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/config"
)

func newCheckConfigCommand() *cobra.Command {
	path := "credence.yaml"
	c := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Say whether a configuration can be used, and what is wrong with it",
		Long: "check-config reads a configuration and the files that it names as serve would, compiles every\n" +
			"expression, and prints each problem with its line. It asks no provider and listens nowhere.\n" +
			"Exit status 2 means that serve would refuse it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				path = args[0]
			}
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := tryConfig(file); err != nil {
				return err
			}
			for _, w := range file.Warnings {
				fmt.Fprintln(c.ErrOrStderr(), w)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: good; providers: %d, rules: %d\n",
				path, len(file.Config.GetProviders()), len(file.Config.GetRules()))
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", path, "configuration file")
	return c
}

// loadConfig reads a file. Its expressions are compiled by who builds from it.
func loadConfig(path string) (*config.File, error) {
	file, err := config.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return file, nil
}

// tryConfig says what keeps serve from using a configuration: it builds all that
// serve would, reads the files that it names, and lets go of everything.
func tryConfig(file *config.File) error {
	quiet := slog.New(slog.DiscardHandler)
	a, err := buildAuthorizer(file, nil, quiet)
	if err != nil {
		return err
	}
	a.close()
	l := file.Config.GetListen()
	_, checkErr := serverTLS("listen.check", l.GetCheck().GetTls(), l.GetCheck().GetCallers(), quiet)
	_, probeErr := serverTLS("listen.probe", l.GetProbe().GetTls(), nil, quiet)
	_, loginErr := serverTLS("listen.login", l.GetLogin().GetTls(), nil, quiet)
	return errors.Join(checkErr, probeErr, loginErr)
}

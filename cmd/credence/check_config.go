package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/config"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func newCheckConfigCommand() *cobra.Command {
	path := defaultConfig
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
			if err := checkFiles(file, true); err != nil {
				return err
			}
			if err := tryConfig(file); err != nil {
				return err
			}
			for _, w := range file.Warnings {
				fmt.Fprintln(c.ErrOrStderr(), w)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: good; %s\n", path, counts(file.Config))
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", path, "configuration file")
	return c
}

// defaultConfig is read where none is named.
const defaultConfig = "credence.yaml"

// loadConfig reads a file. Its expressions are compiled by who builds from it.
func loadConfig(path string) (*config.File, error) {
	file, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) && path == defaultConfig {
		err = fmt.Errorf("%w; name the configuration with -c", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return file, nil
}

// tryConfig says what keeps serve from using a configuration whose files are good: it
// builds all that serve would, and lets go of it.
func tryConfig(file *config.File) error {
	a, err := buildAuthorizer(file, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	a.close()
	return nil
}

// counts says how much a configuration has of what it lists.
func counts(c *configv1.Config) string {
	text := fmt.Sprintf("providers: %d", len(c.GetProviders()))
	if n := len(c.GetClients()); n > 0 {
		text += fmt.Sprintf(", clients: %d", n)
	}
	if n := len(c.GetResources()); n > 0 {
		text += fmt.Sprintf(", resources: %d", n)
	}
	return text + fmt.Sprintf(", rules: %d", len(c.GetRules()))
}

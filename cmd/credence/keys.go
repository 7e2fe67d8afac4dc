package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newKeysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Fetch a provider's keys now",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("say what to do with the keys: credence keys refresh --provider NAME")}
		},
	}
	c.AddCommand(newKeysRefreshCommand())
	return c
}

func newKeysRefreshCommand() *cobra.Command {
	var o operator
	var provider, output string
	c := &cobra.Command{
		Use:   "refresh",
		Short: "Fetch a provider's keys now",
		Long: "refresh has a running Credence fetch the keys of a provider at once, by discovery where that says\n" +
			"where they are: after the provider has taken back a key, or has moved. Keys that can't be\n" +
			"fetched leave those from before in use. It is about one process; with several replicas, tell\n" +
			"each.",
		Example: "  credence keys refresh -c credence.yaml --provider corp",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if provider == "" {
				return usageError{errors.New("give --provider, the provider's name")}
			}
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q isn't text or json", output)}
			}
			var answered struct{ Keys int }
			if err := o.post(c.Context(), "/keys/refresh", map[string]string{"provider": provider}, &answered); err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), map[string]any{"provider": provider, "keys": answered.Keys})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: usable keys: %d\n", provider, answered.Keys)
			return err
		},
	}
	o.addFlags(c, 30*time.Second)
	c.Flags().StringVar(&provider, "provider", "", "the provider's name")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

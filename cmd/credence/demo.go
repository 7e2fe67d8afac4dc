package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/cmd/credence/demo"
	"github.com/credence-authz/credence/cmd/credence/envoyconf"
	"github.com/credence-authz/credence/config"
)

func newDemoCommand() *cobra.Command {
	var smoke, requireEnvoy bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show Credence at work, with a provider, an application and Envoy",
		Long: "demo runs all of it on loopback and prints a URL and command lines to try. It looks for Envoy in\n" +
			"CREDENCE_ENVOY, in .tools and in the PATH; without one, Credence is asked as Envoy would ask it.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			envoy := demo.FindEnvoy()
			if envoy == "" && requireEnvoy {
				return errors.New("demo: Envoy isn't installed; tools/install envoy gets it")
			}
			return demo.Run(c.Context(), demo.Options{
				Envoy: envoy, Smoke: smoke, Out: c.OutOrStdout(),
				Serve: func(ctx context.Context, file *config.File, decisions io.Writer) error {
					return serve(ctx, file, decisions, newLog(c.ErrOrStderr(), file.Config.GetLog().GetLevel()), 0)
				},
				EnvoyConfig: func(file *config.File, listen, upstream string) ([]byte, error) {
					return envoyConfig(file, envoyconf.Options{Listen: listen, Upstream: upstream}, c.ErrOrStderr())
				},
			})
		},
	}
	c.Flags().BoolVar(&smoke, "smoke", false, "go through the story without a person, and say what failed")
	c.Flags().BoolVar(&requireEnvoy, "require-envoy", false, "fail where there is no Envoy")
	return c
}

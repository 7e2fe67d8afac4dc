package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/cmd/credence/envoyconf"
	"github.com/credence-authz/credence/cmd/credence/resource"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func newEnvoyConfigCommand() *cobra.Command {
	var path string
	var around envoyconf.Options
	c := &cobra.Command{
		Use:   "envoy-config",
		Short: "Print the configuration of an Envoy that asks this Credence",
		Long: "envoy-config prints a whole static Envoy configuration for what the configuration of Credence says:\n" +
			"where it listens, and what an Envoy has to do for its answers to hold. Each setting says why.",
		Example: "  credence envoy-config -c credence.yaml --upstream 127.0.0.1:3000 > envoy.yaml && envoy -c envoy.yaml",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			text, err := envoyConfig(file, around, c.ErrOrStderr())
			if err != nil {
				return usageError{err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	c.Flags().StringVar(&around.Listen, "listen", "127.0.0.1:8000", "where Envoy listens")
	c.Flags().StringVar(&around.Upstream, "upstream", "127.0.0.1:3000", "host:port of the application")
	c.Flags().DurationVar(&around.Timeout, "timeout", 500*time.Millisecond, "how long Envoy waits for a decision")
	return c
}

// envoyConfig is the configuration of an Envoy for what Credence's says, with what
// stands around it otherwise. Notes say what is left to do by hand.
func envoyConfig(file *config.File, o envoyconf.Options, notes io.Writer) ([]byte, error) {
	o.Check = file.Config.GetListen().GetCheck().GetAddress()
	if file.Config.GetListen().GetCheck().GetTls() != nil {
		fmt.Fprintln(notes, "listen.check has TLS: add a transport_socket to the cluster credence")
	}
	if len(file.Config.GetClients()) > 0 {
		o.Prefix = file.Config.GetLogin().GetPrefix()
	}
	if len(file.Config.GetResources()) > 0 {
		o.Metadata = resource.Prefix
	}
	if o.Prefix != "" || o.Metadata != "" {
		o.Login = reachable(file.Config.GetListen().GetLogin().GetAddress())
		if file.Config.GetListen().GetLogin().GetTls() != nil {
			fmt.Fprintln(notes, "listen.login has TLS: add a transport_socket to the cluster credence_login")
		}
	}
	read, err := authz.ReadHeaders(readOptions(file.Config))
	if err != nil {
		return nil, positions(file, err)
	}
	if read.All {
		fmt.Fprintf(notes, "rule %s reads request.headers by names that only a request decides, so Envoy sends all headers; naming them would make asking cheaper\n", read.AllBy)
	} else {
		o.Headers, o.Endings, o.Extension = read.Names, read.Endings(), map[string]string{authz.HeadersExtension: read.String()}
	}
	return envoyconf.Bootstrap(o)
}

// reachable is an address to connect to, for one to listen on: every interface is
// also this machine's own.
func reachable(address string) string {
	if strings.HasPrefix(address, ":") {
		return "127.0.0.1" + address
	}
	return address
}

// readOptions are those of an engine that only says what it reads.
func readOptions(c *configv1.Config) authz.Options {
	o := engineOptions(c)
	if c.GetDpop() != nil {
		o.DPoP = new(oidc.DPoP) // whose keys needn't be here
	}
	return o
}

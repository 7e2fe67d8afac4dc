package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// revocable are the flags that say what is revoked.
var revocable = [...]string{"subject", "sid", "token-id", "client-id"}

func newRevokeCommand() *cobra.Command {
	var o operator
	var output string
	c := &cobra.Command{
		Use:   "revoke",
		Short: "End what a person, a session, a token or a client has, at once",
		Long: "revoke tells a running Credence, over its admin socket, what isn't to be believed any more. By\n" +
			"subject, sid or client it is everything issued up to now: who logs in again afterwards is in\n" +
			"again. It holds from the next request on, in that one process and until it ends; with several\n" +
			"replicas, tell each.",
		Example: "  credence revoke -c credence.yaml --provider corp --subject 248289761001\n" +
			"  credence revoke --socket /run/credence/admin.sock --issuer https://login.example.com --token-id Xk3v",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q isn't text or json", output)}
			}
			asked, err := revocationOf(c)
			if err != nil {
				return usageError{err}
			}
			if err := o.post(c.Context(), "/revocations", asked, nil); err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), map[string]any{"revoked": asked})
			}
			for _, name := range revocable {
				if text, ok := asked[member(name)]; ok {
					_, err = fmt.Fprintf(c.OutOrStdout(), "revoked: %s %q of %s\n", name, text, asked["provider"]+asked["issuer"])
				}
			}
			return err
		},
	}
	flags := c.Flags()
	o.addFlags(c, 5*time.Second)
	flags.String("provider", "", "the provider's name")
	flags.String("issuer", "", "the provider's issuer, in place of its name")
	flags.String("subject", "", "whose sessions and tokens end (sub)")
	flags.String("sid", "", "the provider's session, whose sessions and tokens end")
	flags.String("token-id", "", "the token that ends (jti)")
	flags.String("client-id", "", "the client whose tokens end (client_id or azp)")
	flags.StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// member is a flag's name in the request.
func member(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// revocationOf makes the request of the flags. An empty flag is most likely a
// script's variable that isn't set: it is refused rather than left out.
func revocationOf(c *cobra.Command) (map[string]string, error) {
	asked := map[string]string{}
	read := func(names ...string) (count int, err error) {
		for _, name := range names {
			f := c.Flags().Lookup(name)
			if !f.Changed {
				continue
			}
			if f.Value.String() == "" {
				return 0, fmt.Errorf("--%s is empty", name)
			}
			asked[member(name)] = f.Value.String()
			count++
		}
		return count, nil
	}
	if n, err := read("provider", "issuer"); err != nil {
		return nil, err
	} else if n != 1 {
		return nil, errors.New("give either --provider, the provider's name, or --issuer, its URL")
	}
	if n, err := read(revocable[:]...); err != nil {
		return nil, err
	} else if n != 1 {
		return nil, fmt.Errorf("give one of --%s", strings.Join(revocable[:], ", --"))
	}
	return asked, nil
}

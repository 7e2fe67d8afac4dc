package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/oidc"
)

func newTokenCommand() *cobra.Command {
	var path string
	var f inspectFlags
	c := &cobra.Command{
		Use:   "token [FILE]",
		Short: "Decode a bearer token and say, check by check, why it passes or fails",
		Long: "token reads a token from a file or standard input, shows its header and claims, and judges it\n" +
			"against the configuration's providers. All that is wrong shows at once. Policy isn't judged:\n" +
			"that depends on the rule, and explain tells it. About a token that isn't a JWT, each provider\n" +
			"is asked that can be, up to the first that knows it, and userinfo about a good one where the\n" +
			"provider has it configured. Revocations and logouts that the running process was told of aren't\n" +
			"known here. Exit status 1 means that the token is refused.",
		Example: "  credence token -c credence.yaml < token.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			from := "-"
			if len(args) > 0 {
				from = args[0]
			}
			text, err := readInput(from, c.InOrStdin())
			if err != nil {
				return usageError{err}
			}
			if len(bytes.TrimSpace(text)) == 0 {
				return usageError{errors.New("no token was given: name a file, or write the token to standard input")}
			}
			a, err := startAuthorizer(c.Context(), file, f.wait)
			if err != nil {
				return err
			}
			defer a.close()
			raw := bareToken(text)
			result, findings := a.verifier.Inspect(c.Context(), raw, time.Now(), a.askable()...)
			header, claims := oidc.Decode(raw)
			if result.Good() || result.Introspected || !claims.Exists() {
				claims = result.Claims // with what the provider says, which is what counts; or what was encrypted
			}
			if f.output == "json" {
				err = writeJSON(c.OutOrStdout(), tokenJSON(header, claims, &result, findings))
			} else {
				err = tokenText(c.OutOrStdout(), header, claims, &result, findings)
			}
			if err == nil && !result.Good() {
				err = errors.New("the token is refused: " + result.Refusal.Reason.String())
			}
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	addInspectFlags(c, &f)
	return c
}

func tokenText(w io.Writer, header, claims oidc.Claims, result *oidc.Result, findings []oidc.Finding) error {
	var p page
	for _, part := range []struct {
		name string
		oidc.Claims
	}{{"header", header}, {"claims", claims}} {
		p.section(part.name)
		for name, v := range part.Members() {
			p.line("%s: %s", printable(name), v.AppendJSON(nil))
		}
	}
	p.section("checks")
	findingLines(&p, findings)
	p.section("verdict")
	if result.Good() {
		p.line("good, for provider %s", result.Provider.Name())
		p.line(notKnownHere)
	} else {
		p.line("refused: %s", result.Refusal.Reason)
		p.section("meaning")
		p.line("%s", result.Refusal.Reason.Hint())
	}
	_, err := fmt.Fprint(w, p.String())
	return err
}

func tokenJSON(header, claims oidc.Claims, result *oidc.Result, findings []oidc.Finding) any {
	out := map[string]any{
		"header": rawJSON(header), "claims": rawJSON(claims), "checks": findingsJSON(findings), "good": result.Good(),
	}
	if result.Refusal != nil {
		out["reason"], out["meaning"] = result.Refusal.Reason.String(), result.Refusal.Reason.Hint()
	}
	return out
}

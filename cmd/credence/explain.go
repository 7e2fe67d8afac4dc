package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/credence-authz/credence/authz"
	"github.com/credence-authz/credence/config"
	"github.com/credence-authz/credence/oidc"
)

func newExplainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain [URL]",
		Short: "Say how a request would be decided, and why",
		Long: "explain judges one request as serve would, and tells each step: the rules that were tried, each\n" +
			"check of the token, policy, the decision, and what the application or the client would get. The\n" +
			"request is a URL with flags, or a CheckRequest in JSON as Envoy sends it. Revocations and logouts\n" +
			"that the running process was told of aren't known here.",
		Example: "  credence explain -c credence.yaml --token-file token.txt https://api.example.com/v1/orders\n" +
			"  credence explain -c credence.yaml --request check.json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := loadConfig(f.config)
			if err != nil {
				return err
			}
			r, err := f.readRequest(args, c.InOrStdin())
			if err != nil {
				return usageError{err}
			}
			a, err := startAuthorizer(c.Context(), file, f.wait)
			if err != nil {
				return err
			}
			defer a.close()
			x := a.engine.Explain(c.Context(), r)
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), explanationJSON(x))
			}
			return explainText(c.OutOrStdout(), file.Config.GetRules(), r, x)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&f.config, "config", "c", defaultConfig, "configuration file")
	flags.StringVar(&f.request, "request", "", "file with a CheckRequest in JSON, - for standard input")
	flags.StringVarP(&f.method, "method", "X", "GET", "method")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "header line, as in \"accept: text/html\"; may be repeated")
	flags.StringVar(&f.token, "token-file", "", "file with a bearer token, - for standard input")
	flags.StringToStringVar(&f.context, "context-extension", nil, "context extension, as in policy=orders; may be repeated")
	addInspectFlags(c, &f.inspectFlags)
	return c
}

// inspectFlags are those of the commands that ask providers and tell.
type inspectFlags struct {
	wait   time.Duration
	output string
}

func addInspectFlags(c *cobra.Command, f *inspectFlags) {
	c.Flags().DurationVar(&f.wait, "wait", 5*time.Second, "how long to wait for the providers' keys and addresses")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text or json")
	c.PreRunE = func(*cobra.Command, []string) error {
		if f.output != "text" && f.output != "json" {
			return usageError{fmt.Errorf("--output %q isn't text or json", f.output)}
		}
		return nil
	}
}

type explainFlags struct {
	inspectFlags
	config, request, method, token string
	headers                        []string
	context                        map[string]string
}

// readRequest makes a request of the flags, or of a CheckRequest.
func (f *explainFlags) readRequest(args []string, stdin io.Reader) (*authz.Request, error) {
	switch {
	case f.request != "" && len(args) > 0:
		return nil, fmt.Errorf("give a URL or --request, not both")
	case f.request != "":
		text, err := readInput(f.request, stdin)
		if err != nil {
			return nil, err
		}
		var in authv3.CheckRequest
		if err := protojson.Unmarshal(text, &in); err != nil {
			return nil, fmt.Errorf("%s isn't a CheckRequest: %w", f.request, err)
		}
		return authz.FromCheckRequest(&in), nil
	case len(args) == 0:
		return nil, fmt.Errorf("give a URL, or a CheckRequest with --request")
	}
	return f.fromURL(args[0], stdin)
}

func (f *explainFlags) fromURL(text string, stdin io.Reader) (*authz.Request, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q isn't a URL with a host, as in https://api.example.com/v1", text)
	}
	// The path as it was typed: url.URL would tidy what is to be judged.
	_, rest, _ := strings.Cut(text, "://")
	target := "/"
	if slash := strings.IndexAny(rest, "/?"); slash >= 0 {
		target = rest[slash:]
	}
	if target[0] == '?' {
		target = "/" + target
	}
	r := &authz.Request{Method: f.method, Scheme: u.Scheme, Host: u.Host, Target: target}
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q has no colon", line)
		}
		r.Headers = append(r.Headers, authz.Header{Name: strings.ToLower(strings.TrimSpace(name)), Value: strings.TrimSpace(value)})
	}
	if f.token != "" {
		token, err := readInput(f.token, stdin)
		if err != nil {
			return nil, err
		}
		r.Headers = append(r.Headers, authz.Header{Name: "authorization", Value: "Bearer " + string(bareToken(token))})
	}
	for name, value := range f.context {
		r.ContextExtensions = append(r.ContextExtensions, authz.Header{Name: name, Value: value})
	}
	return r, nil
}

// bareToken is a token out of a file: without the scheme, which is easily copied along.
func bareToken(text []byte) oidc.RawToken {
	return oidc.RawToken(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(text)), "Bearer ")))
}

// maxInput bounds what is read from a file or standard input.
const maxInput = 1 << 20

func readInput(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(stdin, maxInput))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxInput))
}

// startAuthorizer builds one and waits until every provider's tokens can be judged,
// or for so long; after that it still tells what it can.
func startAuthorizer(ctx context.Context, file *config.File, wait time.Duration) (*authorizer, error) {
	for _, p := range file.Config.GetProviders() {
		if keys := p.GetKeys(); keys != nil {
			keys.KeepFile = "" // it is the running server's
		}
	}
	if err := checkFiles(file, false); err != nil {
		return nil, err
	}
	a, err := buildAuthorizer(file, nil, newLog(io.Discard, 0)) //nolint:contextcheck // what it makes lives until close
	if err != nil {
		return nil, err
	}
	a.run(ctx)
	for end := time.Now().Add(wait); !a.ready(true) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
	}
	return a, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

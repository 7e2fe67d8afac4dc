package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// step is a part of the story: a request, and what comes of it.
type step struct {
	title  string
	token  string // kind; empty for none
	header string // one more header line; may be empty
	status int
	reason string // the answer's; empty for an allow
}

var story = []step{
	{"a good token", "good", "", http.StatusOK, ""},
	{"no token", "", "", http.StatusUnauthorized, "no_credential"},
	{"an expired token", "expired", "", http.StatusUnauthorized, "token_expired"},
	{"a token for another audience", "wrong-audience", "", http.StatusUnauthorized, "audience_mismatch"},
	{"a token without the scope", "missing-scope", "", http.StatusForbidden, "insufficient_scope"},
	{"a token of somebody else's group", "wrong-group", "", http.StatusForbidden, "requirement_false"},
	{"a good token and a forged identity", "good", "X-User-Id: admin", http.StatusOK, ""},
}

// curl is the step as a command line that can be pasted.
func (s step) curl(url string) string {
	line := "curl -i"
	if s.token != "" {
		line += fmt.Sprintf(` -H "Authorization: Bearer $(curl -s %s/token/%s)"`, url, s.token)
	}
	if s.header != "" {
		line += fmt.Sprintf(" -H %q", s.header)
	}
	return line + " " + url + "/orders"
}

func (d *demo) introduce() {
	if d.Envoy == "" {
		fmt.Fprintf(d.Out, "Envoy isn't installed: run tools/install envoy, put it into the PATH, or name it in CREDENCE_ENVOY.\n"+
			"Until then Credence is asked over gRPC on %s, as Envoy would ask it.\n\n", d.checkAddress)
		return
	}
	fmt.Fprintf(d.Out, "Credence guards %[1]s, behind Envoy. Open %[1]s/account in a browser to log in;\n"+
		"for programs, try these. Each decision shows below.\n\n", d.url)
	for _, s := range story {
		fmt.Fprintf(d.Out, "# %s\n%s\n", s.title, s.curl(d.url))
	}
	fmt.Fprintf(d.Out, "# each step of a decision\ncurl -s %[1]s/token/expired | %[2]s explain -c %[3]s --token-file - %[1]s/orders\n", d.url, os.Args[0], d.configPath())
	fmt.Fprintf(d.Out, "\nThe configuration is the file in the last line, and Envoy's lies beside it. Ctrl-C ends the demo.\n\n")
}

// tell goes through the story, prints each step with its answer, and says which
// ended otherwise than it should.
func (d *demo) tell(ctx context.Context) error {
	ask := d.askEnvoy
	if d.Envoy == "" {
		conn, err := grpc.NewClient(d.checkAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		ask = askCheck(authv3.NewAuthorizationClient(conn))
	}
	var wrong []error
	for _, s := range story {
		token := ""
		if s.token != "" {
			token = d.provider.Sign(kinds[s.token])
		}
		status, body, err := ask(ctx, s, token)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		verdict := "as it should"
		if !s.fits(status, body) {
			verdict = fmt.Sprintf("WRONG, it should be %d %s", s.status, s.reason)
			wrong = append(wrong, fmt.Errorf("%s: got %d %s", s.title, status, strings.TrimSpace(body)))
		}
		fmt.Fprintf(d.Out, "%-36s %d, %s\n    %s\n", s.title, status, verdict, strings.TrimSpace(body))
	}
	if d.Envoy != "" {
		if err := d.visit(ctx); err != nil {
			wrong = append(wrong, fmt.Errorf("a person's %w", err))
		}
	}
	return errors.Join(wrong...)
}

// fits says whether an answer is the story's, and that a forged identity didn't
// reach the application.
func (s step) fits(status int, body string) bool {
	if status != s.status || strings.Contains(body, "admin") {
		return false
	}
	if s.reason == "" {
		return true
	}
	var answer struct{ Reason string }
	return json.Unmarshal([]byte(body), &answer) == nil && answer.Reason == s.reason
}

func (d *demo) askEnvoy(ctx context.Context, s step, token string) (status int, body string, err error) {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if name, value, ok := strings.Cut(s.header, ": "); ok {
		header.Set(name, value)
	}
	return get(ctx, d.url+"/orders", header)
}

// askCheck asks as Envoy does, and tells an allow by the headers that it sets.
func askCheck(client authv3.AuthorizationClient) func(context.Context, step, string) (int, string, error) {
	return func(ctx context.Context, s step, token string) (int, string, error) {
		headers := map[string]string{}
		if token != "" {
			headers["authorization"] = "Bearer " + token
		}
		if name, value, ok := strings.Cut(s.header, ": "); ok {
			headers[strings.ToLower(name)] = value
		}
		answer, err := client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: http.MethodGet, Scheme: "http", Host: "localhost", Path: "/orders", Headers: headers,
			}},
		}})
		if err != nil {
			return 0, "", err
		}
		if denied := answer.GetDeniedResponse(); denied != nil {
			return int(denied.GetStatus().GetCode()), denied.GetBody(), nil
		}
		var set []string
		for _, h := range answer.GetOkResponse().GetHeaders() {
			set = append(set, h.GetHeader().GetKey()+": "+h.GetHeader().GetValue())
		}
		return http.StatusOK, strings.Join(set, ", "), nil
	}
}

// decisionPrinter makes audit lines readable at a glance.
type decisionPrinter struct{ out io.Writer }

func (p *decisionPrinter) Write(line []byte) (int, error) {
	var r struct {
		Verdict, Reason, Rule, Method, Path, Subject, Detail string
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return p.out.Write(line)
	}
	parts := []string{fmt.Sprintf("%-5s %-18s %s %s", r.Verdict, r.Reason, r.Method, r.Path)}
	for _, part := range []struct{ name, value string }{{"rule", r.Rule}, {"subject", r.Subject}, {"because", r.Detail}} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	if _, err := fmt.Fprintln(p.out, strings.Join(parts, "  ")); err != nil {
		return 0, err
	}
	return len(line), nil
}

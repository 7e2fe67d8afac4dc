package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/credence-authz/credence/oidc/oidctest"
)

// kinds are the tokens that the sample application hands out, so that they can be
// pasted into a command line. A real application wouldn't: they come from the
// provider.
var kinds = map[string]oidctest.Token{
	"good":           {Claims: map[string]any{"groups": []string{"staff", "buyers"}}},
	"expired":        {Claims: map[string]any{"groups": []string{"staff"}}, TTL: -time.Hour},
	"wrong-audience": {Claims: map[string]any{"groups": []string{"staff"}, "aud": "billing"}},
	"missing-scope":  {Claims: map[string]any{"groups": []string{"staff"}, "scope": "openid"}},
	"wrong-group":    {Claims: map[string]any{"groups": []string{"visitors"}}},
}

// startApp runs the sample application. It believes its headers, as applications
// behind a proxy do.
func (d *demo) startApp(ctx context.Context) (io.Closer, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { show(w, "welcome", nil) })
	mux.HandleFunc("GET /account", func(w http.ResponseWriter, r *http.Request) {
		show(w, "account", []header{
			{"X-User-Id", r.Header.Get("X-User-Id")}, {"X-User-Email", r.Header.Get("X-User-Email")},
			{"X-User-Groups", r.Header.Get("X-User-Groups")}, {"Cookie", r.Header.Get("Cookie")}, {"Authorization", r.Header.Get("Authorization")},
		})
	})
	mux.HandleFunc("GET /token/{kind}", func(w http.ResponseWriter, r *http.Request) {
		t, ok := kinds[r.PathValue("kind")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, d.provider.Sign(t))
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// An error here is a client that went away.
		_ = json.NewEncoder(w).Encode(map[string]any{
			"orders": []int{4711, 4712},
			"the application saw": map[string]any{
				"x-user-id": r.Header.Get("X-User-Id"), "x-user-email": r.Header.Get("X-User-Email"),
				"x-user-groups": r.Header.Get("X-User-Groups"), "authorization": r.Header.Get("Authorization"),
			},
		})
	})
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.appAddress = l.Addr().String()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(d.Out, "the sample application ended:", err)
		}
	}()
	return server, nil
}

// header is one that reached the application.
type header struct{ Name, Value string }

//go:embed app.html
var appText string

var appPages = template.Must(template.New("app").Parse(appText))

func show(w http.ResponseWriter, page string, headers []header) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error here is a client that went away.
	_ = appPages.ExecuteTemplate(w, page, headers)
}

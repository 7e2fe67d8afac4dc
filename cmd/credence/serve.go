package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/config"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

func newServeCommand() *cobra.Command {
	var path string
	var drainDelay time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer the proxy",
		Long: "serve answers ext_authz Check and health over gRPC and probes over HTTP, as the configuration\n" +
			"says. Decisions are written to standard output, a line of JSON each; the program's own log goes\n" +
			"to standard error. SIGTERM or SIGINT ends it: it says that it isn't ready, waits for the drain\n" +
			"delay, and answers what is under way.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			log := newLog(c.ErrOrStderr(), file.Config.GetLog().GetLevel())
			for _, w := range file.Warnings {
				log.Warn("configuration", "file", w.File, "line", w.Line, "field", w.Field, "problem", w.Message)
			}
			// Who reads the decisions may go; they are dropped then, and counted, and
			// requests are still answered.
			signal.Ignore(syscall.SIGPIPE)
			return serve(c.Context(), file, c.OutOrStdout(), log, drainDelay)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	c.Flags().DurationVar(&drainDelay, "drain-delay", 2*time.Second, "how long to answer on after saying that it isn't ready, for proxies to notice")
	return c
}

// serve answers until ctx ends, then drains.
func serve(ctx context.Context, file *config.File, decisions io.Writer, log *slog.Logger, drainDelay time.Duration) error {
	if err := checkFiles(file, true); err != nil {
		return err
	}
	a, err := buildAuthorizer(file, decisions, log) //nolint:contextcheck // what it makes lives until close
	if err != nil {
		return err
	}
	defer a.close()
	s, err := listen(ctx, file.Config.GetListen(), a, log)
	if err != nil {
		return err
	}
	a.run(ctx)
	go keepGarbageRoom(ctx)
	go answerHangups(ctx, log)
	log.Info("serving", append(s.addresses(), "rules", len(file.Config.GetRules()))...)
	return s.run(ctx, drainDelay)
}

// answerHangups tells whoever sends SIGHUP, to have the configuration read again, that
// this isn't how; by itself it would end the program in the middle of requests.
func answerHangups(ctx context.Context, log *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-hangups:
			log.Warn("SIGHUP: the configuration is read at start; restart to have a changed one used. Secrets, keys and certificates in files are read again by themselves")
		case <-ctx.Done():
			return
		}
	}
}

func newLog(w io.Writer, level configv1.Level) *slog.Logger {
	least := slog.LevelInfo
	switch level {
	case configv1.Level_LEVEL_DEBUG:
		least = slog.LevelDebug
	case configv1.Level_LEVEL_WARN:
		least = slog.LevelWarn
	case configv1.Level_LEVEL_ERROR:
		least = slog.LevelError
	}
	return slog.New(slog.NewJSONHandler(audit.PlainJSON(w), &slog.HandlerOptions{Level: least}))
}

// addressError is a listener that can't be had, told with the setting that
// changes it.
type addressError struct {
	setting, address string
	err              error
}

func (e addressError) Error() string {
	return fmt.Sprintf("can't listen on %s: %v; set %s to another address", e.address, e.err, e.setting)
}

func (e addressError) Unwrap() error { return e.err }

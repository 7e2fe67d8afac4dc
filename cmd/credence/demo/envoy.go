package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// FindEnvoy looks where CREDENCE_ENVOY says, in .tools beside the working
// directory, and in the PATH. It is empty where there is none.
func FindEnvoy() string {
	for _, name := range []string{os.Getenv("CREDENCE_ENVOY"), filepath.Join(".tools", "envoy", "bin", "envoy"), "envoy"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// frontDoor is where the demo can be reached, where that is free.
const frontDoor = "127.0.0.1:8000"

// startEnvoy runs Envoy until ctx ends. An Envoy that ends before that ends the
// demo.
func (d *demo) startEnvoy(ctx context.Context, stop context.CancelCauseFunc) (ended <-chan struct{}, err error) {
	text, err := d.EnvoyConfig(d.file, d.frontAddress, d.appAddress)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d.dir, "envoy.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(d.dir, "envoy.log"))
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, d.Envoy, "-c", path, "--use-dynamic-base-id", "--log-level", "error", "--concurrency", "1")
	c.Stdout, c.Stderr = log, log
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("envoy: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer log.Close()
		if err := c.Wait(); ctx.Err() == nil {
			said, _ := os.ReadFile(log.Name())
			stop(fmt.Errorf("envoy ended: %w\n%s", err, said))
		}
	}()
	return done, nil
}

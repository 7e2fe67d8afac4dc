package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func newHealthCommand() *cobra.Command {
	var path, address, service string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running Credence whether it is ready",
		Long: "health asks over gRPC, as a probe of a container without a shell would. It exits with 0\n" +
			"when the service is serving. It speaks cleartext: with TLS on listen.check, use /readyz.",
		Example: "  credence health -c credence.yaml",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if path != "" && !c.Flags().Changed("address") {
				var err error
				if address, err = checkAddress(path); err != nil {
					return err
				}
			}
			err := askHealth(c.Context(), address, service, timeout)
			if err != nil && path == "" && !c.Flags().Changed("address") {
				err = fmt.Errorf("%w; where listen.check is another address, name the configuration with -c", err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), healthv1.HealthCheckResponse_SERVING)
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "configuration file, whose listen.check is asked")
	c.Flags().StringVar(&address, "address", "127.0.0.1:9001", "host:port of listen.check, or unix:/path, in place of the configuration's")
	c.Flags().StringVar(&service, "service", readinessService, "readiness or liveness")
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait")
	return c
}

// checkAddress is where the Credence that runs with a configuration is asked.
func checkAddress(path string) (string, error) {
	file, err := loadConfig(path)
	if err != nil {
		return "", err
	}
	check := file.Config.GetListen().GetCheck()
	if check.GetTls() != nil {
		return "", usageError{fmt.Errorf("%s has TLS on listen.check, which health doesn't speak; ask /readyz on listen.probe", path)}
	}
	return reachable(check.GetAddress()), nil
}

// askHealth is nil where the service at an address is serving.
func askHealth(ctx context.Context, address, service string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return usageError{fmt.Errorf("%q isn't an address; write host:port or unix:/path", address)}
	}
	defer conn.Close()
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable:
		return fmt.Errorf("%s can't be asked; is Credence running, with this listen.check and no TLS on it?", address)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%s didn't answer within %s", address, timeout)
	case codes.NotFound:
		return usageError{fmt.Errorf("%s has no service %q; write readiness or liveness", address, service)}
	case codes.Canceled:
		return errors.New("interrupted")
	default:
		return fmt.Errorf("%s answers, but not as Credence's listen.check does: %s", address, status.Convert(err).Message())
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s isn't serving (%s); /readyz on listen.probe says why", address, answer.GetStatus())
	}
	return nil
}

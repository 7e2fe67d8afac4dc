package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func newHealthCommand() *cobra.Command {
	var address, service string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running Credence whether it is ready",
		Long: "health asks over gRPC, as a probe of a container without a shell would. It exits with 0\n" +
			"when the service is serving. It speaks cleartext: with TLS on listen.check, use /readyz.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return usageError{err}
			}
			defer conn.Close()
			answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
			if err != nil {
				return fmt.Errorf("%s can't be asked: %w", address, err)
			}
			if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				return fmt.Errorf("%s is %s", address, answer.GetStatus())
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), answer.GetStatus())
			return err
		},
	}
	c.Flags().StringVar(&address, "address", "127.0.0.1:9001", "host:port of listen.check, or unix:///path")
	c.Flags().StringVar(&service, "service", readinessService, "readiness or liveness")
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait")
	return c
}

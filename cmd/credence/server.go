package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/credence-authz/credence/authz"
	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// server is the listeners of one running Credence.
type server struct {
	authorizer *authorizer
	log        *slog.Logger

	check    net.Listener
	grpc     *grpc.Server
	health   *health.Server
	probe    net.Listener
	http     *http.Server
	pages    net.Listener // of the login and of metadata; nil without either
	login    *http.Server
	admin    net.Listener // nil where none is configured
	operator *http.Server
	draining atomic.Bool
}

// The gRPC health services. The empty name, which is what a client asks for that
// knows no other, and that of the Check service mean readiness.
const (
	livenessService  = "liveness"
	readinessService = "readiness"
)

// listen opens every listener or none.
func listen(ctx context.Context, l *configv1.Listen, a *authorizer, log *slog.Logger) (*server, error) {
	s := &server{authorizer: a, log: log, health: health.NewServer()}
	checkTLS, err := serverTLS("listen.check", l.GetCheck().GetTls(), l.GetCheck().GetCallers(), log)
	if err != nil {
		return nil, err
	}
	if s.check, err = openListener(ctx, "listen.check", l.GetCheck().GetAddress(), ownerAndGroup); err != nil {
		return nil, err
	}
	if s.probe, err = openHTTP(ctx, "listen.probe", l.GetProbe(), log); err != nil {
		s.check.Close()
		return nil, err
	}
	s.grpc = newCheckServer(l.GetCheck(), checkTLS, a.engine, s.health)
	s.http = newHTTPServer(s.probes(), 16<<10, log)
	if a.login != nil {
		if s.pages, err = openHTTP(ctx, "listen.login", l.GetLogin(), log); err != nil {
			s.check.Close()
			s.probe.Close()
			return nil, err
		}
		s.login = newHTTPServer(a.login, 96<<10, log) // sessions arrive with the header
	}
	if address := l.GetAdmin().GetAddress(); address != "" {
		if s.admin, err = openListener(ctx, "listen.admin", address, ownerAlone); err != nil {
			s.check.Close()
			s.probe.Close()
			if s.pages != nil {
				s.pages.Close()
			}
			return nil, err
		}
		s.operator = newHTTPServer(a.admin, 16<<10, log)
	}
	return s, nil
}

// openHTTP opens a listener for HTTP, with TLS where that is configured.
func openHTTP(ctx context.Context, setting string, l *configv1.Listener, log *slog.Logger) (net.Listener, error) {
	t, err := serverTLS(setting, l.GetTls(), nil, log)
	if err != nil {
		return nil, err
	}
	opened, err := openListener(ctx, setting, l.GetAddress(), ownerAndGroup)
	if err != nil || t == nil {
		return opened, err
	}
	return tls.NewListener(opened, t), nil
}

func newHTTPServer(h http.Handler, maxHeader int, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func newCheckServer(c *configv1.CheckListener, t *tls.Config, e *authz.Engine, h *health.Server) *grpc.Server {
	options := []grpc.ServerOption{
		authz.ServerCodec(),
		// A goroutine made for one call grows its stack anew each time, which is a
		// fifth of what a call costs; these keep theirs.
		grpc.NumStreamWorkers(128),
		// A proxy has one connection a worker and all its requests on it.
		grpc.MaxConcurrentStreams(4096),
		// Bodies aren't read; headers are 60 KiB in most proxies.
		grpc.MaxRecvMsgSize(1 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// Connections end now and then, so that load finds replicas that came later.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute}),
		grpc.ConnectionTimeout(10 * time.Second),
	}
	if t != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(t)))
	}
	g := grpc.NewServer(options...)
	authz.RegisterCheck(g, func() *authz.Engine { return e })
	healthv1.RegisterHealthServer(g, h)
	if c.GetReflection() {
		reflection.Register(g)
	}
	return g
}

func (s *server) checkAddress() string { return s.check.Addr().String() }
func (s *server) probeAddress() string { return s.probe.Addr().String() }

func (s *server) loginAddress() string {
	if s.pages == nil {
		return ""
	}
	return s.pages.Addr().String()
}

// drainLimit bounds the wait for answers under way; Check's own deadlines are far
// shorter.
const drainLimit = 20 * time.Second

// run serves until ctx ends, then says that it isn't ready, waits for the delay,
// and ends what is under way.
func (s *server) run(ctx context.Context, drainDelay time.Duration) error {
	s.health.SetServingStatus(livenessService, healthv1.HealthCheckResponse_SERVING)
	s.setReady(false)
	failed := make(chan error, 4)
	go func() { failed <- s.grpc.Serve(s.check) }()
	go func() { failed <- s.http.Serve(s.probe) }()
	if s.login != nil {
		go func() { failed <- s.login.Serve(s.pages) }()
	}
	if s.operator != nil {
		go func() { failed <- s.operator.Serve(s.admin) }()
	}
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watchReadiness(watching) })

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.log.Info("draining", "delay", drainDelay.String())
	}
	s.draining.Store(true)
	stop()
	watcher.Wait()
	if err == nil {
		time.Sleep(drainDelay) // a second signal ends the program
	}
	forced := time.AfterFunc(drainLimit, s.grpc.Stop)
	s.grpc.GracefulStop()
	forced.Stop()
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer done()
	if s.login != nil {
		err = errors.Join(err, s.login.Shutdown(closing))
	}
	if s.operator != nil {
		err = errors.Join(err, s.operator.Shutdown(closing))
	}
	return errors.Join(err, s.http.Shutdown(closing))
}

// watchReadiness tells health clients when the keys have arrived, and at its end
// that nothing is ready any more; nobody else does while it runs. Once ready, it
// only changes when keys grow too old, so it may look less often.
func (s *server) watchReadiness(ctx context.Context) {
	ready := false
	for {
		if now := s.authorizer.ready(false); now != ready {
			if s.setReady(now); now {
				s.log.Info("ready")
			} else {
				s.log.Warn("not ready: a provider has no usable keys, or its endpoints aren't known")
			}
			ready = now
		}
		wait := 10 * time.Millisecond
		if ready {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
			s.setReady(false)
			return
		case <-time.After(wait):
		}
	}
}

func (s *server) setReady(ready bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthv1.HealthCheckResponse_SERVING
	}
	for _, service := range [...]string{"", readinessService, authv3.Authorization_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(service, status)
	}
}

package main

import (
	"context"
	"crypto/tls"
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
	http     []*httpService // probe, and those of login and admin that are configured
	draining atomic.Bool
}

// httpService is one of the listeners for HTTP. Each audience has its own.
type httpService struct {
	name string // as in the configuration's listen
	net.Listener
	server *http.Server
}

// The gRPC health services. The empty name, which is what a client asks for that
// knows no other, and that of the Check service mean readiness.
const (
	livenessService  = "liveness"
	readinessService = "readiness"
)

// listen opens every listener or none.
func listen(ctx context.Context, l *configv1.Listen, a *authorizer, log *slog.Logger) (_ *server, err error) {
	s := &server{authorizer: a, log: log, health: health.NewServer()}
	checkTLS, err := serverTLS("listen.check", l.GetCheck().GetTls(), l.GetCheck().GetCallers(), log)
	if err != nil {
		return nil, err
	}
	if s.check, err = openListener(ctx, "listen.check", l.GetCheck().GetAddress(), ownerAndGroup); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	s.grpc = newCheckServer(l.GetCheck(), checkTLS, a.engine, s.health)
	if err := s.openHTTP(ctx, "probe", l.GetProbe(), s.probes(), smallHeader); err != nil {
		return nil, err
	}
	if a.login != nil {
		if err := s.openHTTP(ctx, "login", l.GetLogin(), a.login, sessionHeader); err != nil {
			return nil, err
		}
	}
	if address := l.GetAdmin().GetAddress(); address != "" {
		opened, err := openListener(ctx, "listen.admin", address, ownerAlone)
		if err != nil {
			return nil, err
		}
		s.http = append(s.http, &httpService{"admin", opened, newHTTPServer(a.admin, smallHeader, log)})
	}
	return s, nil
}

// The most bytes of a request's header: sessions arrive with those for the login, and
// with those of a call to Check whatever a proxy was told to add to it.
const (
	smallHeader   = 16 << 10
	callHeader    = 64 << 10
	sessionHeader = 96 << 10
)

// openHTTP opens a listener for HTTP, with TLS where that is configured.
func (s *server) openHTTP(ctx context.Context, name string, l *configv1.Listener, h http.Handler, maxHeader int) error {
	t, err := serverTLS("listen."+name, l.GetTls(), nil, s.log)
	if err != nil {
		return err
	}
	opened, err := openListener(ctx, "listen."+name, l.GetAddress(), ownerAndGroup)
	if err != nil {
		return err
	}
	if t != nil {
		opened = tls.NewListener(opened, t)
	}
	s.http = append(s.http, &httpService{name, opened, newHTTPServer(h, maxHeader, s.log)})
	return nil
}

func (s *server) closeListeners() {
	s.check.Close()
	for _, h := range s.http {
		h.Close()
	}
}

func newHTTPServer(h http.Handler, maxHeader int, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func newCheckServer(c *configv1.CheckListener, t *tls.Config, e *authz.Engine, h *health.Server) *grpc.Server {
	options := append(authz.ServerCodec(),
		// A goroutine made for one call grows its stack anew each time, which is a
		// fifth of what a call costs; these keep theirs.
		grpc.NumStreamWorkers(128),
		// A proxy has one connection a worker and all its requests on it.
		grpc.MaxConcurrentStreams(4096),
		// Bodies aren't read; headers are 60 KiB in most proxies.
		grpc.MaxRecvMsgSize(1<<20),
		// Those are in the message. The call's own are a few, not the 16 MiB for each
		// call that are the library's default.
		grpc.MaxHeaderListSize(callHeader),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// Connections end now and then, so that load finds replicas that came later.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute}),
		grpc.ConnectionTimeout(10*time.Second),
	)
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

// addresses are where it listens, for a log: name and address by turns.
func (s *server) addresses() []any {
	list := []any{"check", s.check.Addr().String()}
	for _, h := range s.http {
		list = append(list, h.name, h.Addr().String())
	}
	return list
}

// drainLimit bounds the wait for answers under way; Check's own deadlines are far
// shorter.
const drainLimit = 20 * time.Second

// run serves until ctx ends, then says that it isn't ready, waits for the delay,
// and ends what is under way.
func (s *server) run(ctx context.Context, drainDelay time.Duration) error {
	s.health.SetServingStatus(livenessService, healthv1.HealthCheckResponse_SERVING)
	s.setReady(false)
	failed := make(chan error, 1+len(s.http))
	go func() { failed <- s.grpc.Serve(s.check) }()
	for _, h := range s.http {
		go func() { failed <- h.server.Serve(h.Listener) }()
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
	s.drain(context.WithoutCancel(ctx))
	return err
}

// drain answers what is under way, all listeners at once: somebody may be in the
// middle of a login. What takes too long is cut off.
func (s *server) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	var draining sync.WaitGroup
	draining.Go(func() {
		forced := context.AfterFunc(ctx, s.grpc.Stop)
		s.grpc.GracefulStop()
		forced()
	})
	for _, h := range s.http {
		draining.Go(func() {
			if h.server.Shutdown(ctx) != nil {
				h.server.Close()
			}
		})
	}
	draining.Wait()
}

// watchReadiness tells health clients when the keys have arrived, and at its end
// that nothing is ready any more; nobody else does while it runs. Once ready, it
// only changes when keys grow too old, so it may look less often.
func (s *server) watchReadiness(ctx context.Context) {
	ready, wait := false, 5*time.Millisecond
	for {
		why := s.authorizer.unready(false)
		if now := len(why) == 0; now != ready {
			if s.setReady(now); now {
				s.log.Info("ready")
			} else {
				s.log.Warn("not ready", "why", why)
			}
			ready = now
		}
		if wait = min(2*wait, 100*time.Millisecond); ready {
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

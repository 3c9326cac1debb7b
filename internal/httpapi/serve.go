package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Limits that hold for every connection. A handler that streams or waits longer moves
// its own write deadline through http.ResponseController.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// ServeConfig says how the server ends and where it complains.
type ServeConfig struct {
	// Announce is how long /readyz says no before the listener closes, so that a load
	// balancer can look away first. 0 closes at once.
	Announce time.Duration
	// Limit is how long requests under way may take to finish. 0 means 10 seconds; what
	// is left then is cut off.
	Limit time.Duration
	// TLS, if not nil, has the certificate to serve HTTPS with.
	TLS *tls.Config
	// Log hears of broken connections; nil logs nothing.
	Log *zap.Logger

	headers, body time.Duration // how long each may take to come; 0: as the constants say
}

// Serve answers requests on listener until ctx ends, then drains: /readyz says no,
// Announce passes, the listener closes, requests under way finish within Limit. It
// owns listener and has closed it when it returns. It returns nil after a full drain,
// else what stopped it: the listener's failure, or context.DeadlineExceeded when
// requests had to be cut off.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, cfg ServeConfig) error {
	if cfg.Limit == 0 {
		cfg.Limit = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cfg.headers, cfg.body = cmp.Or(cfg.headers, readHeaderTimeout), cmp.Or(cfg.body, readTimeout)
	draining := make(chan struct{})
	server := newServer(ctx, handler, cfg, draining)

	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig = cfg.TLS; cfg.TLS != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()

	var announced <-chan time.Time // nil, and so never, until ctx ends
	done := ctx.Done()
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), errors.Join(err, server.Close()))
		case <-done:
			close(draining)
			done, announced = nil, time.After(cfg.Announce)
		case <-announced:
			return drain(server, cfg.Limit, failed)
		}
	}
}

func newServer(ctx context.Context, handler http.Handler, cfg ServeConfig, draining <-chan struct{}) *http.Server {
	// Requests outlive ctx: its end stops the server, not them.
	base := context.WithValue(context.WithoutCancel(ctx), drainingKey{}, draining)
	server := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: cfg.headers,
		ReadTimeout:       cfg.body,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	if std, err := zap.NewStdLogAt(cfg.Log, zap.WarnLevel); err == nil {
		server.ErrorLog = std
	}
	return server
}

// drain lets requests under way finish, and cuts them off after limit.
func drain(server *http.Server, limit time.Duration, failed <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("drain HTTP within %s: %w", limit, errors.Join(err, server.Close()))
	}
	<-failed // Serve has returned http.ErrServerClosed: nothing of ours runs on
	return err
}

type drainingKey struct{}

// Draining returns a channel that closes when the server of this request begins to
// shut down: what waits long for news ends then. It never closes (nil) for a request
// that Serve did not bring.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return draining
}

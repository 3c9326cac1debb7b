package server

import (
	"context"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/postgres"
)

// ServeAdmin serves a worker's metrics and profiles until stop. Call stop once the worker has
// drained, so that its last minutes can be scraped.
func ServeAdmin(ctx context.Context, address string, reports *Telemetry, client *penstock.Client, pool *pgxpool.Pool) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another address with --admin-listen", err)
	}
	handler := httpapi.NewAdmin(httpapi.Deps{
		Client: client, Log: reports.log, Loopback: onLoopback(listener),
		Ready: func(ctx context.Context) error { return postgres.Check(ctx, pool) },
	}, reports.scraped(client, pool))
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := httpapi.Serve(serving, listener, handler, httpapi.ServeConfig{Log: reports.log}); err != nil {
			reports.log.Error("metrics are not served any more", zap.Error(err))
		}
	}()
	reports.log.Info("metrics and profiles", zap.String("listen", listener.Addr().String()))
	return func() { end(); <-done }, nil
}

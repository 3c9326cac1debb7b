package server

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/postgres"
)

// How many connections each kind of work may have, so that none can take those of
// another. docs/operations.md has them as a table. A pool opens a connection when it is
// needed and closes one that was idle for half an hour.
const (
	// requestConnections are for requests that touch few rows by their keys: enqueue,
	// claim, finish, one job. pool_max_conns in the URL says otherwise.
	requestConnections     = 12
	reportConnections      = 3 // for requests that read or change much
	keyedConnections       = 3 // for requests with an Idempotency-Key
	systemConnections      = 2 // for what the server asks for itself: tokens, readiness
	maintenanceConnections = 3
)

// serverPools are the pools besides that of ordinary requests.
type serverPools struct {
	reports, keyed, system, maintenance *pgxpool.Pool
}

func (s *Server) openPools(ctx context.Context) (err error) {
	for _, p := range []struct {
		pool *(*pgxpool.Pool)
		most int32
	}{
		{&s.pools.reports, reportConnections},
		{&s.pools.keyed, keyedConnections},
		{&s.pools.system, systemConnections},
		{&s.pools.maintenance, maintenanceConnections},
	} {
		if *p.pool, err = postgres.Open(ctx, s.database.URL, func(c *pgxpool.Config) { c.MaxConns, c.MinConns = p.most, 0 }); err != nil {
			return err
		}
	}
	return nil
}

func (p serverPools) close() {
	for _, pool := range []*pgxpool.Pool{p.reports, p.keyed, p.system, p.maintenance} {
		if pool != nil {
			pool.Close()
		}
	}
}

// withPools gives the API a client for each of its pools.
func (s *Server) withPools(deps httpapi.Deps) (_ httpapi.Deps, err error) {
	for _, p := range []struct {
		client **penstock.Client
		pool   *pgxpool.Pool
	}{
		{&deps.Reports, s.pools.reports},
		{&deps.Keyed, s.pools.keyed},
		{&deps.System, s.pools.system},
	} {
		if *p.client, err = s.reports.Client(p.pool, s.log); err != nil {
			return deps, err
		}
	}
	return deps, nil
}

// connections is how many the pool of ordinary requests has.
func (s *Server) connections(c *pgxpool.Config) {
	if !strings.Contains(s.database.URL, "pool_max_conns") {
		c.MaxConns = max(c.MaxConns, requestConnections)
	}
}

package command

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/postgres"
)

// Connect opens the database that the settings name, else that of a running
// `penstock serve`, and makes sure that its schema and this binary fit each other.
// The caller closes the pool.
func Connect(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	pool, err := ConnectUnchecked(ctx, cfg, configure...)
	if err != nil {
		return nil, err
	}
	if err := postgres.Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// ConnectUnchecked is connect for the commands that change the schema.
func ConnectUnchecked(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	url := cfg.DatabaseURL.Reveal()
	if url == "" {
		var err error
		if url, err = postgres.Attach(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	return postgres.Open(ctx, url, configure...)
}

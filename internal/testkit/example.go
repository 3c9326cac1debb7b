package testkit

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
)

// ForExample makes a database for an Example function, which has no testing.TB. done
// drops it. It panics where a test would fail.
func ForExample() (pool *pgxpool.Pool, done func()) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made, err := shared.Create(ctx)
	if err != nil {
		panic(fmt.Sprintf("testkit: %v", err))
	}
	pool, err = postgres.Open(ctx, made.URL, func(c *pgxpool.Config) { c.MaxConns = 10 })
	if err != nil {
		panic(fmt.Sprintf("testkit: %v", err))
	}
	return pool, func() {
		pool.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := shared.Drop(ctx, made.Name); err != nil {
			panic(fmt.Sprintf("testkit: %v", err))
		}
	}
}

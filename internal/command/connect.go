package command

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/terminal"
)

// Connect opens the database that the settings name, else that of a running
// `penstock serve`, and makes sure that its schema and this binary fit each other.
// The caller closes the pool.
func (p *Process) Connect(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	pool, err := p.ConnectUnchecked(ctx, cfg, configure...)
	if err != nil {
		return nil, err
	}
	if err := postgres.Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// ConnectUnchecked is Connect for the commands that change or examine the schema.
func (p *Process) ConnectUnchecked(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	url, err := p.DatabaseURL(cfg)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, url, configure...)
}

// DatabaseURL is the database that the settings name, else that of a running `penstock serve`.
// It says on stderr which one it is when nobody named it, or with --verbose.
func (p *Process) DatabaseURL(cfg config.Config) (string, error) {
	if url := cfg.DatabaseURL.Reveal(); url != "" {
		if p.Verbose {
			p.sayDatabase("using " + cfg.DatabaseURL.String())
		}
		return url, nil
	}
	dir, named := cfg.DataDir, cfg.DataDir != ""
	if !named {
		var err error
		if dir, err = postgres.DefaultDir(); err != nil {
			return "", err
		}
	}
	url, err := postgres.Attach(dir)
	if err != nil {
		return "", err
	}
	if !named || p.Verbose {
		p.sayDatabase("using the private PostgreSQL in " + dir + ": DATABASE_URL is not set")
	}
	return url, nil
}

func (p *Process) sayDatabase(text string) {
	if !p.Quiet {
		fmt.Fprintln(p.Stderr, p.ErrScreen.Paint(terminal.Faint, "penstock: "+text))
	}
}

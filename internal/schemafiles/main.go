// Command schemafiles writes what is generated from migrations/: the hash in its newest
// stamp, snapshot.sql (the schema as the catalog has it) and signatures.txt (the public
// functions). `make gen` runs it, and `make verify` runs it with -check, which writes
// nothing and fails when a file is stale.
//
// The catalog is that of a private, temporary PostgreSQL. On a major version other than
// the oldest supported one the snapshot is not compared: types and defaults may print
// differently.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/migrations"
)

// oldestMajor is the PostgreSQL whose output is committed.
const oldestMajor = 15

func main() {
	check := flag.Bool("check", false, "write nothing, and fail when a file is stale")
	dir := flag.String("dir", "migrations", "the folder of the migrations")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "schemafiles:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check bool) (err error) {
	files := os.DirFS(dir)
	if check {
		if err := migrations.CheckStamps(files); err != nil {
			return err
		}
	} else if err := stamp(dir); err != nil {
		return err
	}
	server, err := postgres.Start(ctx, postgres.Options{Temporary: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	pool, err := postgres.Open(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := (postgres.Migrator{Pool: pool, Files: files}).Up(ctx); err != nil {
		return err
	}
	same, err := isOldestMajor(ctx, pool)
	if err != nil {
		return err
	}
	if !same {
		fmt.Printf("schemafiles: snapshot.sql and signatures.txt are those of PostgreSQL %d, and this is another: left as they are\n", oldestMajor)
		return nil
	}
	for _, file := range []struct {
		name string
		text func(context.Context, *pgxpool.Pool) (string, error)
	}{{"snapshot.sql", snapshot}, {"signatures.txt", signatures}} {
		text, err := file.text(ctx, pool)
		if err != nil {
			return fmt.Errorf("%s: %w", file.name, err)
		}
		if err := put(filepath.Join(dir, file.name), text, check); err != nil {
			return err
		}
	}
	return nil
}

// stamp writes the hash of the objects into the newest stamp, or adds a stamp.
func stamp(dir string) error {
	newest, err := postgres.NewestOf(os.DirFS(dir))
	if err != nil {
		return err
	}
	text, err := migrations.Restamp(os.DirFS(dir), newest)
	if err != nil {
		return err
	}
	return put(filepath.Join(dir, migrations.StampsFile), text, false)
}

// put writes a file, or compares it.
func put(path, text string, check bool) error {
	if !check {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != text {
		return errors.Join(err, fmt.Errorf("%s is stale: run `make gen`", path))
	}
	return nil
}

func isOldestMajor(ctx context.Context, pool *pgxpool.Pool) (same bool, err error) {
	err = pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer / 10000 = $1", oldestMajor).Scan(&same)
	return same, err
}

package demo

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The application's own tables are not part of Penstock's migrations: Penstock shares
// the database and the transaction with the application.
const createTablesSQL = `
CREATE SCHEMA IF NOT EXISTS penstock_demo;
CREATE TABLE IF NOT EXISTS penstock_demo.packages (
	dir       text   PRIMARY KEY,
	files     bigint NOT NULL,
	broken    bigint NOT NULL DEFAULT 0, -- files that do not parse
	lines     bigint NOT NULL DEFAULT 0,
	funcs     bigint NOT NULL DEFAULT 0,
	types     bigint NOT NULL DEFAULT 0,
	vars      bigint NOT NULL DEFAULT 0,
	consts    bigint NOT NULL DEFAULT 0,
	imports   bigint NOT NULL DEFAULT 0,
	summed_at timestamptz
);
CREATE TABLE IF NOT EXISTS penstock_demo.files (
	path      text   PRIMARY KEY,
	dir       text   NOT NULL,
	size      bigint NOT NULL,
	lines     bigint NOT NULL DEFAULT 0,
	funcs     bigint NOT NULL DEFAULT 0,
	types     bigint NOT NULL DEFAULT 0,
	vars      bigint NOT NULL DEFAULT 0,
	consts    bigint NOT NULL DEFAULT 0,
	imports   bigint NOT NULL DEFAULT 0,
	parsed_at timestamptz, -- null until its job has dealt with it
	error     text         -- why it does not parse
);
CREATE INDEX IF NOT EXISTS files_by_dir ON penstock_demo.files (dir);`

// lockTablesSQL makes demos in one database replace the tree one after another. The
// lock lasts until the transaction ends.
const lockTablesSQL = `SELECT pg_advisory_xact_lock(hashtext('penstock_demo'))`

// ensureTables creates the tables if they are missing.
func ensureTables(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockTablesSQL); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, createTablesSQL)
		return err
	})
	if err != nil {
		return fmt.Errorf("create the demo's tables (the role needs CREATE on the database): %w", err)
	}
	return nil
}

// replaceTree replaces the rows of an earlier run with one row per file and per
// package.
func replaceTree(ctx context.Context, tx pgx.Tx, folders []folder) error {
	if _, err := tx.Exec(ctx, lockTablesSQL); err != nil {
		return err
	}
	var packages, files [][]any
	for _, folder := range folders {
		packages = append(packages, []any{folder.dir, len(folder.files)})
		for _, file := range folder.files {
			files = append(files, []any{file.path, folder.dir, file.size})
		}
	}
	for _, table := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"packages", []string{"dir", "files"}, packages},
		{"files", []string{"path", "dir", "size"}, files},
	} {
		name := pgx.Identifier{"penstock_demo", table.name}
		if _, err := tx.Exec(ctx, "DELETE FROM "+name.Sanitize()); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, name, table.columns, pgx.CopyFromRows(table.rows)); err != nil {
			return err
		}
	}
	return nil
}

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// recordFile stores what a file declares, or why it does not parse. fault is nil if it
// parses. recordFile reports whether the file is listed: a later run may have replaced
// the tree.
func recordFile(ctx context.Context, in executor, path string, found counts, fault *string) (listed bool, err error) {
	tag, err := in.Exec(ctx, `UPDATE penstock_demo.files SET lines = $2, funcs = $3, types = $4, vars = $5, consts = $6,
		imports = $7, error = $8, parsed_at = clock_timestamp() WHERE path = $1`,
		path, found.lines, found.funcs, found.types, found.vars, found.consts, found.imports, fault)
	if err != nil {
		return false, fmt.Errorf("record file: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// recordPackage sums up a package's files, or returns PackageIncomplete.
func recordPackage(ctx context.Context, tx pgx.Tx, dir string) error {
	var missing, files int64
	err := tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE parsed_at IS NULL), count(*)
		FROM penstock_demo.files WHERE dir = $1`, dir).Scan(&missing, &files)
	if err == nil && missing > 0 {
		return &PackageIncomplete{missing, files}
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE penstock_demo.packages p SET summed_at = clock_timestamp(),
			(files, broken, lines, funcs, types, vars, consts, imports) = (
				SELECT count(*), count(f.error), coalesce(sum(f.lines), 0), coalesce(sum(f.funcs), 0),
					coalesce(sum(f.types), 0), coalesce(sum(f.vars), 0), coalesce(sum(f.consts), 0), coalesce(sum(f.imports), 0)
				FROM penstock_demo.files f WHERE f.dir = p.dir)
			WHERE p.dir = $1`, dir)
	}
	if err != nil {
		return fmt.Errorf("sum up the package: %w", err)
	}
	return nil
}

// packageTotal is a row of the table of the largest packages.
type packageTotal struct {
	Dir                                               string
	Files, Lines, Funcs, Types, Vars, Consts, Imports int64
}

// largestPackages returns up to limit packages that are summed up, most lines first.
func largestPackages(ctx context.Context, pool *pgxpool.Pool, limit int) ([]packageTotal, error) {
	rows, _ := pool.Query(ctx, `SELECT dir, files, lines, funcs, types, vars, consts, imports
		FROM penstock_demo.packages WHERE summed_at IS NOT NULL ORDER BY lines DESC, dir LIMIT $1`, limit)
	totals, err := pgx.CollectRows(rows, pgx.RowToStructByPos[packageTotal])
	if err != nil {
		return nil, fmt.Errorf("list the largest packages: %w", err)
	}
	return totals, nil
}

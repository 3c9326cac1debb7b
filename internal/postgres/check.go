package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/migrations"
)

// schema is what the version tables of a database have.
type schema struct {
	version int64
	serves  serves
	stamp   int64 // whose functions it has; 0 without any
}

func readSchema(ctx context.Context, pool *pgxpool.Pool) (s schema, err error) {
	err = pool.QueryRow(ctx, `SELECT max(version_id) OVER (), oldest_binary, oldest_release,
			coalesce((SELECT min(o.stamp) FROM penstock.schema_objects o), 0)
		FROM penstock.schema_migrations WHERE is_applied ORDER BY oldest_binary DESC, version_id LIMIT 1`).
		Scan(&s.version, &s.serves.oldestBinary, &s.serves.oldestRelease, &s.stamp)
	return s, err
}

// Check says whether this binary may work on the database: every migration it was
// built with is there, and those that came later still serve it. Errors: ErrSchemaOld,
// ErrSchemaNew, each naming the command that mends it.
func Check(ctx context.Context, pool *pgxpool.Pool) error { return check(ctx, pool, migrations.FS) }

func check(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	known, err := readMigrations(files)
	if err != nil {
		return err
	}
	if err := checkState(ctx, pool, known); err != nil {
		return err
	}
	newest := newestStamp(known)
	if newest == nil {
		return nil
	}
	s, err := readSchema(ctx, pool)
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	if s.stamp < newest.version {
		return fmt.Errorf("%w: its functions are those of stamp %d, this binary needs those of %d: run `penstock migrate functions`",
			ErrSchemaOld, s.stamp, newest.version)
	}
	return nil
}

// checkState is check without the functions.
func checkState(ctx context.Context, pool *pgxpool.Pool, known []migration) error {
	var needs int64
	if len(known) > 0 {
		needs = known[len(known)-1].version
	}
	s, err := readSchema(ctx, pool)
	switch {
	case hasState(err, "42501"): // insufficient_privilege
		return fmt.Errorf("check the schema: %w: let the role in with what `penstock grants` prints", err)
	case err != nil && !isNoSchema(err):
		return fmt.Errorf("check the schema: %w", err)
	case s.version < needs:
		return fmt.Errorf("%w: it is at version %d, this binary needs %d: run `penstock migrate up`", ErrSchemaOld, s.version, needs)
	case s.serves.oldestBinary > needs:
		return fmt.Errorf("%w: version %d serves binaries from schema %d on, this one is from schema %d: upgrade it to %s or newer",
			ErrSchemaNew, s.version, s.serves.oldestBinary, needs, s.serves.oldestRelease)
	}
	return nil
}

func readApplied(ctx context.Context, pool *pgxpool.Pool) (map[int64]time.Time, error) {
	rows, err := pool.Query(ctx, "SELECT version_id, tstamp FROM penstock.schema_migrations WHERE is_applied AND version_id > 0")
	if err != nil {
		return nil, err
	}
	applied := map[int64]time.Time{}
	var version int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		applied[version] = at
		return nil
	})
	return applied, err
}

func mergeStatus(known []migration, applied map[int64]time.Time) []MigrationStatus {
	var list []MigrationStatus
	for _, m := range known {
		line := MigrationStatus{Version: m.version, Name: m.name}
		if at, ok := applied[m.version]; ok {
			line.AppliedAt = &at
			delete(applied, m.version)
		}
		list = append(list, line)
	}
	for version, at := range applied {
		list = append(list, MigrationStatus{Version: version, AppliedAt: &at})
	}
	slices.SortFunc(list, func(a, b MigrationStatus) int { return int(a.Version - b.Version) })
	return list
}

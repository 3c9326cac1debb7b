package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/penstock/penstock/migrations"
)

// migrationLockTimeout bounds how long a migration's statement waits for a lock,
// and so how long those who queue behind it wait. It gives up and tries again.
const migrationLockTimeout = 100 * time.Millisecond

// migrationPatience bounds the tries of one call, so that a session someone forgot
// ends in an error that names the cure and not in silence.
const migrationPatience = 2 * time.Minute

// Migrator moves a database between schema versions. Any number of processes may
// migrate one database at once; each migration is applied once, in a transaction
// of its own unless its file says NO TRANSACTION. Pool must reach Postgres itself
// or a pooler in session mode, because the lock between migrators is the session's.
type Migrator struct {
	Pool     *pgxpool.Pool
	Files    fs.FS         // nil takes the migrations of this binary
	Patience time.Duration // how long to retry what is locked; 0 means 2 minutes
}

func (m Migrator) files() fs.FS {
	if m.Files == nil {
		return migrations.FS
	}
	return m.Files
}

// MigrationStatus is one line of `penstock migrate status`.
type MigrationStatus struct {
	Version   int64
	Name      string     // the file's; empty for one that only the database knows
	AppliedAt *time.Time // nil while it is pending
}

// Up applies every pending migration and returns the versions it applied, in
// order; none when the schema is up to date. Errors: ErrLocked after Patience; a
// failed migration leaves those before it applied.
func (m Migrator) Up(ctx context.Context) ([]int64, error) {
	var applied []int64
	err := m.run(ctx, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		applied = append(applied, versionsOf(results, err)...)
		return err
	})
	if err != nil {
		return applied, fmt.Errorf("migrate up: %w", err)
	}
	if len(applied) > 0 {
		return applied, nil
	}
	stamp, err := m.restamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate up: %w", err)
	}
	if stamp > 0 {
		applied = append(applied, stamp)
	}
	return applied, nil
}

// Down takes back every migration after version to, newest first, and returns
// what it took back. Down to 0 removes everything but the schema and its version
// tables. It destroys the data those versions brought. Functions stay as they are
// until the first stamp is taken back: see Functions. Errors: as Up; a version that
// this binary does not know, because a newer one applied it.
func (m Migrator) Down(ctx context.Context, to int64) ([]int64, error) {
	var undone []int64
	err := m.run(ctx, func(p *goose.Provider) error {
		results, err := p.DownTo(ctx, to)
		undone = append(undone, versionsOf(results, err)...)
		return err
	})
	if err != nil {
		return undone, fmt.Errorf("migrate down to %d: %w", to, err)
	}
	return undone, nil
}

func versionsOf(results []*goose.MigrationResult, err error) (versions []int64) {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	for _, r := range results {
		versions = append(versions, r.Source.Version)
	}
	return versions
}

// Newest is the schema version that this binary brings.
func Newest() (int64, error) { return NewestOf(migrations.FS) }

// NewestOf is the number of the newest migration of files.
func NewestOf(files fs.FS) (int64, error) {
	known, err := readMigrations(files)
	if err != nil {
		return 0, err
	}
	if len(known) == 0 {
		return 0, errors.New("read the migrations: there are none")
	}
	return known[len(known)-1].version, nil
}

// Version is the newest applied migration; 0 on a database without the schema.
func (m Migrator) Version(ctx context.Context) (int64, error) {
	s, err := readSchema(ctx, m.Pool)
	if err != nil && !isNoSchema(err) {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return s.version, nil
}

// Status lists every migration of the files and of the database, oldest first.
// It changes nothing and needs only SELECT on penstock.schema_migrations.
func (m Migrator) Status(ctx context.Context) ([]MigrationStatus, error) {
	known, err := readMigrations(m.files())
	if err != nil {
		return nil, err
	}
	applied, err := readApplied(ctx, m.Pool)
	if err != nil && !isNoSchema(err) {
		return nil, fmt.Errorf("read the applied migrations: %w", err)
	}
	return mergeStatus(known, applied), nil
}

// run prepares the version table and calls f until it succeeds, fails for another
// reason than a lock, or patience ends.
func (m Migrator) run(ctx context.Context, f func(*goose.Provider) error) error {
	known, err := readMigrations(m.files())
	if err != nil {
		return err
	}
	locker := &sessionLocker{}
	provider, err := goose.NewProvider(goose.DialectCustom, stdlib.OpenDBFromPool(m.Pool), m.files(),
		goose.WithStore(newStore(known)),
		goose.WithSessionLocker(locker),
		goose.WithGoMigrations(goMigrations(known)...),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	defer provider.Close() // closes the database/sql face of the pool, not the pool
	return m.retryLocked(ctx, func() error {
		if err := prepareVersionTable(ctx, m.Pool); err != nil {
			return err
		}
		return f(provider)
	})
}

func (m Migrator) retryLocked(ctx context.Context, f func() error) error {
	patience := m.Patience
	if patience == 0 {
		patience = migrationPatience
	}
	giveUp := time.Now().Add(patience)
	for {
		err := f()
		if err == nil || !isLocked(err) {
			return err
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("%w: tried for %s: end the session that %s shows, and run it again: %w", ErrLocked, patience,
				"`SELECT pid, state, xact_start, query FROM pg_stat_activity WHERE xact_start < now() - interval '1 minute'`", err)
		}
		// The pause lets those who queued behind our try go first.
		if err := pause(ctx, 100*time.Millisecond+rand.N(300*time.Millisecond)); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isLocked is true for what passes by itself: lock_not_available,
// deadlock_detected and serialization_failure.
func isLocked(err error) bool { return hasState(err, "55P03", "40P01", "40001") }

// isNoSchema is true for undefined_table and invalid_schema_name.
func isNoSchema(err error) bool { return hasState(err, "42P01", "3F000") }

func hasState(err error, states ...string) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	for _, s := range states {
		if pgErr.Code == s {
			return true
		}
	}
	return false
}

// prepareVersionTable makes the schema and the table that versions are recorded in.
// Goose would make the table itself, but outside its lock and without the columns
// that Check reads. The advisory lock serializes the first callers; being held for
// this transaction alone, it is no part of any deadlock.
func prepareVersionTable(ctx context.Context, pool *pgxpool.Pool) error {
	exists := false
	if err := pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL", versionTable, objectTable).Scan(&exists); err != nil {
		return fmt.Errorf("look for %s: %w", versionTable, err)
	}
	if exists {
		return nil
	}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", prepareLockKey); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, versionTableSQL)
		return err
	})
	if hasState(err, "42501") { // insufficient_privilege
		return fmt.Errorf("create %s: %w: migrate as a role with CREATE on the database, or have its owner run `CREATE SCHEMA penstock AUTHORIZATION <role>`",
			versionTable, err)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", versionTable, err)
	}
	return nil
}

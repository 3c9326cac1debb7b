package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/migrations"
)

const servesFirst = "-- penstock: serves binaries from schema 1 (v0.1.0)\n"

// fixture is a small schema with what migrations are made of: a table, a function
// whose body has semicolons, and an index built concurrently.
var fixture = fstest.MapFS{
	"00001_table.sql": {Data: []byte(servesFirst + `
-- +goose Up
CREATE TABLE penstock.gates (id int PRIMARY KEY, flow int NOT NULL);
INSERT INTO penstock.gates SELECT g, g FROM generate_series(1, 1000) g;
-- +goose Down
DROP TABLE penstock.gates;
`)},
	"00002_function.sql": {Data: []byte(servesFirst + `
-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION penstock.total() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  SELECT sum(flow) INTO n FROM penstock.gates;
  RETURN n;
END $$;
-- +goose StatementEnd
-- +goose Down
DROP FUNCTION penstock.total();
`)},
	"00003_index.sql": {Data: []byte(servesFirst + `
-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS penstock.gates_flow;
CREATE INDEX CONCURRENTLY gates_flow ON penstock.gates (flow);
SET lock_timeout = 100;
-- +goose Down
DROP INDEX penstock.gates_flow;
`)},
	"00004_column.sql": {Data: []byte(`
-- penstock: serves binaries from schema 3 (v0.3.0)
-- +goose Up
ALTER TABLE penstock.gates ADD COLUMN note text;
-- +goose Down
ALTER TABLE penstock.gates DROP COLUMN note;
`)},
}

// upTo is the fixture as the binary of an older schema version has it.
func upTo(version int) fstest.MapFS {
	files := maps.Clone(fixture)
	for v, name := range []string{1: "00001_table.sql", "00002_function.sql", "00003_index.sql", "00004_column.sql"} {
		if v > version {
			delete(files, name)
		}
	}
	return files
}

func up(t *testing.T, m Migrator) []int64 {
	t.Helper()
	applied, err := m.Up(t.Context())
	require.NoError(t, err)
	return applied
}

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fs.FS{"the fixture's": fixture, "the shipped": migrations.FS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newDatabase(t)
			m := Migrator{Pool: pool, Files: files}
			objects := func() int64 {
				return query[int64](t, pool, "SELECT count(*) FROM pg_depend WHERE refobjid = 'penstock'::regnamespace")
			}
			require.NoError(t, prepareVersionTable(t.Context(), pool))
			bare := objects()
			all := up(t, m)
			require.NotEmpty(t, all)
			require.Empty(t, up(t, m), "nothing is pending")
			require.NoError(t, check(t.Context(), pool, files))
			full := objects()

			undone, err := m.Down(t.Context(), 0)
			require.NoError(t, err)
			require.Len(t, undone, len(all))
			require.Equal(t, bare, objects(), "only the version table is left")

			require.Equal(t, all, up(t, m))
			require.Equal(t, full, objects())
		})
	}
}

func TestEightProcessesMigrateOneDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	outputs := make([]string, 8)
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childJob+"=migrate "+pool.Config().ConnString())
			out, err := child.CombinedOutput()
			outputs[i] = fmt.Sprintf("%s%v", out, err)
		})
	}
	wg.Wait()
	var applied []string
	for _, out := range outputs {
		require.Contains(t, []string{"[1 2 3 4]\n<nil>", "[]\n<nil>"}, out)
		if out[1] != ']' {
			applied = append(applied, out)
		}
	}
	require.Len(t, applied, 1, "one process applied them all: %q", outputs)
	require.True(t, query[bool](t, pool, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'penstock.gates_flow'::regclass"))
	require.Equal(t, int64(500500), query[int64](t, pool, "SELECT penstock.total()"))
}

func TestAMigrationBehindAnOpenTransactionRetriesUntilItEnds(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	up(t, Migrator{Pool: pool, Files: upTo(3)})
	reader, err := pool.Begin(t.Context())
	require.NoError(t, err)
	query[int64](t, reader, "SELECT count(*) FROM penstock.gates")

	m := Migrator{Pool: pool, Files: fixture, Patience: time.Nanosecond}
	_, err = m.Up(t.Context())
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, "pg_stat_activity")
	version, err := m.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(3), version)

	type result struct {
		applied []int64
		err     error
	}
	done := make(chan result, 1)
	go func() {
		applied, err := Migrator{Pool: pool, Files: fixture}.Up(context.Background())
		done <- result{applied, err}
	}()
	tries := map[time.Time]bool{}
	require.Eventually(t, func() bool {
		for _, at := range waiting(t, pool) {
			tries[at] = true
		}
		return len(tries) >= 2
	}, 20*time.Second, 5*time.Millisecond, "it gives up and tries again")
	select {
	case r := <-done:
		require.Fail(t, "migrated past a lock", "%v", r)
	default:
	}
	require.NoError(t, reader.Commit(t.Context()))
	r := <-done
	require.NoError(t, r.err)
	require.Equal(t, []int64{4}, r.applied)
}

// waiting lists when each transaction that now waits for a lock began.
func waiting(t *testing.T, pool *pgxpool.Pool) (began []time.Time) {
	rows, err := pool.Query(t.Context(), `SELECT xact_start FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var at time.Time
		require.NoError(t, rows.Scan(&at))
		began = append(began, at)
	}
	return began
}

func TestMigratingLeavesThePoolsConnectionsAsTheyWere(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	up(t, Migrator{Pool: pool, Files: fixture})
	require.Equal(t, "0", query[string](t, pool, "SHOW lock_timeout"))
	require.Zero(t, query[int](t, pool, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND d.datname = current_database()`))
}

func TestAFailedMigrationKeepsThoseBeforeIt(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	files := upTo(2)
	files["00003_broken.sql"] = &fstest.MapFile{Data: []byte(servesFirst + `
-- +goose Up
CREATE TABLE penstock.half (id int);
SELECT 1 / 0;
-- +goose Down
DROP TABLE penstock.half;
`)}
	applied, err := Migrator{Pool: pool, Files: files}.Up(t.Context())
	require.ErrorContains(t, err, "division by zero")
	require.Equal(t, []int64{1, 2}, applied)
	require.False(t, query[bool](t, pool, "SELECT to_regclass('penstock.half') IS NOT NULL"))

	require.Equal(t, []int64{3, 4}, up(t, Migrator{Pool: pool, Files: fixture}), "a mended file goes on from there")
}

func TestARoleThatMayNotCreateTheSchemaIsToldWhoCan(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	name, visitor := newRole(t, pool)
	_, err := Migrator{Pool: visitor, Files: fixture}.Up(t.Context())
	require.ErrorContains(t, err, "CREATE SCHEMA penstock AUTHORIZATION")

	run(t, pool, "CREATE SCHEMA penstock AUTHORIZATION "+name)
	require.Len(t, up(t, Migrator{Pool: visitor, Files: fixture}), 4, "no right on the database is needed then")
}

func TestThePrintedSQLDoesWhatMigratingDoes(t *testing.T) {
	t.Parallel()
	psql := filepath.Join(testServer.binaries.dir, "psql")
	for name, files := range map[string]fs.FS{"for the fixture": fixture, "for the shipped": migrations.FS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byHand, migrated := newDatabase(t), newDatabase(t)
			all := up(t, Migrator{Pool: migrated, Files: files})
			newest := all[len(all)-1]
			play := func(from, to int64) {
				script, err := migrationSQL(files, from, to)
				require.NoError(t, err)
				file := filepath.Join(t.TempDir(), "script.sql")
				require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
				out, err := exec.Command(psql, "-qX", "-d", byHand.Config().ConnString(), "-f", file).CombinedOutput()
				require.NoError(t, err, "%s\n%s", out, script)
			}
			play(0, 1)
			play(1, newest)
			require.NoError(t, check(t.Context(), byHand, files))
			require.Empty(t, up(t, Migrator{Pool: byHand, Files: files}))
			const objects = `SELECT array_agg(format('%s %s', oid::regclass, relkind) ORDER BY oid::regclass::text)
				FROM pg_class WHERE relnamespace = 'penstock'::regnamespace AND relname !~ '_\d+$'`
			require.Equal(t, query[[]string](t, migrated, objects), query[[]string](t, byHand, objects))

			play(newest, 0)
			version, err := Migrator{Pool: byHand, Files: files}.Version(t.Context())
			require.NoError(t, err)
			require.Zero(t, version)
		})
	}
	_, err := migrationSQL(fixture, 0, 99)
	require.ErrorContains(t, err, "no version 99")
}

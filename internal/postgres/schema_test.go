package postgres

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/migrations"
)

func TestABinaryMeetsADatabaseOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		database, binary int // schema versions; version 4 serves binaries from 3 on
		refused          error
		remedy           string
	}{
		{"an empty database is to be migrated", 0, 1, ErrSchemaOld, "run `penstock migrate up`"},
		{"an older database is to be migrated", 2, 4, ErrSchemaOld, "it is at version 2, this binary needs 4"},
		{"the same version serves", 4, 4, nil, ""},
		{"an older binary is served while the newest migration says so", 4, 3, nil, ""},
		{"a binary that is too old is to be upgraded", 4, 2, ErrSchemaNew, "upgrade it to v0.3.0 or newer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pool := newDatabase(t)
			if c.database > 0 {
				up(t, Migrator{Pool: pool, Files: upTo(c.database)})
			}
			err := check(t.Context(), pool, upTo(c.binary))
			require.ErrorIs(t, err, c.refused)
			if c.refused != nil {
				require.ErrorContains(t, err, c.remedy)
			}
		})
	}
}

func TestTheShippedMigrationsServeTheirOwnBinary(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	require.ErrorIs(t, Check(t.Context(), pool), ErrSchemaOld)
	up(t, Migrator{Pool: pool})
	require.NoError(t, Check(t.Context(), pool))

	_, err := readMigrations(migrations.FS)
	require.NoError(t, err, "each file states which binaries it serves")
}

func TestCheckNeedsNoMoreThanToReadTheVersionTables(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	up(t, Migrator{Pool: pool, Files: fixture})
	name, runtime := newRole(t, pool)
	require.ErrorContains(t, check(t.Context(), runtime, fixture), "penstock grants")

	run(t, pool, "GRANT USAGE ON SCHEMA penstock TO "+name)
	run(t, pool, "GRANT SELECT ON penstock.schema_migrations, penstock.schema_objects TO "+name)
	require.NoError(t, check(t.Context(), runtime, fixture))
	status, err := Migrator{Pool: runtime, Files: fixture}.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, status, 4)
}

func TestStatusTellsAppliedPendingAndUnknownApart(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	list := func(files fstest.MapFS) (lines []string) {
		status, err := Migrator{Pool: pool, Files: files}.Status(t.Context())
		require.NoError(t, err)
		for _, s := range status {
			state := "pending"
			if s.AppliedAt != nil {
				state = "applied"
			}
			lines = append(lines, s.Name+" "+state)
		}
		return lines
	}
	require.Equal(t, []string{"00001_table.sql pending"}, list(upTo(1)))
	require.False(t, query[bool](t, pool, "SELECT to_regnamespace('penstock') IS NOT NULL"), "Status changes nothing")

	up(t, Migrator{Pool: pool, Files: upTo(2)})
	require.Equal(t, []string{"00001_table.sql applied", "00002_function.sql applied", "00003_index.sql pending"}, list(upTo(3)))
	require.Equal(t, []string{"00001_table.sql applied", " applied"}, list(upTo(1)), "an older binary shows what it does not know")
}

func TestAnOlderBinaryNeitherRepeatsNorUndoesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	up(t, Migrator{Pool: pool, Files: fixture})
	older := Migrator{Pool: pool, Files: upTo(3)}
	require.Empty(t, up(t, older))
	_, err := older.Down(t.Context(), 0)
	require.Error(t, err)
	version, err := older.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(4), version)
}

func TestAMigrationThatDoesNotSayWhomItServesIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, text, says string }{
		{"without a header", "00001_a.sql", "-- +goose Up\nSELECT 1;", "no line `-- penstock: serves binaries from schema N (vX.Y.Z)`"},
		{"with a header that names no release", "00001_a.sql", "-- penstock: serves binaries from schema 1", "no line"},
		{"with a header from the future", "00001_a.sql", "-- penstock: serves binaries from schema 2 (v1.0.0)", "do not exist yet"},
		{"with a name that has no version", "tables.sql", servesFirst, "must be NNNNN_purpose.sql"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readMigrations(fstest.MapFS{c.file: {Data: []byte(c.text)}})
			require.ErrorContains(t, err, c.says)
		})
	}
}

package proof

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/migrations"
)

// midnight is a transaction that enqueues before midnight, by the injected day, and
// commits after it. Its jobs have ids of yesterday, while jobs with ids of today are
// already claimed.
type midnight struct {
	tx     pgx.Tx
	answer func(Kind)
	commit bool
}

func (*midnight) Name() string { return "midnight" }

// maxDaysAhead bounds the injected day; partitions exist seven days ahead.
const maxDaysAhead = 6

func (m *midnight) Start(ctx context.Context, a *testbed, rng *rand.Rand) (err error) {
	if m.tx, err = a.pool.Begin(ctx); err != nil {
		return err
	}
	a.beginFault(Fault{Nemesis: m.Name()})()
	m.commit = rng.IntN(3) > 0
	if m.answer, err = a.enqueuePlain(ctx, a.client.InTx(m.tx), busyQueue, 10); err != nil {
		return err
	}
	return a.exec(ctx, "UPDATE proof.calendar SET days_ahead = least(days_ahead + 1, $1)", maxDaysAhead)
}

func (m *midnight) Heal(ctx context.Context, _ *testbed) error {
	if m.tx == nil {
		return nil
	}
	tx, answer := m.tx, m.answer
	m.tx, m.answer = nil, nil
	if !m.commit || answer == nil {
		err := tx.Rollback(ctx)
		if answer != nil {
			answer(Fail)
		}
		return err
	}
	err := tx.Commit(ctx)
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	return nil
}

// partitions creates future and old partitions and drops the old ones, while rows are
// written.
type partitions struct{}

func (*partitions) Name() string { return "partitions" }

const oldPartitionSQL = `
DO $$
DECLARE
    day  integer := (SELECT min(first_day) - 1 FROM penstock.partitions) - 30;
    kind text;
BEGIN
    SET LOCAL lock_timeout = '100ms';
    FOREACH kind IN ARRAY ARRAY['jobs', 'attempts'] LOOP
        EXECUTE format('CREATE TABLE penstock.%I (LIKE penstock.%I INCLUDING ALL)', penstock.partition_name(kind, day), kind);
        EXECUTE format('ALTER TABLE penstock.%I ATTACH PARTITION penstock.%I FOR VALUES FROM (%s) TO (%s)',
            kind, penstock.partition_name(kind, day), day * 100000000000, (day + 1) * 100000000000);
    END LOOP;
    INSERT INTO penstock.partitions VALUES (day, day);
END $$`

func (*partitions) Start(ctx context.Context, a *testbed, rng *rand.Rand) error {
	a.beginFault(Fault{Nemesis: "partitions"})()
	ahead := maxDaysAhead + 2 + rng.IntN(20)
	if err := retryUntilDone(ctx, func() error { return a.exec(ctx, "SELECT penstock.ensure_partitions($1)", ahead) }); err != nil {
		return err
	}
	return retryUntilDone(ctx, func() error { return a.exec(ctx, oldPartitionSQL) })
}

func (*partitions) Heal(ctx context.Context, a *testbed) error {
	return retryUntilDone(ctx, func() error {
		for {
			day, err := queryOne[*int](ctx, a, "SELECT penstock.drop_partitions()")
			if err != nil || day == nil {
				return err
			}
		}
	})
}

// migration applies what a next release might: new columns in busy tables and new
// function bodies. The running processes are then the previous release.
type migration struct{}

func (*migration) Name() string { return "migration" }

// nextVersion is above every version of this binary.
const nextVersion = 90001

const nextSQL = `
-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
ALTER TABLE penstock.jobs ADD COLUMN proof_note text;
ALTER TABLE penstock.pending ADD COLUMN proof_note text;
ALTER TABLE penstock.attempts ADD COLUMN proof_note text;
-- +goose StatementBegin
DO $$
DECLARE
    verb record;
BEGIN
    FOR verb IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'penstock'::regnamespace
        AND p.proname IN ('enqueue_many', 'enqueue_one', 'enqueue_batch', 'claim', 'finish', 'end_attempts', 'heartbeat', 'complete') LOOP
        EXECUTE pg_get_functiondef(verb.oid);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
ALTER TABLE penstock.attempts DROP COLUMN proof_note;
ALTER TABLE penstock.pending DROP COLUMN proof_note;
ALTER TABLE penstock.jobs DROP COLUMN proof_note;
`

// migrator has this binary's migrations and one more.
func (m *migration) migrator(a *testbed) (postgres.Migrator, error) {
	dir := filepath.Join(a.fleet.dir, "migrations")
	if _, err := os.Stat(dir); err != nil {
		if err := os.CopyFS(dir, migrations.FS); err != nil {
			return postgres.Migrator{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(nextVersion)+"_next.sql"), []byte(nextSQL), 0o600); err != nil {
			return postgres.Migrator{}, err
		}
	}
	return postgres.Migrator{Pool: a.pool, Files: os.DirFS(dir), Patience: 30 * time.Second}, nil
}

func (m *migration) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	migrator, err := m.migrator(a)
	if err != nil {
		return err
	}
	a.beginFault(Fault{Nemesis: m.Name()})()
	_, err = migrator.Up(ctx)
	return err
}

func (m *migration) Heal(ctx context.Context, a *testbed) error {
	migrator, err := m.migrator(a)
	if err != nil {
		return err
	}
	return retryUntilDone(ctx, func() error {
		version, err := migrator.Version(ctx)
		if err == nil && version == nextVersion {
			_, err = migrator.Down(ctx, nextVersion-1)
		}
		return err
	})
}

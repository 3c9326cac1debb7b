package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var pinnedScenario = Scenario{
	Name:  "pinned",
	Short: "Throughput while a snapshot is held, against without",
	Long: `Enqueues and works at the same time, as steady does, three times on separate queues:
without a snapshot, with a snapshot that a transaction holds throughout, and without
again, for at most two minutes each. A held snapshot, for instance of a long report or a
backup, keeps Postgres from cleaning up.`,
	Usual: Load{Concurrency: 100, PayloadBytes: 100, Duration: 20 * time.Second},
	run:   (*bench).pinned,
}

const withoutSnapshot = 2 * time.Minute // at most; longer adds no information

func (b *bench) pinned(ctx context.Context) error {
	usual := b.load.Duration
	defer func() { b.load.Duration = usual }()
	measure := func(name, queue string, most time.Duration) error {
		b.load.Duration = min(usual, most)
		f, err := b.produceAndWork(ctx, queue, 0, 0)
		if err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, Row{Name: name, Speed: speed(f.completed, f.took)})
		return nil
	}
	if err := measure("without a snapshot", "pinned-before", withoutSnapshot); err != nil {
		return err
	}
	if err := b.whilePinned(ctx, func() error { return measure("a snapshot held", "pinned", usual) }); err != nil {
		return err
	}
	if err := measure("without, again", "pinned-after", withoutSnapshot); err != nil {
		return err
	}
	rows := b.report.Rows
	b.report.setHeadline(rows[1])
	b.report.addAmount("what a held snapshot leaves", 100*rows[1].JobsPerSecond/mean(rows[0].JobsPerSecond, rows[2].JobsPerSecond), "%")
	b.report.addFinding("Each job has exactly one completed attempt.")
	return nil
}

// whilePinned runs f while a transaction holds a snapshot, and fails if the snapshot
// did not last.
func (b *bench) whilePinned(ctx context.Context, f func() error) error {
	conn, err := pgx.ConnectConfig(ctx, b.config.ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	var before, after string
	if err := tx.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&before); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	if err := f(); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&after); err != nil {
		return fmt.Errorf("the snapshot did not last: %w", err)
	}
	if before != after {
		return fmt.Errorf("the snapshot did not last: it was %s and is %s", before, after)
	}
	return tx.Rollback(ctx)
}

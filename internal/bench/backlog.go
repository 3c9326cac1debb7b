package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
)

var backlogScenario = Scenario{
	Name:  "backlog",
	Short: "Claim with nothing else waiting, with a long backlog, and with much scheduled",
	Long: `Works off 100,000 jobs (or --jobs, if that is less) on an empty queue; on one where
--jobs wait; on one where --jobs are scheduled for tomorrow; and on an empty one again,
to tell drift from effect. The backlogs stay in their tables until the end. Before each,
what has just been loaded is vacuumed, written back and counted, as it would be in a
backlog that has grown for minutes. What is compared is how long claims took.`,
	Usual: Load{Jobs: 1_000_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).backlog,
}

// probeJobs is how many jobs are worked off beside the backlog.
const probeJobs = 100_000

func (b *bench) backlog(ctx context.Context) error {
	backlog, probe := b.load.Jobs, min(probeJobs, b.load.Jobs)
	tomorrow := func(job *penstock.NewJob) { job.Delay = 24 * time.Hour }
	var micros []float64 // that a claim took for a job, by row
	for _, c := range []struct {
		name, queue        string
		waiting, scheduled int
	}{
		{"nothing else", "backlog-none", probe, 0},
		{fmt.Sprintf("%d waiting", backlog), "backlog-waiting", backlog, 0},
		{fmt.Sprintf("%d scheduled", backlog), "backlog-scheduled", probe, backlog},
		{"nothing else, again", "backlog-none-again", probe, 0},
	} {
		if _, err := b.enqueueBulk(ctx, c.queue, c.scheduled, 1, tomorrow); err != nil {
			return err
		}
		if _, err := b.enqueueBulk(ctx, c.queue, c.waiting, 1, nil); err != nil {
			return err
		}
		if err := b.settle(ctx); err != nil {
			return err
		}
		row, perClaim, err := b.probe(ctx, c.queue, probe)
		if err != nil {
			return err
		}
		if err := b.check(ctx, c.queue, int64(c.waiting+c.scheduled), perClaim.completed); err != nil {
			return err
		}
		row.Name = c.name
		b.report.Rows = append(b.report.Rows, row)
		micros = append(micros, perClaim.micros)
		b.report.find("Claims with %s took %.1f µs a job.", c.name, perClaim.micros)
	}
	rows := b.report.Rows
	b.report.headline(rows[1])
	none := mean(micros[0], micros[3])
	for i, row := range rows[1:3] {
		b.report.amount("against an empty queue, "+row.Name, 100*none/micros[i+1], "%")
	}
	b.report.find("No job has more than one completed attempt, and each has one or waits.")
	return nil
}

// settle does what Postgres and the sampler would do in the minutes after a bulk load.
func (b *bench) settle(ctx context.Context) error {
	for _, statement := range []string{
		"VACUUM (ANALYZE) penstock.jobs, penstock.pending, penstock.running, penstock.attempts, penstock.tallies",
		"SELECT penstock.sample_metrics(1000000)",
		"UPDATE penstock.sampling SET next_look_at = clock_timestamp() + interval '1 minute'",
	} {
		if _, err := b.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	_, err := b.pool.Exec(ctx, "CHECKPOINT")
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" {
		return nil // the role may not: then it is settled less
	}
	return err
}

// claimCost is what claims took.
type claimCost struct {
	micros    float64 // a job
	completed int64
}

// probe works off some of a queue's jobs and leaves the rest.
func (b *bench) probe(ctx context.Context, queue string, jobs int) (row Row, cost claimCost, err error) {
	start := time.Now()
	c, err := b.start(ctx, work{queue: queue, concurrency: b.load.Concurrency, target: int64(jobs)})
	if err != nil {
		return row, cost, err
	}
	defer c.stop()
	end := b.stage("working off "+fmt.Sprint(jobs), int64(jobs), c.completed.Load)
	last, err := c.await(ctx)
	end()
	if err != nil {
		return row, cost, c.abandon(err)
	}
	if err := c.dismiss(); err != nil {
		return row, cost, err
	}
	cost.completed = c.completed.Load()
	cost.micros = float64(c.claiming.Load()) / 1000 / float64(max(c.claimed.Load(), 1))
	return Row{Speed: speed(int64(jobs), last.Sub(start))}, cost, nil
}

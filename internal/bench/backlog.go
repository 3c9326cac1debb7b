package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
)

var backlogScenario = Scenario{
	Name:  "backlog",
	Short: "Claim with nothing else waiting, with a long backlog, and with much scheduled",
	Long: `Works off 100,000 jobs (or a tenth of --jobs, if that is less) before anything else waits.
Then three times, in turns, as many on an empty queue, on one where --jobs wait, and on
one where --jobs are scheduled for tomorrow. Before each round, what has just been loaded
is vacuumed, written back and counted, as it would be in a backlog that has grown for
minutes. What is compared is how long claims took, the median of the rounds, since a
machine has slow moments.`,
	Usual: Load{Jobs: 1_000_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).backlog,
}

const (
	probeJobs   = 100_000 // are worked off at a time beside the backlog
	probeRounds = 3
)

// probed is a queue that is worked off a piece at a time.
type probed struct {
	name, queue         string
	enqueued, completed int64
	took                time.Duration
	micros              []float64 // that claims took for a job, by round
}

func (b *bench) backlog(ctx context.Context) error {
	backlog, probe := b.load.Jobs, max(1, min(probeJobs, b.load.Jobs/10))
	before := &probed{name: "nothing else, in empty tables", queue: "backlog-before"}
	none := &probed{name: "nothing else", queue: "backlog-none"}
	waiting := &probed{name: fmt.Sprintf("%d waiting", backlog), queue: "backlog-waiting"}
	scheduled := &probed{name: fmt.Sprintf("%d scheduled", backlog), queue: "backlog-scheduled"}

	if err := b.probes(ctx, probe, before); err != nil {
		return err
	}
	if err := b.add(ctx, scheduled, backlog, func(job *penstock.NewJob) { job.Delay = 24 * time.Hour }); err != nil {
		return err
	}
	if err := b.add(ctx, waiting, backlog, nil); err != nil {
		return err
	}
	turns := []*probed{none, waiting, scheduled}
	for range probeRounds {
		if err := b.probes(ctx, probe, turns...); err != nil {
			return err
		}
		turns = append(turns[1:], turns[0])
	}
	for _, q := range []*probed{before, none, waiting, scheduled} {
		if err := b.check(ctx, q.queue, q.enqueued, q.completed); err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, Row{Name: q.name, Speed: speed(q.completed, q.took)})
		sorted := slices.Sorted(slices.Values(q.micros))
		b.report.find("Claims with %s took %.1f µs a job (%.1f to %.1f).", q.name, median(sorted), sorted[0], sorted[len(sorted)-1])
	}
	b.report.headline(b.report.Rows[2])
	for _, q := range []*probed{waiting, scheduled} {
		var ratios []float64
		for round, micros := range q.micros {
			ratios = append(ratios, none.micros[round]/micros)
		}
		slices.Sort(ratios)
		b.report.amount("against an empty queue, "+q.name, 100*median(ratios), "%")
	}
	b.report.find("No job has more than one completed attempt, and each has one or waits.")
	return nil
}

// probes adds as many jobs to each queue as it then works off there, one queue after another.
func (b *bench) probes(ctx context.Context, jobs int, queues ...*probed) error {
	for _, q := range queues {
		if err := b.add(ctx, q, jobs, nil); err != nil {
			return err
		}
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	for _, q := range queues {
		if err := b.probe(ctx, q, jobs); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) add(ctx context.Context, q *probed, jobs int, shape func(*penstock.NewJob)) error {
	q.enqueued += int64(jobs)
	_, err := b.enqueueBulk(ctx, q.queue, jobs, 1, shape)
	return err
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

// probe works off some of a queue's jobs and leaves the rest.
func (b *bench) probe(ctx context.Context, q *probed, jobs int) error {
	start := time.Now()
	c, err := b.start(ctx, work{queue: q.queue, concurrency: b.load.Concurrency, target: int64(jobs)})
	if err != nil {
		return err
	}
	defer c.stop()
	end := b.stage("working off "+fmt.Sprint(jobs), int64(jobs), c.completed.Load)
	last, err := c.await(ctx)
	end()
	if err != nil {
		return c.abandon(err)
	}
	if err := c.dismiss(); err != nil {
		return err
	}
	q.took += last.Sub(start)
	q.completed += c.completed.Load()
	q.micros = append(q.micros, float64(c.claiming.Load())/1000/float64(max(c.claimed.Load(), 1)))
	return nil
}

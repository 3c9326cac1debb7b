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
	Short: "Claim with nothing waiting, with a long backlog, and with much scheduled",
	Long: `Works off 100,000 jobs (or a tenth of --jobs, if that is less) three times in each of
three queues, alternating: a queue in an empty database; a queue where --jobs wait; and
a queue where --jobs are scheduled for tomorrow. The last two share a database. Before
each round the loaded tables are vacuumed, checkpointed and counted, as they would be in
a backlog that has grown for minutes. The result is the median duration of claims,
because a machine has slow moments.`,
	Usual: Load{Jobs: 1_000_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).backlog,
}

const (
	probeJobs   = 100_000 // are worked off at a time while the backlog waits
	probeRounds = 3
)

// probed is a queue whose jobs are worked off in parts.
type probed struct {
	in                  *bench
	name, queue         string
	enqueued, completed int64
	took                time.Duration
	micros              []float64 // of claims per job, by round
}

func (b *bench) backlog(ctx context.Context) (err error) {
	empty, err := b.inAnotherDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.close()) }()
	backlog, probe := b.load.Jobs, max(1, min(probeJobs, b.load.Jobs/10))
	none := &probed{in: empty, name: "nothing else", queue: "backlog-none"}
	waiting := &probed{in: b, name: fmt.Sprintf("%d waiting", backlog), queue: "backlog-waiting"}
	scheduled := &probed{in: b, name: fmt.Sprintf("%d scheduled", backlog), queue: "backlog-scheduled"}

	if err := scheduled.add(ctx, backlog, func(job *penstock.NewJob) { job.Delay = 24 * time.Hour }); err != nil {
		return err
	}
	if err := waiting.add(ctx, backlog, nil); err != nil {
		return err
	}
	turns := []*probed{none, waiting, scheduled}
	for range probeRounds {
		if err := probes(ctx, probe, turns); err != nil {
			return err
		}
		turns = append(turns[1:], turns[0])
	}
	for _, q := range []*probed{none, waiting, scheduled} {
		if err := q.in.check(ctx, q.queue, q.enqueued, q.completed); err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, Row{Name: q.name, Speed: speed(q.completed, q.took)})
		sorted := slices.Sorted(slices.Values(q.micros))
		b.report.addFinding("Claims with %s took %.1f µs a job (%.1f to %.1f).", q.name, median(sorted), sorted[0], sorted[len(sorted)-1])
	}
	b.report.setHeadline(b.report.Rows[1])
	for _, q := range []*probed{waiting, scheduled} {
		var ratios []float64
		for round, micros := range q.micros {
			ratios = append(ratios, none.micros[round]/micros)
		}
		slices.Sort(ratios)
		b.report.addAmount("against empty tables, "+q.name, 100*median(ratios), "%")
	}
	b.report.addFinding("No job has more than one completed attempt, and each has one or waits.")
	return nil
}

// probes adds jobs to each queue and then works off as many, one queue after another.
func probes(ctx context.Context, jobs int, queues []*probed) error {
	for _, q := range queues {
		if err := q.add(ctx, jobs, nil); err != nil {
			return err
		}
	}
	for _, q := range queues {
		if err := q.in.vacuum(ctx); err != nil {
			return err
		}
	}
	for _, q := range queues {
		if err := q.probe(ctx, jobs); err != nil {
			return err
		}
	}
	return nil
}

func (q *probed) add(ctx context.Context, jobs int, modify func(*penstock.NewJob)) error {
	q.enqueued += int64(jobs)
	_, err := q.in.enqueueBulk(ctx, q.queue, jobs, 1, modify)
	return err
}

// vacuum does what Postgres and the sampler would do in the minutes after a bulk load.
func (b *bench) vacuum(ctx context.Context) error {
	for _, statement := range []string{
		"VACUUM (ANALYZE) penstock.jobs, penstock.pending, penstock.running, penstock.attempts, penstock.tallies",
		"SELECT penstock.sample_metrics(1000000)",
		"UPDATE penstock.sampling SET next_look_at = clock_timestamp() + interval '1 minute'",
	} {
		if _, err := b.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
	_, err := b.pool.Exec(ctx, "CHECKPOINT")
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" {
		return nil // the role has no right to CHECKPOINT
	}
	return err
}

// probe works off some of a queue's jobs and leaves the rest.
func (q *probed) probe(ctx context.Context, jobs int) error {
	b, start := q.in, time.Now()
	c, err := b.startWorker(ctx, workerLoad{queue: q.queue, concurrency: b.load.Concurrency, target: int64(jobs)})
	if err != nil {
		return err
	}
	defer c.stop()
	end := b.stage("working off "+fmt.Sprint(jobs), int64(jobs), c.completed.Load)
	last, err := c.waitForTarget(ctx)
	end()
	if err != nil {
		return c.abort(err)
	}
	if err := c.drainAndWait(); err != nil {
		return err
	}
	q.took += last.Sub(start)
	q.completed += c.completed.Load()
	q.micros = append(q.micros, float64(c.claimNanos.Load())/1000/float64(max(c.claimed.Load(), 1)))
	return nil
}

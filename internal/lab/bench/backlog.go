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
	Long: `Three times, in turns, works off 100,000 jobs (or a tenth of --jobs, if that is less) in
a database of their own, on a queue where --jobs wait, and on one where --jobs are
scheduled for tomorrow, which share another database. Before each round, what has just
been loaded is vacuumed, written back and counted, as it would be in a backlog that has
grown for minutes. What is compared is how long claims took, the median of the rounds,
since a machine has slow moments.`,
	Usual: Load{Jobs: 1_000_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).backlog,
}

const (
	probeJobs   = 100_000 // are worked off at a time beside the backlog
	probeRounds = 3
)

// probed is a queue that is worked off a piece at a time.
type probed struct {
	in                  *bench
	name, queue         string
	enqueued, completed int64
	took                time.Duration
	micros              []float64 // that claims took for a job, by round
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

// probes adds as many jobs to each queue as it then works off there, one queue after another.
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

func (q *probed) add(ctx context.Context, jobs int, shape func(*penstock.NewJob)) error {
	q.enqueued += int64(jobs)
	_, err := q.in.enqueueBulk(ctx, q.queue, jobs, 1, shape)
	return err
}

// settle does what Postgres and the sampler would do in the minutes after a bulk load.
func (b *bench) vacuum(ctx context.Context) error {
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

package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// producer enqueues jobs one by one through whatever happens and keeps what it
// was told of each.
type producer struct {
	client *penstock.Client
	keyed  bool // with an idempotency key, and again until it is told an id
	told   map[int]answer
}

type answer struct {
	id  int64
	err error
}

// produce enqueues jobs numbered from first until ctx ends.
func (p *producer) produce(ctx context.Context, first int) {
	p.told = map[int]answer{}
	for n := first; ctx.Err() == nil; n++ {
		job := penstock.NewJob{Queue: "q", Name: "effect", Data: map[string]int{"n": n}}
		if p.keyed {
			job.IdempotencyKey = time.Duration(n).String()
		}
		id, err := p.client.Enqueue(context.Background(), job)
		for p.keyed && err != nil {
			id, err = p.client.Enqueue(context.Background(), job)
		}
		p.told[n] = answer{id, err}
	}
}

// check compares what it was told with what there is.
func (p *producer) check(t *testing.T, kept map[int][]int64) {
	t.Helper()
	for n, told := range p.told {
		switch {
		case told.err == nil:
			require.Equal(t, []int64{told.id}, kept[n], "P1, P7: job %d", n)
		case errors.Is(told.err, penstock.ErrOutcomeUnknown):
			require.LessOrEqual(t, len(kept[n]), 1, "job %d", n)
		default:
			require.Empty(t, kept[n], "job %d was refused: %v", n, told.err)
		}
	}
}

func TestNothingIsLostOrDoneTwiceWhenPostgresCrashesUnderLoad(t *testing.T) { // P1, P3, P6, P7, P8, P13
	t.Parallel()
	server := testkit.NewServer(t, nil)
	f := fixtureOn(t, server.DB)
	f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
	elsewhere := f.spawn(t, childSetup{Concurrency: 4})
	here := f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 4}}},
		func(w *penstock.Worker) { // completes the plain way, the other process in transactions
			penstock.Handle(w, "q", "effect", func(context.Context, *penstock.Job[struct{}]) error { return nil })
		})
	id := here.ID

	ctx, enough := context.WithCancel(context.Background())
	producers := make([]*producer, 6)
	var producing sync.WaitGroup
	for i := range producers {
		producers[i] = &producer{client: f.client, keyed: i%2 == 0}
		producing.Go(func() { producers[i].produce(ctx, i*1_000_000) })
	}
	defer producing.Wait()
	defer enough()
	completed := func(e penstock.EndEvent) bool { return e.Outcome == "completed" && !e.LeaseLost }
	var first int64
	for crash := range 3 {
		// Both work before each crash, so both have come back from the one before.
		f.ended.await(t, "completions here", len(f.ended.which(completed))+100, completed)
		elsewhere.await(t, "end", len(elsewhere.reported("end"))+100)
		if crash == 0 {
			first = id()
		}
		server.Crash()
		require.NoError(t, server.Restart(t.Context()))
	}
	f.ended.await(t, "completions after the last crash", len(f.ended.which(completed))+100, completed)
	elsewhere.await(t, "end", len(elsewhere.reported("end"))+100)
	enough()
	producing.Wait()
	until(t, "all jobs done", func() bool {
		return ask[int](t, f, `SELECT (SELECT count(*) FROM penstock.pending) + (SELECT count(*) FROM penstock.running)`) == 0
	})

	require.Equal(t, first, id(), "this worker is who it was")
	require.Empty(t, f.buried.which(func(penstock.BuryEvent) bool { return true }))
	require.Empty(t, elsewhere.reported("buried"))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE outcome = 'lost'`))
	require.Equal(t, []int64{elsewhere.worker, first},
		ask[[]int64](t, f, `SELECT array_agg(id ORDER BY id = $1) FROM penstock.workers`, first))
	jobs := ask[int](t, f, `SELECT count(*) FROM penstock.jobs`)
	f.finished(t, jobs)
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM (SELECT FROM effects GROUP BY job_id HAVING count(*) > 1) twice`))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM effects e WHERE NOT EXISTS (SELECT FROM penstock.attempts a
		WHERE a.job_id = e.job_id AND a.attempt = e.attempt AND a.outcome = 'completed')`))
	kept := keptJobs(t, f)
	require.NotEmpty(t, kept)
	for _, p := range producers {
		p.check(t, kept)
	}
	t.Logf("%d jobs through three crashes", jobs)
	elsewhere.stop(t)
}

// keptJobs returns the ids of the jobs by their number.
func keptJobs(t *testing.T, f *fixture) map[int][]int64 {
	t.Helper()
	kept := map[int][]int64{}
	rows, err := f.Pool.Query(t.Context(), `SELECT id, (data ->> 'n')::integer FROM penstock.jobs`)
	require.NoError(t, err)
	var id int64
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		kept[n] = append(kept[n], id)
		return nil
	})
	require.NoError(t, err)
	return kept
}

func TestAnOutageLongerThanTheLeaseBuriesNobody(t *testing.T) { // P12, P13
	t.Parallel()
	server := testkit.NewServer(t, nil)
	f := fixtureOn(t, server.DB)
	elsewhere := f.spawn(t, childSetup{Lease: shortLease, Concurrency: 1})
	there := f.enqueue(t, penstock.NewJob{Name: "hang"})
	elsewhere.awaitJob(t, "handling", there)
	cause := make(chan error, 1)
	goOn, open := gate(t)
	worker := f.work(t, penstock.WorkerConfig{Lease: shortLease}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "here", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			<-goOn
			cause <- context.Cause(ctx)
			return nil
		})
	})
	here := f.enqueue(t, penstock.NewJob{Name: "here"})
	f.started.await(t, "the job", 1, func(e penstock.StartEvent) bool { return e.JobID == here })
	id := worker.ID()

	server.Crash()
	down := f.claimed.await(t, "a claim that fails", 1, func(c claim) bool { return c.Err != nil })[0].at
	f.claimed.await(t, "claims that fail for longer than the lease", 1, func(c claim) bool {
		return c.Err != nil && c.at.Sub(down) > 3*shortLease/2
	})
	require.NoError(t, server.Restart(t.Context()))
	up := time.Now()
	f.claimed.await(t, "claims for longer than the lease", 1, func(c claim) bool {
		return c.Err == nil && c.at.Sub(up) > 3*shortLease/2
	})

	open()
	require.NoError(t, await(t, "the handler", cause), "nobody ended its context")
	require.Equal(t, "completed", f.end(t, here, 1).Outcome)
	elsewhere.say(t, "go")
	require.False(t, elsewhere.awaitJob(t, "end", there).LeaseLost)
	require.Equal(t, "completed", f.outcomes(t, here))
	require.Equal(t, "completed", f.outcomes(t, there))
	require.Equal(t, id, worker.ID())
	require.Empty(t, f.buried.which(func(penstock.BuryEvent) bool { return true }))
	require.Empty(t, elsewhere.reported("buried"))
	elsewhere.stop(t)
}

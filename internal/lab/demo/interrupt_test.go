package demo

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestWhatAnInterruptedRunLeftIsFinishedByTheNext(t *testing.T) { // P1
	t.Parallel()
	s := newStage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	w := s.enqueued(t, ctx, 1, func(next penstock.HandlerFunc) penstock.HandlerFunc {
		return func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
			defer interrupt() // during the first attempt; the rest is released
			return next(ctx, job)
		}
	})
	require.NoError(t, w.Run(ctx))
	require.EqualValues(t, 1, s.one(t, `SELECT count(*) FROM penstock_demo.files WHERE parsed_at IS NOT NULL`))

	said := s.run(t, t.Context(), Options{})
	require.Contains(t, said, "An earlier run was interrupted: its 9 jobs are finished too.\n")
	require.Contains(t, said, "19 jobs in ")
	require.EqualValues(t, smallPackages, s.one(t, `SELECT count(*) FROM penstock_demo.packages WHERE summed_at IS NOT NULL`))
	requireNothingLeft(t, s)
}

func TestWhatIsLeftOfAnotherTreeDoesNotDie(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.enqueued(t, t.Context(), 1, func(next penstock.HandlerFunc) penstock.HandlerFunc { return next })
	s.root = plant(t, map[string]string{"a.go": "package a\n"})
	said := s.run(t, t.Context(), Options{})
	require.Contains(t, said, "12 done, 0 dead")
	requireNothingLeft(t, s)
}

func TestTheDemoWaitsForAJobThatIsHeldElsewhere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := &demo{pool: s.Pool, client: s.client, root: s.root, out: t.Output()}
	require.NoError(t, ensureTables(t.Context(), s.Pool))
	folders, err := scan(s.root)
	require.NoError(t, err)
	require.NoError(t, d.enqueue(t.Context(), folders, jobsFor(folders)))

	// Another worker, possibly dead, holds the only file and one package's sum.
	elsewhere := s.one(t, `SELECT penstock.register_worker(ARRAY[$1], 'elsewhere', 1, 'v0', 2)`, queue)
	require.EqualValues(t, 2, s.one(t, `SELECT count(*) FROM penstock.claim($1, $2, 2)`, queue, elsewhere))
	done := make(chan error, 1)
	go func() { done <- d.work(t.Context(), &progress{client: s.client, out: t.Output()}) }()
	require.Eventually(t, func() bool {
		counts, err := queueCounts(t.Context(), s.client)
		return err == nil && unfinished(counts) == 2
	}, 30*time.Second, 10*time.Millisecond)
	require.Empty(t, done)

	require.EqualValues(t, 2, s.one(t, `WITH held AS (SELECT job_id, attempt FROM penstock.running WHERE worker_id = $2 ORDER BY job_id)
		SELECT count(*) FROM penstock.finish($1, ARRAY(SELECT job_id FROM held), ARRAY(SELECT attempt FROM held),
			ARRAY['released', 'released'])`, queue, elsewhere))
	require.NoError(t, <-done)
	require.EqualValues(t, smallPackages, s.one(t, `SELECT count(*) FROM penstock_demo.packages WHERE summed_at IS NOT NULL`))
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }

func TestAnInterruptIsNoErrorAndSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var said strings.Builder
	require.NoError(t, Run(ctx, s.Pool, s.client, Options{Source: s.root}, writerFunc(func(text []byte) (int, error) {
		if strings.Contains(string(text), "enqueued") {
			interrupt()
		}
		return said.Write(text)
	})))
	require.Contains(t, said.String(), "Interrupted. 10 jobs wait in Postgres for the next run.\n")

	said.Reset()
	require.NoError(t, Run(ctx, s.Pool, s.client, Options{Source: t.TempDir()}, &said))
	require.Contains(t, said.String(), "Interrupted. 10 jobs wait", "whatever else is wrong")
}

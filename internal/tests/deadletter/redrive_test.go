package deadletter_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestARedriveIsANewJobThatNamesItsOrigin(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	asked := penstock.NewJob{
		Name: "deploy", Data: map[string]int{"n": 1}, Tags: []string{"urgent"}, Priority: penstock.Weight(30), MaxAttempts: 1,
		Timeout: time.Minute, TraceContext: "00-trace", Retry: &penstock.RetryStrategy{Type: penstock.Linear, Delay: time.Second},
	}
	id := f.kill(t, death{NewJob: asked, outcome: "failed"})[0]
	fresh, err := f.client.As("ann").DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
	require.NoError(t, err)
	require.NotEqual(t, id, fresh)

	old, job := f.job(t, id), f.job(t, fresh)
	require.Equal(t, penstock.Redriven, old.State)
	require.Equal(t, fresh, old.RedrivenAs)
	require.Equal(t, penstock.IDs{fresh}, old.Descendants)
	require.JSONEq(t, `{"n": 1}`, string(old.Data))

	require.Equal(t, penstock.Waiting, job.State)
	require.Equal(t, []any{id, 1}, []any{job.OriginID, job.Generation})
	require.Equal(t, []any{"q", "deploy", 30, 0, 0, 1, "00-trace"},
		[]any{job.Queue, job.Name, job.Priority, job.Attempt, job.Failures, job.MaxAttempts, job.TraceContext})
	require.Equal(t, []string{"urgent"}, job.Tags)
	require.JSONEq(t, `{"n": 1}`, string(job.Data))
	require.Equal(t, asked.Retry, job.Retry)
	require.Equal(t, time.Minute, ask[time.Duration](t, f, "SELECT timeout FROM penstock.pending WHERE job_id = $1", fresh))

	require.Empty(t, f.dead(t, penstock.DeadQuery{}))
	require.Equal(t, []string{"redriven ann"}, list[string](t, f,
		"SELECT how || ' ' || actor FROM penstock.departures WHERE job_id = $1 AND new_job_id = $2 AND attempt = 1", id, fresh))
	require.Equal(t, []int64{fresh}, f.claim(t, "q", 10), "due at once")
}

func TestARedriveMayEditTheDataAndLeavesTheOldFactsAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(3, death{NewJob: penstock.NewJob{Data: map[string]int{"n": 1}}})...)
	for i, c := range []struct {
		data any
		want string
	}{
		{map[string]int{"n": 2}, `{"n": 2}`},
		{json.RawMessage(`[1]`), `[1]`},
		{json.RawMessage(`null`), `null`},
	} {
		fresh, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(ids[i]), c.data)
		require.NoError(t, err)
		require.JSONEq(t, c.want, string(f.job(t, fresh).Data))
		require.JSONEq(t, `{"n": 1}`, string(f.job(t, ids[i]).Data))
	}
}

func TestAnEditThatIsNotJSONIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	for name, data := range map[string]any{
		"cut off":      json.RawMessage(`{"n":`),
		"a number":     math.Inf(1),
		"a NUL":        json.RawMessage(`"\u0000"`),
		"too long":     short("x", 1<<20),
		"not encoding": make(chan int),
	} {
		_, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), data)
		refused(t, err, "data")
		require.Equal(t, penstock.DeadState, f.state(t, id), name)
	}
	_, err := f.Pool.Exec(t.Context(), "SELECT penstock.redrive('q', $1, to_jsonb(repeat('x', 1048577)))", entry(id))
	refusedSQL(t, err, "data")
	_, err = f.Pool.Exec(t.Context(), "SELECT penstock.redrive('q', $1, (SELECT jsonb_agg(1e131071) FROM generate_series(1, 1000)))", entry(id))
	refusedSQL(t, err, "data")
	require.Equal(t, penstock.DeadState, f.state(t, id))
}

func TestRepeatingARedriveGivesTheSameJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	var fresh sync.Map
	together(8, func(int) {
		got, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
		if err != nil {
			t.Errorf("redrive: %v", err)
		}
		fresh.Store(got, true)
	})
	require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.jobs WHERE origin_id = $1", id))
	made := ask[int64](t, f, "SELECT id FROM penstock.jobs WHERE origin_id = $1", id)
	fresh.Range(func(got, _ any) bool {
		require.Equal(t, made, got)
		return true
	})
	again, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), map[string]string{"late": "edit"})
	require.NoError(t, err)
	require.Equal(t, made, again)
	require.NotContains(t, string(f.job(t, made).Data), "late", "what was redriven stays as it is")
}

func TestALaterDeathIsAnotherEntryThatARepeatedRedriveDoesNotTouch(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	line := []int64{id}
	for range 3 {
		last := line[len(line)-1]
		fresh, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(last), nil)
		require.NoError(t, err)
		require.Equal(t, []int64{fresh}, f.claim(t, "q", 1))
		f.finish(t, fresh, "dead")
		line = append(line, fresh)
	}
	last := line[3]
	require.Equal(t, []int64{last}, f.dead(t, penstock.DeadQuery{}))
	again, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
	require.NoError(t, err)
	require.Equal(t, line[1], again)
	require.Equal(t, []int64{last}, f.dead(t, penstock.DeadQuery{}), "the later death stays")

	d, err := f.client.DLQ.Get(t.Context(), "q", entry(last))
	require.NoError(t, err)
	require.Equal(t, []any{line[2], 3}, []any{d.OriginID, d.Generation})
	require.Equal(t, penstock.IDs(line[1:]), f.job(t, id).Descendants, "near and far")
	require.Equal(t, penstock.IDs(line[2:]), f.job(t, line[1]).Descendants)
	require.Empty(t, f.job(t, last).Descendants)
	require.Equal(t, line[2], f.job(t, line[1]).RedrivenAs)
}

func TestAPurgedEntryCannotBeRedriven(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	n, err := f.client.DLQ.Purge(t.Context(), "q", 0, penstock.DeadFilter{}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
	require.ErrorIs(t, err, penstock.ErrConflict)
	require.ErrorContains(t, err, "purged")
	require.Equal(t, penstock.Purged, f.state(t, id))
}

func TestARedriveInATransactionHappensIfItCommits(t *testing.T) { // P2
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = f.client.InTx(tx).As("ann").DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, penstock.DeadState, f.state(t, id))
	require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.jobs"))
}

package sqltest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/internal/testkit"
)

// marks are what a fetcher remembers between plain claims, as doc of penstock.claim
// has it: a time before the last sweep, the lowest lane that covered, and the last
// key taken from each lane since.
type marks struct {
	since     time.Time
	sweptFrom int16
	lanes     map[int16]taken
}

type taken struct {
	Priority int16
	RunAt    time.Time
	ID       int64
	Attempt  int32
}

const takenColumns = "SELECT priority, run_at, job_id, attempt FROM "

// sweep is a plain claim of up to n jobs that starts marks anew.
func sweep(t tester, conn *pgx.Conn, by int64, n int) (*marks, []taken) {
	m := &marks{since: one[time.Time](t, conn, "SELECT clock_timestamp()"), sweptFrom: 1, lanes: map[int16]taken{}}
	got := compared(t, conn, n, "penstock.claim('q', $1, $2)", by, n)
	if len(got) == n {
		m.sweptFrom = got[n-1].Priority
	}
	m.note(got)
	return m, got
}

// claim goes on from the marks.
func (m *marks) claim(t tester, conn *pgx.Conn, by int64, n int) []taken {
	var lanes []int16
	var runAts []time.Time
	var ids []int64
	for lane, last := range m.lanes {
		lanes, runAts, ids = append(lanes, lane), append(runAts, last.RunAt), append(ids, last.ID)
	}
	got := compared(t, conn, n, "penstock.claim('q', $1, $2, '5 minutes', $3, $4, $5, $6, $7)",
		by, n, m.since, m.sweptFrom, lanes, runAts, ids)
	m.note(got)
	return got
}

func (m *marks) note(got []taken) {
	for _, job := range got {
		m.lanes[job.Priority] = job
	}
}

// compared claims, in a transaction that first looks itself what is due, and fails
// unless the claim hands out the first n of that.
func compared(t tester, conn *pgx.Conn, n int, claim string, args ...any) []taken {
	ctx, cancel := soon()
	defer cancel()
	var got []taken
	require.NoError(t, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		due := list[int64](t, tx, `SELECT job_id FROM penstock.pending
			WHERE queue = 'q' AND run_at <= now() AND (expires_at > now()) IS NOT FALSE
			ORDER BY priority DESC, run_at, job_id LIMIT $1`, n)
		got = rows(t, tx, pgx.RowToStructByPos[taken], takenColumns+claim, args...)
		found := []int64{}
		for _, job := range got {
			found = append(found, job.ID)
		}
		require.Equal(t, due, found, "what is due, and what the claim finds")
		return nil
	}))
	return got
}

// With marks a claim finds just what one without them would, whatever was enqueued,
// retried, or fell due since the sweep, in lanes that were swept and in others.
func TestMarksHideNothingThatCameAfterTheSweep(t *testing.T) { // P10
	t.Parallel()
	conn := session(t, testkit.New(t))
	rapid.Check(t, func(t *rapid.T) {
		empty(t, conn)
		by := worker(t, conn, "q")
		lane, room := rapid.SampledFrom([]int{1, 5, 6, 20, 100}), rapid.IntRange(1, 6)
		times := rapid.SampledFrom([]map[string]any{
			{}, {}, {"delay": 1}, {"delay": 2}, {"expiresIn": 1}, {"runAt": "2001-01-01T00:00:00Z"},
		})
		var mark *marks
		var held []taken
		t.Repeat(map[string]func(*rapid.T){
			// Batches, so that jobs of a lane share their run_at.
			"enqueue": func(t *rapid.T) {
				var jobs []map[string]any
				for range rapid.IntRange(1, 8).Draw(t, "jobs") {
					jobs = append(jobs, map[string]any{"name": "n", "data": 1, "priority": lane.Draw(t, "lane")})
					maps.Copy(jobs[len(jobs)-1], times.Draw(t, "times"))
				}
				text, err := json.Marshal(jobs)
				require.NoError(t, err)
				do(t, conn, "SELECT penstock.enqueue_many('q', $1::jsonb)", string(text))
			},
			"sweep": func(t *rapid.T) {
				var got []taken
				mark, got = sweep(t, conn, by, room.Draw(t, "room"))
				held = append(held, got...)
			},
			"claim": func(t *rapid.T) {
				if mark == nil {
					t.Skip("no sweep yet")
				}
				held = append(held, mark.claim(t, conn, by, room.Draw(t, "room"))...)
			},
			"come back": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing runs")
				}
				job := held[0]
				held = held[1:]
				do(t, conn, `SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[$2::integer], ARRAY[$3], delays => ARRAY[$4::text::interval])`,
					job.ID, job.Attempt, rapid.SampledFrom([]string{"snoozed", "released"}).Draw(t, "how"), rapid.SampledFrom([]string{"0 ms", "1 ms"}).Draw(t, "wait"))
			},
		})
	})
}

// What a late commit leaves behind the marks is found by the next sweep.
func TestALateCommitIsFoundByTheNextSweep(t *testing.T) { // P1, P10
	t.Parallel()
	db := testkit.New(t)
	conn := session(t, db)
	by := worker(t, conn, "q")
	late := begin(t, db.Pool)
	floor := one[time.Time](t, conn, "SELECT clock_timestamp()")
	hidden := one[int64](t, late, "SELECT penstock.enqueue('q', 'n')")
	do(t, conn, "SELECT penstock.enqueue('q', 'n')")
	mark, got := sweep(t, conn, by, 10)
	require.Len(t, got, 1)
	commit(t, late)
	require.Empty(t, claimBehind(t, conn, mark, by), "it lies behind the mark")
	// A sweep need not begin at the start of each lane, but where the transaction began.
	found := list[int64](t, conn, "SELECT job_id FROM penstock.claim('q', $1, 10, '5 minutes', $2)", by, floor)
	require.Equal(t, []int64{hidden}, found)
}

// claimBehind claims with the marks without looking what else is due.
func claimBehind(t *testing.T, conn *pgx.Conn, m *marks, by int64) []lease {
	last := m.lanes[5]
	return rows(t, conn, pgx.RowToStructByPos[lease],
		"SELECT job_id, attempt FROM penstock.claim('q', $1, 10, '5 minutes', $2, $3, ARRAY[5::smallint], ARRAY[$4::timestamptz], ARRAY[$5::bigint])",
		by, m.since, m.sweptFrom, last.RunAt, last.ID)
}

// While a snapshot is held, the entries of jobs long gone stay in the index, and
// each plain claim walks them all. With marks it does not.
func TestMarksPassOverDeadEntries(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	conn, holder := session(t, db), session(t, db)
	by := worker(t, conn, "q")
	do(t, holder, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	do(t, holder, "SELECT count(*) FROM penstock.pending")
	// The pages that a claim of one job reads, plain and with marks of just now.
	look := func() (plain, marked int) {
		mark, _ := sweep(t, conn, by, 1)
		plain = pages(t, conn, fmt.Sprintf("SELECT * FROM penstock.claim('q', %d, 1)", by))
		return plain, pages(t, conn, fmt.Sprintf("SELECT * FROM penstock.claim('q', %d, 1, '5 minutes', '%s')", by,
			mark.since.Format(time.RFC3339Nano)))
	}
	plainBefore, markedBefore := look()
	for range 3 {
		fill(t, conn, 10000)
		require.Len(t, claim(t, conn, "q", by, 10000), 10000)
	}
	plain, marked := look()
	require.Greater(t, plain, plainBefore+200, "what 30,000 dead entries cost a plain claim, in pages")
	require.Less(t, marked, markedBefore+20, "and one with marks")
	require.NoError(t, holder.Close(context.Background()))
}

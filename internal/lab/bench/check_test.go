package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryMiscountIsAnError(t *testing.T) {
	for _, c := range []struct {
		name      string
		tally     rowCounts
		completed int64
		says      string
	}{
		{"all completed", rowCounts{jobs: 10, completed: 10, distinct: 10}, 10, ""},
		{"some completed and the others wait", rowCounts{jobs: 10, completed: 4, distinct: 4, waiting: 6}, 4, ""},
		{"a job is missing", rowCounts{jobs: 9, completed: 9, distinct: 9}, 9, "10 jobs were enqueued, 9 are in"},
		{"a job completed twice", rowCounts{jobs: 10, completed: 11, distinct: 10}, 11, "10 jobs completed 11 times"},
		{"an end has no row", rowCounts{jobs: 10, completed: 9, distinct: 9, waiting: 1}, 10, "10 ends were reported, 9 are in"},
		{"an attempt failed", rowCounts{jobs: 10, completed: 9, distinct: 9, otherOutcomes: 1, waiting: 1}, 9, "1 attempts did not complete"},
		{"a lease is left", rowCounts{jobs: 10, completed: 9, distinct: 9, running: 1}, 9, "1 jobs are still leased"},
		{"a job is nowhere", rowCounts{jobs: 10, completed: 9, distinct: 9}, 9, "9 completed and 0 wait"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.tally.verdict(10, c.completed)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrMiscounted)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestADrainWithoutAnAttemptRowIsRefused(t *testing.T) {
	b := newTestBench(t)
	_, err := b.enqueueBulk(t.Context(), "q", 200, 1, nil)
	require.NoError(t, err)
	require.NoError(t, b.check(t.Context(), "q", 200, 0))
	_, err = b.drainQueue(t.Context(), "q", 200)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), "DELETE FROM penstock.attempts WHERE job_id = (SELECT max(id) FROM penstock.jobs)")
	require.NoError(t, err)
	require.ErrorIs(t, b.check(t.Context(), "q", 200, 200), ErrMiscounted)
	require.ErrorIs(t, b.check(t.Context(), "q", 200, 199), ErrMiscounted)
}

func TestADrainOfFewerJobsThanThereShouldBeIsRefused(t *testing.T) {
	b := newTestBench(t)
	_, err := b.enqueueBulk(t.Context(), "q", 50, 1, nil)
	require.NoError(t, err)
	_, err = b.drainQueue(t.Context(), "q", 51)
	require.ErrorIs(t, err, ErrMiscounted)
	require.ErrorContains(t, err, "50 of 51")
}

func TestAPayloadHasTheSizeAskedFor(t *testing.T) {
	for _, size := range []int{MinPayload, 100, 4096} {
		for _, n := range []int{0, 7, 999_999_999_999} {
			require.Len(t, newPayload(n, size).json(), size)
		}
	}
}

func TestTheScheduleIsTheSameInEachRunAndKeepsItsRate(t *testing.T) {
	moments := schedule(100, 20*time.Second)
	require.Equal(t, moments, schedule(100, 20*time.Second))
	require.IsIncreasing(t, moments)
	require.InDelta(t, 2000, len(moments), 200)
	require.Len(t, schedule(1, time.Nanosecond), 1)
}
